"""The kernel distance between features: the squared maximum mean discrepancy, unbiased for any number of images."""

from collections.abc import Sequence

import numpy as np


def kernel_distance(
    one: np.ndarray,
    other: np.ndarray,
    one_weights: np.ndarray,
    other_weights: np.ndarray,
    one_patients: Sequence[str],
    other_patients: Sequence[str],
) -> np.ndarray:
    """KID between features, for each row of weights: float64 (resamples,).

    The unbiased estimator of MMD² (Gretton et al. 2012, equation 3) with the kernel (xᵀy / d + 1)³ (Bińkowski et al.
    2018), over all images at once and not over subsets of them, so that nothing is drawn. It may be below 0. Within a
    set only images of different patients are a pair: two of one patient are alike, as are two copies in a resample,
    and as pairs they would raise the distance of equal sets above 0.

    Args:
        one, other: features (n, d) and (m, d).
        one_weights, other_weights: (resamples, n) and (resamples, m), how often each counts.
        one_patients, other_patients: whose images these are, (n,) and (m,).

    Returns:
        NaN for a resample that has images of one patient only.
    """
    within = sum(
        _within(polynomial(features, features), weights, np.asarray(patients))
        for features, weights, patients in ((one, one_weights, one_patients), (other, other_weights, other_patients))
    )
    across = np.einsum("rn,nr->r", one_weights, polynomial(one, other) @ other_weights.T)
    return within - 2 * across / (one_weights.sum(axis=1) * other_weights.sum(axis=1))


def polynomial(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The kernel (xᵀy / d + 1)³ of all pairs: (n, m) from (n, d) and (m, d)."""
    return (one @ other.T / one.shape[1] + 1) ** 3


def _within(kernel: np.ndarray, weights: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """The weighted mean of a kernel over pairs of images of different patients."""
    apart = (patients[:, None] != patients[None, :]).astype(float)
    total = np.einsum("rn,nr->r", weights, (kernel * apart) @ weights.T)
    pairs = np.einsum("rn,nr->r", weights, apart @ weights.T)
    return np.divide(total, pairs, out=np.full(total.shape, np.nan), where=pairs > 0)
