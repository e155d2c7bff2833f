"""Float32 arithmetic where similarities are computed, and which places of padded texts are words."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor


@contextlib.contextmanager
def full(*tensors: Tensor) -> Iterator[list[Tensor]]:
    """Yield `tensors`, those of half precision as float32, and switch autocast off.

    Similarities over a temperature of 0.07 need more than bfloat16's three digits.
    """
    half = (torch.bfloat16, torch.float16)
    with torch.autocast(tensors[0].device.type, enabled=False):
        yield [value.float() if value.dtype in half else value for value in tensors]


def presence(lengths: Tensor, longest: int) -> Tensor:
    """Which places are words and not padding: bool (B, longest) for `lengths` (B,)."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]
