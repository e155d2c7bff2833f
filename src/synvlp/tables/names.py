"""What tables and figures call things, and the order in which they come."""

import re
from collections.abc import Iterable, Sequence

CHANCE = "chance"  # a row of tables: what is to be expected without looking
METHODS = (CHANCE, "random", "imagenet", "convirt", "gloria", "mgca")
SOURCES = ("none", "real", "synthetic", "mixed")
MAIN = {
    "classification": ("auroc", "accuracy"),
    "segmentation": ("dice", "dice_positives", "iou"),
    "detection": ("map", "ap50", "map_40_75"),
    "zero-shot": ("auroc", "f1", "accuracy", "label_accuracy"),
    "retrieval": tuple(
        f"{kind}_{way}"
        for way in ("image_to_text", "text_to_image")
        for kind in ("recall_1", "recall_5", "recall_10", "precision_5", "precision_10")
    ),
    "grounding": ("pointing", "miou", "cnr"),
}
UNBOUNDED = ("cnr",)  # metrics that do not go from 0 to 1
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
    "f1": "F1",
    "label_accuracy": "accuracy of labels",
    "pointing": "pointing game",
    "miou": "mIoU",
    "cnr": "CNR",
    "cnr_absolute": "CNR, absolute",
}
_RANKED = re.compile(r"(recall|precision)_(\d+)_(image_to_text|text_to_image)")
MEANINGS = {
    "auroc": "AUROC is the area under the ROC curve, the mean over labels",
    "accuracy": "accuracy is the share of images whose class is right",
    "dice": "Dice is the mean over images, 1 where mask and prediction are both empty",
    "dice_positives": "Dice, positives is the mean over images with the finding",
    "iou": "IoU is the mean over images, 1 where mask and prediction are both empty",
    "map": "mAP is COCO's average precision over IoU 0.50 to 0.95",
    "ap50": "AP50 is average precision at IoU 0.50",
    "map_40_75": "mAP 0.40–0.75 is average precision over IoU 0.40 to 0.75",
    "f1": "F1 is that of labels at thresholds from the validation split, the mean over labels",
    "label_accuracy": "accuracy of labels is the share of images of which a label is told right at these thresholds, "
    "the mean over labels",
    "pointing": "the pointing game is the share of maps whose highest place lies in the target",
    "miou": "mIoU is the IoU of target and map in the mean over thresholds",
    "cnr": "CNR is the contrast of inside and outside over their spread, which has no bounds",
}


def title(name: str) -> str:
    """How a method, source or metric is written for people."""
    ranked = _RANKED.fullmatch(name)
    if ranked:
        kind, k, way = ranked.groups()
        return f"{'R' if kind == 'recall' else 'P'}@{k} {way.replace('_to_', '→')}"
    return TITLES.get(name, name)


def meanings(metrics: Iterable[str]) -> list[str]:
    """What the metrics mean, in a sentence's part each; metrics at several k share one, others may have none."""
    found = []
    for metric in metrics:
        ranked = _RANKED.fullmatch(metric)
        if ranked and ranked[1] == "recall":
            found.append("R@k is the share of questions whose own answer is among the first k, equal texts being one")
        elif ranked:
            found.append("P@k is the share of the first k that carry the question's labels, equal texts being one")
        elif metric in MEANINGS:
            found.append(MEANINGS[metric])
    return list(dict.fromkeys(found))


def main(task: str, found: Iterable[str]) -> tuple[str, ...]:
    """The metrics of a task's table, the first one being that of its figure.

    Of a task that is not known here all that were `found` are taken, in alphabetical order, but those of one label; of
    retrieval, those at any k.
    """
    plain = {metric for metric in found if "/" not in metric}
    known = MAIN.get(task)
    if not known:
        return tuple(sorted(plain))
    return known + tuple(sorted(metric for metric in plain - set(known) if _RANKED.fullmatch(metric)))


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
