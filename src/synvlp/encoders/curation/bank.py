"""What the network that judges images learns from: a corpus's images and corrupted copies of them, shrunk.

Each copy depends on the seed, its study, the way and its number alone. Images are corrupted, and their statistics are
taken, at the size at which they are stored: grain and blur are gone in what is shrunk.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synvlp import job
from synvlp.encoders.curation import corruptions, statistics
from synvlp.store import images
from synvlp.store.seeds import seed_of

CLASSES = ("sound", *corruptions.LEARNED)


@dataclass
class Shrunk:
    """Images as a network reads them: uint8 (n, side, side), and their statistics: float32 (n, 7)."""

    pixels: np.ndarray
    statistics: np.ndarray


@dataclass
class Bank:
    """Originals and copies of n studies.

    Attributes:
        sound: the originals.
        copies: by way, in the order of `corruptions.LEARNED`: pixels uint8 (ways, variants, n, side, side) and
            statistics float32 (ways, variants, n, 7).
    """

    sound: Shrunk
    copies: Shrunk

    def take(self, classes: np.ndarray, variants: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels and statistics of samples by class (0: the original), variant and study, each (b,)."""
        pixels, numbers = self.sound.pixels[rows].copy(), self.sound.statistics[rows].copy()
        spoilt = classes > 0
        place = (classes[spoilt] - 1, variants[spoilt], rows[spoilt])
        pixels[spoilt], numbers[spoilt] = self.copies.pixels[place], self.copies.statistics[place]
        return pixels, numbers


def shrink(stored: Sequence[bytes], side: int) -> tuple[Shrunk, np.ndarray]:
    """Stored images as a network reads them, those that open; and which these are: bool (n,)."""
    rows, readable = [], np.zeros(len(stored), bool)
    for place, data in enumerate(job.progress(stored, "images read")):
        try:
            picture = images.decode(data)
        except ValueError:
            continue
        readable[place] = True
        rows.append((images.resize(picture, side), statistics.of(picture)))
    pixels = np.array([row[0] for row in rows], np.uint8).reshape(-1, side, side)
    return Shrunk(pixels, np.array([row[1] for row in rows], np.float32).reshape(-1, len(statistics.NAMES))), readable


def build(studies: Sequence[str], stored: Sequence[bytes], side: int, variants: int, seed: int) -> Bank:
    """The originals and `variants` copies of each way, of studies whose stored images open."""
    shape = (len(corruptions.LEARNED), variants, len(studies))
    pixels = np.empty((*shape, side, side), np.uint8)
    numbers = np.empty((*shape, len(statistics.NAMES)), np.float32)
    for row, study in enumerate(job.progress(studies, "images corrupted")):
        picture = images.decode(stored[row])
        for place, (way, corrupt) in enumerate(corruptions.LEARNED.items()):
            for variant in range(variants):
                random = np.random.default_rng(seed_of(seed, "judge", study, way, variant))
                spoilt = corrupt(picture, random)
                pixels[place, variant, row] = images.resize(spoilt, side)
                numbers[place, variant, row] = statistics.of(spoilt)
    return Bank(shrink(stored, side)[0], Shrunk(pixels, numbers))
