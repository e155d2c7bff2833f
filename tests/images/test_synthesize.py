"""Synthesis: samples that depend on nothing but themselves, screening, redrawing, going on after a kill."""

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from synvlp import job
from synvlp.images import drawing, partition, synthesize
from synvlp.models import pipeline as pipelines
from synvlp.models import sampler
from synvlp.store import images, tables
from synvlp.store.seeds import seed_of, shard_of

QUICK = {"steps": 3, "batch": 8, "min_deviation": 0.0, "max_saturated": 1.0}


def parted(folder, prompts, shards, splits=("train", "val")):
    """Paths of the shards' prompts."""
    parts = [folder / f"prompts-{shard}-of-{shards}.parquet" for shard in range(shards)]
    settings = partition.Settings(splits=list(splits))
    partition.run(settings, partition.Inputs(prompts=prompts), partition.Outputs(parts=parts))
    return parts


def drawn(folder, prompts, pipeline, shards=1, splits=("train", "val"), **settings):
    """All shards as one table."""
    paths = [folder / f"{shard}-of-{shards}.parquet" for shard in range(shards)]
    for path, part in zip(paths, parted(folder, prompts, shards, splits), strict=True):
        synthesize.run(
            synthesize.Settings(**QUICK | settings),
            synthesize.Inputs(prompts=part, pipeline=pipeline),
            synthesize.Outputs(shard_file=path),
        )
    return tables.read_all(paths, tables.SHARD)


def pixels(table):
    return np.stack([images.decode(data) for data in table["image"]]).astype(int)


