"""What tests of several stages share."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

# Files whose tests share what is expensive among all processes (`once` in workflow/conftest.py).
SHARING = ("test_whole.py", "test_versions.py", "test_remotes.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first, so that no process ends minutes before the others."""
    items.sort(key=lambda item: item.path.name != "test_whole.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """With several processes, tests of one file go to one of them, because they share what is expensive to make.

    Those of some files share theirs among all processes, and each goes to whichever process is free. Groups by
    markers (`--dist loadgroup` of pytest-xdist 3.8) have no effect under pytest 9.2.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return nodeid if file.endswith(SHARING) else file

    return Scheduling(config, log)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield small
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.fixture
def stopped() -> Callable[[Sequence[str], signal.Signals], tuple[int, str]]:
    """Run `synvlp` with these words, send it a signal when it has first saved its state; its exit status and its log.

    It looks for a reason to save after each step, so that it ends after the second.
    """

    def run(words: Sequence[str], number: signal.Signals) -> tuple[int, str]:
        command = [sys.executable, str(Path(__file__).with_name("signalled.py")), str(int(number)), *words]
        environment = os.environ | {"SYNVLP_CHECKPOINT_SECONDS": "0"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stderr

    return run
