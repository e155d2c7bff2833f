"""Markdown tables that show every name as it is, written and read."""

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pipes:
    """A table as Markdown holds it: the text above it, its heads, and rows of (text, whether it is bold)."""

    caption: str
    heads: list[str]
    rows: list[list[tuple[str, bool]]]


def row(cells: Iterable[str]) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def escape(text: str) -> str:
    """Text that Markdown and the HTML in it show as it is."""
    return re.sub(r"([\\`*_{}\[\]|~#$])", r"\\\1", html.escape(text, quote=False))


def unescape(text: str) -> str:
    """The inverse of `escape`."""
    return html.unescape(re.sub(r"\\([\\`*_{}\[\]|~#$])", r"\1", text))


def read(text: str) -> Pipes:
    """The first pipe table in `text`, as `row` and `escape` write it. Raises ValueError if there is none."""
    return _first(text.splitlines())[0]


def read_all(text: str) -> list[Pipes]:
    """All pipe tables in `text`, each with what stands above it. Raises ValueError if there is none."""
    found, rest = [], text.splitlines()
    while not found or any(line.startswith("| ") for line in rest):
        pipes, rest = _first(rest)
        found.append(pipes)
    return found


def _first(lines: list[str]) -> tuple[Pipes, list[str]]:
    """The first table among lines, and the lines below it."""
    start = next((number for number, line in enumerate(lines) if line.startswith("| ")), len(lines))
    if len(lines) < start + 2 or not lines[start + 1].startswith("| ---"):
        raise ValueError("it holds no table with a line of | --- | below its heads")
    below = lines[start + 2 :]
    count = next((number for number, line in enumerate(below) if not line.startswith("| ")), len(below))
    caption = " ".join(line for line in lines[:start] if line)
    body = [[_cell(cell) for cell in _cells(line)] for line in below[:count]]
    return Pipes(unescape(caption), [unescape(head) for head in _cells(lines[start])], body), below[count:]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.findall(r"(?:\\.|[^|\\])+", line.strip()[1:-1])]


def _cell(text: str) -> tuple[str, bool]:
    bold = len(text) > 4 and text.startswith("**") and text.endswith("**")
    return unescape(text[2:-2] if bold else text), bold
