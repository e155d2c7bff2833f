"""What tables and figures call things, and the order in which they come."""

import re
from collections.abc import Iterable, Sequence

METHODS = ("random", "imagenet", "convirt", "gloria", "mgca")
SOURCES = ("none", "real", "synthetic", "mixed")
MAIN = {
    "classification": ("auroc", "accuracy"),
    "segmentation": ("dice", "dice_positives", "iou"),
    "detection": ("map", "ap50", "map_40_75"),
}
TITLES = {
    "random": "random weights",
    "imagenet": "ImageNet",
    "convirt": "ConVIRT",
    "gloria": "GLoRIA",
    "mgca": "MGCA",
    "none": "–",
    "auroc": "AUROC",
    "accuracy": "accuracy",
    "dice": "Dice",
    "dice_positives": "Dice, positives",
    "iou": "IoU",
    "map": "mAP",
    "ap50": "AP50",
    "map_40_75": "mAP 0.40–0.75",
}
MEANINGS = {
    "auroc": "AUROC is the area under the ROC curve, the mean over labels",
    "accuracy": "accuracy is the share of images whose class is right",
    "dice": "Dice is the mean over images, 1 where mask and prediction are both empty",
    "dice_positives": "Dice, positives is the mean over images with the finding",
    "iou": "IoU is the mean over images, 1 where mask and prediction are both empty",
    "map": "mAP is COCO's average precision over IoU 0.50 to 0.95",
    "ap50": "AP50 is average precision at IoU 0.50",
    "map_40_75": "mAP 0.40–0.75 is average precision over IoU 0.40 to 0.75",
}


def title(name: str) -> str:
    """How a method, source or metric is written for people."""
    return TITLES.get(name, name)


def ordered(names: Iterable[str], first: Sequence[str]) -> list[str]:
    """The distinct names: those in `first` in its order, then all others by name, numbers in them by value."""
    return sorted(set(names), key=lambda name: place(name, first))


def place(name: str, first: Sequence[str]) -> tuple:
    """Sorting key for `ordered`."""
    parts = tuple(int(part) if number % 2 else part for number, part in enumerate(re.split(r"(\d+)", name)))
    return (first.index(name) if name in first else len(first), parts, name)


def percent(fraction: float) -> str:
    """A share of labels for people: 0.1 is 10 %."""
    return f"{100 * fraction:.4g} %"


def main(task: str, found: Iterable[str]) -> tuple[str, ...]:
    """The metrics of a task's table, the first one being that of its figure.

    Of a task that is not known here all that were `found` are taken, in alphabetical order, but those of one label.
    """
    known = MAIN.get(task)
    return known or tuple(sorted({metric for metric in found if "/" not in metric}))


def share(fraction: float, of: str = "labels") -> str:
    """How many labels were used, for people: 10 % of labels."""
    return f"{percent(fraction)} of {of}" if fraction else "no labels"


def arm(method: str, source: str) -> str:
    """An encoder for people: ConVIRT, synthetic; random weights."""
    return title(method) if source == "none" else f"{title(method)}, {source}"


def signed(value: float) -> str:
    """A difference with its sign, to three decimals; 0.000 has none."""
    text = f"{value:+.3f}".replace("-", "−")
    return text[1:] if text[1:] == "0.000" else text


def probability(value: float) -> str:
    """A p-value to three decimals."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"
