"""What the three methods' losses share: scores of all pairs, their cross entropies, and float32 arithmetic."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from synvlp.models.parallel import Group


@contextlib.contextmanager
def full_precision(*tensors: Tensor) -> Iterator[list[Tensor]]:
    """Yield `tensors`, those of half precision as float32, and switch autocast off.

    Similarities over a temperature of 0.07 need more than bfloat16's three digits.
    """
    half = (torch.bfloat16, torch.float16)
    with torch.autocast(tensors[0].device.type, enabled=False):
        yield [value.float() if value.dtype in half else value for value in tensors]


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


def presence(lengths: Tensor, longest: int) -> Tensor:
    """Which places are words and not padding: bool (B, longest) for `lengths` (B,)."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]
