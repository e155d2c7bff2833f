"""`synvlp why`: how a result was made, and exactly what differs now."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from synvlp import cli, dag, provenance
from synvlp.study import Study
from synvlp.versions import why

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
ENDED = 1_900_000_000.0
OLD_CODE = "0123456789abcdef"
PAIRS, WEIGHTS, TABLE = (
    "results/demo/encoders/pairs/real/pairs.parquet",
    "results/demo/encoders/gloria/real/seed-0/image_encoder.safetensors",
    "results/demo/tables/classification.csv",
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Three jobs in a row, each made and noted: pairs, an encoder from them, a table from that."""
    monkeypatch.chdir(tmp_path)
    why._checksum.cache_clear()
    for path in ("outside.csv", PAIRS, WEIGHTS, TABLE):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(path)
    for place, job in enumerate(jobs()):
        note(job, ended=ENDED + place)


def job(rule, made, read, settings="", reason="", code=None, **wildcards):
    module = "synvlp.encoders.gloria" if rule == "pretrain" else ""
    return dag.Job(
        rule=rule,
        wildcards=wildcards,
        input=sorted(read),
        output={"output": made},
        params={"settings": settings, "code": code or (provenance.fingerprint(module) if module else OLD_CODE)},
        resources={},
        threads=1,
        log=[f"results/demo/logs/{rule}/{'/'.join(wildcards.values())}.log"],
        benchmark=None,
        command=f"synvlp {rule} --in {' '.join(sorted(read))} --out {made} {settings}",
        reason=reason,
    )


def jobs(flags="--rate 0.001 --steps 120", reasons=("", "", ""), code=None, pairs_read=("outside.csv",)):
    return [
        job("build_pairs", PAIRS, pairs_read, "--image-size 64", reasons[0], pair_set="real"),
        job("pretrain", WEIGHTS, [PAIRS], flags, reasons[1], code, method="gloria", source="real", seed="0"),
        job("tabulate", TABLE, [WEIGHTS], "--digits 3", reasons[2], task="classification"),
    ]


def note(made: dag.Job, ended=ENDED, code=None, **more):
    """Leave Snakemake's note of a job that ran, and set the time of its output."""
    for path in made.output.values():
        name = base64.urlsafe_b64encode(path.encode()).decode()
        place = Path(".snakemake/metadata", name)
        place.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "rule": made.rule,
            "input": made.input,
            "log": made.log,
            "shellcmd": made.command,
            "params": sorted(map(repr, [made.params["settings"], code or made.params["code"]])),
            "starttime": ended - 90,
            "endtime": ended,
            "input_checksums": {read: f"sha256:{why._checksum(read)}" for read in made.input},
            **more,
        }
        place.write_text(json.dumps(content))
        os.utime(path, (ended, ended))
    for read in made.input:
        if read == "outside.csv":
            os.utime(read, (ENDED - 1000, ENDED - 1000))


def answer(target=TABLE, found=None, problem=""):
    return why.answer(target, Study(CONFIG), jobs() if found is None else found, problem)


def changes(found: why.Answer) -> dict[str, list[why.Change]]:
    return {step.title: step.changes for step in (*found.targets, *found.chain) if step.changes}


STALE = ("", "Params have changed", "Input files updated by another job")


def test_what_is_up_to_date_is_told_with_its_chain():
    found = answer()
    assert [step.title for step in found.chain] == ["pretrain gloria real 0", "build_pairs real"]
    assert not any(step.anew for step in (*found.targets, *found.chain))
    encoder = found.chain[0]
    assert (encoder.ended, encoder.seconds, encoder.module) == (ENDED + 1, 90, "synvlp.encoders.gloria")
    assert encoder.settings == {"rate": "0.001", "steps": "120"}
    assert encoder.code == provenance.fingerprint("synvlp.encoders.gloria")
    assert encoder.inputs == {PAIRS: why._checksum(PAIRS)} and len(why._checksum(PAIRS)) == 64
    assert found.outside == {"outside.csv": why._checksum("outside.csv")}
    assert found.checksums == {TABLE: why._checksum(TABLE)}
    text = why.text(found)
    assert text.startswith(f"{TABLE} is up to date.")
    assert "pretrain gloria real 0" in text and f"{why._checksum('outside.csv')[:12]}  outside.csv" in text
    assert f"synvlp pretrain --in {PAIRS}" not in text and f"synvlp pretrain --in {PAIRS}" in why.text(found, True)
    assert json.loads(json.dumps(why.as_data(found)))["chain"][0]["anew"] is False


