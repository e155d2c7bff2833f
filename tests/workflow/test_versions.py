"""Versions: what Snakemake and DVC call stale, what is recorded, time travel, clones, remotes, and who may see what."""

import json
import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.workflow
FILE = "studies/tiny/dvc.yaml"
TABLES = {"tabulate", "summarize", "compare", "draw_figure", "write_page"}
TASKS = {"encode", "classify", "segment", "detect", "align", "ground"}
TABLE_OF = {"classify": "classification", "segment": "segmentation", "detect": "detection", "ground": "grounding"}
GLORIA = "src/synvlp/encoders/gloria.py"
MATCHING = "src/synvlp/tasks/matching.py"
WHY = (sys.executable, "-m", "synvlp", "why")
FIGURES = ("tiny.yaml", "resamples: 100}", "resamples: 100}\n  draw_figure: {dpi: 90}")
SAY_JOBS = """
import json
from synvlp import dag
found = dag.jobs(["tiny.yaml"], reasons=True)
jobs = [[job.rule, list(job.wildcards.values()), job.input, list(job.output.values()), job.reason] for job in found]
print(json.dumps(jobs))
"""


def jobs(checkout) -> list[dict]:
    """All jobs: rule, values of the wildcards, inputs, outputs, and why Snakemake would run it."""
    done = checkout.run(sys.executable, "-c", SAY_JOBS)
    assert done.returncode == 0, done.stderr
    return [
        dict(zip(("rule", "wildcards", "input", "output", "reason"), job, strict=True))
        for job in json.loads(done.stdout)
    ]


def edit(checkout, name: str, old: str, new: str) -> None:
    path = checkout.folder / name
    text = path.read_text()
    assert text.count(old) == 1, f"{name} has {text.count(old)} times {old!r}"
    path.write_text(text.replace(old, new))


def run(checkout, *words: str) -> str:
    done = checkout.run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dvc(checkout, *words: str) -> str:
    return run(checkout, sys.executable, "-m", "dvc", *words)


def git(checkout, *words: str) -> str:
    return run(checkout, "git", *words)


def idle(checkout) -> bool:
    """Whether Snakemake finds nothing to do."""
    done = checkout.snakemake("-n")
    assert done.returncode == 0, done.stderr
    return "Nothing to be done" in done.stdout + done.stderr


