"""The sample picture of a generator's training: the same prompts, each with its own seed, above their images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from synvlp.generators import pairs
from synvlp.models import gallery
from synvlp.store import files
from synvlp.store.seeds import seed_of


class Sampled(Protocol):
    """The settings that choose the prompts."""

    seed: int
    sample_prompts: list[str]
    sample_count: int


def chosen_prompts(settings: Sampled, held_out: pairs.Samples, seen: pairs.Samples) -> list[tuple[str, int]]:
    """Prompts of the sample picture with their seeds: the settings', else some of the validation (or train) pairs'."""
    if settings.sample_prompts:
        named = [(prompt, str(place)) for place, prompt in enumerate(settings.sample_prompts)]
    else:
        shown = held_out if len(held_out) else seen
        known = dict(zip(shown.prompt, shown.study_id, strict=True))
        named = sorted(known.items(), key=lambda item: seed_of(settings.seed, "sample", item[1]))
        named = named[: settings.sample_count]
    return [(prompt, seed_of(settings.seed, "sample", name)) for prompt, name in named]


def draw(images: Sequence[np.ndarray], texts: Sequence[str], path: Path) -> None:
    """Write the picture: gray images, uint8 (S, S) each, and their prompts."""
    cells = [gallery.Cell([pixels], text) for pixels, text in zip(images, texts, strict=True)]
    picture = gallery.grid(cells, columns=6, side=192, text_above=True)
    with files.replacing(path) as part:
        picture.save(part, format="PNG")
