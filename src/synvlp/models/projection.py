"""Projection heads from features into the space in which images and texts are compared."""

import torch
from torch import Tensor, nn


def perceptron(features: int, hidden: int, embedding: int) -> nn.Sequential:
    """ConVIRT's head: Linear, ReLU, Linear (Zhang et al., 2020, section 2.3)."""
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, embedding))


def normed_perceptron(features: int, hidden: int, embedding: int) -> nn.Sequential:
    """MGCA's head: Linear, BatchNorm, ReLU, Linear, BatchNorm without scale and shift.

    It takes (N, features): all patches of a batch, or all its words without padding, one after another.
    """
    return nn.Sequential(
        nn.Linear(features, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, embedding),
        nn.BatchNorm1d(embedding, affine=False),
    )


def on_places(head: nn.Module, features: Tensor) -> Tensor:
    """A head on every place by itself: (B, P, C) gives (B, P, D)."""
    return head(features.flatten(0, 1)).unflatten(0, features.shape[:2])


def on_present(head: nn.Module, features: Tensor, present: Tensor) -> Tensor:
    """A head on the places that are `present`, bool (B, W): (B, W, C) gives (B, W, D), zero elsewhere.

    What is absent does not enter the head's BatchNorm statistics.
    """
    found = head(features[present])
    placed = torch.zeros(*present.shape, found.shape[-1], dtype=found.dtype, device=found.device)
    return placed.index_put((present,), found)


def flat_map(feature_map: Tensor) -> Tensor:
    """The places of a feature map, row by row: (B, C, H, W) gives (B, H W, C)."""
    return feature_map.flatten(2).transpose(1, 2)
