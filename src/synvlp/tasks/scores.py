"""Metrics of classification and segmentation, from targets and predictions as the tables hold them."""

from collections.abc import Sequence

import numpy as np


def classification(
    targets: np.ndarray, scores: np.ndarray, labels: Sequence[str], thresholds: Sequence[float], *, exclusive: bool
) -> dict[str, float]:
    """Metrics per label ("auroc/effusion") and their means over labels ("auroc").

    Args:
        targets: 0 or 1 (n, labels).
        scores: probabilities (n, labels).
        thresholds: per label, chosen on other data, for F1.
        exclusive: also accuracy, of the label with the highest score.

    A label that is present (or absent) everywhere has no AUROC and is left out of its mean.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    found: dict[str, float] = {}
    for column, label in enumerate(labels):
        truth, score = targets[:, column], scores[:, column]
        if 0 < truth.sum() < len(truth):
            found[f"auroc/{label}"] = float(roc_auc_score(truth, score))
            found[f"average_precision/{label}"] = float(average_precision_score(truth, score))
        found[f"f1/{label}"] = f1(truth, score >= thresholds[column])
    if exclusive:
        found["accuracy"] = float((targets.argmax(1) == scores.argmax(1)).mean())
    return found | means(found, labels)


def means(found: dict[str, float], labels: Sequence[str]) -> dict[str, float]:
    """The mean over labels of every metric "name/label", as "name"; labels without a value are left out."""
    names = dict.fromkeys(key.partition("/")[0] for key in found if "/" in key)
    values = {name: [found[f"{name}/{label}"] for label in labels if f"{name}/{label}" in found] for name in names}
    return {name: float(np.mean(list_)) for name, list_ in values.items()}


def f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """F1 = 2 TP / (2 TP + FP + FN); 0 where nothing is true and nothing is predicted."""
    common = np.sum(truth.astype(bool) & predicted)
    return float(2 * common / max(truth.sum() + predicted.sum(), 1))


def best_threshold(truth: np.ndarray, score: np.ndarray) -> float:
    """The threshold (score >= threshold) with the highest F1, the highest of several; 0.5 without positives.

    To be chosen on validation data: chosen on the data it is reported for, F1 would be too good.
    """
    if not truth.any():
        return 0.5
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    common = np.cumsum(truth[order])
    value = 2 * common / (np.arange(1, len(order) + 1) + truth.sum())
    value[np.append(ranked[1:] == ranked[:-1], False)] = -1  # a threshold takes all of equal scores
    return float(ranked[int(np.argmax(value))])


def segmentation(target: np.ndarray, predicted: np.ndarray, common: np.ndarray) -> dict[str, float]:
    """Dice and IoU of one label from pixel counts per image, each int (n,).

    Dice of an image is 2 common / (target + predicted), IoU common / (target + predicted - common). An image
    without target scores 1 if nothing is predicted, else 0: on sets with many such images an empty prediction
    scores well, so "dice_positives" and "iou_positives" are over the images with a target alone.
    """
    both = target + predicted
    empty = both == 0
    dice = np.where(empty, 1.0, 2 * common / np.maximum(both, 1))
    iou = np.where(empty, 1.0, common / np.maximum(both - common, 1))
    found = {"dice": float(dice.mean()), "iou": float(iou.mean())}
    positive = target > 0
    if positive.any():
        found |= {"dice_positives": float(dice[positive].mean()), "iou_positives": float(iou[positive].mean())}
    return found
