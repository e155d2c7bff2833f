"""Versions: what Snakemake and DVC call stale, what is recorded, time travel, clones, remotes, and who may see what."""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.workflow
FILE = "studies/tiny/dvc.yaml"
TABLES = {"tabulate", "summarize", "compare", "draw_figure", "write_page"}
TASKS = {"encode", "classify", "segment", "detect", "align", "ground"}
GLORIA = "src/synvlp/encoders/gloria.py"
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


@pytest.fixture(scope="module")
def bench(versioned_once, tmp_path_factory):
    """A copy of the recorded checkout in which edits are made and taken back."""
    folder = tmp_path_factory.mktemp("bench") / "checkout"
    shutil.copytree(versioned_once.folder, folder, symlinks=True)
    return type(versioned_once)(folder)


# What is edited, the rules whose jobs run, and of those that differ by method the one method that does. The last
# says whether DVC sees the same: of a comment it only knows that the file is another one.
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
        [("src/synvlp/tasks/matching.py", "import numpy as np\n", "import numpy as np\n\nEXTRA = 1\n")],
        {"detect"} | TABLES,
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
        if "detect" in rules and "segment" not in rules:
            assert [job["wildcards"] for job in stale if job["rule"] == "tabulate"] == [["detection"]]
        found = following(every, stages_changed(bench))
        places = {tuple(job["output"]) for job in stale}
        assert found == places if same else found >= places
    finally:
        git(bench, "checkout", "--quiet", ".")
    assert not rules or stages_changed(bench) == set()


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
    for path in [*versioned.folder.rglob("*.py"), *versioned.folder.glob("results/tiny/**/*.parquet")]:
        path.touch()
    assert idle(versioned)
    assert stages_changed(versioned) == set()


def test_a_run_is_recorded_and_old_and_new_versions_come_back(versioned):
    edit(versioned, *FIGURES)
    done = versioned.snakemake()
    assert done.returncode == 0, done.stderr[-3000:]
    assert "versions: 4 of 62 stages recorded" in done.stderr
    changed = git(versioned, "diff", "--name-only").split()
    assert [Path(name).parent.name for name in changed].count("metadata") == 7
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
    secret = pd.read_parquet(versioned.folder / "results/tiny/corpora/phantom/identifiers.parquet")
    secret = secret[~secret.category.isin(["date", "age"])]  # a date put in place of another may be a third one's
    secret = {text for text in secret.text if len(text) > 7 and " " in text}
    assert len(secret) > 100
    for path in remote.rglob("*"):
        if path.is_file():
            assert not any(text in held_text(path) for text in secret), path
    key = (versioned.folder / "studies/demo.key").read_bytes()
    assert not any(key.strip() in path.read_bytes() for path in remote.rglob("*") if path.is_file())


def held_text(path: Path) -> str:
    """All text in a file, also that in the columns of a Parquet table; weights, arrays and pictures have none."""
    data = path.read_bytes()
    if data[:4] != b"PAR1":
        binary = data[:6] == b"\x93NUMPY" or data[:4] == b"\x89PNG" or data[8:10] == b'{"'
        return "" if binary else data.decode("utf-8", "ignore")
    table = pq.read_table(path)
    columns = [name for name in table.column_names if str(table.schema.field(name).type) == "string"]
    return "\n".join(str(value) for name in columns for value in table.column(name).to_pylist())


def test_dvc_repro_runs_what_changed_and_spares_what_follows_from_equal_bytes(versioned):
    edit(versioned, "src/synvlp/reports/sections.py", "import re\n", "import re\n\nUNUSED = 1\n")
    said = dvc(versioned, "repro", FILE)
    assert said.count("Running stage") == 1 and "split_sections" in said
    assert idle(versioned) and stages_changed(versioned) == set()


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
    path.write_text(path.read_text().replace('"best_step": ', '"best_step": 1'))
    dvc(versioned, "metrics", "show", metrics)
    dvc(versioned, "plots", "show", "--out", "plots", "results/tiny/encoders/gloria/real/seed-0/curve.csv")
    assert "curve.csv" in (versioned.folder / "plots/index.html").read_text()


def test_a_failed_job_leaves_the_rest_recorded_and_its_old_version_restorable(versioned):
    page = versioned.folder / "results/tiny/tables/index.html"
    before = page.read_bytes()
    edit(versioned, *FIGURES)
    edit(versioned, "src/synvlp/tables/page.py", "    import jinja2\n", '    raise RuntimeError("broken")\n')
    done = versioned.snakemake()
    assert done.returncode != 0
    assert "versions: 3 of 62 stages recorded" in done.stderr and "1 not finished: write_page" in done.stderr
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
    assert "versions: 0 of 62 stages recorded" in done.stderr and "4 not finished" in done.stderr


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
