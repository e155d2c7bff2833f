"""Detections against true boxes: COCO's greedy matching, average precision, and the papers' protocol."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# 0.40, 0.45, …, 0.95: COCO's ten thresholds and, below and among them, the papers' eight (0.40 to 0.75).
THRESHOLDS = np.round(np.arange(12) * 0.05 + 0.4, 2)
COCO = slice(2, 12)
PAPERS = slice(0, 8)
MAX_DETECTIONS = 100  # per image and category, as COCO counts


@dataclass(frozen=True)
class Detections:
    """What was found in one image.

    Attributes:
        scores: float (n,), falling.
        boxes: float (n, 4): x, y, width, height in pixels.
        labels: int (n,), from 0.
    """

    scores: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray


def iou(detected: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes x, y, width, height: (n, 4) and (m, 4) give (n, m)."""
    first, second = detected[:, None, :], true[None, :, :]
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., :2] + first[..., 2:], second[..., :2] + second[..., 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    union = first[..., 2:].prod(-1) + second[..., 2:].prod(-1) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def match(detected: np.ndarray, true: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> np.ndarray:
    """Which detections are true positives, by COCO's matching in one image for one category.

    In the order of falling score each detection takes the true box with the highest IoU among those that
    none took before it, if that IoU reaches the threshold. Dropping the detections with the lowest scores
    leaves the others' matches as they are.

    Args:
        detected: (n, 4) x, y, width, height, by falling score.
        true: (m, 4).
        thresholds: of the IoU, (t,).

    Returns:
        bool (n, t).
    """
    matched = np.zeros((len(detected), len(thresholds)), bool)
    if not len(true):
        return matched
    overlaps = iou(detected, true)
    free = np.ones((len(thresholds), len(true)), bool)
    rows = np.arange(len(thresholds))
    for number, overlap in enumerate(overlaps):
        candidates = np.where(free & (overlap >= thresholds[:, None]), overlap, -1.0)
        best = len(true) - 1 - candidates[:, ::-1].argmax(1)  # the last of equal ones, as COCO takes
        matched[number] = candidates[rows, best] >= 0
        free[rows[matched[number]], best[matched[number]]] = False
    return matched


def average_precision(scores: np.ndarray, matched: np.ndarray, objects: int) -> np.ndarray:
    """COCO's average precision: precision interpolated at recall 0, 0.01, …, 1 (101 points), their mean.

    Args:
        scores: float (n,), of all images; equal scores stay in the order given.
        matched: bool (n, t): true positives per IoU threshold.
        objects: number of true boxes in all images.

    Returns:
        float (t,); NaN if there is no object.
    """
    if objects == 0:
        return np.full(matched.shape[1], np.nan)
    hits = matched[np.argsort(-scores, kind="stable")].cumsum(0)
    recall = hits / objects
    precision = hits / np.arange(1, len(hits) + 1)[:, None]
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    points = np.linspace(0, 1, 101)
    found = np.zeros(matched.shape[1])
    for column in range(matched.shape[1]):
        place = np.searchsorted(recall[:, column], points)
        found[column] = np.append(precision[:, column], 0.0)[place].mean()
    return found


@dataclass(frozen=True)
class Matches:
    """The matching of all images, one entry per image and category.

    Attributes:
        image: int (n,), label: int (n,), scores: float (n,), matched: bool (n, 12) of the detections.
        objects: int (images, labels), the number of true boxes.
    """

    image: np.ndarray
    label: np.ndarray
    scores: np.ndarray
    matched: np.ndarray
    objects: np.ndarray

    def precision(self) -> np.ndarray:
        """Average precision over every image, float (labels, 12); NaN for labels without objects."""
        return self._precision(np.ones(len(self.objects), bool), -np.inf)

    def published(self, confidence: float) -> np.ndarray:
        """Average precision as the papers' code has it, float (labels, 12).

        Detections below `confidence` are dropped first; then images without detections *or* without
        objects are left out, so that missed images and false positives in normal images cost nothing.
        """
        kept = self.scores >= confidence
        seen = np.zeros(len(self.objects), bool)
        seen[self.image[kept]] = True
        return self._precision(seen & (self.objects.sum(1) > 0), confidence)

    def _precision(self, images: np.ndarray, confidence: float) -> np.ndarray:
        rows = images[self.image] & (self.scores >= confidence)
        found = []
        for label in range(self.objects.shape[1]):
            own = rows & (self.label == label)
            count = int(self.objects[images, label].sum())
            found.append(average_precision(self.scores[own], self.matched[own], count))
        return np.array(found)


def match_all(
    detections: Sequence[Detections], true_boxes: Sequence[np.ndarray], true_labels: Sequence[np.ndarray], labels: int
) -> Matches:
    """Match the detections of all images, category by category.

    Args:
        detections, true_boxes ((m, 4)), true_labels ((m,)): one entry per image.
        labels: number of categories.
    """
    objects = np.zeros((len(detections), labels), np.int64)
    matched = []
    for number, (found, boxes, classes) in enumerate(zip(detections, true_boxes, true_labels, strict=True)):
        objects[number] = np.bincount(classes, minlength=labels)
        own = np.zeros((len(found.scores), len(THRESHOLDS)), bool)
        for label in np.unique(found.labels):
            chosen = found.labels == label
            own[chosen] = match(found.boxes[chosen], boxes[classes == label])
        matched.append(own)
    return Matches(
        np.repeat(np.arange(len(detections)), [len(found.scores) for found in detections]),
        np.concatenate([found.labels for found in detections]).astype(np.int64),
        np.concatenate([found.scores for found in detections]),
        np.concatenate(matched),
        objects,
    )


def coco_precision(
    detections: Sequence[Detections], true_boxes: Sequence[np.ndarray], true_labels: Sequence[np.ndarray], labels: int
) -> np.ndarray:
    """Average precision by pycocotools over every image, float (labels, 12); NaN for labels without objects."""
    from pycocotools.coco import COCO as Dataset
    from pycocotools.cocoeval import COCOeval

    truth, found = Dataset(), Dataset()
    listed = [{"id": number} for number in range(1, len(detections) + 1)]
    categories = [{"id": number} for number in range(1, labels + 1)]
    parts = {
        truth: [(boxes, classes, np.ones(len(boxes))) for boxes, classes in zip(true_boxes, true_labels, strict=True)],
        found: [(own.boxes, own.labels, own.scores) for own in detections],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        for side, images in parts.items():
            side.dataset = {"images": listed, "categories": categories, "annotations": _annotations(images)}
            side.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.params.iouThrs = THRESHOLDS
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 0]  # (thresholds, recalls, labels)
    return np.where((precision < 0).any(1), np.nan, precision.mean(1)).T


def _annotations(images: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[dict]:
    rows = [
        (number, box, label, score)
        for number, (boxes, labels, scores) in enumerate(images, 1)
        for box, label, score in zip(boxes, labels, scores, strict=True)
    ]
    return [
        {
            "id": number,
            "image_id": image,
            "category_id": int(label) + 1,
            "bbox": [float(value) for value in box],
            "area": float(box[2] * box[3]),
            "score": float(score),
            "iscrowd": 0,
        }
        for number, (image, box, label, score) in enumerate(rows, 1)
    ]


def metrics(precision: np.ndarray, published: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
    """The metrics of detection from average precisions, each (labels, 12); undefined ones are left out.

    map, ap50: COCO's, over every image. map_40_75: the papers' thresholds, over every image.
    map_40_75_published: the papers' thresholds and the images that their code looks at (see Matches.published).
    """
    columns = {
        "map": precision[:, COCO].mean(1),
        "ap50": precision[:, 2],
        "map_40_75": precision[:, PAPERS].mean(1),
        "map_40_75_published": published[:, PAPERS].mean(1),
    }
    found = {}
    for name, values in columns.items():
        if np.isfinite(values).any():
            found[name] = float(np.nanmean(values))
        found |= {f"{name}/{label}": float(v) for label, v in zip(labels, values, strict=True) if np.isfinite(v)}
    return found
