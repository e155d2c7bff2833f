"""An encoder's feature maps of a data set's images: cached, computed as needed, or trained along."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from synvlp import job
from synvlp.models import device, image_encoder
from synvlp.store import images
from synvlp.tasks.dense import Dense

BATCH = 64  # images whose feature maps are computed at a time


class Trunk:
    """Feature maps for a head.

    A frozen encoder is in eval mode and without gradients for good: neither weights nor BatchNorm statistics
    move. Its maps of images as they are can be kept in memory, so that a head trains without the encoder.

    Attributes:
        encoder: the network; the caller trains it if `settings.encoder` is "tuned".
        pixels: uint8 (n, size, size).
        size: pixels a side of the images and of the network's input.
    """

    def __init__(
        self,
        encoder: nn.Module,
        extract: Callable[[nn.Module, Tensor], list[Tensor]],
        pixels: np.ndarray,
        config: Mapping,
        settings: Dense,
        where: torch.device,
    ) -> None:
        """`extract` gives the maps of normalised images, fine to coarse; `config` is the encoder's."""
        self.encoder = encoder.to(where, memory_format=torch.channels_last)
        self.pixels = pixels
        self.size = pixels.shape[-1]
        self.tuned = settings.encoder == "tuned"
        self._extract, self._config, self._settings, self._where = extract, config, settings, where
        self._cache: list[Tensor] | None = None
        if not self.tuned:
            self.encoder.requires_grad_(False).eval()

    def gray(self, rows: np.ndarray) -> Tensor:
        """Images in [0, 1], float32 (b, 1, size, size)."""
        return torch.from_numpy(self.pixels[rows]).to(self._where)[:, None].float() / 255

    def maps(self, gray: Tensor) -> list[Tensor]:
        """Feature maps of images in [0, 1], fine to coarse."""
        learn = self.tuned and torch.is_grad_enabled()
        with torch.set_grad_enabled(learn), device.autocast(self._settings, self._where):
            return self._extract(self.encoder, image_encoder.normalise(gray, self._config))

    def at(self, rows: np.ndarray) -> list[Tensor]:
        """Feature maps of images as they are, cached or not."""
        if self._cache is None:
            return self.maps(self.gray(rows))
        chosen = torch.from_numpy(np.asarray(rows)).to(self._where)
        return [kept.index_select(0, chosen).permute(0, 3, 1, 2) for kept in self._cache]

    def batches(self, rows: np.ndarray, size: int = BATCH) -> list[np.ndarray]:
        """`rows`, at most `size` at a time."""
        return [rows[part] for part in images.batches(len(rows), size)]

    def keep(self) -> None:
        """Compute and keep the maps of all images, if the encoder is frozen and they fit in `cache_gb`."""
        if self.tuned or self._settings.augment:
            return
        shapes = [tuple(found.shape[1:]) for found in self.maps(self.gray(np.arange(1)))]
        size = 4 * len(self.pixels) * sum(int(np.prod(shape)) for shape in shapes) / 1e9
        if size > self._settings.cache_gb:
            job.log.info("feature maps of all images take %.2f GB, more than cache_gb: not kept", size)
            return
        job.log.info("keeping feature maps of all images: %.2f GB", size)
        # Channels come last in memory, in which convolutions are faster on the CPU.
        kept = [
            torch.empty((len(self.pixels), height, width, channels), device=self._where)
            for channels, height, width in shapes
        ]
        for rows in job.progress(self.batches(np.arange(len(self.pixels))), "batches"):
            for array, found in zip(kept, self.maps(self.gray(rows)), strict=True):
                array[rows[0] : rows[-1] + 1] = found.permute(0, 2, 3, 1)
        self._cache = kept


def check(config: Mapping, pixels: np.ndarray, config_path: Path) -> None:
    """Stop if the images cannot go through a ResNet's five halvings; say so if the encoder saw another size."""
    size = pixels.shape[-1]
    if size % 32 or size < 64:
        raise job.JobError(f"image_size = {size} of the data set: segment and detect need 64 or another multiple of 32")
    if size != config["image_size"]:
        job.log.info("%s was trained at %s pixels, the data set has %d", config_path.name, config["image_size"], size)
