"""What the training jobs of one-pass generators share: their pairs as tensors, and what they write."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from synvlp import job
from synvlp.generators import curves, pairs, samples
from synvlp.generators.options import Prompted
from synvlp.models import generator, latents, onepass, prompts
from synvlp.models.parallel import Group


class Inputs(job.Files):
    """With the images, studies and prompts of the pairs."""

    images: Any
    studies: Any
    prompts: Any


class Described(Protocol):
    """What a network here says of itself."""

    noise: int


@dataclass(frozen=True)
class Data:
    """Pairs as one-pass generators see them: gray images, uint8 (n, S, S), and token numbers, int (n, tokens)."""

    pixels: torch.Tensor
    ids: torch.Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def images(self, rows: np.ndarray, device: torch.device) -> torch.Tensor:
        """The images of some rows: float32 (B, 1, S, S) in [-1, 1]."""
        return latents.from_gray(self.pixels[rows].to(device), 1)


def read(settings: Prompted, inputs: Inputs) -> tuple[pairs.Samples, pairs.Samples]:
    """The pairs of the splits train and val."""
    seen, held_out = (
        pairs.read_pairs(inputs.images, inputs.studies, inputs.prompts, split, settings.image_size)
        for split in ("train", "val")
    )
    return seen, held_out


def tokenized(tokenizer: Any, found: pairs.Samples) -> Data:
    """The pairs as tensors; says how many prompts are cut."""
    ids, cut = prompts.tokens(tokenizer, found.prompt)
    if cut:
        job.log.warning("%d of %d prompts are longer than %d tokens and were cut", cut, len(found), ids.shape[1])
    return Data(torch.from_numpy(found.pixels), ids)


def write(
    kind: str,
    settings: dict[str, Any],
    trained: Mapping[str, nn.Module],
    tokenizer: Any,
    curve: list[dict],
    outputs: generator.Trained,
) -> None:
    """Write the generator's files, its curve and the curve's picture.

    Args:
        kind: of the generator.
        settings: with which its network is built.
        trained: the averaged networks, "network" and "text_encoder".
        tokenizer: of its prompts.
        curve: rows of `tables.CURVE`.
        outputs: where to.
    """
    networks = {"network": settings, "text_encoder": generator.text_settings(trained["text_encoder"].config)}
    parts = generator.Parts(
        kind, networks, generator.named_weights({name: trained[name] for name in networks}), tokenizer
    )
    generator.write(parts, outputs)
    curves.write(curve, outputs.curve)
    curves.draw(curve, outputs.curve_picture)


def draw_samples(
    make: Callable[..., nn.Module],
    settings: Prompted,
    device: torch.device,
    held_out: pairs.Samples,
    seen: pairs.Samples,
    outputs: generator.Trained,
) -> None:
    """Write the sample picture, drawn with the files that were written; `make` builds the network."""
    chosen = samples.chosen_prompts(settings, held_out, seen)
    texts, seeds = [prompt for prompt, _ in chosen], [seed for _, seed in chosen]
    sampler = onepass.Sampler(
        generator.read(outputs.paths()),
        make,
        settings,
        device,
        temperature=settings.sample_temperature,
        batch=min(16, len(chosen)),
    )
    made = np.concatenate([pixels for pixels, _ in sampler.draw(sampler.embed(texts), seeds)])
    samples.draw(made, texts, outputs.samples)


def noise(network: Described, rows: int, group: Group, device: torch.device) -> torch.Tensor:
    """This process's part of standard normal numbers for all `rows`, from torch's state: (rows / processes, noise)."""
    return torch.randn(rows, network.noise, device=device)[group.part(rows)]
