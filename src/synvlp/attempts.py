"""What a job asks for at each attempt: memory and time double after a failure, up to the limits of the machine.

A cluster kills what takes more than it asked for. Snakemake's retries count the attempts; without them the first
values hold. The limits come from the environment, since they belong to a machine and not to a study.
"""

import os
from collections.abc import Callable
from typing import Any

# Resource of a rule -> the variable that holds its limit, and the limit without it (MB, minutes).
LIMITS = {"mem_mb": ("SYNVLP_MAX_MEM_MB", 500_000), "runtime": ("SYNVLP_MAX_MINUTES", 4_320)}


def memory(first: int) -> Callable[[Any, int], int]:
    """For a rule's `mem_mb`: MB at each attempt, from `first` at the first one."""
    return lambda wildcards, attempt: grown("mem_mb", first, attempt)


def minutes(first: int) -> Callable[[Any, int], int]:
    """For a rule's `runtime`: minutes at each attempt, from `first` at the first one."""
    return lambda wildcards, attempt: grown("runtime", first, attempt)


def grown(resource: str, first: int, attempt: int) -> int:
    """Twice as much at each attempt (1, 2, …), but never more than the limit."""
    return min(first * 2 ** (attempt - 1), limit(resource))


def expression(resource: str, first: int) -> str:
    """The same as Python text, for a profile."""
    return f"min({first} * 2 ** (attempt - 1), {limit(resource)})"


def limit(resource: str) -> int:
    """The most that a job may ask for. Raises ValueError if the variable holds no whole number above 0."""
    name, default = LIMITS[resource]
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or not int(text):
        raise ValueError(f"{name} is {text!r}: a whole number above 0 is needed")
    return int(text)
