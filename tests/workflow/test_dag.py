"""The jobs read from Snakemake's inner interface are those that its command line shows, and dvc.yaml follows them."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import yaml

from synvlp import dag
from synvlp.study import Study, StudyError, overlaid
from synvlp.versions import stages

ROOT = Path(__file__).parents[2]
LIST = """
import json
from synvlp import dag
print(json.dumps([[job.rule, job.output, job.params["settings"], job.command] for job in dag.jobs(["tiny.yaml"])]))
"""


def test_jobs_are_those_that_snakemake_plans(checkout):
    shown = checkout.snakemake("-n", "-p")
    assert shown.returncode == 0, shown.stderr
    text = shown.stdout + shown.stderr
    table = text.split("Job stats:")[1].split("total")[0]
    wanted = dict(re.findall(r"^(\w+) +(\d+)$", table, flags=re.M))
    done = checkout.run(sys.executable, "-c", LIST)
    assert done.returncode == 0, done.stderr
    jobs = json.loads(done.stdout)
    assert Counter(rule for rule, *_ in jobs) == {rule: int(count) for rule, count in wanted.items() if rule != "all"}
    for rule, output, settings, command in jobs:
        assert command in text, rule
        assert settings in command
        assert all(path in command for path in output.values())


def test_a_wrong_config_is_told_as_snakemake_tells_it(checkout):
    (checkout.folder / "tiny.yaml").write_text("study: tiny\nimages: {shards: 0}\n")
    done = checkout.run(sys.executable, "-m", "synvlp", "dvc-yaml", "tiny.yaml")
    assert done.returncode == 1 and "images.shards: 0" in done.stderr and "Traceback" not in done.stderr


def test_dvc_yaml_is_what_the_rules_say():
    command = [sys.executable, "-m", "synvlp", "dvc-yaml", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_git_keeps_every_metric_of_the_chapter(monkeypatch):
    """DVC leaves metrics to git: one that git ignores would be missing in every clone."""
    monkeypatch.chdir(ROOT)
    names = [str(ROOT / "studies" / "chapter.yaml")]
    study = Study(overlaid(*(yaml.safe_load(Path(name).read_text()) for name in ["config.yaml", *names])))
    entries = [stage.entry for stage in stages.stages(dag.jobs(names), study, names)]
    metrics = sorted(path for entry in entries for metric in entry.get("metrics", []) for path in metric)
    assert len(metrics) > 50
    ignored = subprocess.run(["git", "check-ignore", *metrics], cwd=ROOT, capture_output=True, text=True)
    assert ignored.returncode == 1 and not ignored.stdout  # 1: none is


def test_every_setting_of_a_job_is_among_its_keys(monkeypatch):
    """What DVC watches in the config covers what changes a job's command."""
    monkeypatch.chdir(ROOT)
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    known = [(job.rule, Wildcards(job.wildcards), Study(config).keys(job.rule, job.wildcards)) for job in dag.jobs()]
    before = settings_of(config, known)
    tried = 0
    for path, value in leaves(config):
        changed = overlaid(config, nested(path, other(value)))
        try:
            after = settings_of(changed, known)
        except (StudyError, ValueError):  # the value may not be changed to that
            continue
        tried += 1
        for (rule, _, keys), old, new in zip(known, before, after, strict=True):
            covered = any(path == key or path.startswith(f"{key}.") for key in keys)
            assert old == new or covered, f"{path} changes {rule}, whose keys are {keys}"
    assert tried > 150


class Wildcards(dict):
    """Wildcards as rules see them: by attribute."""

    __getattr__ = dict.__getitem__


def settings_of(config: dict, known: list) -> list[str]:
    study = Study(config)
    return [study.settings(rule)(wildcards) for rule, wildcards, _ in known]


def leaves(config: dict, prefix: str = ""):
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def nested(path: str, value: object) -> dict:
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def other(value: object) -> object:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 2 if value else 1
    if isinstance(value, list):
        return value[:-1] if len(value) > 1 else value * 2
    return "another"
