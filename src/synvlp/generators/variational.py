"""The loss of the variational autoencoder: reconstruction, edges, and a divergence that grows with the steps."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from synvlp.generators import prompted
from synvlp.generators.options import Prompted
from synvlp.models import conditioning
from synvlp.models import device as devices
from synvlp.models.parallel import Group
from synvlp.store.images import batches
from synvlp.store.seeds import seed_of


class Objective:
    """The losses of a `vae.Network` and its text encoder, for settings of `kinds.vae`."""

    def __init__(self, settings: Prompted, device: torch.device, group: Group) -> None:
        self.settings, self.device, self.group = settings, device, group
        self.share = 1.0

    def at_step(self, step: int) -> None:
        """Set β for a step: it rises linearly from 0 over `divergence_warmup` steps (Bowman et al. 2016)."""
        self.share = min(1.0, step / self.settings.divergence_warmup) if self.settings.divergence_warmup else 1.0

    def losses(self, network: nn.ModuleDict, data: prompted.Data, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """The training losses of this process's part of some rows; random numbers, for all, from torch's state.

        loss = |x − x̂| + w |∂x − ∂x̂| + β Σ max(free, KL) / S²

        with means over pixels, ∂ the differences of neighbouring pixels, and the divergence of each channel of
        latents summed over places and averaged over the batch, of which `free` costs nothing (free bits, Kingma et
        al. 2016, eq. 15). Divided by β, the first and the last are the negative evidence bound per pixel for a
        Laplace distribution of scale β (Kingma and Welling 2014; β-VAE, Higgins et al. 2017).

        Returns:
            `loss`; `absolute` and `edges`; `divergence`: nats per image, all of it.
        """
        own = self.group.part(len(rows))
        noise = prompted.noise(network["network"], len(rows), self.group, self.device)
        parts, channels = self._measure(network, data, rows[own], noise)
        held = self.group.gather(channels).mean(0).clamp(min=self.settings.free)
        means = {name: values.mean() for name, values in parts.items()}
        weight = self.share * self.settings.divergence / data.pixels.shape[1] ** 2
        loss = means["absolute"] + self.settings.edges * means["edges"] + weight * held.sum()
        return {"loss": loss, **means}

    @torch.inference_mode()
    def validate(self, network: nn.ModuleDict, data: prompted.Data) -> dict[str, float]:
        """The losses on held-out pairs with fixed noise, at the full β and without free bits; nothing without pairs."""
        if not len(data):
            return {}
        seeded = torch.Generator("cpu").manual_seed(seed_of(self.settings.seed, "validation"))
        noise = torch.randn(len(data), network["network"].noise, generator=seeded)
        found = {name: torch.zeros(len(data)) for name in ("absolute", "edges", "divergence")}
        for part in self.group.own(list(batches(len(data), self.settings.batch))):
            rows = np.arange(part.start, part.stop)
            with devices.autocast(self.settings, self.device):
                parts, _ = self._measure(network, data, rows, noise[part].to(self.device))
            for name, values in parts.items():
                found[name][part] = values.cpu()
        means = {name: float(self.group.total(values).mean()) for name, values in found.items()}
        weight = self.settings.divergence / data.pixels.shape[1] ** 2
        loss = means["absolute"] + self.settings.edges * means["edges"] + weight * means["divergence"]
        return {"loss": loss, **means}

    def _measure(
        self, network: nn.ModuleDict, data: prompted.Data, rows: np.ndarray, noise: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Each image's errors and divergence, (B,) each, and its divergence by channel of latents, (B, C)."""
        images = data.images(rows, self.device)
        states, present = conditioning.read(network["text_encoder"], data.ids[rows].to(self.device))
        made, divergences = network["network"](images, noise, states, present)
        channels = by_channel(divergences)
        error = made - images
        edges = error.diff(dim=-1).abs().mean((1, 2, 3)) + error.diff(dim=-2).abs().mean((1, 2, 3))
        return {"absolute": error.abs().mean((1, 2, 3)), "edges": edges, "divergence": channels.sum(1)}, channels


def by_channel(divergences: Sequence[torch.Tensor]) -> torch.Tensor:
    """Divergences of all scales' latents, (B, c, h, w) each, summed over places: (B, channels of all scales)."""
    return torch.cat([part.sum((2, 3)) for part in divergences], 1)
