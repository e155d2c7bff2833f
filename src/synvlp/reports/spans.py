"""Spans of text that identify someone, and how spans of several detectors become one list."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

CATEGORIES = ("patient", "doctor", "date", "age", "record", "accession", "phone", "hospital", "address", "device")

_STRONG = frozenset({"title", "label", "credential", "kind"})  # detectors that know the category best
WORD = re.compile(r"[^\W\d_]+(?:['’‐-][^\W\d_]+)*")


@dataclass(frozen=True, order=True)
class Span:
    """Characters [start, end) of a report. `certain`: the context leaves no doubt, so that it may be propagated."""

    start: int
    end: int
    category: str
    detector: str
    certain: bool = False


def union(spans: Iterable[Span]) -> list[Span]:
    """One span for each group of overlapping ones, in order; the longest (then the first) gives the category."""
    groups: list[list[Span]] = []
    reach = -1
    for span in sorted(spans):
        if span.start < reach:
            groups[-1].append(span)
        else:
            groups.append([span])
        reach = max(reach, span.end)
    return [_joined(group) for group in groups]


def _joined(group: list[Span]) -> Span:
    best = max(group, key=lambda span: (span.end - span.start, span.detector in _STRONG, span.certain))
    start, end = group[0].start, max(span.end for span in group)
    return Span(start, end, best.category, best.detector, best.certain)


def trimmed(text: str, span: Span) -> Span:
    """The span without white space at its ends."""
    part = text[span.start : span.end]
    start = span.start + len(part) - len(part.lstrip())
    return Span(start, max(start, span.start + len(part.rstrip())), span.category, span.detector, span.certain)


def shouting(text: str) -> bool:
    """Whether a text is written in capitals throughout, so that a capital letter says nothing."""
    letters = [letter for letter in text if letter.isalpha()]
    return len(letters) >= 8 and sum(letter.isupper() for letter in letters) > 0.8 * len(letters)


def line_of(text: str, position: int) -> str:
    """The line of a text in which a position lies."""
    end = text.find("\n", position)
    return text[text.rfind("\n", 0, position) + 1 : len(text) if end < 0 else end]