@pytest.fixture(scope="module")
def whole(prompts, pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNVLP_SCRATCH", str(folder / "scratch"))
        return drawn(folder, prompts, pipeline)


def test_each_study_of_the_splits_gets_an_image(whole):
    wanted = [f"s{number:02d}" for number in range(23) if number != 8]
    assert list(whole["study_id"]) == wanted
    assert whole["accepted"].all()
    assert (whole["draw"] == 0).all()
    assert list(whole["seed"]) == [seed_of(0, study_id, 0) for study_id in wanted]
    assert pixels(whole).shape == (22, 16, 16)
    assert pixels(whole).std((1, 2)).min() > 1
    assert whole["mean"].to_numpy() == pytest.approx(pixels(whole).mean((1, 2)))
    assert whole["deviation"].to_numpy() == pytest.approx(pixels(whole).std((1, 2)))


def test_equal_prompts_get_different_images(whole):
    same = whole[whole["prompt"] == "left effusion"]
    assert len(same) > 2
    assert len(set(same["image"])) == len(same)


@pytest.mark.parametrize("shards", [3, 8])
def test_samples_are_the_same_to_the_last_bit_for_any_number_of_shards(whole, prompts, pipeline, tmp_path, shards):
    pd.testing.assert_frame_equal(drawn(tmp_path, prompts, pipeline, shards), whole)


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_samples_are_within_a_gray_level_for_any_batch(whole, prompts, pipeline, tmp_path, batch):
    other = drawn(tmp_path, prompts, pipeline, batch=batch)
    assert np.abs(pixels(other) - pixels(whole)).max() <= 1


def test_another_seed_guidance_or_solver_gives_other_images(whole, prompts, pipeline, tmp_path):
    for change in ({"seed": 1}, {"guidance": 1.0}, {"scheduler": "ddim"}):
        other = drawn(tmp_path, prompts, pipeline, splits=["val"], **change)
        assert (pixels(other) != pixels(whole.tail(3))).any((1, 2)).all(), change


def test_an_image_that_is_not_finite_is_drawn_again(whole, prompts, pipeline, tmp_path, monkeypatch):
    noise = sampler.Sampler.noise
    bad = {seed_of(0, "s03", 0), seed_of(0, "s05", 0), seed_of(0, "s05", 1)}

    def spoilt(self, seeds):
        made = noise(self, seeds)
        for place, seed in enumerate(seeds):
            if seed in bad:
                made[place, 0, 0, 0] = float("nan")
        return made

    monkeypatch.setattr(sampler.Sampler, "noise", spoilt)
    found = drawn(tmp_path, prompts, pipeline)
    refused = found[~found["accepted"]]
    assert list(zip(refused["study_id"], refused["draw"], strict=True)) == [("s03", 0), ("s05", 0), ("s05", 1)]
    assert set(refused["reason"]) == {"not finite"}
    assert pixels(refused).shape == (3, 16, 16)
    again = found[found["study_id"].isin(["s03", "s05"]) & found["accepted"]]
    assert list(again["draw"]) == [1, 2]
    assert list(again["seed"]) == [seed_of(0, "s03", 1), seed_of(0, "s05", 2)]
    others = found[~found["study_id"].isin(["s03", "s05"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, whole[~whole["study_id"].isin(["s03", "s05"])].reset_index(drop=True))


def test_a_study_is_drawn_at_most_max_draws_times(prompts, pipeline, tmp_path):
    found = drawn(tmp_path, prompts, pipeline, splits=["val"], min_deviation=128.0, max_draws=3)
    assert list(found["draw"]) == [0, 1, 2] * 3
    assert set(found["reason"]) == {"flat"}


def test_several_copies_of_a_study_are_draws_of_it(whole, prompts, pipeline, tmp_path):
    found = drawn(tmp_path, prompts, pipeline, splits=["val"], copies=2)
    assert list(found["draw"]) == [0, 1] * 3
    first = found[found["draw"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, whole.tail(3).reset_index(drop=True))


@pytest.mark.parametrize(
    ("finite", "gray", "reason"),
    [
        (True, np.tile([0, 200], 128), ""),
        (False, np.tile([0, 200], 128), "not finite"),
        (True, np.tile([100, 109], 128), "flat"),
        (True, np.r_[np.zeros(160), np.full(96, 90)], "saturated"),
        (True, np.r_[np.full(160, 255), np.full(96, 90)], "saturated"),
    ],
)
def test_reasons(finite, gray, reason):
    settings = drawing.Settings(min_deviation=8, max_saturated=0.6)
    found = drawing.row(("s", 0), "text", 1, gray.reshape(16, 16).astype(np.uint8), finite, settings)
    assert found["reason"] == reason
    assert found["accepted"] == (reason == "")


def test_draws_that_are_needed():
    settings = drawing.Settings(copies=2, max_draws=2)

    def rows(study_id, *accepted):
        return [{"study_id": study_id, "accepted": good} for good in accepted]

    def needed(made):
        return drawing.next_draws(made, ["b", "a"], settings)

    assert needed([]) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert needed(rows("a", True, True) + rows("b", True, False)) == [("b", 2)]
    assert needed(rows("a", True, True) + rows("b", False, False, False)) == [("b", 3)]
    assert needed(rows("a", True, True) + rows("b", False, False, False, True)) == []


def test_a_job_that_was_killed_goes_on_and_ends_in_the_same_bytes(
    whole, prompts, pipeline, tmp_path, monkeypatch, scratch
):
    monkeypatch.setattr(job.Scratch, "due", lambda self: True)
    settings = {"min_deviation": float(whole["deviation"].quantile(0.3)), "max_draws": 2}
    wanted = drawn(tmp_path, prompts, pipeline, **settings)
    assert 0 < (~wanted["accepted"]).sum() < len(wanted) - 3
    path = tmp_path / "0-of-1.parquet"
    bytes_of_whole = path.read_bytes()
    path.unlink()
    draw, calls = sampler.Sampler.draw, []

    def killed(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return draw(self, *arguments)

    monkeypatch.setattr(sampler.Sampler, "draw", killed)
    with pytest.raises(KeyboardInterrupt):
        drawn(tmp_path, prompts, pipeline, **settings)
    assert not path.exists()
    assert len(list(scratch.iterdir())) == 1
    drawn(tmp_path, prompts, pipeline, **settings)
    batches = 3 + -(-(len(wanted) - 22) // 8)
    assert len(calls) == batches + 1
    assert path.read_bytes() == bytes_of_whole
    assert not list(scratch.iterdir())


def test_prompts_that_are_too_long_are_counted(prompts, pipeline, tmp_path, caplog):
    with caplog.at_level("INFO", logger="synvlp"):
        drawn(tmp_path, prompts, pipeline)
    assert "1 prompts are longer than 8 tokens; their end is not read" in caplog.text
    assert "1 of 23 studies have an empty prompt and get no image" in caplog.text
    assert "left" not in caplog.text


def test_an_empty_shard_is_a_table_without_rows(prompts, pipeline, tmp_path):
    found = drawn(tmp_path, prompts, pipeline, splits=["test"], shards=2)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"splits": ["dev"]}, "should be 'train', 'val' or 'test'"),
        ({"size": 17}, "size = 17 is not a multiple of 2"),
    ],
)
def test_wrong_settings_say_so(prompts, pipeline, tmp_path, wrong, message):
    with pytest.raises((job.JobError, ValidationError), match=message):
        drawn(tmp_path, prompts, pipeline, **wrong)


def test_a_new_report_changes_the_prompts_of_its_shard_alone(prompts, tmp_path):
    frame = tables.read(prompts, tables.PROMPTS)
    more = pd.concat([frame, frame.tail(1).assign(study_id="new", split="train")], ignore_index=True)
    tables.write(more, tmp_path / "more.parquet", tables.PROMPTS)
    before = [path.read_bytes() for path in parted(tmp_path, prompts, 4)]
    after = [path.read_bytes() for path in parted(tmp_path, tmp_path / "more.parquet", 4)]
    changed = [number for number in range(4) if before[number] != after[number]]
    assert changed == [shard_of("new", 4)]


@pytest.mark.parametrize("kind", ["dpm++", "ddim"])
def test_the_solver_is_the_one_of_diffusers(pipeline, kind):
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    folder = next(path.parent for path in pipeline if path.name == "model_index.json")
    theirs = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    theirs.set_progress_bar_config(disable=True)
    if kind == "ddim":
        theirs.scheduler = DDIMScheduler.from_config(theirs.scheduler.config, clip_sample=False)
    ours = sampler.Sampler(
        pipelines.open_files(pipeline), job.Compute(), torch.device("cpu"), steps=7, guidance=2.5, kind=kind, batch=2
    )
    texts = ["left effusion", "no opacity"]
    noise = ours.noise([1, 2])
    found = ours.denoise(ours.embed(texts), noise)
    wanted = theirs(
        texts, latents=noise, num_inference_steps=7, guidance_scale=2.5, height=16, width=16, output_type="latent"
    ).images
    assert torch.allclose(found, wanted, atol=2e-5)
