"""The kinds of generators that a study can have: their files, their settings, and who draws with them.

Diffusion has three kinds, which all end in one pipeline. Every other kind is a module in `generators.kinds`, found by
looking there, and trains in one job.
"""

import importlib
from typing import Any

from synvlp.generators import kinds
from synvlp.models import generator, pipeline, samplers

# Kinds whose files are a diffusers pipeline's, and those of them that are made from a published one.
PIPELINES = ("diffusion", "finetuned", "published")
FROM_PIPELINE = {"finetuned": "finetune_diffusion", "published": "adopt_pipeline"}


def trained() -> list[str]:
    """The kinds that `train-KIND` makes."""
    return kinds.names()


def files(name: str, kind: str) -> dict[str, str]:
    """The files of the generator `name`, by their fields."""
    if kind in PIPELINES:
        return {field: f"<results>/generators/{name}/pipeline/{place}" for field, place in pipeline.FILES.items()}
    return {field: f"{folder(name, kind)}/{place}" for field, place in generator.FILES.items()}


def pictures(name: str, kind: str) -> dict[str, str]:
    """What a training shows of itself, by its fields: the losses by step, their picture, the samples."""
    places = {"curve": "curve.csv", "curve_picture": "curve.png", "samples": "samples.png"}
    return {field: f"{folder(name, kind)}/{place}" for field, place in places.items()}


def folder(name: str, kind: str) -> str:
    """Where these lie."""
    return f"<results>/generators/{name}" + ("" if kind in PIPELINES else f"/{kind}")


def sampler(kind: str) -> str:
    """The module that draws for a kind."""
    return samplers.modules()[samplers.PIPELINE if kind in PIPELINES else kind]


def drawing(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    """Those of the settings of drawing that matter for a kind: what it does not read stays at its default."""
    readers = [set(importlib.import_module(module).READS) for module in samplers.modules().values()]
    others = set().union(*readers) - set(importlib.import_module(sampler(kind)).READS)
    return {name: value for name, value in values.items() if name not in others}
