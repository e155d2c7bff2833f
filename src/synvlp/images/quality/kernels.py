"""The kernel distance between features: the squared maximum mean discrepancy, unbiased for any number of images."""

import numpy as np


def kernel_distance(
    one: np.ndarray, other: np.ndarray, one_weights: np.ndarray, other_weights: np.ndarray
) -> np.ndarray:
    """KID between features, for each row of weights: float64 (resamples,).

    The unbiased estimator of MMD² (Gretton et al. 2012, equation 3) with the kernel (xᵀy / d + 1)³ (Bińkowski et al.
    2018), over all images at once and not over subsets of them, so that nothing is drawn. It may be below 0. In a
    resample two copies of one image are no pair: as a pair they would raise the distance of equal sets above 0.

    Args:
        one, other: features (n, d) and (m, d).
        one_weights, other_weights: (resamples, n) and (resamples, m), how often each counts.
    """
    within = _within(polynomial(one, one), one_weights) + _within(polynomial(other, other), other_weights)
    across = np.einsum("rn,nr->r", one_weights, polynomial(one, other) @ other_weights.T)
    return within - 2 * across / (one_weights.sum(axis=1) * other_weights.sum(axis=1))


def polynomial(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The kernel (xᵀy / d + 1)³ of all pairs: (n, m) from (n, d) and (m, d)."""
    return (one @ other.T / one.shape[1] + 1) ** 3


def _within(kernel: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean of a kernel over pairs of different images."""
    squares = weights**2
    pairs = np.einsum("rn,nr->r", weights, kernel @ weights.T) - squares @ np.diag(kernel)
    return pairs / (weights.sum(axis=1) ** 2 - squares.sum(axis=1))
