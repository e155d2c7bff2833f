"""What the three methods' losses share: scores of all pairs and their cross entropies."""

import torch
from torch import Tensor
from torch.nn import functional

from synvlp.models.parallel import Group


def gathered(group: Group | None, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The rows of all processes in place of one's own, (B, …) to (N B, …), through which gradients flow."""
    return tensors if group is None else tuple(group.gather(value) for value in tensors)


def cosine_scores(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Cosines of all pairs over a temperature: (A, D) and (B, D) give (A, B)."""
    return functional.normalize(first, dim=-1) @ functional.normalize(second, dim=-1).T / temperature


def both_ways(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross entropies against the diagonal of `scores` (B, B): of its rows, and of its columns."""
    target = torch.arange(len(scores), device=scores.device)
    return functional.cross_entropy(scores, target), functional.cross_entropy(scores.T, target)
