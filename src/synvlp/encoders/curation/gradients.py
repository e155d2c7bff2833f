"""A description of an image without any training: where its edges point, and how light its parts are."""

import numpy as np
from PIL import Image

CELL, BINS, THUMBNAIL = 8, 8, 16


def describe(pixels: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients and a thumbnail: float64 ((S/8)² · 8 + 256,), of uint8 (S, S)."""
    small = Image.fromarray(pixels).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.concatenate([histograms(pixels), np.asarray(small, np.float64).ravel() / 255])


def histograms(pixels: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients: float64 ((S/8)² · 8,), of uint8 (S, S).

    After Dalal and Triggs (CVPR 2005): unsigned orientations in cells of 8 × 8 pixels, votes weighted by magnitude and
    shared between the two nearest bins, each cell divided by the length of its 3 × 3 neighbourhood, clipped at 0.2.
    """
    values = pixels.astype(np.float64)
    down, right = np.gradient(values)
    angle = np.arctan2(down, right) % np.pi / np.pi * BINS
    low = np.floor(angle).astype(int)
    part, strength = angle - low, np.hypot(down, right)
    votes = np.zeros((*pixels.shape, BINS))
    y, x = np.indices(pixels.shape)
    votes[y, x, low % BINS] = strength * (1 - part)
    votes[y, x, (low + 1) % BINS] += strength * part
    cells = len(pixels) // CELL
    return _normalised(votes.reshape(cells, CELL, cells, CELL, BINS).sum((1, 3))).ravel()


def _normalised(cells_of: np.ndarray) -> np.ndarray:
    power = np.pad((cells_of**2).sum(2), 1, mode="edge")
    cells = len(cells_of)
    around = sum(power[y : y + cells, x : x + cells] for y in range(3) for x in range(3))
    return np.minimum(cells_of / np.sqrt(around + 1.0)[..., None], 0.2)
