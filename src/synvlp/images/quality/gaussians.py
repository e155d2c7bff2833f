"""The Fréchet distance between features, its bias, and its extrapolation to any number of images."""

import numpy as np


def frechet(one: np.ndarray, other: np.ndarray, one_weights: np.ndarray, other_weights: np.ndarray) -> np.ndarray:
    """Fréchet distance between normal distributions fitted to features, for each row of weights: float64 (resamples,).

    |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁ Σ₂)^½ (Heusel et al. 2017, equation 6; Dowson and Landau 1982), with unbiased
    covariances. It is biased upwards by about a constant over the number of images, so that only values from equal
    numbers can be compared.

    Args:
        one, other: features (n, d) and (m, d).
        one_weights, other_weights: (resamples, n) and (resamples, m), how often each counts.
    """
    rows = zip(one_weights, other_weights, strict=True)
    return np.array([_frechet(*_moments(one, a), *_moments(other, b)) for a, b in rows])


def extrapolated(
    one: np.ndarray, other: np.ndarray, generator: np.random.Generator, sizes: int = 8, repeats: int = 4
) -> float:
    """The Fréchet distance for infinitely many images: FID∞ of Chong and Forsyth 2020 (section 4).

    Distances between subsets of equal share are fitted by a line over one over their size; its value at 0 is returned.
    Sizes run from a third of the images to all of them, evenly in one over their size. The line holds where subsets
    have more images than features have dimensions, and is a rough guess below.

    Args:
        one, other: features (n, d) and (m, d).
        generator: draws the subsets, without replacement.
        sizes: how many sizes.
        repeats: subsets of each size, of which the mean is fitted.
    """
    shares = 1 / np.linspace(1, 3, sizes)
    places, values = [], []
    for share in shares:
        count = [max(2, round(share * len(part))) for part in (one, other)]
        for _ in range(repeats if share < 1 else 1):
            subsets = [
                part[generator.permutation(len(part))[:size]] for part, size in zip((one, other), count, strict=True)
            ]
            places.append(1 / share)
            values.append(plain(*subsets))
    return float(np.polyfit(places, values, 1, w=_even(places))[1])


def plain(one: np.ndarray, other: np.ndarray) -> float:
    """The Fréchet distance between features (n, d) and (m, d), every image once."""
    return float(frechet(one, other, np.ones((1, len(one))), np.ones((1, len(other))))[0])


def _even(places: list[float]) -> np.ndarray:
    """Weights of a fit in which every size counts alike, however many subsets it has (polyfit squares them)."""
    _, place, counts = np.unique(places, return_inverse=True, return_counts=True)
    return counts[place] ** -0.5


def _moments(features: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and a root R (n', d) of the covariance, RᵀR, of the images that count."""
    drawn = weights > 0
    features, weights = features[drawn], weights[drawn]
    mean = weights @ features / weights.sum()
    return mean, (features - mean) * np.sqrt(weights / (weights.sum() - 1))[:, None]


def _frechet(mean: np.ndarray, root: np.ndarray, other_mean: np.ndarray, other_root: np.ndarray) -> float:
    """From means and roots A, B of the covariances: tr (AᵀA BᵀB)^½ is the sum of the singular values of A Bᵀ.

    They are the roots of the eigenvalues of A Bᵀ B Aᵀ, which are found several times faster.
    """
    root, other_root = (_square(part) if len(part) > len(mean) else part for part in (root, other_root))
    product = root @ other_root.T
    gram = product @ product.T if len(product) <= product.shape[1] else product.T @ product
    shared = np.sqrt(np.linalg.eigvalsh(gram).clip(min=0)).sum()
    return float(((mean - other_mean) ** 2).sum() + (root**2).sum() + (other_root**2).sum() - 2 * shared)


def _square(root: np.ndarray) -> np.ndarray:
    """A square root (d, d) with the same RᵀR as a tall one (n, d)."""
    return np.linalg.qr(root, mode="r")
