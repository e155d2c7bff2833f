"""Screening over all shards: near-duplicates among images, redrawn until they pass."""

import json

import numpy as np
import pandas as pd
import pytest

from synvlp import job
from synvlp.images import drawing, partition, screen, synthesize
from synvlp.models import sampler
from synvlp.store import images, tables
from synvlp.store.seeds import seed_of

QUICK = {"steps": 3, "batch": 8, "min_deviation": 0.0, "max_saturated": 1.0}


@pytest.fixture(scope="module")
def shards(prompts, pipeline, tmp_path_factory):
    """Paths of the shards for 1, for 3 and for 8 shards."""
    folder = tmp_path_factory.mktemp("shards")
    paths = {count: [folder / f"{shard}-of-{count}.parquet" for shard in range(count)] for count in (1, 3, 8)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNVLP_SCRATCH", str(folder / "scratch"))
        for count, files in paths.items():
            for path, part in zip(files, parted(folder, prompts, count), strict=True):
                synthesize.run(
                    synthesize.Settings(**QUICK),
                    synthesize.Inputs(prompts=part, pipeline=pipeline),
                    synthesize.Outputs(shard_file=path),
                )
    return paths


def parted(folder, prompts, shards):
    """Paths of the shards' prompts."""
    parts = [folder / f"prompts-{shard}-of-{shards}.parquet" for shard in range(shards)]
    partition.run(partition.Settings(), partition.Inputs(prompts=prompts), partition.Outputs(parts=parts))
    return parts


def screened(folder, shards, prompts, pipeline, **settings):
    outputs = screen.Outputs(
        images=folder / "images.parquet", rejected=folder / "rejected.csv", summary=folder / "summary.json"
    )
    folder.mkdir(exist_ok=True)
    given = screen.Settings(**QUICK | {"max_correlation": 1.0, "compare_size": 16} | settings)
    screen.run(given, screen.Inputs(shards=shards, prompts=prompts, pipeline=pipeline), outputs)
    return outputs


def with_copies(path, folder, pairs):
    """The shard with the images of some studies put in the place of others'."""
    frame = tables.read(path, tables.SHARD).set_index("study_id")
    for source, target in pairs:
        frame.at[target, "image"] = frame.at[source, "image"]
    copy = folder / "copies.parquet"
    tables.write(frame.reset_index(), copy, tables.SHARD)
    return copy


def test_what_passes_is_what_was_drawn(shards, prompts, pipeline, tmp_path):
    outputs = screened(tmp_path, shards[1], prompts, pipeline)
    pd.testing.assert_frame_equal(tables.read(outputs.images, tables.SHARD), tables.read(shards[1][0], tables.SHARD))
    summary = json.loads(outputs.summary.read_text())
    assert summary["accepted"] == summary["studies"] == summary["draws"] == 22
    assert summary["rejected"] == {}


def test_a_near_duplicate_is_drawn_again(shards, prompts, pipeline, tmp_path):
    copies = with_copies(shards[1][0], tmp_path, [("s02", "s04"), ("s11", "s21")])
    outputs = screened(tmp_path, [copies], prompts, pipeline, max_correlation=0.99999)
    found = tables.read(outputs.images, tables.SHARD).set_index("study_id")
    assert len(found) == 22
    assert list(found.index[found["draw"] == 1]) == ["s04", "s21"]
    assert found.at["s21", "seed"] == seed_of(0, "s21", 1)
    rejected = pd.read_csv(outputs.rejected)
    assert list(rejected["item"]) == ["s04 draw 0", "s21 draw 0"]
    assert rejected["reason"][0] == "near-duplicate of s02 (draw 0), correlation 1.0000"
    summary = json.loads(outputs.summary.read_text())
    assert summary["rejected"] == {"near-duplicate": 2}
    assert summary["draws"] == 24


def test_the_redrawn_image_is_what_synthesis_draws_next(shards, prompts, pipeline, tmp_path):
    copies = with_copies(shards[1][0], tmp_path, [("s02", "s04")])
    outputs = screened(tmp_path, [copies], prompts, pipeline, max_correlation=0.99999)
    again = tables.read(outputs.images, tables.SHARD).set_index("study_id").loc["s04"]
    synthesize.run(
        synthesize.Settings(**QUICK, copies=2),
        synthesize.Inputs(prompts=parted(tmp_path, prompts, 1)[0], pipeline=pipeline),
        synthesize.Outputs(shard_file=tmp_path / "two.parquet"),
    )
    two = tables.read(tmp_path / "two.parquet", tables.SHARD).set_index(["study_id", "draw"])
    assert again["image"] == two.at[("s04", 1), "image"]


def test_the_result_does_not_depend_on_the_number_of_shards(shards, prompts, pipeline, tmp_path):
    # A limit that many images of random weights fail, so that there are several rounds.
    settings = {"max_correlation": 0.1, "max_draws": 3, "max_rejected": 1.0}
    one = screened(tmp_path / "one", shards[1], prompts, pipeline, **settings)
    assert json.loads(one.summary.read_text())["draws"] > 22
    for count in (3, 8):
        others = screened(tmp_path / f"{count}", shards[count][::-1], prompts, pipeline, **settings)
        for name in screen.Outputs.model_fields:
            assert getattr(one, name).read_bytes() == getattr(others, name).read_bytes(), (count, name)


def test_equal_prompts_are_no_reason_to_reject(shards, prompts, pipeline, tmp_path):
    outputs = screened(tmp_path, shards[1], prompts, pipeline, max_correlation=0.99999)
    found = tables.read(outputs.images, tables.SHARD)
    assert found["prompt"].duplicated().any()
    assert (found["draw"] == 0).all()


def test_a_job_that_was_killed_goes_on_and_ends_in_the_same_bytes(
    shards, prompts, pipeline, tmp_path, monkeypatch, scratch
):
    monkeypatch.setattr(job.Scratch, "due", lambda self: True)
    settings = {"max_correlation": 0.1, "max_draws": 3, "max_rejected": 1.0, "batch": 4}
    wanted = screened(tmp_path / "whole", shards[1], prompts, pipeline, **settings)
    draw, calls = sampler.Sampler.draw, []

    def killed(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return draw(self, *arguments)

    monkeypatch.setattr(sampler.Sampler, "draw", killed)
    with pytest.raises(KeyboardInterrupt):
        screened(tmp_path / "again", shards[1], prompts, pipeline, **settings)
    again = screened(tmp_path / "again", shards[1], prompts, pipeline, **settings)
    for name in screen.Outputs.model_fields:
        assert getattr(again, name).read_bytes() == getattr(wanted, name).read_bytes()
    assert not list(scratch.iterdir())


def test_too_many_studies_without_an_image_stop_the_job(shards, prompts, pipeline, tmp_path):
    with pytest.raises(job.JobError, match=r"max_rejected = 0\.1 allows; .* all are listed in"):
        screened(tmp_path, shards[1], prompts, pipeline, max_correlation=0.01, max_draws=1)
    assert (tmp_path / "rejected.stopped.csv").exists()


def test_a_shard_given_twice_is_an_error(shards, prompts, pipeline, tmp_path):
    with pytest.raises(job.JobError, match="more than one shard"):
        screened(tmp_path, shards[1] + shards[3][:1], prompts, pipeline)


def test_shards_of_other_prompts_are_an_error(shards, prompts, pipeline, tmp_path):
    other = tables.read(prompts, tables.PROMPTS)
    other.loc[2, "prompt"] = "large opacity"
    tables.write(other, tmp_path / "other.parquet", tables.PROMPTS)
    with pytest.raises(job.JobError, match="study s02: the shard was drawn for a prompt"):
        screened(tmp_path, shards[1], tmp_path / "other.parquet", pipeline)


def test_shards_of_another_seed_are_an_error(shards, prompts, pipeline, tmp_path):
    with pytest.raises(job.JobError, match="drawn with another seed than 5"):
        screened(tmp_path, shards[1], prompts, pipeline, seed=5)


def chest(seed, size=64):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size
    shading = 90 + 80 * np.cos(3 * (columns - 0.5)) * np.sin(3 * rows)
    return (shading + np.kron(rng.normal(0, 9, (16, 16)), np.ones((4, 4)))).clip(0, 255).astype(np.uint8)


def test_details_see_through_exposure_and_a_little_noise():
    first = chest(0)
    brighter = (first * 0.8 + 30).astype(np.uint8)
    noisy = (first + np.random.default_rng(5).normal(0, 2, first.shape)).clip(0, 255).astype(np.uint8)
    vectors = [screen.details(image, 32) for image in (first, brighter, noisy, chest(1))]
    assert vectors[0] @ vectors[0] == pytest.approx(1, abs=1e-5)
    assert vectors[0] @ vectors[1] > 0.99
    assert vectors[0] @ vectors[2] > 0.97
    assert abs(vectors[0] @ vectors[3]) < 0.3


def test_an_image_without_details_resembles_none():
    assert not screen.details(np.full((64, 64), 90, np.uint8), 32).any()


def test_comparison_is_the_one_by_one_comparison(monkeypatch):
    """Blocks of any size find what a loop over pairs finds."""
    pictures = [chest(seed % 7) for seed in range(20)]
    settings = drawing.Settings()
    kept, expected = [], []
    for picture in pictures:
        vector = screen.details(picture, 32)
        close = any(vector @ other > 0.98 for other in kept)
        expected.append(not close)
        kept += [] if close else [vector]
    for block in (1, 6, 100):
        monkeypatch.setattr(screen, "BLOCK", block)
        rows = [drawing.row((f"s{n:02d}", 0), "", n, picture, True, settings) for n, picture in enumerate(pictures)]
        screen.compare(rows, screen.Kept(), screen.Settings(max_correlation=0.98))
        assert [row["accepted"] for row in rows] == expected
    assert sum(expected) == 7


def test_images_of_the_shards_are_readable(shards):
    frame = tables.read(shards[1][0], tables.SHARD)
    assert all(images.decode(data).shape == (16, 16) for data in frame["image"])