# What is edited, the rules whose jobs run, and of those that differ by method the one method that does. The last
# says whether DVC sees the same: of a comment it only knows that the file is another one, and of what an overlay does
# not name, it watches the section that would hold it.
EDITS = {
    "a docstring": ([(GLORIA, '"""GLoRIA', '"""A method: GLoRIA')], set(), "", False),
    "a comment": ([("src/synvlp/job.py", "import functools\n", "import functools  # once\n")], set(), "", False),
    "the order of keys": (
        [("tiny.yaml", "{steps: 6, batch: 4, validate_every: 3}", "{validate_every: 3, batch: 4, steps: 6}")],
        set(),
        "",
        True,
    ),
    "one method's rate": (
        [("config.yaml", "  mgca:\n", "  mgca:\n    rate: 0.0007\n")],
        {"pretrain"} | TASKS | TABLES,
        "mgca",
        True,
    ),
    "one method's rate, in the overlay": (
        [
            (
                "tiny.yaml",
                "{hidden: 32, embedding: 16, prototypes: 8}",
                "{hidden: 32, embedding: 16, prototypes: 8, rate: 0.0007}",
            )
        ],
        {"pretrain"} | TASKS | TABLES,
        "mgca",
        False,
    ),
    "two values swapped": (
        [("tiny.yaml", "steps: 6, batch: 8, validate_every: 3", "steps: 3, batch: 8, validate_every: 6")],
        {"train_diffusion", "synthesize", "screen", "contact_sheet", "build_pairs", "pretrain"} | TASKS | TABLES,
        "",
        False,
    ),
    "a line of GLoRIA's loss": (
        [(GLORIA, "word_lengths, attention_temperature)\n", "word_lengths, 2 * attention_temperature)\n")],
        {"pretrain"} | TASKS | TABLES,
        "gloria",
        True,
    ),
    "a line of the trainer": (
        [("src/synvlp/encoders/loop.py", "import functools\n", "import functools\n\nEXTRA = 1\n")],
        {"pretrain"} | TASKS | TABLES,
        "",
        True,
    ),
    "a task's metric": (
        [
            (
                MATCHING,
                "matched[number] = candidates[rows, best] >= 0\n",
                "matched[number] = candidates[rows, best] > 0\n",
            )
        ],
        {"detect"} | TABLES,
        "",
        True,
    ),
    "a metric of three tasks": (
        [("src/synvlp/tasks/scores.py", "(2 * common / max(truth", "(2.0 * common / max(truth")],
        {"classify", "segment", "align"} | TABLES,
        "",
        True,
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_an_edit_reruns(bench, name):
    edits, rules, method, same = EDITS[name]
    try:
        for change in edits:
            edit(bench, *change)
        every = jobs(bench)
        stale = [job for job in every if job["reason"]]
        assert {job["rule"] for job in stale} == rules
        if method:
            assert {job["wildcards"][0] for job in stale if job["rule"] == "pretrain"} == {method}
            assert {job["wildcards"][-3] for job in stale if job["rule"] in TASKS} == {method}
        tasks = {TABLE_OF.get(job["rule"], job["wildcards"][0]) for job in stale if job["rule"] in TASKS - {"encode"}}
        assert {job["wildcards"][0] for job in stale if job["rule"] == "tabulate"} == tasks
        found = following(every, stages_changed(bench))
        places = {tuple(job["output"]) for job in stale}
        assert found == places if same else found >= places
    finally:
        git(bench, "checkout", "--quiet", ".")
    assert git(bench, "status", "--porcelain") == ""


def test_recording_settles_what_only_dvc_calls_changed(bench):
    try:
        edit(bench, GLORIA, '"""GLoRIA', '"""A method: GLoRIA')
        assert idle(bench) and stages_changed(bench)
        said = run(bench, sys.executable, "-m", "synvlp", "record", "tiny.yaml")
        assert re.search(r"\b2 of \d+ stages recorded", said) and "0 not finished" in said
        assert stages_changed(bench) == set()
    finally:
        git(bench, "checkout", "--quiet", ".")


def stages_changed(checkout) -> set[str]:
    """First outputs of the stages whose inputs, settings or code DVC calls changed."""
    import yaml

    stages = yaml.safe_load((checkout.folder / FILE).read_text())["stages"]
    names = [key.rpartition(":")[2] for key in json.loads(dvc(checkout, "status", "--json"))]
    return {path for name in names for path in stages[name]["cmd"].split()[1:] if path.startswith("results/")}


def following(every: list[dict], paths: set[str]) -> set[tuple[str, ...]]:
    """The outputs of the jobs that make some of the paths, and of all that follows from these."""
    reached, places = set(paths), set()
    for job in every:  # inputs come first
        if reached & {*job["input"], *job["output"]}:
            reached.update(job["output"])
            places.add(tuple(job["output"]))
    return places


def test_touching_and_moving_the_clock_changes_nothing(versioned):
    every = [
        path for name in ("src", "rules", "results/tiny", "studies") for path in (versioned.folder / name).rglob("*")
    ]
    touched = [path for path in every if path.is_file() and path.stat().st_nlink == 1]  # others share the time as well
    assert len(touched) > 500
    for path in touched:
        path.touch()
    weights = versioned.folder / "results/tiny/encoders/random/none/seed-0/image_encoder.safetensors"
    shutil.copyfile(weights, weights.with_suffix(".copy"))
    weights.with_suffix(".copy").replace(weights)
    assert idle(versioned)
    assert stages_changed(versioned) == set()


def test_a_run_is_recorded_and_old_and_new_versions_come_back(versioned):
    edit(versioned, *FIGURES)
    done = versioned.snakemake()
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"versions: 7 of \d+ stages recorded", done.stderr)
    changed = git(versioned, "diff", "--name-only").split()
    assert [Path(name).parent.name for name in changed].count("metadata") == 13
    assert not any(name.startswith("results/") for name in changed)
    figure = versioned.folder / "results/tiny/tables/classification.png"
    new = figure.read_bytes()
    git(versioned, "commit", "--all", "--quiet", "--message", "coarser figures")

    git(versioned, "checkout", "--quiet", "main~1")
    dvc(versioned, "checkout", "--quiet")
    assert figure.read_bytes() != new
    assert idle(versioned) and stages_changed(versioned) == set()

    git(versioned, "checkout", "--quiet", "main")
    dvc(versioned, "checkout", "--quiet")
    assert figure.read_bytes() == new
    assert idle(versioned) and stages_changed(versioned) == set()


def test_a_clone_finds_nothing_to_do_and_never_gets_what_is_private(versioned, tmp_path):
    remote = tmp_path / "remote"
    dvc(versioned, "remote", "add", "--quiet", "--default", "shared", str(remote))
    git(versioned, "commit", "--all", "--quiet", "--message", "a remote")
    dvc(versioned, "push", "--quiet")
    git(versioned, "clone", "--quiet", ".", str(tmp_path / "elsewhere/clone"))
    clone = type(versioned)(tmp_path / "elsewhere/clone")
    dvc(clone, "pull", "--quiet", "--allow-missing")
    assert idle(clone)
    private = {"reports.parquet", "identifiers.parquet"}
    here, there = versioned.artifacts(), clone.artifacts()
    assert {Path(name).name for name in set(here) - set(there)} == private
    assert all(here[name] == there[name] for name in there)

    table = "results/tiny/tables/classification.csv"
    known, pulled = ((*run(where, *WHY, table, "tiny.yaml").partition("\n"),) for where in (versioned, clone))
    assert known[0] == pulled[0] == f"{table} is up to date."
    absent, _, chain = pulled[2].partition("\n")
    assert absent.startswith("Not here: ") and all(f"corpora/phantom/{name}" in absent for name in private)
    assert "draw_phantoms phantom" in chain and chain.replace("  not here", "") == known[2]

    secret = pd.read_parquet(versioned.folder / "results/tiny/corpora/phantom/identifiers.parquet")
    held = [path for path in remote.rglob("*") if path.is_file()]
    assert len(held) > 100 and found_anywhere(held, secret) == []
    assert found_in_its_study(held, secret) == []
    key = (versioned.folder / "studies/demo.key").read_bytes().strip()
    assert not any(key in path.read_bytes() for path in held)


def test_the_search_for_identifiers_finds_them(versioned_once):
    """Raw reports hold all that is looked for; else the test above would prove nothing."""
    corpus = versioned_once.folder / "results/tiny/corpora/phantom"
    secret = pd.read_parquet(corpus / "identifiers.parquet")
    for path in (corpus / "reports.parquet", corpus / "identifiers.parquet"):
        found = {(study, text) for _, study, text in found_in_its_study([path], secret)}
        assert found == set(zip(secret.study_id, secret.text, strict=True)) - {
            (study, "90") for study in secret.study_id
        }
        assert len(found) > 300
        assert {text for _, text in found_anywhere([path], secret)} == set(unique(secret))


def unique(secret: pd.DataFrame) -> list[str]:
    """Identifiers that no other text is by chance: long ones. Dates and ages are looked for apart."""
    return sorted({text for text in secret[~secret.category.isin(["date", "age"])].text if len(text) > 7})


def found_anywhere(paths: list[Path], secret: pd.DataFrame) -> list[tuple[Path, str]]:
    """Unique identifiers in the text of any file, of whatever kind."""
    return [(path, name) for path in paths for text in [held_text(path)] for name in unique(secret) if name in text]


def held_text(path: Path) -> str:
    """All text in the columns of a Parquet table; of any other file every run of characters that could be read."""
    data = path.read_bytes()
    if data[:4] == b"PAR1":
        table = pd.read_parquet(path)
        return "\n".join(value for name in table for value in table[name] if isinstance(value, str))
    return "\n".join(run.decode() for run in re.findall(rb"[\x20-\x7e]{8,}", data))


def standing_alone(text: str) -> re.Pattern:
    """An identifier that is no part of a longer word or number; "95yo" holds the age 95."""
    after = r"\d|-\d" if text[-1].isdigit() else r"\w"
    return re.compile(rf"(?<![\w-]){re.escape(text)}(?!{after})")


def found_in_its_study(paths: list[Path], secret: pd.DataFrame) -> list[tuple[Path, str, str]]:
    """All identifiers, short ones, dates and ages too, in any text of the study that they are of.

    A date that is put in place of another can be another study's true date, so that only its own study tells. (It could
    be another date of the same report as well: in this corpus none is.) An age of 90 stands for all from 90 on.
    """
    own = {
        study: [standing_alone(text) for text in sorted({*group.text} - {"90"}, key=len, reverse=True)]
        for study, group in secret.groupby("study_id")
    }
    found = []
    for path in paths:
        table = pd.read_parquet(path) if path.read_bytes()[:4] == b"PAR1" else pd.DataFrame()
        if "study_id" not in table:
            continue
        for name in table.columns.difference(["study_id", "patient_id"]):
            for study, text in zip(table.study_id, table[name], strict=True):
                if isinstance(text, str):
                    found += [(path, study, match[0]) for one in own.get(study, ()) if (match := one.search(text))]
    return found


def test_dvc_repro_runs_what_changed_and_spares_what_follows_from_equal_bytes(versioned):
    edit(versioned, "src/synvlp/reports/sections.py", "import re\n", "import re\n\nUNUSED = 1\n")
    said = dvc(versioned, "repro", FILE)
    assert said.count("Running stage") == 1 and "split_sections" in said
    assert idle(versioned) and stages_changed(versioned) == set()

    edit(versioned, *FIGURES)
    said = dvc(versioned, "repro", f"{FILE}:draw_figure-detection")
    assert re.findall(r"Running stage '.*:(.*)'", said) == ["draw_figure-detection"]
    others = {"classification", "segmentation", "zero-shot", "retrieval", "grounding"}
    assert {Path(path).stem for path in stages_changed(versioned)} == {*others, "index"}


def test_dvc_experiments_and_diffs(versioned):
    git(versioned, "commit", "--allow-empty", "--quiet", "--message", "base")
    dvc(versioned, "exp", "run", "--quiet", "--name", "fewer", "-S", "tiny.yaml:tables.compare.resamples=150", FILE)
    assert idle(versioned) and stages_changed(versioned) == set()
    assert "resamples: 150" in (versioned.folder / "tiny.yaml").read_text()
    shown = json.loads(dvc(versioned, "exp", "show", "--json"))
    names = [run["name"] for state in shown for run in (state.get("experiments") or [])]
    assert names == ["fewer"]
    assert "tables.compare.resamples" in dvc(versioned, "params", "diff", "--targets", "tiny.yaml")
    metrics = "results/tiny/tasks/classification/findings/gloria/real/seed-0/metrics.json"
    path = versioned.folder / metrics
    content = json.loads(path.read_text())
    content["numbers"]["fraction-0.5"]["seed-0"]["auroc"] += 0.25
    path.write_text(json.dumps(content))
    assert "fraction-0.5.seed-0.auroc" in dvc(versioned, "metrics", "show", metrics)
    name = "numbers.fraction-0.5.seed-0.auroc"
    (changed,) = json.loads(dvc(versioned, "metrics", "diff", "--json", "--targets", metrics)).values()
    assert {key: round(values["diff"], 6) for key, values in changed.items()} == {name: 0.25}
    dvc(versioned, "plots", "show", "--out", "plots", "results/tiny/encoders/gloria/real/seed-0/curve.csv")
    assert "curve.csv" in (versioned.folder / "plots/index.html").read_text()


def test_a_failed_job_leaves_the_rest_recorded_and_its_old_version_restorable(versioned):
    page = versioned.folder / "results/tiny/tables/index.html"
    before = page.read_bytes()
    edit(versioned, *FIGURES)
    edit(versioned, "src/synvlp/tables/page.py", "    import jinja2\n", '    raise RuntimeError("broken")\n')
    done = versioned.snakemake()
    assert done.returncode != 0
    assert re.search(r"versions: 6 of \d+ stages recorded", done.stderr) and "1 not finished: write_page" in done.stderr
    assert not page.exists()
    dvc(versioned, "checkout", "--quiet", "results/tiny/tables/index.html")
    assert page.read_bytes() == before


def test_what_another_hand_changed_is_not_recorded(versioned):
    table = versioned.folder / "results/tiny/tables/classification.csv"
    table.write_text(table.read_text().replace("0.", "0.9", 1))
    said = run(versioned, sys.executable, "-m", "synvlp", "record", "tiny.yaml")
    assert "not recorded: results/tiny/tables/classification.csv" in said
    dvc(versioned, "checkout", "--quiet", "--force", str(table))
    assert "not recorded" not in run(versioned, sys.executable, "-m", "synvlp", "record", "tiny.yaml")


def test_settings_on_the_command_line_are_never_recorded_as_the_configs(versioned):
    done = versioned.snakemake("--config", "tables={draw_figure: {dpi: 80}}")
    assert done.returncode == 0
    assert re.search(r"versions: 0 of \d+ stages recorded", done.stderr) and "7 not finished" in done.stderr


def test_hardlinks_are_refused_before_any_job(versioned):
    dvc(versioned, "config", "cache.type", "hardlink")
    edit(versioned, *FIGURES)
    done = versioned.snakemake()
    assert done.returncode != 0 and "reflink, symlink or copy" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_without_git_one_line_says_that_nothing_is_versioned(copied):
    done = copied.snakemake("--forcerun", "write_page")
    assert done.returncode == 0
    assert done.stderr.count("versions:") == 1 and "no git repository, so nothing is versioned" in done.stderr


def test_recording_can_be_turned_off(versioned):
    done = versioned.snakemake("--forcerun", "write_page", "--config", "versions={record: false}")
    assert done.returncode == 0 and "versions: nothing is recorded (versions.record: false)" in done.stderr
