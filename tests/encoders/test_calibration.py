"""Limits at a stated share of false rejections, and folds in which nobody is judged by a model that saw them."""

import numpy as np
import pytest

from synvlp.encoders.curation import calibration, folds


def test_all_studies_of_a_patient_are_in_one_fold_whatever_the_order():
    patients = [f"p{number // 3}" for number in range(60)]
    found = folds.assign(patients, 3, seed=0)
    assert all(len(set(found[3 * number : 3 * number + 3])) == 1 for number in range(20))
    sizes = np.bincount(found) // 3
    assert sizes.sum() == 20 and sizes.max() - sizes.min() <= 1
    order = np.random.default_rng(0).permutation(60)
    again = folds.assign([patients[place] for place in order], 3, seed=0)
    assert np.array_equal(again, found[order])
    assert not np.array_equal(folds.assign(patients, 3, seed=1), found)


def normal(x, mean):
    return np.exp(-((x - mean) ** 2) / 2)


def test_shares_of_classes_are_found_without_labels():
    random, truth, trained = np.random.default_rng(0), np.array([0.85, 0.1, 0.05]), np.array([0.5, 0.25, 0.25])
    means = np.array([0.0, 3.0, -3.0])
    x = random.normal(means[random.choice(3, 20_000, p=truth)], 1)
    posteriors = trained * normal(x[:, None], means)
    posteriors /= posteriors.sum(1, keepdims=True)
    assert np.abs(posteriors.mean(0) - truth).max() > 0.05
    found = calibration.shares(posteriors, trained)
    assert found == pytest.approx(truth, abs=0.01)
    wanted = truth * normal(x[:5, None], means)
    wanted /= wanted.sum(1, keepdims=True)
    assert calibration.adjusted(posteriors[:5], trained, truth) == pytest.approx(wanted)
    assert calibration.shares(posteriors, trained, least=0.95)[0] == pytest.approx(0.95)


def test_an_overconfident_classifier_is_cooled():
    random, classes = np.random.default_rng(6), np.repeat(np.arange(3), 3000)
    x = random.normal(2.0 * classes, 1)
    right = np.log(normal(x[:, None], 2.0 * np.arange(3)))
    right -= np.log(np.exp(right).sum(1, keepdims=True))
    said = calibration.tempered(3 * right, 1.0).reshape(3, 3000, 3)
    heat = calibration.temperature(said, np.full(3, 1 / 3))
    assert heat == pytest.approx(3, rel=0.05)
    assert calibration.tempered(said, 3.0).reshape(-1, 3) == pytest.approx(right)
    assert calibration.temperature(np.zeros((3, 0, 3)), np.full(3, 1 / 3)) == 1


def slow_quantile(values, weights, above):
    fits = [v for v in values if sum(w for x, w in zip(values, weights, strict=True) if x > v) <= above * sum(weights)]
    return min(fits)


def test_the_weighted_quantile():
    random = np.random.default_rng(1)
    for above in (0.0, 0.1, 0.37, 0.5):
        values, weights = random.integers(0, 12, 40).astype(float), random.random(40)
        assert calibration.quantile(values, weights, above) == slow_quantile(values, weights, above)


def test_of_sound_samples_the_stated_share_exceeds_one_for_any_reason():
    random = np.random.default_rng(2)
    fold = np.arange(6000) % 3
    scores = random.normal(0, 1, (6000, 4)) * np.array([1, 10, 1, 3]) * (1 + fold[:, None]) + 5 * fold[:, None]
    bad = np.arange(6000) >= 5000
    scores[bad, 1] += 100 * (1 + fold[bad])
    sound = np.where(bad, 0.0, 1.0)
    scaled = calibration.relative(scores, [slice(0, 3), slice(3, 4)], fold, sound, 0.01)
    assert 0.008 <= (scaled[~bad].max(1) > 1).mean() <= 0.01
    assert (scaled[bad].max(1) > 1).mean() > 0.99
    assert (scaled[bad].argmax(1) == 1).mean() > 0.99
    each = [(scaled[~bad][fold[~bad] == one].max(1) > 1).mean() for one in range(3)]
    assert max(each) < 0.02


def test_a_column_that_says_nothing_rejects_nobody():
    scaled = calibration.relative(np.zeros((50, 1)), [slice(0, 1)], np.zeros(50, int), np.ones(50), 0.01)
    assert not (scaled > 1).any()


def test_outliers_do_not_move_the_scale_that_they_are_told_by():
    random = np.random.default_rng(5)
    values, fold = random.normal(7, 2, 4000), np.arange(4000) % 2
    values[fold == 1] *= 10
    values[:1200] += 1000
    found = calibration.outlying(values, fold)
    assert (found[:1200] > 20).all() and (found[1200:] < 6).all()


@pytest.mark.parametrize("mixed", [0.0, 0.05])
def test_the_limit_of_pairs_makes_room_for_pairs_that_do_not_belong_together(mixed):
    random = np.random.default_rng(3)
    count = 20_000
    wrong = np.arange(count) < mixed * count
    own = np.where(wrong, random.normal(0, 1, count), random.normal(3, 1, count))
    others = random.normal(0, 1, 5 * count)
    plain = calibration.lower_limit(own, others, 0.01, assumed=0.0)
    assert (own < plain).mean() == pytest.approx(0.01, abs=1e-3)
    limit = calibration.lower_limit(own, others, 0.01, assumed=0.05)
    assert (own[~wrong] < limit).mean() == pytest.approx(0.01, abs=0.003)
    if mixed:
        assert (own[wrong] < limit).mean() > 0.65 > 2 * (own[wrong] < plain).mean()


def test_without_any_difference_the_limit_rejects_few():
    own, others = np.random.default_rng(4).normal(0, 1, (2, 5000))
    assert (own < calibration.lower_limit(own, others, 0.01, assumed=0.02)).mean() < 0.04
