"""Read a config: overlays, entries that are removed, environment variables."""

import os
import re
from collections.abc import Mapping
from typing import Any

VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")  # ${NAME} or ${NAME:-default}


def overlaid(config: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with the keys of `overlay` over it, mapping by mapping, as Snakemake's --configfile does."""
    both = dict(config)
    for key, value in overlay.items():
        inside = isinstance(value, Mapping) and isinstance(both.get(key), Mapping)
        both[key] = overlaid(both[key], value) if inside else value
    return both


def without_null(value: Any) -> Any:
    """A mapping without its null entries: an overlay removes an entry by setting it to null."""
    if not isinstance(value, Mapping):
        return value
    return {key: without_null(item) for key, item in value.items() if item is not None}


def expanded(value: Any) -> Any:
    """Text with ${NAME} or ${NAME:-default} replaced from the environment."""
    if isinstance(value, Mapping):
        return {key: expanded(item) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    return VARIABLE.sub(lambda m: os.environ.get(m[1]) or m[2] or "", value)