def test_a_changed_setting_is_told_with_both_values_and_its_place_in_the_config():
    found = answer(found=jobs("--rate 0.002 --steps 120", STALE))
    assert changes(found) == {
        "pretrain gloria real 0": [why.Change("setting", "rate", "0.001", "0.002", ("encoders.pretrain.rate",))]
    }
    assert found.targets[0].follows == ["pretrain gloria real 0"] and found.targets[0].anew
    text = why.text(found)
    assert "setting encoders.pretrain.rate: 0.001 → 0.002\n      of pretrain gloria real 0" in text
    assert "1 job of its chain would follow" in text


def test_swapped_values_and_new_settings_are_told():
    found = answer(found=jobs("--rate 120 --steps 0.001 --beta1 0.5", STALE))
    told = {change.name: (change.old, change.new) for change in changes(found)["pretrain gloria real 0"]}
    assert told == {"rate": ("0.001", "120"), "steps": ("120", "0.001"), "beta1": ("", "0.5")}


def test_of_long_lists_only_the_difference_is_told():
    many = " ".join(f"name{number}" for number in range(9))
    assert why._values(many, f"{many} extra", full=False) == "9 → 10 values, more extra"
    assert why._values(many, " ".join(reversed(many.split())), full=False).endswith("in another order")


def test_of_long_values_equal_words_are_told_once():
    assert why._brief("a a a b") == "a a a b"
    assert why._brief(f"{'a ' * 20}b") == "a ×20 b"
    assert why._brief(" ".join(map(str, range(30)))).endswith("10 11 … (30 values)")


def test_a_changed_input_is_told_with_both_checksums():
    before = why._checksum("outside.csv")
    why._checksum.cache_clear()
    Path("outside.csv").write_text("more")
    os.utime("outside.csv", (ENDED + 50, ENDED + 50))
    found = answer(found=jobs(reasons=("Updated input files", *2 * STALE[2:])))
    assert changes(found) == {
        "build_pairs real": [why.Change("input", "outside.csv", before, why._checksum("outside.csv"))]
    }
    assert f"input outside.csv: SHA-256 {before[:12]} → {why._checksum('outside.csv')[:12]}" in why.text(found)


def test_a_touched_input_is_no_change():
    os.utime("outside.csv", (ENDED + 50, ENDED + 50))
    found = answer(found=jobs("--rate 0.002 --steps 120", ("Something else", *STALE[1:])))
    assert changes(found)["build_pairs real"] == [why.Change("other", "Something else")]


def test_an_intermediate_file_that_was_edited_is_told():
    before = why._checksum(PAIRS)
    why._checksum.cache_clear()
    Path(PAIRS).write_text("edited")
    os.utime(PAIRS, (ENDED + 500, ENDED + 500))
    found = answer(found=jobs(reasons=("", "Updated input files", STALE[2])))
    (change,) = changes(found)["pretrain gloria real 0"]
    assert (change.name, change.old, change.detail) == (PAIRS, before, ("changed by another hand",))


def test_inputs_that_came_and_went_are_told():
    Path("other.csv").write_text("other")
    found = answer(found=jobs(reasons=("Set of input files has changed", *2 * STALE[2:]), pairs_read=["other.csv"]))
    told = {(change.name, change.detail) for change in changes(found)["build_pairs real"]}
    assert told == {("outside.csv", ("gone",)), ("other.csv", ("new",))}
    assert "outside.csv" in found.outside  # it is what the table was made from


def known_code(module="synvlp.encoders.gloria"):
    """What a run with other code left in code.json: `losses_of` was another, `gone` was there."""
    outlines = {name: provenance.outline(name) for name in provenance.closure(module)}
    outlines[module] |= {"losses_of": "another", "gone": "there"}
    del outlines[module]["local_scores"]
    content = {"fingerprints": {OLD_CODE: {name: f"was {name}" for name in outlines}}}
    content["modules"] = {f"was {name}": made for name, made in outlines.items()}
    Path("results/demo/code.json").write_text(json.dumps(content))


def test_changed_functions_are_named():
    known_code()
    note(jobs()[1], ENDED + 1, OLD_CODE)
    found = answer(found=jobs(reasons=STALE))
    (change,) = changes(found)["pretrain gloria real 0"]
    module = "synvlp.encoders.gloria"
    assert (change.kind, change.name, change.old) == ("code", module, OLD_CODE)
    assert change.detail == (f"{module}: gone (gone)", f"{module}: local_scores (new)", f"{module}: losses_of")
    assert f"code of {module}: gone (gone), local_scores (new), losses_of" in why.text(found)


