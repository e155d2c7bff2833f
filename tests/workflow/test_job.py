"""The frame of a job: flags, messages, progress and saved state."""

import errno
import logging
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest

from synvlp import cli, job, processes
from synvlp.store import files


class Settings(job.Settings):
    rate: float = job.setting(1e-4, "learning rate", gt=0)
    names: list[str] = job.setting(["a b", "c"], "names")
    kind: Literal["x", "y"] = job.setting("x", "kind")
    flag: bool = job.setting(True, "flag")
    limit: int | None = job.setting(None, "limit", unit="px")


class Inputs(job.Files):
    source: Path = job.file("what is read")
    more: Path | None = job.optional_file("what may be read")


class Outputs(job.Files):
    target: Path = job.file("what is written")


@pytest.fixture(autouse=True)
def scratch_of_its_own(tmp_path, monkeypatch):
    """Otherwise a job of an earlier session of tests, in a folder of the same name, would be taken again."""
    monkeypatch.setenv("SYNVLP_SCRATCH", str(tmp_path / "scratch"))


def module(run) -> SimpleNamespace:
    return SimpleNamespace(
        __name__="synvlp.job", __doc__="A job.", Settings=Settings, Inputs=Inputs, Outputs=Outputs, run=run
    )


def call(run, folder: Path, *words: str) -> int:
    (folder / "in").write_text("x")
    job_module = module(run)
    words = ("--source", str(folder / "in"), "--target", str(folder / "sub/out"), *words)
    return cli._run("try", job_module, vars(cli.parser("try", job_module).parse_args(words)))


def test_flags_are_canonical_and_come_back_as_the_same_settings(tmp_path):
    settings = Settings(rate=0.001, flag=False, limit=3)
    assert settings.flags() == "--rate 0.001 --names 'a b' c --kind x --flag false --limit 3"
    seen = []

    def run(settings, inputs, outputs):
        seen.append((settings, inputs))
        outputs.target.write_text("y")

    import shlex

    assert call(run, tmp_path, "--more", *shlex.split(settings.flags())) == 0
    assert seen[0][0] == settings
    assert seen[0][1].more is None


def test_a_wrong_option_is_named_with_its_value(tmp_path, capsys):
    assert call(None, tmp_path, "--rate", "-1", "--kind", "z") == 2
    text = capsys.readouterr().err
    assert "--rate" in text and "'-1'" in text and "greater than 0" in text
    assert "--kind" in text and "'x' or 'y'" in text


def test_a_missing_input_and_a_full_disk_are_said_plainly(tmp_path, caplog):
    def full(settings, inputs, outputs):
        raise OSError(errno.ENOSPC, "No space left on device", str(outputs.target))

    with caplog.at_level(logging.INFO, "synvlp"):
        assert call(full, tmp_path) == 1
    assert "sub/out: No space left on device" in caplog.text
    with pytest.raises(job.JobError, match="gone does not exist"):
        job.execute("try", module(full), Settings(), Inputs(source=Path("gone")), Outputs(target=tmp_path / "o"))


def test_too_many_rejected_stops_with_reasons_and_a_table_that_stays(tmp_path):
    where, kept = tmp_path / "rejected.csv", tmp_path / "rejected.stopped.csv"
    content = 'item,file,reason\na,f,missing file\nb,f,"unknown class: 3"\nc,f,"unknown class: 4"\n'
    where.write_text(content)
    with pytest.raises(job.JobError, match=r"3 of 100 .*: unknown class \(2\), missing file \(1\); .*stopped\.csv"):
        job.check_rejected(3, 100, 0.02, where)
    assert kept.read_text() == content
    where.write_text(content)
    job.check_rejected(3, 100, 0.03, where)
    assert where.exists() and not kept.exists()


def test_progress_is_plain_lines_without_a_terminal(caplog):
    with caplog.at_level(logging.INFO, "synvlp"):
        assert list(job.progress([1, 2, 3], "reports")) == [1, 2, 3]
    assert "3 reports in" in caplog.text


