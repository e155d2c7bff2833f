"""Drawing with a diffusion pipeline of diffusers' layout."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synvlp import job
from synvlp.models import pipeline as pipelines

if TYPE_CHECKING:
    import numpy as np
    import torch

    from synvlp.models import sampler

READS = ("steps", "guidance", "scheduler", "size")


def open_sampler(paths: Sequence[Path], settings: job.Compute, device: "torch.device") -> "Drawing":
    """The pipeline's sampler, with the settings of drawing."""
    from synvlp.models import sampler

    made = sampler.Sampler(
        pipelines.open_files(paths),
        settings,
        device,
        steps=settings.steps,
        guidance=settings.guidance,
        kind=settings.scheduler,
        batch=settings.batch,
        size=settings.size,
    )
    return Drawing(made)


class Drawing:
    """A sampler of pipelines as synthesis calls it."""

    def __init__(self, made: "sampler.Sampler") -> None:
        self.sampler = made
        self.embed = made.embed

    def cut(self, prompts: Sequence[str]) -> tuple[int, int]:
        """How many of the prompts are too long to be read to their end, and how many tokens are read."""
        from synvlp.models import prompts as reading

        ids, cut = reading.tokens(self.sampler.pipeline.tokenizer, prompts)
        return cut, ids.shape[1]

    def draw(self, embeddings: "torch.Tensor", seeds: Sequence[int]) -> "Iterator[tuple[np.ndarray, np.ndarray]]":
        """Images as `sampler.Sampler.draw` makes them."""
        return self.sampler.draw(embeddings, seeds)
