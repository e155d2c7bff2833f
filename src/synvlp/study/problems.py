"""What is wrong with a config, in words that name each key, its value and what is allowed."""

import difflib
import functools
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from synvlp.job import Misfit
from synvlp.study.sections import METHODS, PRETRAINING, options, schema


class StudyError(Exception):
    """A config that cannot be used; the message names each key, its value and what is allowed."""


def explain(error: ValidationError, config: Mapping, prefix: str = "", bare: bool = False) -> str:
    """Every problem that pydantic found in `config`, or in the section `prefix`; `bare`: without the heading."""
    problems = [_problem(item, config, prefix) for item in error.errors()]
    return "\n  ".join(problems) if bare else listed(problems)


def listed(problems: list[str]) -> str:
    """Problems below a heading, one a line."""
    return "the config cannot be used:\n  " + "\n  ".join(problems)


def nearest(name: str, known: Iterable[str]) -> str:
    """A guess at what was meant, to be put behind the list of what is known; "" if nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _problem(item: Mapping[str, Any], config: Mapping, prefix: str) -> str:
    place = [str(part) for part in _real_keys(item["loc"], config)]
    key = ".".join([*filter(None, [prefix]), *place])
    if item["type"] == "extra_forbidden":
        return f"{key}: there is no such key{_near_key(item['loc'], prefix)} (its value here: {item['input']!r})"
    if item["type"] == "missing":
        return f"{key}: is missing"
    if item["type"].startswith("union_tag"):
        context = item.get("ctx", {})
        tags = context.get("expected_tags", "those in docs/settings.md")
        return f"{key}: {context.get('discriminator', 'kind')} must be one of {tags}"
    misfit = item.get("ctx", {}).get("error")
    if isinstance(misfit, Misfit):
        return f"{key}.{misfit.setting}: {misfit.value!r}: {misfit.wrong}"
    return f"{key}: {item['input']!r}: {item['msg'][0].lower()}{item['msg'][1:]}"


def _real_keys(place: tuple, config: Mapping) -> list:
    """The keys of `place` without the tags that pydantic puts in for tagged unions."""
    found: list = []
    value: Any = config
    for index, key in enumerate(place):
        last = index == len(place) - 1
        inside = (isinstance(value, Mapping) and key in value) or (isinstance(value, list) and isinstance(key, int))
        if not inside and not last:
            continue
        found.append(key)
        value = value[key] if inside and not (isinstance(value, list) and key >= len(value)) else None
    return found


def _near_key(place: tuple, prefix: str) -> str:
    known = _known_keys()
    near = difflib.get_close_matches(str(place[-1]), known, n=1)
    return f"; did you mean '{near[0]}'?" if near else "; docs/settings.md lists them"


@functools.cache
def _known_keys() -> list[str]:
    names: set[str] = set()
    todo: list[Any] = [schema()]
    for method in METHODS:
        todo.append(options(f"encoders.{method}", *PRETRAINING))
    while todo:
        model = todo.pop()
        if isinstance(model, type) and issubclass(model, BaseModel):
            names.update(model.model_fields)
            todo.extend(field.annotation for field in model.model_fields.values())
        else:
            todo.extend(getattr(model, "__args__", ()))
    return sorted(names)