def test_of_unknown_code_only_the_fingerprint_is_told():
    note(jobs()[1], ENDED + 1, OLD_CODE)
    found = answer(found=jobs(reasons=STALE))
    (change,) = changes(found)["pretrain gloria real 0"]
    assert (change.old, change.detail) == (OLD_CODE, ("unknown",))
    assert "only its fingerprint is known" in why.text(found) and OLD_CODE in why.text(found, True)


def test_a_changed_command_and_a_missing_output_are_told():
    first, second, third = jobs(reasons=STALE)
    note(jobs()[1], ENDED + 1, shellcmd=second.command.replace("--in", "--from"))
    Path(TABLE).unlink()
    found = answer(found=[first, second, third])
    assert [change.kind for change in changes(found)["pretrain gloria real 0"]] == ["command"]
    assert changes(found)["tabulate classification"] == [why.Change("output", TABLE)]


def test_missing_notes_are_told_and_break_nothing():
    shutil.rmtree(".snakemake")
    found = answer()
    assert why.text(found).startswith(f"{TABLE} is up to date, but nothing is recorded of how it was made.")
    assert "nothing is recorded" in why.text(answer("build_pairs"))
    Path(TABLE).unlink()
    assert f"{TABLE} has not been made yet" in why.text(answer(found=jobs(reasons=("", "", "Missing output files"))))


def test_without_a_plan_the_chain_is_told_as_it_is_recorded():
    found = answer(found=[], problem="Missing input files:\n  outside.csv")
    assert [step.title for step in found.chain] == ["pretrain gloria real 0", "build_pairs real"]
    assert found.outside == {"outside.csv": why._checksum("outside.csv")}
    text = why.text(found)
    assert "cannot be planned here" in text and "Missing input files: outside.csv" in text


def test_what_the_study_has_no_more_is_told_as_it_is_recorded():
    found = answer(found=jobs()[:1])
    assert "as it is now does not make it" in why.text(found)
    assert [(step.title, step.current) for step in found.chain] == [
        ("pretrain gloria real 0", False),
        ("build_pairs real", True),
    ]


def test_jobs_of_another_place_with_the_same_names_are_others():
    """Two studies have jobs of the same names: what is recorded of one never stands for the other."""
    first, *_ = jobs()
    elsewhere = replace(first, output={"output": "results/demo/elsewhere"}, log=["results/demo/logs/else.log"])
    found = answer(found=[elsewhere])
    assert [step.title for step in found.chain] == ["pretrain gloria real 0", "build_pairs real"]
    assert all(step.made and not step.current for step in found.chain)


@pytest.mark.parametrize(
    ("target", "titles"),
    [
        ("pretrain", ["pretrain gloria real 0"]),
        ("pretrain-gloria-real-0", ["pretrain gloria real 0"]),
        ("encoders", ["build_pairs real", "pretrain gloria real 0"]),
        ("results/demo/encoders/gloria", ["pretrain gloria real 0"]),
        (f"./{PAIRS}", ["build_pairs real"]),
        ("results/demo/logs/tabulate/classification.log", ["tabulate classification"]),
        ("all", ["build_pairs real", "pretrain gloria real 0", "tabulate classification"]),
    ],
)
def test_targets_are_files_folders_rules_stages_and_jobs(target, titles):
    assert [step.title for step in answer(target).targets] == titles
    assert answer(str(Path(PAIRS).resolve())).targets[0].title == "build_pairs real"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("results/demo/tables/clasification.csv", f"near are: {TABLE}"),
        ("pretrian", "near are: pretrain"),
        ("outside.csv", "is from outside: no job makes it; build_pairs real reads it"),
        ("results/paper/tables/x.csv", "synvlp why results/paper/tables/x.csv studies/paper.yaml"),
        ("qqq", "it is a file below results/, a rule, or a stage of dvc.yaml"),
    ],
)
def test_unknown_targets_are_refused_with_what_is_near(target, message):
    with pytest.raises(why.Unknown, match=re.escape(message)):
        answer(target)


def test_outputs_that_were_taken_again_are_told():
    log = Path(jobs()[1].log[0])
    log.parent.mkdir(parents=True)
    log.write_text("settings, inputs and code are those of the last run; its outputs are taken again\n")
    assert answer().chain[0].taken and "2 min*" in why.text(answer())