def test_scratch_is_keyed_by_settings_and_inputs(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNVLP_SCRATCH", str(tmp_path / "scratch"))
    source = tmp_path / "in"
    source.write_text("x")

    def folder(text: str = "x", **settings) -> Path:
        source.write_text(text)
        return job.Scratch("synvlp.job", Settings(**settings), Inputs(source=source)).folder

    assert folder() == folder()
    assert len({folder(), folder(rate=1.0), folder("y")}) == 3


def test_scratch_keeps_state_over_a_kill(tmp_path, monkeypatch):
    import torch

    monkeypatch.setenv("SYNVLP_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("SYNVLP_CHECKPOINT_SECONDS", "0")
    source = tmp_path / "in"
    source.write_text("x")

    def make() -> job.Scratch:
        return job.Scratch("synvlp.job", Settings(), Inputs(source=source))

    assert make().load() is None and make().due()
    make().save({"step": 3, "weights": {"a": torch.ones(2)}})
    assert make().load()["weights"]["a"].tolist() == [1, 1]
    make().remove()
    assert make().load() is None


def test_a_full_scratch_is_said_plainly_and_the_older_state_stays(tmp_path, small_disk, monkeypatch, caplog):
    import torch

    monkeypatch.setenv("SYNVLP_SCRATCH", str(small_disk))
    saved = []

    def run(settings, inputs, outputs):
        saved.append(job.Scratch("synvlp.job", settings, inputs))
        saved[0].save({"weights": torch.ones(100_000)})
        saved[0].save({"weights": torch.zeros(200_000)})

    assert call(run, tmp_path) == 1
    assert "No space left on device" in caplog.text
    assert list(saved[0].folder.iterdir()) == [saved[0].file]
    assert saved[0].load()["weights"].sum() == 100_000


@pytest.fixture
def scratch(tmp_path, monkeypatch) -> job.Scratch:
    monkeypatch.setenv("SYNVLP_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("SYNVLP_CHECKPOINT_SECONDS", "1000")
    source = tmp_path / "in"
    source.write_text("x")
    return job.Scratch("synvlp.job", Settings(), Inputs(source=source))


@pytest.mark.parametrize("number", processes.SIGNALS)
def test_a_loop_ends_between_two_steps_with_its_state_saved(scratch, number):
    begun = []
    with pytest.raises(job.Stopped, match=f"stopped by {number.name} at step 3 of 9; the next start"), job.stoppable():
        for step in range(1, 10):
            begun.append(step)
            if step == 3:
                os.kill(os.getpid(), number)
                os.kill(os.getpid(), number)
            scratch.checkpoint(lambda step=step: {"step": step}, f"at step {step} of 9")
    assert begun == [1, 2, 3]
    assert scratch.load() == {"step": 3}


def test_without_a_loop_a_signal_ends_the_job_at_once_and_leaves_no_part(tmp_path, caplog):
    def run(settings, inputs, outputs):
        with files.replacing(outputs.target) as part:
            part.write_text("half")
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

    before = signal.getsignal(signal.SIGTERM)
    assert call(run, tmp_path) == processes.STOPPED
    assert "try stopped by SIGTERM" in caplog.text
    assert not list((tmp_path / "sub").iterdir())
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_command_of_a_job_is_read_back_as_the_same_job(tmp_path):
    settings = Settings(names=[], limit=7)
    given = Inputs(source=tmp_path / "a b", more=None), Outputs(target=tmp_path / "c")
    verb, *words = job.command("try", settings, *given)
    found = vars(cli.parser(verb, module(None)).parse_args(words))
    assert found["inputs.source"] == str(tmp_path / "a b") and found["outputs.target"] == str(tmp_path / "c")
    assert "inputs.more" not in found
    assert Settings(**{name[9:]: value for name, value in found.items() if name.startswith("settings.")}) == settings
