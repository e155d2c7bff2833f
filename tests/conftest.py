"""What tests of several stages share."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several processes, tests of one file go to one of them, because they share what is expensive to make.

    Those of the workflow share theirs among all processes (`once` in workflow/conftest.py), and each goes to whichever
    process is free, the longest ones first: so no process ends minutes before the others.
    """
    items.sort(key=lambda item: item.path.name != "test_whole.py")
    for item in items:
        if not item.get_closest_marker("workflow"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


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
