"""The three losses against a slow reference that is written as the papers say it, one pair and one word at a time.

`python tests/encoders/test_losses.py` writes the committed values anew from the slow reference.
"""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity, cross_entropy, normalize

from synvlp.encoders import attended, convirt, gloria, mgca
from synvlp.models.heads import convirt as convirt_heads
from synvlp.models.heads import gloria as gloria_heads

FIXTURE = Path(__file__).parent / "losses.npz"
REFERENCE = Path(os.environ.get("SYNVLP_REFERENCE", Path(__file__).parents[3] / "shared" / "reference"))
CONVIRT = ("image_global", "report_global")
GLORIA = ("image_regions", "words", "word_lengths", "image_global", "report_global")
MGCA = ("image_global", "report_global", "patches", "words", "word_attention", "word_lengths", "prototypes")


def slow_convirt(images, reports, temperature=0.1, weight=0.75):
    total = 0
    count = len(images)
    for i in range(count):
        to_text = [cosine_similarity(images[i], reports[k], dim=0) / temperature for k in range(count)]
        to_image = [cosine_similarity(images[k], reports[i], dim=0) / temperature for k in range(count)]
        total = total - weight * torch.stack(to_text).log_softmax(0)[i]
        total = total - (1 - weight) * torch.stack(to_image).log_softmax(0)[i]
    return total / count


def slow_gloria(image_regions, words, word_lengths, image_global, report_global, first=4.0, second=5.0, third=10.0):
    count = len(words)
    rows = []
    for i in range(count):
        regions = image_regions[i].flatten(1).T  # (R, D)
        row = []
        for k in range(count):
            caption = words[k, : word_lengths[k]]
            over_words = torch.stack([(caption @ region).softmax(0) for region in regions])  # (R, T)
            score = 0
            for t, word in enumerate(caption):
                over_regions = (first * over_words[:, t]).softmax(0)
                context = sum(share * region for share, region in zip(over_regions, regions, strict=True))
                score = score + (second * cosine_similarity(context, word, dim=0)).exp()
            row.append(third * score.log())
        rows.append(torch.stack(row))
    local = torch.stack(rows)
    overall = torch.stack([cosine_similarity(one[None], report_global) * third for one in image_global])
    target = torch.arange(count)
    return {
        "local_image_to_text": cross_entropy(local, target),
        "local_text_to_image": cross_entropy(local.T, target),
        "global_image_to_text": cross_entropy(overall, target),
        "global_text_to_image": cross_entropy(overall.T, target),
    }


def slow_mgca(image_global, report_global, patches, words, word_attention, word_lengths, prototypes):
    count = len(words)
    images, reports = normalize(image_global, dim=1), normalize(report_global, dim=1)
    scores = images @ reports.T / 0.07
    target = torch.arange(count)
    word = patch = 0
    for i in range(count):
        own_words, own_patches = normalize(words[i], dim=1), normalize(patches[i], dim=1)
        seen = torch.stack([(one @ own_patches.T / 0.1).softmax(0) @ own_patches for one in own_words])
        matched = own_words @ normalize(seen, dim=1).T / 0.1
        weights = slow_weights(word_attention[i])
        for t, weight in enumerate(weights):
            word = word - weight * (matched[t].log_softmax(0)[t] + matched[:, t].log_softmax(0)[t]) / 2
        real = own_words[: word_lengths[i]]
        read = torch.stack([(one @ real.T / 0.1).softmax(0) @ real for one in own_patches])
        matched = own_patches @ normalize(read, dim=1).T / 0.1
        for p in range(len(own_patches)):
            missed = matched[p].log_softmax(0)[p] + matched[:, p].log_softmax(0)[p]
            patch = patch - missed / 2 / len(own_patches)
    axes = normalize(prototypes, dim=1)
    from_image, from_report = images @ axes.T, reports @ axes.T
    code_image, code_report = slow_codes(from_image), slow_codes(from_report)
    swapped = 0
    for i in range(count):
        swapped = swapped - (code_image[i] * (from_report[i] / 0.2).log_softmax(0)).sum()
        swapped = swapped - (code_report[i] * (from_image[i] / 0.2).log_softmax(0)).sum()
    return {
        "ita": cross_entropy(scores, target) + cross_entropy(scores.T, target),
        "word": word / count,
        "patch": patch / count,
        "prototype": swapped / 2 / count,
    }


def slow_weights(attention):
    values = attention.detach().numpy().astype(np.float64)
    known = values[values != 0]
    clipped = np.where(values != 0, np.clip(values, *np.quantile(known, [0.1, 0.9])), 0)
    return torch.tensor(clipped / clipped.sum())


