"""What an encoder is pre-trained on: sets of pairs with weights, at once or in phases, and what is compared with what.

A source of the config is a mapping from sets of pairs to weights, or a list of such mappings: phases of one training,
each an equal part of its steps. A phase that is listed twice in a row is one phase of two parts.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

Phase = Mapping[str, float]  # set of pairs -> how often it is drawn, relative


def section(name: Any) -> Any:
    """The type of a source in the config, always a list of phases once it is checked; `name`: the type of names."""
    phase = Annotated[dict[name, Annotated[float, Field(gt=0)]], Field(min_length=1)]
    written = phase | list[phase]
    return Annotated[list[phase], BeforeValidator(_as_phases, json_schema_input_type=written), Field(min_length=1)]


def sets(source: Sequence[Phase]) -> list[str]:
    """The sets of pairs of a source, in the order in which its encoders are given them."""
    return sorted({name for phase in source for name in phase})


def training(source: Sequence[Phase]) -> dict[str, Any]:
    """The settings of pre-training that say how a source's sets are drawn: weights, phase by phase, and phases."""
    merged = [(phase, len(list(same))) for phase, same in groupby(source)]
    names = sets(source)
    weights = [float(phase.get(name, 0.0)) for phase, _ in merged for name in names]
    return {"weights": weights, "phases": [float(parts) for _, parts in merged] if len(merged) > 1 else None}


def contrasts(ablations: Mapping[str, Sequence[str]], reference: str) -> list[tuple[str, str]]:
    """Which sources are compared with which other one: in each ablation, all others with its first.

    Each is listed once, and not at all if it is a comparison with `reference`, which is made anyway.
    """
    found = [(other, first) for first, *others in ablations.values() for other in others]
    return [pair for pair in dict.fromkeys(found) if pair[1] != reference]


def without_method(
    ablations: Mapping[str, Sequence[str]], methods_of: Callable[[str], Sequence[str]]
) -> list[tuple[str, str, str]]:
    """Ablation, its first source and another one that no method is pre-trained on both of: they have no comparison."""
    return [
        (name, first, other)
        for name, (first, *others) in ablations.items()
        for other in others
        if not set(methods_of(first)) & set(methods_of(other))
    ]


def _as_phases(value: Any) -> Any:
    return [value] if isinstance(value, Mapping) else value
