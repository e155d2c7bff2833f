"""MS-SSIM between images, with as many scales as their size allows."""

from typing import TYPE_CHECKING

import numpy as np

from synvlp import job
from synvlp.store.images import batches

if TYPE_CHECKING:
    import torch

# Weights of the five scales, fine to coarse (Wang, Simoncelli and Bovik 2003).
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11  # pixels a side of the Gaussian window with a deviation of 1.5
PAIRS = 64  # pairs at a time


def scales(side: int) -> tuple[float, ...]:
    """The weights of the scales that images of `side` pixels allow: each halves the side, and the window must fit.

    Five from 176 pixels on, as published; three at 64, one at 16: the published weights of the finest, scaled to sum
    to 1. Values with different numbers of scales cannot be compared. Raises JobError where not even one fits.
    """
    # torchmetrics wants the window to fit into the side over the squared number of halvings as well: four from 99 on.
    count = sum(side // max(2**level, level**2) >= WINDOW for level in range(len(SCALES)))
    if not count:
        raise job.JobError(f"MS-SSIM needs images of {WINDOW} pixels a side at least; these have {side}")
    weights = SCALES[:count]
    return tuple(weight / sum(weights) for weight in weights)


def ms_ssim(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """MS-SSIM of pairs of gray images, uint8 (n, S, S) both: float64 (n,), 1 for equal images.

    Negative contrast terms count as 0, as in Wang et al.'s own programme; without that their fractional powers are no
    numbers.
    """
    import torch

    found = [_of_batch(*(torch.from_numpy(np.array(part[rows])) for part in (one, other)))
             for rows in batches(len(one), PAIRS)]  # fmt: skip
    return torch.cat(found).double().numpy()


def _of_batch(one: "torch.Tensor", other: "torch.Tensor") -> "torch.Tensor":
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure,
        structural_similarity_index_measure,
    )

    betas = scales(one.shape[-1])
    images = [part[:, None].float() for part in (one, other)]
    if len(betas) == 1:
        found = structural_similarity_index_measure(*images, data_range=255.0, reduction="none")
        return found.reshape(-1).clamp_min(0)
    found = multiscale_structural_similarity_index_measure(
        *images, data_range=255.0, betas=betas, normalize="relu", reduction="none"
    )
    return found.reshape(-1)
