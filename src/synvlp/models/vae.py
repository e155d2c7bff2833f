"""A variational autoencoder of images given texts, with latents at several scales and priors that read the text.

The decoder goes from coarse to fine. At each scale with latents, the prior p(z | coarser z, text) comes from the
decoder's features, and the posterior q(z | x, coarser z, text) from these and the image's at that scale: a ladder
(Sønderby et al. 2016), with the posterior relative to the prior (Vahdat and Kautz 2020, section 3.2).
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from synvlp.models.conditioning import Attention, Block, doubled, sides, summary

# Logarithms of deviations stay within ± this.
WIDEST = 5.0


class Scale(nn.Module):
    """One scale of the decoder: it listens to the text and, if it has latents, draws them."""

    def __init__(self, channels: int, latents: int, encoded: int, width: int, groups: int, heads: int) -> None:
        """`latents`: channels of its latents, may be 0; `encoded`: of the image's features; `heads`: 0 for no words."""
        super().__init__()
        self.latents = latents
        self.attention = Attention(channels, width, heads) if heads else None
        self.before = Block(channels, channels, width, groups)
        if latents:
            self.prior = nn.Conv2d(channels, 2 * latents, 1)
            self.posterior = nn.Sequential(
                nn.Conv2d(channels + encoded, channels, 3, padding=1),
                nn.SiLU(),
                nn.Conv2d(channels, 2 * latents, 1),
            )
            self.enter = nn.Conv2d(latents, channels, 1)
            self.after = Block(channels, channels, width, groups)
            for layer in (self.prior, self.posterior[-1]):
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)

    def forward(
        self, features: Tensor, text: tuple[Tensor, Tensor, Tensor], noise: Tensor | None, encoded: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Features (B, C, h, w) after the scale, and the divergence of each latent where `encoded` is given.

        Args:
            features: from the coarser scale.
            text: states (B, T, W), which of them are there (B, T), their summary (B, W).
            noise: standard normal (B, latents, h, w).
            encoded: the image's features at this scale; None: latents come from the prior.
        """
        states, present, condition = text
        if self.attention:
            features = self.attention(features, states, present)
        features = self.before(features, condition)
        if not self.latents:
            return features, None
        mean, spread = bounded(self.prior(features))
        divergence = None
        if encoded is not None:
            shift, change = self.posterior(torch.cat([features, encoded], 1)).float().chunk(2, 1)
            own_mean, own_spread = mean + spread.exp() * shift, limit(spread + change)
            divergence = gaussian_divergence(own_mean, own_spread, mean, spread)
            mean, spread = own_mean, own_spread
        drawn = mean + spread.exp() * noise
        return self.after(features + self.enter(drawn), condition), divergence


class Network(nn.Module):
    """Encoder and decoder for square gray images, of which all but the last step is at half their sides."""

    def __init__(
        self, size: int, channels: Sequence[int], latents: Sequence[int], width: int, groups: int, heads: int
    ) -> None:
        """Random weights.

        Args:
            size: pixels a side.
            channels: of each scale, the widest (half the image's sides) first.
            latents: channels of the latents of the coarsest scales, the coarsest first.
            width: of the text's states.
            groups: of the normalization.
            heads: attention heads of scales with latents, which attend to the words.
        """
        super().__init__()
        self.size = size
        narrow_first = list(reversed(channels))
        coarse = sides(size, len(channels))[::-1]
        self.shapes = [(count, side, side) for count, side in zip(latents, coarse, strict=False)]
        self.stem = nn.Conv2d(4, channels[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.Sequential(
                nn.SiLU(), nn.Conv2d(before, after, 3, stride=2, padding=1), nn.SiLU(),
                nn.Conv2d(after, after, 3, padding=1),
            )
            for before, after in itertools.pairwise(channels)
        )  # fmt: skip
        self.start = nn.Parameter(torch.randn(1, narrow_first[0], coarse[0], coarse[0]) * 0.1)
        padded = [*latents, *[0] * (len(channels) - len(latents))]
        self.scales = nn.ModuleList(
            Scale(count, latent, count, width, groups, heads if latent else 0)
            for count, latent in zip(narrow_first, padded, strict=True)
        )
        self.up = nn.ModuleList(nn.Conv2d(before, after, 1) for before, after in itertools.pairwise(narrow_first))
        self.last = nn.Sequential(nn.GroupNorm(groups, channels[0]), nn.SiLU(), nn.Conv2d(channels[0], 4, 3, padding=1))

    @property
    def noise(self) -> int:
        """How many standard normal numbers a sample starts from."""
        return sum(count * height * width for count, height, width in self.shapes)

    def forward(self, images: Tensor, noise: Tensor, states: Tensor, present: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Reconstructions (B, 1, S, S) in float32, and the divergence of each scale's latents (B, c, h, w).

        Args:
            images: float (B, 1, S, S) in [-1, 1].
            noise: standard normal (B, `noise`), from which latents are drawn.
            states, present: the texts, as `conditioning.read` gives them.
        """
        found = [self.stem(functional.pixel_unshuffle(images, 2))]
        for layer in self.down:
            found.append(layer(found[-1]))
        return self._decode(noise, states, present, found[::-1])

    def draw(self, noise: Tensor, states: Tensor, present: Tensor) -> Tensor:
        """Images (B, 1, S, S), nominally in [-1, 1], whose latents come from the prior."""
        return self._decode(noise, states, present, [None] * len(self.scales))[0]

    def _decode(
        self, noise: Tensor, states: Tensor, present: Tensor, encoded: Sequence[Tensor | None]
    ) -> tuple[Tensor, list[Tensor]]:
        text = (states, present, summary(states, present))
        parts = [
            part.view(len(noise), *shape)
            for part, shape in zip(noise.split([c * h * w for c, h, w in self.shapes], 1), self.shapes, strict=True)
        ]
        features = self.start.expand(len(noise), -1, -1, -1)
        divergences = []
        for place, scale in enumerate(self.scales):
            features, divergence = scale(features, text, parts[place] if place < len(parts) else None, encoded[place])
            if divergence is not None:
                divergences.append(divergence)
            if place < len(self.up):
                features = doubled(self.up[place](features))
        return functional.pixel_shuffle(self.last(features), 2).float(), divergences


def gaussian_divergence(mean: Tensor, spread: Tensor, prior_mean: Tensor, prior_spread: Tensor) -> Tensor:
    """KL of N(m, s²) from N(m', s'²), number by number: log s'/s + (s² + (m − m')²) / 2 s'² − ½.

    `spread` and `prior_spread` are log s and log s'. (Kingma and Welling 2014, appendix B, for two Gaussians.)
    """
    squares = (2 * (spread - prior_spread)).exp() + ((mean - prior_mean) * (-prior_spread).exp()).square()
    return prior_spread - spread + 0.5 * squares - 0.5


def bounded(parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and logarithm of the deviation, float32, from a layer's output (B, 2c, h, w)."""
    mean, spread = parameters.float().chunk(2, 1)
    return mean, limit(spread)


def limit(spread: Tensor) -> Tensor:
    """Keep logarithms of deviations within ± WIDEST, smoothly."""
    return WIDEST * torch.tanh(spread / WIDEST)
