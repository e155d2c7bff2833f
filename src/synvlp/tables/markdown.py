"""Markdown that shows every name as it is."""

import html
import re
from collections.abc import Iterable


def row(cells: Iterable[str]) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def escape(text: str) -> str:
    """Text that Markdown and the HTML in it show as it is."""
    return re.sub(r"([\\`*_{}\[\]|~#$])", r"\\\1", html.escape(text, quote=False))
