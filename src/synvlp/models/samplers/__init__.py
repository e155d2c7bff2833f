"""Who draws for which kind of generator: each kind's module is chosen by name, and opened when it is asked for.

A kind's module has `open_sampler(paths, settings, device)` and `READS`, the settings of drawing that it reads. It is
`synvlp.models.samplers.KIND`, or the kind's own module in `synvlp.generators.kinds`, if all of it is one module. Since
no one imports it but by its name, a change of one kind's code leaves the images of the others as they are.
"""

import functools
import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from synvlp import job
from synvlp.models import generator

if TYPE_CHECKING:
    import numpy as np
    import torch

# Where a kind's module may be.
PACKAGES = ("synvlp.models.samplers", "synvlp.generators.kinds")
# Who draws with the files of a diffusers pipeline, which are known by their index.
PIPELINE, INDEX = "diffusion", "model_index.json"


class Sampler(Protocol):
    """What draws the images."""

    def cut(self, prompts: Sequence[str]) -> tuple[int, int]:
        """How many of the prompts are too long to be read to their end, and how many tokens are read."""

    def embed(self, prompts: Sequence[str]) -> "torch.Tensor":
        """What is known of each prompt: a tensor on the CPU, (len(prompts), …)."""

    def draw(self, embeddings: "torch.Tensor", seeds: Sequence[int]) -> "Iterator[tuple[np.ndarray, np.ndarray]]":
        """Batch by batch: gray images, uint8 (n, S, S), and whether all of an image's numbers were finite, bool (n,).

        An image depends on its embedding, its seed and the settings alone.
        """


@functools.cache
def modules() -> dict[str, str]:
    """Kind -> the module that draws for it."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        for part in pkgutil.iter_modules(importlib.import_module(package).__path__):
            found.setdefault(part.name, f"{package}.{part.name}")
    return found


def kind_of(paths: Sequence[Path]) -> str:
    """Which kind of generator has these files. Raises JobError if they are not one generator's."""
    index = [Path(path) for path in paths if Path(path).name in {INDEX, generator.INDEX}]
    if len(index) != 1:
        raise job.JobError(f"a generator's files hold one {INDEX} or {generator.INDEX}, not {len(index)}")
    if index[0].name == INDEX:
        return PIPELINE
    kind = generator.read_index(index[0])["kind"]
    if kind not in modules():
        raise job.JobError(f"{index[0]}: there is no kind of generator {kind!r}; there are {', '.join(modules())}")
    return kind


def module_of(paths: Sequence[Path]) -> str:
    """The module that draws with these files. Raises JobError if they are not one generator's."""
    return modules()[kind_of(paths)]


def open_sampler(paths: Sequence[Path], settings: job.Compute, device: "torch.device") -> Sampler:
    """What draws with a generator's files. Raises JobError if they, or the settings, cannot be used."""
    return importlib.import_module(module_of(paths)).open_sampler(paths, settings, device)
