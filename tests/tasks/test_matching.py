import numpy as np
import pytest

from synvlp.tasks import matching
from synvlp.tasks.matching import Detections, average_precision, coco_precision, iou, match_all, metrics


def found(scores=(), boxes=(), labels=None) -> Detections:
    boxes = np.array(boxes, float).reshape(-1, 4)
    return Detections(np.array(scores, float), boxes, np.zeros(len(boxes), int) if labels is None else np.array(labels))


def scene(seed: int, images: int = 25, labels: int = 2, crowd: int = 5, most: int = 60, digits: int = 2):
    """Images with and without objects and detections; scores are rounded so that some are equal."""
    rng = np.random.default_rng(seed)
    detections, boxes, classes = [], [], []
    for number in range(images):
        true = np.concatenate([rng.uniform(0, 40, (crowd, 2)), rng.uniform(5, 25, (crowd, 2))], 1)
        true = true[: rng.integers(0, crowd + 1)] if number % 3 else true[:0]
        count = rng.integers(0, most) if number % 4 else 0
        near = true[rng.integers(0, len(true), count)] if len(true) else rng.uniform(5, 30, (count, 4))
        near = near + rng.normal(0, 2, (count, 4))
        near[:, 2:] = np.maximum(near[:, 2:], 1)
        score = np.sort(np.round(rng.random(count), digits))[::-1]
        detections.append(found(score, near, rng.integers(0, labels, count)))
        boxes.append(true)
        classes.append(rng.integers(0, labels, len(true)))
    return detections, boxes, classes, labels


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("crowd", [1, 5, 20])
def test_own_average_precision_is_that_of_pycocotools(seed, crowd):
    case = scene(seed, crowd=crowd)
    assert match_all(*case).precision() == pytest.approx(coco_precision(*case), abs=1e-6, nan_ok=True)


def test_average_precision_is_that_of_torchmetrics():
    import torch
    from torchmetrics.detection import MeanAveragePrecision

    detections, boxes, classes, labels = scene(11, digits=9)
    # Its own recall points are float32, so that a recall of exactly 0.2 falls short of the point 0.2.
    points = np.linspace(0, 1, 101).tolist()
    metric = MeanAveragePrecision("xywh", "bbox", rec_thresholds=points)
    metric.update(
        [
            {"boxes": torch.tensor(d.boxes), "scores": torch.tensor(d.scores), "labels": torch.tensor(d.labels)}
            for d in detections
        ],
        [{"boxes": torch.tensor(b), "labels": torch.tensor(c)} for b, c in zip(boxes, classes, strict=True)],
    )
    expected = metric.compute()
    own = metrics(
        coco_precision(detections, boxes, classes, labels),
        match_all(detections, boxes, classes, labels).published(0.5),
        ["a", "b"],
    )
    assert own["map"] == pytest.approx(expected["map"].item(), abs=1e-5)
    assert own["ap50"] == pytest.approx(expected["map_50"].item(), abs=1e-5)


@pytest.mark.parametrize(
    ("detections", "boxes"),
    [
        ([found(), found()], [[[1, 1, 5, 5]], []]),
        ([found([0.5], [[1, 1, 5, 5]]), found()], [[], []]),
        ([found([0.5], [[1, 1, 5, 5]]), found([0.9, 0.2], [[1, 1, 5, 5]] * 2)], [[[1, 1, 5, 5]], []]),
        ([found([0.9, 0.8], [[0, 0, 10, 10], [0, 0, 10, 9]])], [[[0, 0, 10, 9.5], [0, 0, 10, 10]]]),
    ],
)
def test_empty_and_equal_cases_agree_with_pycocotools(detections, boxes):
    boxes = [np.array(own, float).reshape(-1, 4) for own in boxes]
    case = detections, boxes, [np.zeros(len(own), int) for own in boxes], 1
    assert match_all(*case).precision() == pytest.approx(coco_precision(*case), abs=1e-6, nan_ok=True)


def test_missed_images_and_false_alarms_count_except_as_published():
    box = [10, 10, 20, 20]
    true = [np.array([box], float)] * 2 + [np.zeros((0, 4))]
    classes = [np.zeros(len(own), int) for own in true]
    # Found in the first image, missed in the second, and something surer in the third, which is normal.
    detections = [found([0.8], [box]), found([0.3], [[40, 40, 5, 5]]), found([0.9], [[5, 5, 9, 9]])]
    matches = match_all(detections, true, classes, 1)
    # One of two objects at precision 1/2: 51 of the 101 recall points.
    assert matches.precision() == pytest.approx(np.full((1, 12), 51 / 101 / 2))
    assert matches.published(0.5) == pytest.approx(np.ones((1, 12)))
    values = metrics(coco_precision(detections, true, classes, 1), matches.published(0.5), ["mass"])
    assert [values["map"], values["map_40_75"]] == pytest.approx([51 / 202] * 2)
    assert values["map_40_75_published"] == 1.0


def test_published_of_nothing_is_left_out():
    matches = match_all([found()], [np.array([[1.0, 1, 5, 5]])], [np.zeros(1, int)], 1)
    values = metrics(matches.precision(), matches.published(0.5), ["mass"])
    assert values["map"] == 0.0 and "map_40_75_published" not in values


def test_matches_stay_when_the_lowest_scores_are_dropped():
    detections, boxes, classes, labels = scene(3)
    whole = match_all(detections, boxes, classes, labels)
    cut = [Detections(d.scores[:9], d.boxes[:9], d.labels[:9]) for d in detections]
    part = match_all(cut, boxes, classes, labels)
    first = np.concatenate([np.arange(len(d.scores)) < 9 for d in detections])
    assert np.array_equal(whole.matched[first], part.matched)


def test_iou_of_known_boxes():
    boxes = np.array([[0, 0, 10, 10], [20, 20, 5, 5.0]])
    assert iou(boxes, np.array([[0, 0, 10, 10], [5, 0, 10, 10], [0, 0, 0, 0.0]])) == pytest.approx(
        np.array([[1, 1 / 3, 0], [0, 0, 0]])
    )


def test_average_precision_by_hand():
    matched = np.array([[True], [False], [True]])
    # Recall 1/3 at precision 1 (34 points), 2/3 at 2/3 (33 points), the rest is not reached.
    assert average_precision(np.array([0.9, 0.8, 0.7]), matched, 3) == pytest.approx((34 + 33 * 2 / 3) / 101)
    assert np.isnan(average_precision(np.array([0.5]), np.zeros((1, 12), bool), 0)).all()
    assert matching.THRESHOLDS[matching.COCO].tolist() == pytest.approx(np.linspace(0.5, 0.95, 10).tolist())
    assert matching.THRESHOLDS[matching.PAPERS].tolist() == pytest.approx(np.linspace(0.4, 0.75, 8).tolist())
