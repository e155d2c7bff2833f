import numpy as np
import pytest

from synvlp.tasks import scores


def test_classification_agrees_with_torchmetrics():
    import torch
    from torchmetrics.functional import auroc, average_precision

    rng = np.random.default_rng(0)
    targets = (rng.random((80, 3)) < 0.3).astype(int)
    values = np.round(0.3 * targets + rng.random((80, 3)), 1)  # with equal scores
    found = scores.classification(targets, values, ["a", "b", "c"], [0.5] * 3, exclusive=False)
    arguments = torch.tensor(values / values.max()), torch.tensor(targets)
    for name, metric in (("auroc", auroc), ("average_precision", average_precision)):
        expected = metric(*arguments, task="multilabel", num_labels=3, average="none")
        assert [found[f"{name}/{label}"] for label in "abc"] == pytest.approx(expected.tolist(), abs=1e-6)
        assert found[name] == pytest.approx(expected.mean().item(), abs=1e-6)


def test_a_label_without_positives_has_no_auroc_and_stays_out_of_the_mean():
    targets = np.array([[0, 0], [1, 0], [1, 0]])
    found = scores.classification(
        targets, np.array([[0.1, 0.2], [0.8, 0.1], [0.9, 0.1]]), ["a", "b"], [0.5, 0.5], exclusive=False
    )
    assert "auroc/b" not in found and found["auroc"] == found["auroc/a"] == 1.0


def test_accuracy_is_that_of_the_highest_score():
    targets = np.eye(3, dtype=int)[[0, 1, 2, 2]]
    values = np.array([[0.5, 0.3, 0.2], [0.4, 0.35, 0.25], [0.1, 0.2, 0.7], [0.2, 0.2, 0.6]])
    assert scores.classification(targets, values, list("abc"), [0.5] * 3, exclusive=True)["accuracy"] == 0.75


def test_threshold_is_the_best_of_all():
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(1)
    for _ in range(20):
        truth = rng.random(40) < 0.4
        score = np.round(rng.random(40) + 0.3 * truth, 1)
        chosen = scores.best_threshold(truth.astype(int), score)
        best = max(f1_score(truth, score >= threshold) for threshold in np.unique(score))
        assert (
            scores.f1(truth, score >= chosen) == pytest.approx(best) == pytest.approx(f1_score(truth, score >= chosen))
        )
    assert scores.best_threshold(np.zeros(4, int), np.arange(4.0)) == 0.5


def test_dice_counts_empty_images_as_the_papers_do():
    #                  half     missed   invented  rightly empty
    target = np.array([10, 8, 0, 0])
    predicted = np.array([10, 0, 3, 0])
    common = np.array([5, 0, 0, 0])
    found = scores.segmentation(target, predicted, common)
    assert found["dice"] == pytest.approx((0.5 + 0 + 0 + 1) / 4)
    assert found["iou"] == pytest.approx((5 / 15 + 0 + 0 + 1) / 4)
    assert found["dice_positives"] == pytest.approx(0.25)
    assert found["iou_positives"] == pytest.approx(1 / 6)


def test_dice_and_iou_agree_with_torchmetrics_on_positives():
    import torch
    from torchmetrics.functional.classification import binary_f1_score, binary_jaccard_index

    rng = np.random.default_rng(2)
    masks = rng.random((2, 6, 9, 9)) < 0.4
    counts = [part.sum((1, 2)) for part in (masks[0], masks[1], masks[0] & masks[1])]
    found = scores.segmentation(*counts)
    pairs = [(torch.tensor(masks[1, i]), torch.tensor(masks[0, i])) for i in range(6)]
    assert found["dice"] == pytest.approx(np.mean([binary_f1_score(*pair).item() for pair in pairs]), abs=1e-6)
    assert found["iou"] == pytest.approx(np.mean([binary_jaccard_index(*pair).item() for pair in pairs]), abs=1e-6)
