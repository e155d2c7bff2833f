"""Starting the processes of one job: what they are told, and how failures and signals end them all."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synvlp import processes


def start(code: str, folder: Path, count: int = 3) -> None:
    processes.start([sys.executable, "-S", "-c", f"import os, signal, sys, time\n{code}", str(folder)], count)


def test_each_process_is_told_which_one_it_is(tmp_path, monkeypatch):
    code = """
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
open(f"{sys.argv[1]}/{os.environ['RANK']}", "w").write(" ".join(os.environ[name] for name in names))
assert os.environ["SYNVLP_RENDEZVOUS"].startswith("file://")
"""
    start(code, tmp_path)
    assert [(tmp_path / str(rank)).read_text() for rank in range(3)] == ["0 0 3 3", "1 1 3 3", "2 2 3 3"]
    assert processes.told() == {}
    for name, value in (("RANK", "1"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert processes.told() == {"rank": 1, "local_rank": 1, "world_size": 2, "local_world_size": 2}


def test_the_first_failure_is_shown_and_ends_those_that_wait_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "GRACE", 0.2)
    code = """
if os.environ["RANK"] == "2":
    print("no memory here", file=sys.stderr)
    sys.exit(3)
open(f"{sys.argv[1]}/{os.environ['RANK']}", "w").write(str(os.getpid()))
time.sleep(60)
"""
    with pytest.raises(processes.Failed, match=r"process 2 of 3 .* with status 3; it wrote:\nno memory here") as failed:
        start(code, tmp_path)
    assert failed.value.status == 3
    for path in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.read_text()), 0)


def test_what_process_0_wrote_is_the_log_and_is_not_said_twice(tmp_path, capfd):
    with pytest.raises(processes.Failed) as failed:
        start("print('mine', os.environ['RANK'], file=sys.stderr); sys.exit(1)", tmp_path, count=1)
    assert str(failed.value) == "" and failed.value.status == 1
    assert capfd.readouterr().err == "mine 0\n"


def test_a_process_that_is_killed_is_named(tmp_path):
    code = "os.environ['RANK'] == '0' and os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(processes.Failed, match="process 0 of 3 was the first to end, by SIGKILL") as failed:
        start(code, tmp_path)
    assert failed.value.status == 128 + signal.SIGKILL


WAITING = """
def note(number, frame):
    open(f"{sys.argv[1]}/signal-{os.environ['RANK']}", "w").write(str(int(number)))
    if os.environ["RANK"] == "0":
        time.sleep(0.5)  # saves; the others, which have nothing to save, have ended
    sys.exit(75)
signal.signal(signal.SIGUSR1, note)
open(f"{sys.argv[1]}/ready-{os.environ['RANK']}", "w").write(str(os.getpid()))
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGKILL])
def test_a_signal_reaches_all_processes_and_none_outlives_the_first(number, tmp_path):
    code = """
import sys
from synvlp import processes
processes.GRACE = 0.1
try:
    processes.start([sys.executable, "-S", "-c", sys.argv[2], sys.argv[1]], 2)
except processes.Failed as failed:
    sys.exit(failed.status)
"""
    waiting = f"import os, signal, sys, time\n{WAITING}"
    launcher = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), waiting])
    deadline = time.monotonic() + 60
    while len(ready := list(tmp_path.glob("ready-*"))) < 2 or not all(path.read_text() for path in ready):
        assert launcher.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    launcher.send_signal(number)
    status = launcher.wait(timeout=60)
    assert status == (processes.STOPPED if number == signal.SIGUSR1 else -signal.SIGKILL)
    assert len(list(tmp_path.glob("signal-*"))) == (2 if number == signal.SIGUSR1 else 0)
    workers = [int(path.read_text()) for path in ready]
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.01)
