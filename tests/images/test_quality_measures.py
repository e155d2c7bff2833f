"""Every measure against a reference that is written plainly, and on sets whose figures are known."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from synvlp import job
from synvlp.images.quality import (
    classifier,
    gaussians,
    kernels,
    manifolds,
    neighbours,
    results,
    sets,
    similarity,
)
from synvlp.models import retrieval


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def ones(*parts):
    return [np.ones((1, len(part))) for part in parts]


def exactly(n, mean, deviation, seed=0):
    """Features (n, d) whose mean is exactly `mean`, and whose covariance is exactly diagonal."""
    drawn = random(n, len(mean), seed=seed)
    drawn -= drawn.mean(0)
    axes = np.linalg.qr(drawn)[0] * np.sqrt(n - 1)
    return axes * deviation + mean


@pytest.mark.parametrize("n", [8, 40])
def test_frechet_of_known_gaussians(n):
    mean, deviation = np.array([0.0, 1, -2, 0, 3]), np.array([1.0, 2, 0.5, 0, 1])
    other_mean, other_deviation = np.array([1.0, 1, 0, 0, 3]), np.array([2.0, 2, 0, 1, 3])
    one, other = exactly(n, mean, deviation), exactly(n + 3, other_mean, other_deviation, seed=1)
    wanted = ((mean - other_mean) ** 2).sum() + ((deviation - other_deviation) ** 2).sum()
    assert gaussians.plain(one, other) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("n", [6, 12, 50])
def test_frechet_is_that_of_the_formula(n):
    from scipy.linalg import sqrtm

    one, other = random(n, 12), random(n + 5, 12, seed=1) * 2 + 0.5
    covariances = [np.cov(part, rowvar=False) for part in (one, other)]
    root = sqrtm(covariances[0] @ covariances[1] + 1e-12 * np.eye(12)).real
    wanted = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert gaussians.plain(one, other) == pytest.approx(wanted, rel=1e-3)


def test_frechet_of_weights_is_that_of_repeated_images():
    one, other = random(20, 4), random(15, 4, seed=1)
    weights = np.random.default_rng(2).integers(0, 3, (3, 20)), np.random.default_rng(3).integers(0, 3, (3, 15))
    found = gaussians.frechet(one, other, *(part.astype(float) for part in weights))
    wanted = [
        gaussians.plain(np.repeat(one, a, axis=0), np.repeat(other, b, axis=0)) for a, b in zip(*weights, strict=True)
    ]
    assert found == pytest.approx(wanted)


def test_extrapolation_takes_the_bias_away():
    """Of equal distributions FID is 0; at 60 images it is far above, extrapolated it is near."""
    plain, extrapolated = [], []
    for seed in range(8):
        one, other = random(60, 10, seed=seed), random(60, 10, seed=100 + seed)
        plain.append(gaussians.plain(one, other))
        extrapolated.append(gaussians.extrapolated(one, other, np.random.default_rng(seed)))
    assert np.mean(plain) > 0.8
    assert abs(np.mean(extrapolated)) < 0.3 * np.mean(plain)


def kernel_by_loops(one, other, one_weights, other_weights):
    def k(x, y):
        return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def within(part, weights):
        pairs = [(i, j) for i in range(len(part)) for j in range(len(part)) if i != j]
        total = sum(weights[i] * weights[j] for i, j in pairs)
        return sum(weights[i] * weights[j] * k(part[i], part[j]) for i, j in pairs) / total

    across = sum(
        one_weights[i] * other_weights[j] * k(one[i], other[j]) for i in range(len(one)) for j in range(len(other))
    )
    return (
        within(one, one_weights) + within(other, other_weights)
        - 2 * across / (sum(one_weights) * sum(other_weights))
    )  # fmt: skip


def test_kernel_distance_is_that_of_loops():
    one, other = random(9, 3), random(7, 3, seed=1) + 1
    weights = np.vstack([np.ones(9), np.arange(9)]), np.vstack([np.ones(7), np.arange(7) % 3])
    found = kernels.kernel_distance(one, other, *weights, range(9), range(7))
    wanted = [kernel_by_loops(one, other, a, b) for a, b in zip(*weights, strict=True)]
    assert found == pytest.approx(wanted)


def test_kernel_distance_is_torchmetrics():
    import torch
    from torchmetrics.image.kid import poly_mmd

    one, other = random(30, 8), random(30, 8, seed=1) * 1.5
    wanted = float(poly_mmd(torch.from_numpy(one), torch.from_numpy(other)))
    assert kernels.kernel_distance(one, other, *ones(one, other), range(30), range(30))[0] == pytest.approx(wanted)


@pytest.mark.parametrize("each", [1, 2, 3])
def test_kernel_distance_of_equal_distributions_is_unbiased(each):
    """Its mean over draws is 0 within four standard errors, though FID's is far above; and so over resamples.

    Patients have `each` images that are alike.
    """
    patients = [str(patient) for patient in range(20) for _ in range(each)]
    values, spread = [], []
    for seed in range(60):
        one, other = (
            np.repeat(random(20, 4, seed=start + seed), each, axis=0)
            + 0.3 * random(20 * each, 4, seed=5000 + start + seed)
            for start in (0, 1000)
        )
        values.append(kernels.kernel_distance(one, other, *ones(one, other), patients, patients)[0])
        weights = [results.draw_weights(patients, 20, seed, name) for name in "ab"]
        spread.append(kernels.kernel_distance(one, other, *weights, patients, patients)[1:].mean())
    for found in (values, spread):
        assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))


def manifold_by_loops(real, fake, k):
    def apart(x, y):
        return np.sqrt(((x - y) ** 2).sum())

    def reach(part, i):
        return sorted(apart(part[i], part[j]) for j in range(len(part)) if j != i)[k - 1]

    real_reach = [reach(real, i) for i in range(len(real))]
    fake_reach = [reach(fake, j) for j in range(len(fake))]
    inside = np.array([[apart(y, x) <= r for x, r in zip(real, real_reach, strict=True)] for y in fake])
    back = np.array([[apart(y, x) <= r for y, r in zip(fake, fake_reach, strict=True)] for x in real])
    return inside.any(1), inside.sum(1) / k, back.any(1), inside.any(0)


@pytest.mark.parametrize("block", [3, 1024])
def test_neighbourhoods_are_those_of_loops(block, monkeypatch):
    monkeypatch.setattr(manifolds, "BLOCK", block)
    real, fake = random(17, 3), random(13, 3, seed=1) * 0.7 + 0.5
    found = manifolds.neighbourhoods(real, fake, 3)
    wanted = manifold_by_loops(real, fake, 3)
    for got, want in zip((found.precise, found.dense, found.recalled, found.covered), wanted, strict=True):
        assert got == pytest.approx(want.astype(float))


def test_a_generator_that_repeats_one_image_is_precise_and_recalls_nothing():
    real = random(40, 3)
    fake = np.repeat(real[:1], 40, axis=0) + random(40, 3, seed=1) * 1e-6
    found = manifolds.neighbourhoods(real, fake, 5)
    assert found.precise.mean() == 1 and found.recalled.mean() < 0.05 and found.covered.mean() < 0.5


def ssim_by_hand(one, other, betas):
    """As torchmetrics has it: mirrored at the edges, of which the contrasts of the finer scales leave out a margin."""
    from scipy.signal import convolve2d

    line = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    found, (x, y) = 1.0, (one.astype(float), other.astype(float))
    for level, beta in enumerate(betas):
        mirrored = [np.pad(part, 5, mode="reflect") for part in (x, y)]
        products = [*mirrored, mirrored[0] ** 2, mirrored[1] ** 2, mirrored[0] * mirrored[1]]
        mean = [convolve2d(part, window, "valid") for part in products]
        var_x, var_y, both = mean[2] - mean[0] ** 2, mean[3] - mean[1] ** 2, mean[4] - mean[0] * mean[1]
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        contrast = (2 * both + c2) / (var_x + var_y + c2)
        light = (2 * mean[0] * mean[1] + c1) / (mean[0] ** 2 + mean[1] ** 2 + c1)
        last = level == len(betas) - 1
        found *= max((light * contrast if last else contrast[5:-5, 5:-5]).mean(), 0) ** beta
        x, y = (part.reshape(len(part) // 2, 2, len(part) // 2, 2).mean((1, 3)) for part in (x, y))
    return found


@pytest.mark.parametrize(("side", "count"), [(64, 3), (32, 2), (16, 1)])
def test_ms_ssim_is_that_of_the_formula(side, count):
    noise = np.random.default_rng(0).integers(0, 256, (3, side, side))
    smooth = np.linspace(0, 200, side)[None, :, None] + np.zeros((3, side, side))
    one = np.clip(smooth + noise * 0.2, 0, 255).astype(np.uint8)
    other = np.clip(smooth + noise[::-1] * 0.3, 0, 255).astype(np.uint8)
    betas = similarity.scales(side)
    assert len(betas) == count and sum(betas) == pytest.approx(1)
    wanted = [ssim_by_hand(x, y, betas) for x, y in zip(one, other, strict=True)]
    assert similarity.ms_ssim(one, other) == pytest.approx(wanted, abs=2e-3)
    assert similarity.ms_ssim(one, one) == pytest.approx(1)


def test_ms_ssim_has_all_scales_where_they_fit():
    assert similarity.scales(256) == pytest.approx(similarity.SCALES, abs=1e-3)
    assert [len(similarity.scales(side)) for side in (175, 176, 99, 98, 44, 11)] == [4, 5, 4, 3, 3, 1]
    with pytest.raises(job.JobError, match="11 pixels"):
        similarity.scales(10)


@pytest.mark.parametrize("side", [11, 21, 22, 43, 44, 87, 88, 96, 98, 99, 175, 176])
def test_ms_ssim_at_the_sides_where_the_number_of_scales_changes(side):
    one, other = np.random.default_rng(0).integers(0, 256, (2, 1, side, side)).astype(np.uint8)
    assert similarity.ms_ssim(one, one) == pytest.approx(1)
    assert 0 <= similarity.ms_ssim(one, other)[0] < 0.7


def test_opposite_images_have_no_negative_similarity():
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64)).astype(np.uint8)
    assert 0 <= similarity.ms_ssim(image, 255 - image)[0] < 0.05


def nearer_by_draws(train, heldout):
    """The mean over all draws of equally many of both."""
    size = min(len(train), len(heldout))
    values = [
        0.5 if min(a) == min(b) else float(min(a) < min(b))
        for a in combinations(train, size)
        for b in combinations(heldout, size)
    ]
    return np.mean(values)


@pytest.mark.parametrize("sizes", [(7, 3), (3, 7), (4, 4)])
def test_the_probability_of_being_nearer_is_that_of_all_draws(sizes):
    for seed in range(6):
        generator = np.random.default_rng(seed)
        train, heldout = (generator.integers(0, 6, size).astype(float) for size in sizes)
        assert neighbours.probability_nearer(train, heldout) == pytest.approx(nearer_by_draws(train, heldout))


def images_of(features, patients, split="train", studies=None):
    rows = pd.DataFrame(
        {
            "study_id": studies or [f"{split}-{number}" for number in range(len(features))],
            "draw": 0,
            "patient_id": patients,
            "split": split,
        }
    )
    return sets.ImageSet(np.asarray(features, dtype=float), rows)


def test_neighbours_of_another_patient_and_of_the_own_study():
    train = images_of([[0.0], [0.1], [5.0]], ["a", "a", "b"])
    heldout = images_of([[0.3], [2.0], [2.5]], ["c", "c", "d"], "val")
    asked = images_of([[0.05], [2.1]], ["c", "a"], studies=["val-0", "train-1"])
    found = neighbours.search(asked, train, heldout)
    assert found.distance == pytest.approx([0.05, 2.0])
    assert found.second == pytest.approx([4.95, 2.9])  # patient a's other image is no second neighbour
    assert found.heldout == pytest.approx([2.45, 0.1])  # patient c's own images do not count
    assert found.own == pytest.approx([1.0, 1.0])


def test_the_rank_of_the_own_image():
    among = images_of([[0.0]] * 5, list("aabcd"))
    distances = np.array([3.0, 1.0, 1.0, 2.0, 0.5])
    assert neighbours.own_rank(distances, among, "train-0", "a") == 0
    assert neighbours.own_rank(distances, among, "train-1", "a") == pytest.approx((1 + 0.5) / 3)
    assert np.isnan(neighbours.own_rank(distances, among, "unknown", "a"))


def test_weights_draw_patients_with_all_their_images():
    patients = ["a", "b", "a", "c", "b"]
    weights = results.draw_weights(patients, 50, 0)
    assert weights.shape == (51, 5) and (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 2]).all() and (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, 0] + weights[:, 1] + weights[:, 3] == 3).all()
    assert (weights == results.draw_weights(patients, 50, 0)).all()
    assert (weights != results.draw_weights(patients, 50, 1)).any()


def test_weighted_mean_and_quantile_are_those_of_repeated_values():
    values = np.array([3.0, 1, np.nan, 2, 5])
    weights = np.array([[1.0, 1, 1, 1, 1], [2, 0, 5, 1, 3]])
    repeated = [np.repeat(values, row.astype(int)) for row in weights]
    assert results.weighted_mean(values, weights) == pytest.approx([np.nanmean(row) for row in repeated])
    known = np.array([3.0, 1, 4, 2, 5])
    for share in (0.05, 0.4, 0.5, 0.9):
        wanted = [np.quantile(np.repeat(known, row.astype(int)), share, method="inverted_cdf") for row in weights]
        assert results.weighted_quantile(known, weights, share) == pytest.approx(wanted)


def test_a_centred_interval_holds_its_value():
    drawn = np.array([1.0, *np.linspace(2, 3, 101)])
    plain, centred = results.estimate(drawn, 7), results.estimate(drawn, 7, centred=True)
    assert plain.low > plain.value and centred.low < centred.value == 1 < centred.high
    assert centred.high - centred.low == pytest.approx(plain.high - plain.low)
    assert np.isnan(results.estimate(np.array([0.5]), 3).low)


def test_an_interval_of_a_mean_covers_the_truth():
    """Means of 40 patients with three equal images each: 95 % intervals hold the true mean about so often."""
    held = 0
    for seed in range(120):
        values = np.repeat(random(40, seed=seed), 3)
        weights = results.draw_weights(np.repeat(np.arange(40), 3).astype(str), 200, seed)
        found = results.estimate(results.weighted_mean(values, weights), 120)
        held += found.low <= 0 <= found.high
    assert 0.88 <= held / 120 <= 0.99


def test_auroc_of_weights_is_that_of_repeated_images():
    from sklearn.metrics import roc_auc_score

    scores, targets = random(12), np.array([0, 1] * 6)
    weights = np.vstack([np.ones(12), np.arange(12) % 3, targets])
    found = classifier.auroc(scores, targets, weights)
    repeated = np.repeat(np.arange(12), weights[1].astype(int))
    assert found[0] == pytest.approx(roc_auc_score(targets, scores))
    assert found[1] == pytest.approx(roc_auc_score(targets[repeated], scores[repeated]))
    assert np.isnan(found[2])


def test_ranks_are_those_of_loops():
    images, texts = random(9, 4), random(6, 4, seed=1)
    own = np.arange(9) % 6
    found = retrieval.text_ranks(images @ texts.T, own)
    for image, place, rank in zip(images, own, found, strict=True):
        similar = [image @ text for text in texts]
        assert rank == 1 + sum(value > similar[place] for value in similar)
    assert (retrieval.text_ranks(np.ones((9, 6)), own) == 6).all()  # nothing known, nothing found


def test_equal_texts_count_as_one():
    texts, own = retrieval.distinct(["No edema.", "Large  heart.", "no Edema", "Large heart,", "Edema."])
    assert texts == ["No edema.", "Large  heart.", "Edema."] and list(own) == [0, 1, 0, 1, 2]
    assert retrieval.shares(own) == pytest.approx([0.5, 0.5, 0.5, 0.5, 1])