def slow_codes(cosines, epsilon=0.05, steps=3):
    table = (cosines.detach().double() / epsilon).exp().numpy()
    for _ in range(steps):
        table = table / table.sum(0)
        table = table / table.sum(1, keepdims=True)
    return torch.tensor(table)


def example(seed, pairs=4, size=6, side=2, longest=5, prototypes=7, dtype=torch.float64):
    """Random inputs of all three losses; the first report has one word, the last as many as there can be."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    lengths = torch.randint(2, longest, (pairs,), generator=generator)
    lengths[0], lengths[-1] = 1, longest
    attention = torch.rand(pairs, longest, generator=generator, dtype=torch.float64) + 0.01
    attention = attention * (torch.arange(longest) < lengths[:, None])
    return {
        "image_global": random(pairs, size),
        "report_global": random(pairs, size),
        "image_regions": random(pairs, size, side, side + 1),
        "patches": random(pairs, side * side, size),
        "words": random(pairs, longest, size),
        "word_attention": (attention / attention.sum(1, keepdim=True)).to(dtype),
        "word_lengths": lengths,
        "prototypes": random(prototypes, size),
    }


METHODS = {
    "convirt": (CONVIRT, lambda *given: {"loss": convirt.loss(*given)}, lambda *given: {"loss": slow_convirt(*given)}),
    "gloria": (GLORIA, gloria.losses, slow_gloria),
    "mgca": (MGCA, mgca.losses, slow_mgca),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", [0, 1])
def test_values_and_gradients_are_those_of_the_slow_reference(method, seed):
    names, fast, slow = METHODS[method]
    given = example(seed)
    results = []
    for function in (fast, slow):
        leaves = [given[name].clone().requires_grad_(given[name].is_floating_point()) for name in names]
        losses = function(*leaves)
        sum((k + 1) * value for k, value in enumerate(losses.values())).backward()
        gradients = [leaf.grad for leaf, name in zip(leaves, names, strict=True) if leaf.grad is not None]
        results.append((losses, gradients))
    (losses, gradients), (expected, expected_gradients) = results
    assert losses.keys() == expected.keys()
    for name, value in losses.items():
        torch.testing.assert_close(value.double(), expected[name].double(), rtol=1e-7, atol=1e-9, msg=name)
    assert len(gradients) == len(expected_gradients) >= 2
    for one, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_values_are_the_committed_ones(method):
    names, fast, _ = METHODS[method]
    with np.load(FIXTURE) as stored:
        losses = fast(*(torch.from_numpy(stored[name]) for name in names))
        for name, value in losses.items():
            np.testing.assert_allclose(value.item(), stored[f"{method}/{name}"], rtol=1e-5)


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the published values are not here")
@pytest.mark.parametrize("method", METHODS)
def test_values_are_the_published_ones(method):
    names, fast, _ = METHODS[method]
    with np.load(REFERENCE / f"{method}.npz") as stored:
        losses = fast(*(torch.from_numpy(stored[name]) for name in names))
        key = {"ita": "loss_ita", "word": "loss_word", "patch": "loss_patch", "prototype": "loss_proto"}
        for name, value in losses.items():
            np.testing.assert_allclose(value.item(), stored[key.get(name, name)], rtol=1e-4)


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the published values are not here")
def test_attention_and_codes_are_the_published_ones():
    with np.load(REFERENCE / "gloria.npz") as stored:
        given = [torch.from_numpy(stored[name]) for name in ("image_regions", "words", "word_lengths")]
        length = int(stored["word_lengths"][0])
        maps = gloria_heads.attention(*given)[:1, :length]
        np.testing.assert_allclose(maps.numpy(), stored["attention_first"], rtol=1e-4, atol=1e-7)
    with np.load(REFERENCE / "mgca.npz") as stored:
        axes = normalize(torch.from_numpy(stored["prototypes"]), dim=1)
        for side in ("image", "report"):
            cosines = normalize(torch.from_numpy(stored[f"{side}_global"]), dim=1) @ axes.T
            np.testing.assert_allclose(mgca.codes(cosines).numpy(), stored[f"{side}_codes"], rtol=1e-4, atol=1e-7)


def test_derivatives_of_the_attended_cosine_are_right():
    generator = torch.Generator().manual_seed(3)
    words = torch.randn(6, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    regions = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([1, 3, 2])
    assert torch.autograd.gradcheck(
        lambda some, others: attended.AttendedCosine.apply(some, others, lengths, 4.0), (words, regions)
    )


@pytest.mark.parametrize("method", ["gloria", "mgca"])
def test_padding_has_no_part(method):
    names, fast, _ = METHODS[method]
    options = {"padding_competes": False} if method == "mgca" else {}
    given = example(5)
    expected = fast(*(given[name] for name in names), **options)
    padding = torch.arange(given["words"].shape[1]) >= given["word_lengths"][:, None]
    given["words"] = torch.where(padding[..., None], 100.0, given["words"]).requires_grad_()
    losses = fast(*(given[name] for name in names), **options)
    for name, value in losses.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-9, msg=name)
    sum(losses.values()).backward()
    assert not given["words"].grad[padding].any()
    longer = torch.nn.functional.pad(given["words"].detach(), (0, 0, 0, 3))
    attention = torch.nn.functional.pad(given["word_attention"], (0, 3))
    again = fast(*({**given, "words": longer, "word_attention": attention}[name] for name in names), **options)
    for name, value in again.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-9, msg=name)


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_is_widened(method):
    names, fast, _ = METHODS[method]
    given = example(6, dtype=torch.bfloat16)
    widened = {name: value.float() if value.is_floating_point() else value for name, value in given.items()}
    expected = fast(*(widened[name] for name in names))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = fast(*(given[name] for name in names))
    for name, value in losses.items():
        assert value.dtype == torch.float32
        assert value.item() == expected[name].item()


def test_large_features_give_finite_gradients_and_no_subnormal_shares():
    given = example(7, pairs=6, size=64, longest=9, dtype=torch.float32)
    leaves = [given[name] * 30 if given[name].is_floating_point() else given[name] for name in GLORIA]
    leaves = [leaf.requires_grad_(leaf.is_floating_point()) for leaf in leaves]
    sum(gloria.losses(*leaves).values()).backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves if leaf.is_floating_point())
    words = leaves[1].detach()[0, :1].repeat(4, 1) * torch.tensor([[1.0], [0.5], [-1.0], [0.0]])
    lengths = torch.tensor([4])
    share = attended.softmax_over_words(words @ words.T, lengths, *attended.caption_of(lengths, words))
    assert ((share == 0) | (share > 1e-20)).all()
    torch.testing.assert_close(share.sum(0), torch.ones(4))


def test_an_image_without_features_gives_finite_gradients():
    given = example(8, dtype=torch.float32)
    given["image_regions"][1] = 0
    leaves = [given[name].requires_grad_(given[name].is_floating_point()) for name in GLORIA]
    sum(gloria.losses(*leaves).values()).backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves if leaf.is_floating_point())


def test_attention_maps_sum_to_one_for_words_and_to_zero_for_padding():
    given = example(9)
    maps = gloria_heads.attention(given["image_regions"], given["words"], given["word_lengths"])
    present = torch.arange(maps.shape[1]) < given["word_lengths"][:, None]
    assert maps.shape == (4, 5, 2, 3)
    torch.testing.assert_close(maps.sum((2, 3)), present.double())


@pytest.mark.parametrize("epsilon", [0.05, 0.001])
def test_codes_are_stable_and_spread_over_prototypes(epsilon):
    cosines = torch.nn.functional.normalize(torch.randn(12, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    found = mgca.codes(cosines, epsilon, steps=200)
    torch.testing.assert_close(found.sum(1), torch.ones(12))
    assert found.isfinite().all()
    if epsilon == 0.05:
        torch.testing.assert_close(found.sum(0), torch.full((4,), 3.0), rtol=0.01, atol=0.01)


def test_convirt_is_least_for_matching_pairs():
    images = torch.eye(4) * 3
    assert convirt.loss(images, images) == pytest.approx(math.log(1 + 3 * math.exp(-10)), rel=1e-3)
    assert convirt.loss(images, images.roll(1, 0)) > 5


def test_pooling_is_blind_to_padding():
    tokens = torch.tensor([[[1.0, -3.0], [2.0, -1.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False]])
    assert convirt_heads.pool(tokens, mask, "max").tolist() == [[2.0, -1.0]]
    assert convirt_heads.pool(tokens, mask, "mean").tolist() == [[1.5, -2.0]]


def write_fixture():
    given = example(11, pairs=5, size=8, side=3, longest=7, prototypes=9, dtype=torch.float32)
    values = {name: value.numpy() for name, value in given.items()}
    for method, (names, _, slow) in METHODS.items():
        wide = [given[name].double() if given[name].is_floating_point() else given[name] for name in names]
        values |= {f"{method}/{name}": np.float64(value.item()) for name, value in slow(*wide).items()}
    np.savez_compressed(FIXTURE, **values)


if __name__ == "__main__":
    write_fixture()
