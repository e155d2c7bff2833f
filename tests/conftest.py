"""What tests of several stages share."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest


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
