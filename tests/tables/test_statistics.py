import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn.metrics import roc_auc_score

from synvlp.tables import statistics


def test_weights_are_counts_of_draws_with_the_data_as_it_is_first():
    weights = statistics.draw_weights(40, 300, seed=3)
    assert weights.shape == (301, 40)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 40).all()
    assert abs(weights[1:].var() - (1 - 1 / 40)) < 0.05  # of a multinomial count with mean 1
    np.testing.assert_array_equal(weights, statistics.draw_weights(40, 300, seed=3))
    assert (weights[1:] != statistics.draw_weights(40, 300, seed=4)[1:]).any()


@pytest.mark.parametrize("digits", [1, 6])  # with and without ties
def test_auroc_equals_scikit_learn_on_repeated_studies(digits):
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 2, 60)
    scores = np.round(generator.random(60) + 0.2 * targets, digits)
    weights = statistics.draw_weights(60, 25, seed=1)
    expected = [roc_auc_score(np.repeat(targets, row), np.repeat(scores, row)) for row in weights]
    np.testing.assert_allclose(statistics.auroc(scores, targets, weights), expected, atol=1e-12)


def test_auroc_is_nan_where_a_resample_has_one_class():
    weights = np.array([[1, 1, 1], [0, 2, 1], [3, 0, 0]])
    values = statistics.auroc(np.array([0.9, 0.2, 0.4]), np.array([1, 0, 0]), weights)
    np.testing.assert_array_equal(values, [1.0, np.nan, np.nan])


def test_means_leave_out_what_is_not_known():
    weights = np.array([[1, 1, 1], [2, 0, 1], [0, 0, 3]])
    values = statistics.weighted_mean(np.array([0.5, 1.0, np.nan]), weights)
    np.testing.assert_array_equal(values, [0.75, 0.5, np.nan])
    mean = statistics.mean_over([np.array([1.0, np.nan, np.nan]), np.array([3.0, 2.0, np.nan])])
    np.testing.assert_array_equal(mean, [2.0, 2.0, np.nan])


def test_overlaps_from_pixel_counts():
    target, predicted, common = np.array([10, 0, 0, 8]), np.array([10, 0, 5, 4]), np.array([5, 0, 0, 4])
    np.testing.assert_allclose(statistics.dice(target, predicted, common), [0.5, 1.0, 0.0, 8 / 12])
    np.testing.assert_allclose(statistics.iou(target, predicted, common), [5 / 15, 1.0, 0.0, 0.5])


def coco_dataset(generator, images):
    """Random boxes and detections as COCO lists: some images without objects, some without detections."""
    truth, found = [], []
    for image in range(1, images + 1):
        boxes = generator.uniform([0, 0, 10, 10], [60, 60, 40, 40], (generator.integers(0, 4), 4))
        truth += [{"image_id": image, "bbox": list(box)} for box in boxes]
        noise = generator.normal(0, 3, (generator.integers(0, 3), len(boxes), 4))
        moved = [box + shift for shifts in noise for box, shift in zip(boxes, shifts, strict=True)]
        wrong = generator.uniform([0, 0, 10, 10], [60, 60, 40, 40], (generator.integers(0, 3), 4))
        for box in [*moved, *wrong]:
            found.append({"image_id": image, "category_id": 1, "bbox": list(box), "score": generator.random()})
    for number, entry in enumerate(truth, 1):
        entry |= {"id": number, "category_id": 1, "iscrowd": 0, "area": entry["bbox"][2] * entry["bbox"][3]}
    return truth, found


def coco_evaluate(truth, found, images):
    """COCOeval over the thresholds of the prediction table: the matches and the precisions of pycocotools."""
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO()
        data.dataset = {
            "images": [{"id": image} for image in images],
            "annotations": truth,
            "categories": [{"id": 1, "name": "x"}],
        }
        data.createIndex()
        evaluation = COCOeval(data, data.loadRes(found), "bbox")
        evaluation.params.iouThrs = statistics.THRESHOLDS
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def ranked(evaluation, images):
    """Scores, images and matches of all boxes in the order of images and falling score."""
    scores, place, matched = [], [], []
    whole = [entry for entry in evaluation.evalImgs[: len(images)] if entry]  # all areas come first
    for entry in whole:
        scores += list(entry["dtScores"])
        place += [entry["image_id"] - 1] * len(entry["dtScores"])
        matched.append(np.asarray(entry["dtMatches"], dtype=float).T > 0)
    return np.array(scores), np.array(place), np.concatenate(matched)


