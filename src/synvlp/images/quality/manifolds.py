"""Precision, recall, density and coverage: how two sets of features lie in each other's neighbourhoods."""

from dataclasses import dataclass

import numpy as np

from synvlp.images.quality import sets
from synvlp.store.images import batches

BLOCK = 1024


@dataclass(frozen=True)
class Neighbourhoods:
    """Per image, what the four figures are means of.

    Attributes:
        precise: (fakes,), whether a fake lies in the ball of some real image.
        dense: (fakes,), in how many balls of real images it lies, over k.
        recalled: (reals,), whether a real image lies in the ball of some fake.
        covered: (reals,), whether its own ball holds some fake.
    """

    precise: np.ndarray
    dense: np.ndarray
    recalled: np.ndarray
    covered: np.ndarray


def neighbourhoods(real: np.ndarray, fake: np.ndarray, k: int) -> Neighbourhoods:
    """Compare features (n, d) and (m, d). An image's ball reaches to its k-th nearest neighbour in its own set.

    Precision is the mean of `precise`, recall of `recalled` (Kynkäänniemi et al. 2019, equations 1 and 2); density is
    the mean of `dense` and may exceed 1, coverage of `covered` (Naeem et al. 2020, equations 3 and 4). All float64.
    """
    reach, fake_reach = radii(real, k), radii(fake, k)
    precise, dense = np.zeros(len(fake)), np.zeros(len(fake))
    recalled, covered = np.zeros(len(real), dtype=bool), np.zeros(len(real), dtype=bool)
    for part in batches(len(fake), BLOCK):
        apart = sets.distances(fake[part], real)
        inside = apart <= reach
        precise[part] = inside.any(axis=1)
        dense[part] = inside.sum(axis=1) / k
        recalled |= (apart <= fake_reach[part, None]).any(axis=0)
        covered |= inside.any(axis=0)
    return Neighbourhoods(precise, dense, recalled.astype(float), covered.astype(float))


def radii(features: np.ndarray, k: int) -> np.ndarray:
    """The distance of each image to its k-th nearest neighbour, itself not counted: (n,) from (n, d)."""
    found = np.empty(len(features))
    for part in batches(len(features), BLOCK):
        # Of each row's distances one is its own 0; at place k of the sorted row is the k-th neighbour.
        found[part] = np.partition(sets.distances(features[part], features), k, axis=1)[:, k]
    return found
