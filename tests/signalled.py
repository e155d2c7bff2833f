"""`python tests/signalled.py NUMBER VERB …` is `synvlp VERB …`, which gets a signal when it has first saved its state.

With several processes, it is the one that started them that gets it. Nothing goes on until the signal has arrived.
"""

import os
import sys
import time

from synvlp import cli, job, processes

NUMBER = int(sys.argv[1])
save, start = job.Scratch.save, processes.start


def signalled(scratch: job.Scratch, state: dict) -> None:
    save(scratch, state)
    if not job._asked.signal:
        os.kill(os.getppid() if processes.told() else os.getpid(), NUMBER)
    while not job._asked.signal:
        time.sleep(0.01)


def started(command: list[str], count: int) -> None:
    verb = command.index("synvlp") + 1
    start([sys.executable, __file__, sys.argv[1], *command[verb:]], count)


if __name__ == "__main__":
    job.Scratch.save, processes.start = signalled, started
    sys.exit(cli.main(sys.argv[2:]))
