"""The processes that share one job: which one this is, and how those of one machine are started.

They are told who they are as by torchrun, in RANK, LOCAL_RANK, WORLD_SIZE and LOCAL_WORLD_SIZE, so that torchrun
starts them across several machines. On one machine `start` does it, since torchrun kills what has not ended half a
minute after a signal, when a large state may still be on its way to the disk, and ends a log with its own traces.
"""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STOPPED = 75  # exit status of a job that a signal ended and the next start goes on from (EX_TEMPFAIL)
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)  # what ends a long job in order
GRACE = 10.0  # seconds that the other processes have to end after one failed
LAST_LINES = 20  # that are shown of what the failed process wrote


class Failed(Exception):
    """A process failed. `status` is the exit status for the job; the message is "" where process 0 said why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Here:
    """This process among those of its job; `synvlp.models.parallel.join` sets it."""

    rank: int = 0
    count: int = 1

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any of the processes; all must ask."""
        if self.count == 1:
            return flag
        import torch
        from torch import distributed

        flags = torch.tensor([int(flag)])
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags)

    def leave(self) -> None:
        """End the exchange with the others, after which each is on its own."""
        if self.count > 1:
            from torch import distributed

            distributed.destroy_process_group()


here = Here()


def told() -> dict[str, int]:
    """What the environment says of this process: rank, local_rank, world_size, local_world_size; {} if nothing."""
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    if not all(os.environ.get(name, "").isdecimal() for name in names):
        return {}
    return {name.lower(): int(os.environ[name]) for name in names}


def start(command: Sequence[str], count: int) -> None:
    """Run `command` as `count` processes of this machine and wait for them.

    What process 0 writes is the job's log. SIGTERM and SIGUSR1 are passed on to all. When one fails, the others have
    a few seconds to end before they are killed, since each waits for the others' numbers.

    Raises Failed with the status of the first that failed, and with what it wrote if it was not process 0.
    """
    with tempfile.TemporaryDirectory(prefix="synvlp-") as folder:
        texts = [Path(folder, f"{rank}.log") for rank in range(count)]
        workers = [_worker(command, rank, count, folder, texts[rank]) for rank in range(count)]

        def pass_on(number: int, frame: object) -> None:
            for worker in workers:
                worker.send_signal(number)

        before = {number: signal.signal(number, pass_on) for number in SIGNALS}
        try:
            first = _wait(workers)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
            for number, handler in before.items():
                signal.signal(number, handler)
        if first is not None:
            status = workers[first].returncode
            raise Failed(status if status > 0 else 128 - status, _explain(first, count, status, texts[first]))


def _worker(command: Sequence[str], rank: int, count: int, folder: str, text: Path) -> subprocess.Popen:
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    told["SYNVLP_RENDEZVOUS"] = f"file://{folder}/rendezvous"
    environment = os.environ | {name: str(value) for name, value in told.items()}
    end = _end_with_parent if sys.platform == "linux" else None
    if rank == 0:
        return subprocess.Popen(command, env=environment, preexec_fn=end)
    with text.open("wb") as file:
        return subprocess.Popen(command, env=environment, preexec_fn=end, stdout=file, stderr=subprocess.STDOUT)


def _end_with_parent() -> None:
    """Let the kernel kill this process when its parent ends, however that ends; 1 is PR_SET_PDEATHSIG."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _wait(workers: Sequence[subprocess.Popen]) -> int | None:
    """Wait until all have ended; returns the rank of the first that failed. Those that hang on are killed."""
    first, last_moment = None, float("inf")
    while True:
        states = [worker.poll() for worker in workers]
        failed = [rank for rank, state in enumerate(states) if state]
        if first is None and failed:
            first = failed[0]
            # Where all were asked to stop, process 0 may still be saving.
            last_moment = time.monotonic() + (GRACE if states[first] != STOPPED else float("inf"))
        if None not in states:
            return first
        if time.monotonic() > last_moment:
            for worker in workers:
                worker.kill()
        time.sleep(0.05)


def _explain(rank: int, count: int, status: int, text: Path) -> str:
    if status == STOPPED or (rank == 0 and status > 0):
        return ""
    how = f"with status {status}" if status > 0 else f"by {signal.Signals(-status).name}"
    lines = text.read_text(errors="replace").splitlines()[-LAST_LINES:] if text.exists() else []
    said = "; it wrote:\n" + "\n".join(lines) if lines else ""
    return f"process {rank} of {count} was the first to end, {how}{said}"
