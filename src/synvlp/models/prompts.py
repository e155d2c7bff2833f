"""Prompts as networks take them: token numbers, in batches that are always full."""

from collections.abc import Sequence

import torch
from torch.nn import functional


def tokens(tokenizer: object, texts: Sequence[str]) -> tuple[torch.Tensor, int]:
    """Token numbers (n, model_max_length), padded and cut as StableDiffusionPipeline does, and how many were cut."""
    longest = tokenizer.model_max_length
    whole = tokenizer(list(texts), truncation=False, verbose=False)["input_ids"] if texts else []
    made = tokenizer(
        list(texts) or [""], padding="max_length", max_length=longest, truncation=True, return_tensors="pt"
    )
    return made["input_ids"][: len(texts)], sum(len(row) > longest for row in whole)


def pad(rows: torch.Tensor, count: int) -> torch.Tensor:
    """`rows` with zeros after them, so that there are `count`."""
    missing = count - len(rows)
    return rows if missing <= 0 else functional.pad(rows, (0, 0) * (rows.ndim - 1) + (0, missing))
