"""What tests of several stages share."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest


@pytest.fixture
def stopped() -> Callable[[Sequence[str], signal.Signals], tuple[int, str]]:
    """Start `synvlp` with these words, send it a signal when it has saved a state; its exit status and its log."""

    def run(words: Sequence[str], number: signal.Signals) -> tuple[int, str]:
        environment = os.environ | {"SYNVLP_CHECKPOINT_SECONDS": "0"}
        command = [sys.executable, "-m", "synvlp", *words]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while not list(Path(os.environ["SYNVLP_SCRATCH"]).glob("*/state.pt")):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(number)
        text = process.communicate(timeout=120)[1]
        return process.returncode, text

    return run
