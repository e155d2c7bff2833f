"""Which normal statements of the built-in vocabulary a published finding contradicts: those of its region.

Published finding models do not say what they exclude, and few say where they are but by their name and tags. Words
there tell the regions (`regions.csv`); a finding whose words tell none may be anywhere.
"""

import csv
import functools
from collections.abc import Iterable
from pathlib import Path

from synvlp.concepts import text

TABLE = Path(__file__).with_name("regions.csv")
_DEVICE = "device"  # the tag of what was put in or on the body: nothing is less normal for it


def contradicted(name: str, tags: Iterable[str]) -> tuple[str, ...]:
    """The normal statements that cannot be true beside a finding: of all regions that its name and tags tell.

    A finding that tells no region contradicts all of them, a device none.
    """
    tags = list(tags)
    if _DEVICE in tags:
        return ()
    told = [region for region in regions() if any(_holds(part, region) for part in (name, *tags))]
    return tuple(sorted({statement for region in told or regions() for statement in regions()[region][1]}))


@functools.cache
def regions() -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Region -> the words that tell it, and what is said of it where all is normal."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["region"]: (_parts(row["words"]), _parts(row["normal"])) for row in rows}


def _parts(cell: str) -> tuple[str, ...]:
    return tuple(part for part in cell.split("|") if part)


def _holds(part: str, region: str) -> bool:
    """Whether a name or tag has one of a region's words, whole and in any number."""
    said = _spaced(part)
    return any(_spaced(word) in said for word in regions()[region][0])


def _spaced(words: str) -> str:
    return f" {' '.join(token.norm for token in text.tokens(words) if token.is_word)} "
