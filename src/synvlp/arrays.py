"""A job array's tasks, each of which must run its own job.

snakemake-executor-plugin-slurm 2.8 starts Snakemake in every task of an array for the job of the first task, which
then starts another one for the task's own job. The first job's outputs are removed if any other task fails, and a task
fails if they are not there (issue 447 of the plugin). So a task other than the first becomes its own job at once, which
also saves it one start of Snakemake.
"""

import base64
import json
import os
import sys
import zlib
from collections.abc import Mapping, Sequence

OPTION = "--slurm-jobstep-array-execs="


def become_own_job() -> None:
    """In a task of an array that is not the first: replace this process by the Snakemake of the task's own job."""
    command = own_command(sys.argv, os.environ)
    if command is not None:
        os.execv("/bin/sh", ["sh", "-c", command])


def own_command(words: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """The shell command of this array task's own job; None if this is no array, or its first task."""
    payload = next((word.removeprefix(OPTION) for word in words if word.startswith(OPTION)), None)
    task = environment.get("SLURM_ARRAY_TASK_ID")
    if not payload or not task:
        return None
    packed = json.loads(base64.b64decode(payload)).get(task)
    return packed and zlib.decompress(bytes.fromhex(packed)).decode()
