"""The two networks of a text-conditional generative adversarial network of gray images."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from synvlp.models.conditioning import Attention, Block, doubled, sides, summary

SLOPE = 0.2  # of the discriminator's leaky rectifiers
SPREAD = 0.1  # of the weights by which noise and text modulate: with less, a short training ignores them


class Generator(nn.Module):
    """From noise and a text to an image: each scale attends to the words and gets noise of its own.

    A vector of noise and the text's summary modulate all blocks; noise for each place is added within them, with
    learnt strengths (Karras et al. 2019, section 2), since a vector alone makes poor grain.
    """

    def __init__(
        self, size: int, channels: Sequence[int], vector: int, width: int, groups: int, heads: int, words: int
    ) -> None:
        """Random weights.

        Args:
            size: pixels a side.
            channels: of each scale, the widest (half the image's sides) first.
            vector: length of the noise that all places share.
            width: of the text's states.
            groups: of the normalization.
            heads: attention heads.
            words: how many scales, the coarsest first, attend to the words.
        """
        super().__init__()
        self.size, self.vector = size, vector
        narrow_first = list(reversed(channels))
        self.sides = sides(size, len(channels))[::-1]
        self.mixed = nn.Sequential(nn.Linear(vector + width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.start = nn.Linear(width, narrow_first[0] * self.sides[0] ** 2)
        self.attentions = nn.ModuleList(Attention(count, width, heads) for count in narrow_first[:words])
        befores = [narrow_first[0], *narrow_first[:-1]]
        self.blocks = nn.ModuleList(
            Block(before, after, width, groups, SPREAD) for before, after in zip(befores, narrow_first, strict=True)
        )
        self.strengths = nn.ParameterList(nn.Parameter(torch.full((count,), 0.1)) for count in narrow_first)
        self.last = nn.Sequential(nn.GroupNorm(groups, channels[0]), nn.SiLU(), nn.Conv2d(channels[0], 4, 3, padding=1))
        self.grain = nn.Parameter(torch.full((4,), 0.02))

    @property
    def noise(self) -> int:
        """How many standard normal numbers a sample starts from."""
        return self.vector + sum(side**2 for side in self.sides) + self.size**2

    def forward(self, noise: Tensor, states: Tensor, present: Tensor) -> Tensor:
        """Images (B, 1, S, S) in [-1, 1], float32, for noise (B, `noise`) and texts as `conditioning.read` gives."""
        vector, *maps, grain = noise.split([self.vector, *(side**2 for side in self.sides), self.size**2], 1)
        condition = self.mixed(torch.cat([vector, summary(states, present)], 1))
        features = self.start(condition).unflatten(1, (-1, self.sides[0], self.sides[0]))
        for place, block in enumerate(self.blocks):
            if place:
                features = doubled(features)
            added = self.strengths[place][:, None, None] * maps[place].unflatten(1, (1, self.sides[place], -1))
            features = block(features, condition, added)
            if place < len(self.attentions):
                features = self.attentions[place](features, states, present)
        fine = functional.pixel_unshuffle(grain.unflatten(1, (1, self.size, -1)), 2)
        made = self.last(features) + self.grain[:, None, None] * fine
        return torch.tanh(functional.pixel_shuffle(made, 2).float())

    def draw(self, noise: Tensor, states: Tensor, present: Tensor) -> Tensor:
        """What `forward` gives: the name by which samplers call it."""
        return self(noise, states, present)


class Discriminator(nn.Module):
    """Judges images, and whether a text belongs to them: a projection discriminator (Miyato and Koyama 2018, eq. 3).

    f(x, t) = ψ(φ(x)) + φ(x)ᵀ V t / √d for an image's features φ(x), of length d, and a text's mean state t. Weights
    start so large that features keep their size from layer to layer (He et al. 2015, eq. 14): with torch's default
    they shrink to nothing, and a short training ends before the generator learns anything from them.
    """

    def __init__(self, size: int, channels: Sequence[int], features: int, width: int) -> None:
        """Random weights; `channels` as the generator's, `features` is d, `width` that of the text's states."""
        super().__init__()
        self.stem = nn.Conv2d(4, channels[0], 3, padding=1)
        self.convolutions = nn.ModuleList(
            nn.ModuleList([nn.Conv2d(before, before, 3, padding=1), nn.Conv2d(before, after, 3, padding=1)])
            for before, after in itertools.pairwise(channels)
        )
        self.skips = nn.ModuleList(
            nn.Conv2d(before, after, 1, bias=False) for before, after in itertools.pairwise(channels)
        )
        self.last = nn.Linear(channels[-1] * sides(size, len(channels))[-1] ** 2, features)
        self.real = nn.Linear(features, 1)
        self.text = nn.Linear(width, features)
        for layer in (self.stem, *self.convolutions.modules(), *self.skips, self.last):
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, a=SLOPE)
        for layer in (self.real, self.text):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        for name, value in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(value)

    def features(self, images: Tensor) -> Tensor:
        """φ of images, float (B, 1, S, S) in [-1, 1]: (B, d)."""
        found = functional.leaky_relu(self.stem(functional.pixel_unshuffle(images, 2)), SLOPE)
        for (first, second), skip in zip(self.convolutions, self.skips, strict=True):
            made = functional.leaky_relu(second(functional.leaky_relu(first(found), SLOPE)), SLOPE)
            found = (functional.avg_pool2d(made, 2) + skip(functional.avg_pool2d(found, 2))) * 0.5**0.5
        return functional.leaky_relu(self.last(found.flatten(1)), SLOPE)

    def forward(self, features: Tensor, states: Tensor, present: Tensor) -> Tensor:
        """f for features (B, d) and texts as `conditioning.read` gives them: (B,), in float32."""
        matching = (features * self.text(summary(states, present))).sum(1) / features.shape[1] ** 0.5
        return (self.real(features)[:, 0] + matching).float()