def test_parts_of_a_scattered_job_are_one_line():
    parts = [
        why.Step(f"synthesize d p {n}", "synthesize", {"corpus": "p", "shard": str(n)}, "images", "m", [])
        for n in (0, 1)
    ]
    assert len(why._rows(parts, False)) == 1 and "(2 jobs)" in why._rows(parts, False)[0]
    assert len(why._rows(parts, True)) == 2


def test_lines_fit_a_terminal():
    many = " ".join(f"name{number}" for number in range(90))
    for text in (why.text(answer(found=jobs(f"--names {many}", STALE))), why.text(answer())):
        assert max(map(len, text.splitlines())) <= why.WIDTH


def test_the_command_needs_no_torch():
    program = "import sys\nfrom synvlp.versions import why\nsys.exit(10 + ('torch' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 10


def test_the_command_refuses_a_wrong_config(capsys):
    Path("config.yaml").write_text("study: x\n")
    assert cli.main(["why", "all"]) == 1
    assert "corpora: is missing" in capsys.readouterr().err


class Whole:
    """A copy of the finished tiny study that runs its own copy of the code."""

    def __init__(self, checkout):
        self.folder, self.checkout = checkout.folder, checkout
        self.more = {"PYTHONPATH": str(self.folder / "src")}
        shutil.copytree(ROOT / "src", self.folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))

    def why(self, target: str) -> dict:
        command = [sys.executable, "-m", "synvlp", "why", target, "tiny.yaml", "--json"]
        done = subprocess.run(
            command, cwd=self.folder, env=self.checkout.environment(**self.more), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def planned(self) -> Counter:
        """How many jobs of each rule Snakemake would run."""
        done = self.checkout.snakemake("-n", "--quiet", "rules", **self.more)
        assert done.returncode == 0, done.stderr
        found = Counter({name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE)})
        del found["total"], found["all"]
        return found


@pytest.fixture
def whole(copied):
    return Whole(copied)


def anew(found: dict) -> Counter:
    return Counter(step["rule"] for step in (*found["targets"], *found["chain"]) if step["anew"])


def causes(found: dict) -> list[dict]:
    steps = (*found["targets"], *found["chain"])
    return [{"job": step["title"], **change} for step in steps for change in step["changes"]]


@pytest.mark.workflow
def test_of_a_finished_study_all_is_recorded_and_nothing_changed(whole):
    found = whole.why("all")
    assert all(step["made"] and step["code"] and not step["anew"] for step in found["targets"])
    assert {step["rule"] for step in found["targets"]} >= {"draw_phantoms", "synthesize", "pretrain", "write_page"}
    assert list(found["outside"]) == ["studies/demo.key"]
    assert all(len(sha) == 64 for step in found["targets"] for sha in step["inputs"].values())
    assert whole.planned() == Counter()


@pytest.mark.workflow
def test_of_a_study_in_which_something_changed_exactly_that_is_told(whole):
    """A setting in an overlay, a line of a function, and a file from outside; each alone, and Snakemake agrees."""
    overlay = whole.folder / "tiny.yaml"
    kept = overlay.read_text()
    config = yaml.safe_load(kept)
    config["encoders"]["gloria"] = {"attention_temperature": 3.5}
    overlay.write_text(yaml.safe_dump(config))
    found = whole.why("all")
    place = "encoders.gloria.attention_temperature"
    told = {"kind": "setting", "name": "attention_temperature", "old": "4.0", "new": "3.5", "detail": [place]}
    trained = ["pretrain gloria real 0", "pretrain gloria mixed 0"]
    assert causes(found) == [{"job": job, **told} for job in trained]
    assert anew(found) == whole.planned()
    overlay.write_text(kept)

    code = whole.folder / "src/synvlp/encoders/gloria.py"
    kept = code.read_text()
    line = "return (members @ (word_temperature * cosine).exp()).log().T"
    assert line in kept
    code.write_text(kept.replace(line, line.replace("word_temperature * cosine", "cosine * word_temperature")))
    found = whole.why("all")
    detail = ["synvlp.encoders.gloria: local_scores"]
    assert [(cause["job"], cause["kind"], cause["detail"]) for cause in causes(found)] == [
        (job, "code", detail) for job in trained
    ]
    assert anew(found) == whole.planned()
    code.write_text(kept)

    key = whole.folder / "studies/demo.key"
    key.write_text("another secret, of thirty-two characters or more\n")
    found = whole.why("results/tiny/tables/classification.csv")
    (cause,) = causes(found)
    assert (cause["job"], cause["kind"], cause["name"]) == ("anonymize phantom", "input", "studies/demo.key")
    assert cause["old"] != cause["new"] and found["targets"][0]["follows"]