@pytest.fixture(scope="module")
def detections():
    truth, found = coco_dataset(np.random.default_rng(5), images=30)
    evaluation = coco_evaluate(truth, found, list(range(1, 31)))
    objects = np.bincount([entry["image_id"] - 1 for entry in truth], minlength=30)
    return truth, found, evaluation, ranked(evaluation, range(30)), objects


def test_average_precision_equals_pycocotools(detections):
    _, _, evaluation, (scores, place, matched), objects = detections
    values = statistics.average_precision(scores, place, matched, objects, np.ones((1, 30)))
    expected = evaluation.eval["precision"][:, :, 0, 0, 2].mean(axis=1)
    assert 0.1 < expected.mean() < 0.9
    np.testing.assert_allclose(values[0], expected, atol=1e-12)


def test_average_precision_of_a_resample_equals_pycocotools_on_repeated_images(detections):
    truth, found, _, (scores, place, matched), objects = detections
    weights = statistics.draw_weights(30, 4, seed=2)
    values = statistics.average_precision(scores, place, matched, objects, weights)
    for row, value in zip(weights, values, strict=True):
        truths, finds, images = [], [], []
        for image in range(1, 31):
            for _ in range(row[image - 1]):
                images.append(len(images) + 1)
                truths += [entry | {"image_id": len(images)} for entry in truth if entry["image_id"] == image]
                finds += [entry | {"image_id": len(images)} for entry in found if entry["image_id"] == image]
        truths = [entry | {"id": number} for number, entry in enumerate(truths, 1)]
        expected = coco_evaluate(truths, finds, images).eval["precision"][:, :, 0, 0, 2].mean(axis=1)
        np.testing.assert_allclose(value, expected, atol=1e-12)


def test_average_precision_without_boxes_or_objects():
    nothing = np.zeros((0, 12), dtype=bool)
    weights = np.array([[1, 1], [0, 2]])
    values = statistics.average_precision(np.zeros(0), np.zeros(0, int), nothing, np.array([2, 0]), weights)
    np.testing.assert_array_equal(values[0], np.zeros(12))
    assert np.isnan(values[1]).all()
    false = statistics.average_precision(np.ones(1), np.zeros(1, int), nothing.any(0)[None], np.array([1, 0]), weights)
    np.testing.assert_array_equal(false[0], np.zeros(12))


def test_holm_by_hand():
    adjusted = statistics.holm(np.array([0.01, 0.04, np.nan, 0.03, 0.005]))
    np.testing.assert_allclose(adjusted, [0.03, 0.06, np.nan, 0.06, 0.02])
    np.testing.assert_allclose(statistics.holm(np.array([0.9, 0.8])), [1.0, 1.0])


def test_share_counts_both_sides():
    values = np.r_[np.full(97, 0.1), np.full(2, -0.1)]
    assert statistics.share(values) == pytest.approx(2 * 3 / 100)
    assert statistics.share(np.zeros(50)) == 1.0
    assert statistics.share(np.r_[values, np.nan]) == statistics.share(values)


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ((-0.015, 0.012), (-0.012, 0.010), "equivalent"),
        ((0.001, 0.015), (0.002, 0.014), "equivalent"),  # a real difference, but smaller than the margin
        ((0.001, 0.050), (0.004, 0.045), "superior"),
        ((-0.060, -0.001), (-0.055, -0.006), "inferior"),
        ((-0.015, 0.060), (-0.010, 0.050), "not inferior"),
        ((-0.060, 0.060), (-0.050, 0.050), "undecided"),
        ((np.nan, np.nan), (np.nan, np.nan), "undecided"),
    ],
)
def test_verdict(wide, narrow, expected):
    assert statistics.verdict(wide, narrow, margin=0.02) == expected


def test_bootstrap_covers_the_truth():
    """Nominal 95 % intervals of a mean over clustered studies hold the truth about that often."""
    generator = np.random.default_rng(7)
    hits, patients = 0, 50
    weights = statistics.draw_weights(patients, 400, seed=0)
    place = np.repeat(np.arange(patients), 4)
    for _ in range(200):
        values = np.repeat(generator.normal(0, 1, patients), 4) + generator.normal(0, 1, 4 * patients)
        low, high = statistics.interval(statistics.weighted_mean(values, weights[1:, place]), 0.95)
        hits += low <= 0 <= high
    assert 0.90 <= hits / 200 <= 0.99
