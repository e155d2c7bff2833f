"""A writer is one module and some lines of config: nothing else names it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from synvlp.store import tables

ROOT = Path(__file__).parents[2]
TOY = '''"""Write reports in one plain sentence for each concept."""

from synvlp import job
from synvlp.concepts import writing


class Settings(writing.Settings):
    verb: str = job.setting("seen", "what concepts are")


Inputs = writing.Inputs
Outputs = writing.Outputs


def run(settings: Settings, inputs: writing.Inputs, outputs: writing.Outputs) -> None:
    """Write a report for every set of concepts."""

    def text(request: writing.Request) -> str:
        said = " ".join(f"{concept.name.capitalize()} {settings.verb}." for concept in request.concepts)
        return writing.joined(writing.Report(said, f"{request.concepts[0].name.capitalize()}."))

    writing.run(__name__, settings, inputs, outputs, lambda requests: [text(one) for one in requests], 100)
'''
OVERLAY = """
study: toy
concepts:
  written:
    plain: {corpus: phantom, sampling: {count: 50}, writer: {kind: toy, verb: there}}
pair_sets:
  written: {corpus: plain, generator: diffusion}
sources:
  written: {written: 1}
"""


@pytest.fixture
def checkout(tmp_path):
    """The project with one more module, and a study that uses it; runs commands there."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("rules", "profiles", "studies"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, folder)
    (folder / "src/synvlp/concepts/writers/toy.py").write_text(TOY)
    (folder / "toy.yaml").write_text(OVERLAY)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "PATH": path}

    def run(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", *words], cwd=folder, env=environment, capture_output=True, text=True
        )

    return run


def test_a_toy_writer_is_known_to_the_study_the_workflow_and_the_command_line(checkout, inputs, outputs):
    assert "  write-reports-toy" in checkout("synvlp", "--help").stdout
    checked = checkout("synvlp", "check", "toy.yaml")
    assert checked.returncode == 0, checked.stderr
    wanted = [
        "concepts",
        "results/toy/encoders/pairs/written/pairs.parquet",
        "results/toy/images/diffusion/plain/sheet.png",
    ]
    planned = checkout("snakemake", *wanted, "-n", "-p", "--cores", "1", "--configfile", "toy.yaml")
    assert planned.returncode == 0, planned.stderr
    assert "synvlp write-reports-toy --sets results/toy/concepts/plain/sets.parquet" in planned.stdout
    assert "--verb there" in planned.stdout
    for verb in ("partition", "build-pairs"):
        assert f"synvlp {verb} --prompts results/toy/concepts/plain/prompts.parquet" in planned.stdout
    assert "synvlp contact-sheet --images results/toy/images/diffusion/plain/images.parquet --real  " in planned.stdout
    assert "results/toy/concepts/plain/toy/reports.parquet" in planned.stdout

    given = inputs([["cardiomegaly", "spine"], ["emphysema", "left lung"]])
    files = {**dict(given), **dict(outputs)}
    words = [word for name, path in files.items() if path for word in (f"--{name.replace('_', '-')}", str(path))]
    done = checkout("synvlp", "write-reports-toy", *words, "--verb", "there")
    assert done.returncode == 0, done.stderr
    reports = tables.read(outputs.reports, tables.WRITTEN)
    assert reports["findings"].tolist() == ["Cardiomegaly there. Spine there.", "Emphysema there. Left lung there."]


def test_a_wrong_setting_of_a_toy_writer_is_told(checkout, tmp_path):
    overlay = tmp_path / "wrong.yaml"
    overlay.write_text(OVERLAY.replace("verb:", "verv:"))
    done = checkout("synvlp", "check", str(overlay))
    assert done.returncode == 1
    assert "concepts.written.plain.writer.verv: there is no such key" in done.stderr
    overlay.write_text(OVERLAY.replace("kind: toy", "kind: tyo"))
    assert "'toy'" in checkout("synvlp", "check", str(overlay)).stderr
