"""Limits of judges at a stated share of false rejections, in a corpus of which nobody knows what is wrong with it."""

from collections.abc import Sequence

import numpy as np

# Rounds of the estimate of shares; it stands still long before.
ROUNDS = 200


def shares(posteriors: np.ndarray, trained: np.ndarray, least: float = 0.0) -> np.ndarray:
    """The share of each class in a corpus, from a classifier that was trained with other shares: (C,).

    Expectation maximisation of Saerens, Latinne and Decaestecker (Neural Computation 14, 2002), eq. 2.9.

    Args:
        posteriors: what the classifier says of each sample: (n, C), rows sum to 1.
        trained: the shares it was trained with: (C,), none of them 0.
        least: the first class is never estimated lower; the others then share the rest as they do.
    """
    found = np.asarray(trained, np.float64)
    for _ in range(ROUNDS):
        found = adjusted(posteriors, trained, found).mean(0)
        if found[0] < least:
            found = np.concatenate([[least], found[1:] * (1 - least) / found[1:].sum()])
    return found


def temperature(said: np.ndarray, shares: np.ndarray) -> float:
    """By what a classifier's logits are divided so that its confidence is right on average (Guo et al., ICML 2017).

    Args:
        said: log-probabilities of samples that it did not learn from, by their true class: (C, n, C).
        shares: how much each true class counts: (C,).

    Returns:
        The temperature with the least cross-entropy, from 1 to 20; 1 where there is no sample.
    """
    from scipy.optimize import minimize_scalar

    if not said.shape[1]:
        return 1.0
    true = np.arange(len(said))

    def loss(heat: float) -> float:
        return -float(shares @ tempered(said, heat)[true, :, true].mean(1))

    return float(minimize_scalar(loss, bounds=(1, 20), method="bounded").x)


def tempered(said: np.ndarray, heat: float) -> np.ndarray:
    """Log-probabilities at a temperature; classes are the last axis."""
    values = said / heat
    highest = values.max(-1, keepdims=True)
    return values - highest - np.log(np.exp(values - highest).sum(-1, keepdims=True))


def adjusted(posteriors: np.ndarray, trained: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Posteriors for the shares `found` in place of those the classifier was trained with (same source, eq. 2.4)."""
    odds = posteriors * (found / trained)
    return odds / np.maximum(odds.sum(1, keepdims=True), 1e-300)


def quantile(values: np.ndarray, weights: np.ndarray, above: float) -> float:
    """The lowest of `values` that no more than a share `above` of the weight exceeds."""
    order = np.argsort(values, kind="stable")
    exceeding = weights.sum() - np.cumsum(weights[order])
    fits = exceeding <= above * weights.sum() + 1e-12
    return float(values[order][int(np.argmax(fits))])


def relative(
    scores: np.ndarray, groups: Sequence[slice], folds: np.ndarray, sound: np.ndarray, above: float
) -> np.ndarray:
    """Scores as multiples of their limit, so that of sound samples a share `above` exceeds 1 in any column.

    Within its fold, whose model has a scale of its own, each group of columns is centred and scaled: the median of its
    largest column becomes 0, and the level that a share `above` of sound samples exceeds in it becomes 1. One limit
    for the largest of all columns follows.

    Args:
        scores: more is worse: (n, R).
        groups: columns that have one scale, such as all classes of one classifier.
        folds: whose model gave them: (n,).
        sound: the probability that there is nothing wrong with a sample: (n,).
        above: share of false rejections.
    """
    scaled = np.empty_like(scores, dtype=np.float64)
    for fold in np.unique(folds):
        rows = folds == fold
        for columns in groups:
            values, weights = scores[rows, columns], sound[rows]
            largest = values.max(1)
            middle, high = quantile(largest, weights, 0.5), quantile(largest, weights, above)
            scaled[rows, columns] = (values - middle) / max(high - middle, 1e-6)
    limit = quantile(scaled.max(1), sound, above)
    return scaled / max(limit, 1e-6)


def outlying(values: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """How far values lie above the median of their fold, in standard deviations estimated from the median deviation.

    As many as half of a fold may be outliers and do not move the estimate. (n,), as are the arguments.
    """
    found = np.empty(len(values))
    for fold in np.unique(folds):
        rows = folds == fold
        middle = np.median(values[rows])
        found[rows] = (values[rows] - middle) / max(1.4826 * np.median(np.abs(values[rows] - middle)), 1e-6)
    return found


def lower_limit(own: np.ndarray, others: np.ndarray, above: float, assumed: float) -> float:
    """The level below which own pairs are rejected, so that of true pairs at most a share `above` is.

    Own scores are a mixture: most of true pairs, and a share c of pairs that do not belong together, whose scores are
    distributed as those of permuted pairs. The share of false rejections below t is then (F_own(t) − c F_others(t))
    / (1 − c). c is what the user assumes, but never more than the lowest F_own / F_others, which bounds it.

    Args:
        own: scores of the corpus's pairs: (n,).
        others: scores of images with other studies' texts: (m,).
        above: share of true pairs that may be rejected.
        assumed: c.
    """
    levels = np.sort(own)
    below = np.arange(len(levels)) / len(levels)
    null = np.searchsorted(np.sort(others), levels, side="left") / len(others)
    seen = null >= 0.05
    bound = float(((below + 1 / len(levels)) / np.maximum(null, 1e-9))[seen].min()) if seen.any() else 0.0
    mixed = min(assumed, bound)
    wrong = (below - mixed * null) / (1 - mixed)
    too_many = np.flatnonzero(wrong > above)
    return float(levels[too_many[0] - 1 if len(too_many) else -1])
