"""What the networks that draw images for texts are made of: text states, and blocks that listen to them."""

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from transformers import CLIPTextModel


def read(text_encoder: "CLIPTextModel", ids: Tensor, whole: bool = False) -> tuple[Tensor, Tensor]:
    """What a text encoder makes of token numbers, int (B, T), that end in one or more end tokens.

    Columns that hold padding in every row are left out, which changes no more than last bits: a token sees only those
    before it. `whole` keeps them, so that a text's states are the same to the bit, whatever the others are.

    Returns:
        states, float (B, T', W), zero after a text's end; which places hold the text, its end included, bool (B, T').
    """
    ends = (ids == text_encoder.config.eos_token_id).long()
    present = ends.cumsum(1) - ends == 0
    longest = ids.shape[1] if whole else int(present.sum(1).max())
    present = present[:, :longest]
    states = text_encoder(ids[:, :longest]).last_hidden_state
    return states * present[:, :, None], present


def summary(states: Tensor, present: Tensor) -> Tensor:
    """The mean state of each text, (B, T, W) to (B, W)."""
    return states.sum(1) / present.sum(1, keepdim=True)


class Block(nn.Module):
    """Two convolutions with a residual; a condition scales and shifts the channels before each.

    Feature-wise modulation after group normalization (Perez et al. 2018; Dhariwal and Nichol 2021, appendix A).
    """

    def __init__(self, before: int, after: int, condition: int, groups: int, spread: float = 0.02) -> None:
        """Random weights; `spread` is the standard deviation of those that make scales and shifts of a condition."""
        super().__init__()
        self.norms = nn.ModuleList([nn.GroupNorm(groups, before), nn.GroupNorm(groups, after)])
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)]
        )
        self.modulations = nn.ModuleList([nn.Linear(condition, 2 * before), nn.Linear(condition, 2 * after)])
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1)
        for layer in self.modulations:
            nn.init.normal_(layer.weight, std=spread)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor, condition: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, before, h, w) to (B, after, h, w) for conditions (B, D); `noise` is added between the convolutions."""
        made = features
        for place, (norm, convolution, layer) in enumerate(
            zip(self.norms, self.convolutions, self.modulations, strict=True)
        ):
            scale, shift = layer(condition)[:, :, None, None].chunk(2, 1)
            made = convolution(functional.silu(norm(made) * (1 + scale) + shift))
            if noise is not None and place == 0:
                made = made + noise
        return self.skip(features) + made


class Attention(nn.Module):
    """Places of a feature map attend to a text's tokens (Vaswani et al. 2017), and add what they find."""

    def __init__(self, channels: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(1, channels)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key_value = nn.Linear(width, 2 * channels)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor, states: Tensor, present: Tensor) -> Tensor:
        """(B, C, h, w) to the same shape, for states (B, T, W) where `present`, bool (B, T)."""
        query = self.query(self.norm(features)).flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3)
        key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.key_value(states).chunk(2, 2)
        )
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=present[:, None, None])
        return features + self.out(found.transpose(2, 3).flatten(1, 2).view_as(features))


def doubled(features: Tensor) -> Tensor:
    """A feature map at twice its sides, each place four times."""
    return functional.interpolate(features, scale_factor=2, mode="nearest")


def sides(size: int, levels: int) -> list[int]:
    """The side of each level's feature map, the widest first: half the image's, a quarter, …"""
    return [size // 2 ** (level + 1) for level in range(levels)]
