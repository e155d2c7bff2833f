"""Ways to spoil an image, what numbers say of it, and the copy of a corpus in which a known share is spoilt."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from synvlp import job
from synvlp.encoders.curation import corrupt, corruptions, statistics
from synvlp.store import images, tables


def chest(seed: int = 0, side: int = 64) -> np.ndarray:
    """A body with two dark lungs and a heart on one side, with grain: uint8 (side, side)."""
    random = np.random.default_rng(seed)
    y, x = np.indices((side, side)) / side
    values = 150 + 20 * y + random.normal(0, 6, (side, side))
    for middle in (0.3, 0.7):
        values -= 90 * (((x - middle) / 0.14) ** 2 + ((y - 0.45) / 0.3) ** 2 < 1)
    values += 70 * (((x - 0.6) / 0.15) ** 2 + ((y - 0.6) / 0.13) ** 2 < 1)
    return np.clip(values, 0, 255).astype(np.uint8)


def spoilt(way: str, seed: int = 1, pixels: np.ndarray | None = None) -> np.ndarray:
    return corruptions.WAYS[way](chest() if pixels is None else pixels, np.random.default_rng(seed))


def value(pixels: np.ndarray, name: str) -> float:
    return statistics.of(pixels)[statistics.NAMES.index(name)]


@pytest.mark.parametrize("way", corruptions.WAYS)
@pytest.mark.parametrize("side", [32, 65])
def test_every_way_changes_a_copy_and_depends_on_its_random_numbers_alone(way, side):
    original = chest(side=side)
    before = original.copy()
    made = [spoilt(way, seed, original) for seed in (1, 1, 2)]
    assert made[0].dtype == np.uint8 and made[0].shape == (side, side)
    assert np.array_equal(original, before)
    assert np.array_equal(made[0], made[1])
    assert np.mean(made[0] != original) > 0.02
    if way not in {"inverted", "mirrored"}:
        assert any(not np.array_equal(made[0], spoilt(way, seed, original)) for seed in range(2, 9))


def test_ways_are_what_they_are_called():
    original = chest()
    assert np.array_equal(spoilt("inverted").astype(int), 255 - original.astype(int))
    assert np.array_equal(spoilt("mirrored")[:, ::-1], original)
    turns = {tuple(np.rot90(original, count).ravel()) for count in (1, 2, 3)}
    assert {tuple(spoilt("rotated", seed).ravel()) for seed in range(20)} == turns
    for seed in range(10):
        assert spoilt("blank", seed).std() < 4
        saturated = spoilt("saturated", seed)
        assert max((saturated == 0).mean(), (saturated == 255).mean()) > 0.4
        assert value(spoilt("noisy", seed), "grain") > value(original, "grain") + 0.5
        assert value(spoilt("blurred", seed), "sharpness") < value(original, "sharpness") - 1
        assert (spoilt("overlaid", seed) != original).mean() > 0.05
    quarters = np.sort(spoilt("scrambled", 3).ravel())
    assert np.array_equal(quarters, np.sort(original.ravel()))


def test_a_crop_is_a_part_enlarged_and_a_tilt_keeps_the_middle():
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    for seed in range(10):
        part = spoilt("cropped", seed, ramp).astype(float)
        across = part[:, -4:].mean() - part[:, :4].mean()
        assert 0.3 * 252 < across < 0.68 * 252
        assert np.abs(np.diff(part, axis=0)).max() <= 1
        tilted = spoilt("tilted", seed, ramp)
        assert abs(int(tilted[32, 32]) - int(ramp[32, 32])) < 8
        down = tilted[40, 32].astype(int) - tilted[24, 32].astype(int)
        assert abs(down) > 10


def test_grain_is_the_deviation_of_noise_whatever_the_slope():
    y, x = np.indices((200, 200))
    for sigma in (2.0, 8.0, 20.0):
        noise = np.random.default_rng(0).normal(0, sigma, (200, 200))
        pixels = np.clip(60 + 0.3 * x + 0.2 * y + noise, 0, 255).astype(np.uint8)
        assert np.exp(value(pixels, "grain")) - 0.1 == pytest.approx(sigma, rel=0.06)
    flat = np.full((40, 40), 7, np.uint8)
    assert np.isfinite(statistics.of(flat)).all()
    half = np.concatenate([np.zeros((40, 20)), np.full((40, 20), 255)], 1).astype(np.uint8)
    assert statistics.of(half)[:4] == pytest.approx([0.5, 0.5, 0.5, 0.5])
    assert value(half, "symmetry") == pytest.approx(-1)
    assert value(np.concatenate([half, half[:, ::-1]], 1), "symmetry") == pytest.approx(1)


def corpus_of(folder, count=60):
    """A corpus of images and prompts, two studies of each patient, every third text equal."""
    pictures, rows = [], []
    for number in range(count):
        study, text = f"s{number:03}", "Normal." if number % 3 == 0 else f"Finding {number}."
        pictures.append({"study_id": study, "image": images.encode(chest(number, 32))})
        split = ("train", "train", "val", "test")[number // 2 % 4]
        names = {"study_id": study, "patient_id": f"p{number // 2:02}", "split": split}
        rows.append({**names, "text": text, "prompt": text, "origin": "report"})
    tables.write(pd.DataFrame(pictures), folder / "images.parquet", tables.IMAGES)
    tables.write(pd.DataFrame(rows), folder / "prompts.parquet", tables.PROMPTS)
    return corrupt.Inputs(images=folder / "images.parquet", prompts=folder / "prompts.parquet")


def outputs_in(folder):
    names = {"corrupted_images": "images", "corrupted_prompts": "prompts", "truth": "truth"}
    return corrupt.Outputs(
        **{name: folder / f"c-{path}.parquet" for name, path in names.items()}, table=folder / "t.csv"
    )


def test_a_known_share_of_a_copy_is_corrupted_and_nothing_else(tmp_path):
    inputs, outputs = corpus_of(tmp_path), outputs_in(tmp_path)
    settings = corrupt.Settings(share=0.03, unpaired=0.1, duplicated=0.1)
    corrupt.run(settings, inputs, outputs)
    truth = tables.read(outputs.truth, tables.CORRUPTED).set_index("study_id")
    counts = truth["way"].value_counts().to_dict()
    assert counts == {**dict.fromkeys(corrupt.MEASURED, 2), "unpaired": 6, "duplicated": 6}
    assert not truth.index.duplicated().any()
    before, after = (
        tables.read(path, tables.IMAGES).set_index("study_id")["image"]
        for path in (inputs.images, outputs.corrupted_images)
    )
    text, other_text = (
        tables.read(path, tables.PROMPTS).set_index("study_id") for path in (inputs.prompts, outputs.corrupted_prompts)
    )
    image_ways = set(truth.index[~truth["way"].isin(["unpaired", "duplicated"])])
    repeated = set(truth.index[truth["way"] == "duplicated"])
    exchanged = set(truth.index[truth["way"] == "unpaired"])
    assert set(before.index[before != after]) == image_ways | repeated
    changed = set(text.index[text["text"] != other_text["text"]])
    assert exchanged <= changed <= exchanged | repeated
    assert text[["patient_id", "split"]].equals(other_text[["patient_id", "split"]])
    for study in exchanged:
        assert other_text.at[study, "text"] == text.at[truth.at[study, "other"], "text"] != text.at[study, "text"]
    same = []
    for study in repeated:
        other = truth.at[study, "other"]
        assert other not in truth.index and text.at[other, "patient_id"] != text.at[study, "patient_id"]
        assert other_text.at[study, "text"] == text.at[other, "text"]
        same.append(after[study] == before[other])
        details = [images.details(images.decode(data), 32) for data in (after[study], before[other])]
        assert details[0] @ details[1] > 0.6  # grain, which JPEG takes away, is all the detail there is
    assert 0 < sum(same) < len(same)


def test_a_study_is_corrupted_in_the_same_way_again(tmp_path):
    inputs = corpus_of(tmp_path)
    made = []
    for name in ("one", "two"):
        outputs = outputs_in(tmp_path / name)
        corrupt.run(corrupt.Settings(share=0.02, unpaired=0.1), inputs, outputs)
        made.append([path.read_bytes() for path in outputs.paths()])
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ways": ["melted"]}, "input_value='melted'"),
        ({"share": 0.1}, "studies are to be corrupted, but the corpus has 60"),
        ({"share": 0.0, "unpaired": 0.0, "duplicated": 0.49}, None),
        ({"share": 0.0, "unpaired": 0.02, "duplicated": 0.0}, "there is one, or all have the same text"),
    ],
)
def test_what_cannot_be_corrupted_is_said(tmp_path, settings, words):
    inputs = corpus_of(tmp_path)
    if words is None:
        corrupt.run(corrupt.Settings(**settings), inputs, outputs_in(tmp_path))
        return
    with pytest.raises((job.JobError, ValidationError), match=words):
        corrupt.run(corrupt.Settings(**settings), inputs, outputs_in(tmp_path))
