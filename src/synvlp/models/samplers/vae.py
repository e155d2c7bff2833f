"""Drawing with a text-conditional VAE."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synvlp import job

if TYPE_CHECKING:
    import torch

    from synvlp.models import onepass

READS = ("temperature", "size")


def open_sampler(paths: Sequence[Path], settings: job.Compute, device: "torch.device") -> "onepass.Sampler":
    """The sampler of these files, with the settings of drawing."""
    from synvlp.models import generator, onepass, vae

    return onepass.Sampler(
        generator.read(paths),
        vae.Network,
        settings,
        device,
        temperature=settings.temperature,
        batch=settings.batch,
        size=settings.size,
    )
