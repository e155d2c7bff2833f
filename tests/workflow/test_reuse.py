"""A job that is started again with nothing changed takes its last outputs; any change makes it compute."""

import logging
import types
from pathlib import Path

import pytest

from synvlp import job


class Settings(job.Settings):
    rate: float = job.setting(0.5, "a rate")
    model_folder: str | None = job.setting(None, "a folder")


class Inputs(job.Files):
    source: Path = job.file("what is read")


class Outputs(job.Files):
    first: Path = job.file("what is written")
    second: Path = job.file("what is written too")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a small job in an empty folder; says how often it has computed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNVLP_SCRATCH", raising=False)
    monkeypatch.delenv("SYNVLP_REUSE", raising=False)
    Path("in").write_text("x")
    computed = []

    def compute(settings, inputs, outputs):
        computed.append(settings)
        outputs.first.write_text(inputs.source.read_text() + str(settings.rate))
        outputs.second.write_text("two")

    module = types.SimpleNamespace(__name__="synvlp.job", run=compute)

    def start(**settings) -> int:
        outputs = Outputs(first=Path("out/first"), second=Path("out/second"))
        for path in outputs.paths():
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)  # as Snakemake does before it starts a job
        job.execute("try", module, Settings(**settings), Inputs(source=Path("in")), outputs)
        return len(computed)

    start.module = module
    return start


def test_nothing_changed_computes_nothing(run, caplog):
    assert run() == 1
    with caplog.at_level(logging.INFO, "synvlp"):
        assert run() == 1
    assert "taken again" in caplog.text
    assert Path("out/first").read_text() == "x0.5" and Path("out/second").read_text() == "two"
    Path("in").touch()
    assert run() == 1


def test_changed_settings_and_inputs_compute(run):
    assert [run(), run(rate=0.7), run(rate=0.7), run()] == [1, 2, 2, 3]
    Path("in").write_text("y")
    assert run() == 4
    assert Path("out/first").read_text() == "y0.5"


def test_a_changed_file_in_a_folder_that_a_setting_names_computes(run):
    weights = Path("model/part/model.safetensors")
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"1")
    assert [run(model_folder="model"), run(model_folder="model")] == [1, 1]
    weights.write_bytes(b"2")
    assert run(model_folder="model") == 2


def test_changed_code_computes(run, monkeypatch):
    assert run() == 1
    monkeypatch.setattr("synvlp.provenance.fingerprint", lambda module: "another")
    assert run() == 2


def test_damaged_or_missing_outputs_are_not_taken(run):
    assert run() == 1
    kept = next(Path("scratch/last").glob("*/0"))
    kept.chmod(0o644)
    kept.write_text("changed by hand")
    assert run() == 2
    next(Path("scratch/last").glob("*/1")).unlink()
    assert run() == 3


def test_what_is_taken_again_is_a_file_of_its_own(run):
    """An output that shared its inode with a version store would be written through, or be read-only."""
    run()
    Path("out/first").chmod(0o444)
    run()
    assert Path("out/first").stat().st_mode & 0o200
    Path("out/first").write_text("changed in place")
    assert run() == 2


def test_it_can_be_turned_off_and_jobs_can_leave_it(run, monkeypatch):
    assert run() == 1
    monkeypatch.setenv("SYNVLP_REUSE", "off")
    assert run() == 2
    monkeypatch.delenv("SYNVLP_REUSE")
    run.module.READS_UNDECLARED_FILES = True
    assert [run(), run()] == [3, 4]
