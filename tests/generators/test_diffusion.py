"""The diffusion model: its loss, its training, and that diffusers opens what is written and draws the same."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from pydantic import ValidationError

from synvlp import job
from synvlp.generators import denoising, diffusion, pairs, samples
from synvlp.models import pipeline as pipelines
from synvlp.models import sampler
from synvlp.store import tables

CPU = torch.device("cpu")


def test_min_snr_weights_follow_the_paper():
    alphas = torch.tensor([0.99, 0.9, 0.5, 0.1])
    snr = np.array([99, 9, 1, 1 / 9])
    epsilon = np.minimum(snr, 5) / snr
    velocity = np.minimum(snr, 5) / (snr + 1)
    found = denoising.min_snr_weights(alphas, "epsilon", 5.0)
    assert found.numpy() == pytest.approx(epsilon / epsilon.mean(), rel=1e-4)
    found = denoising.min_snr_weights(alphas, "v_prediction", 5.0)
    assert found.numpy() == pytest.approx(velocity / velocity.mean(), rel=1e-4)
    assert denoising.min_snr_weights(alphas, "epsilon", 0.0).tolist() == [1, 1, 1, 1]


def test_times_cover_the_schedule_evenly():
    torch.manual_seed(0)
    times = denoising.spread_times(10, 1000, CPU)
    assert sorted(int(time) // 100 for time in times) == list(range(10))
    assert times.tolist() != sorted(times.tolist())


class Exact(torch.nn.Module):
    """A U-Net that knows the answer: it is given what it shall predict."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, noisy, times, encoder_hidden_states, return_dict):
        self.seen.append(encoder_hidden_states)
        return (torch.zeros_like(noisy),)


class Words(torch.nn.Module):
    """A text encoder whose states are the token numbers."""

    def forward(self, ids):
        return SimpleNamespace(last_hidden_state=ids)


def objective(kind, **settings):
    schedule = DDPMScheduler(beta_schedule="scaled_linear", prediction_type=kind)
    return denoising.Objective(SimpleNamespace(scheduler=schedule), diffusion.Settings(**settings), CPU)


def encoded(count):
    data = object.__new__(denoising.Encoded)
    data.mean, data.deviation = torch.zeros(count, 4, 8, 8), torch.ones(count, 4, 8, 8)
    data.ids, data.empty = torch.arange(1, count + 1)[:, None], torch.zeros(1, 1, dtype=torch.long)
    return data


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_predicting_nothing_costs_the_targets_variance(kind):
    # Latents and noise of variance 1: the noise has variance 1, and so has √ᾱ·noise − √(1−ᾱ)·latents.
    torch.manual_seed(0)
    networks = torch.nn.ModuleDict({"unet": Exact(), "text_encoder": Words()})
    found = objective(kind, min_snr=0).losses(networks, encoded(64), np.arange(64))
    assert found["square"].item() == pytest.approx(1, abs=0.05)
    assert found["loss"].item() == pytest.approx(found["square"].item(), rel=1e-5)


def test_offset_noise_adds_its_variance():
    torch.manual_seed(0)
    networks = torch.nn.ModuleDict({"unet": Exact(), "text_encoder": Words()})
    found = objective("epsilon", min_snr=0, offset_noise=2.0).losses(networks, encoded(256), np.arange(256))
    assert found["square"].item() == pytest.approx(5, abs=0.6)


def test_the_asked_share_is_trained_without_text():
    torch.manual_seed(0)
    networks = torch.nn.ModuleDict({"unet": Exact(), "text_encoder": Words()})
    objective("epsilon", unconditional=0.25).losses(networks, encoded(400), np.arange(400))
    seen = networks["unet"].seen[0][:, 0]
    without = seen == 0
    assert float(without.float().mean()) == pytest.approx(0.25, abs=0.06)
    assert torch.equal(seen[~without], torch.arange(1, 401)[~without])


def test_training_lowers_the_loss(trained_pipeline):
    curve = pd.read_csv(trained_pipeline.curve)
    losses = curve[curve["name"] == "loss"].pivot(index="step", columns="phase", values="value")
    assert list(losses.index) == [4, 8, 12]
    assert losses.loc[12, "train"] < losses.loc[4, "train"]
    assert losses.loc[12, "val"] < losses.loc[4, "val"]


def test_what_is_written_names_no_folder(trained_pipeline):
    for path in trained_pipeline.paths():
        assert b"/tmp" not in path.read_bytes(), path.name
        assert b"pytest" not in path.read_bytes(), path.name


def test_the_tokenizer_is_written_without_what_its_last_call_left_in_it(trained_pipeline):
    written = json.loads(trained_pipeline.tokenizer.read_text())
    assert written["padding"] is None
    assert written["truncation"] is None


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_diffusers_opens_it_and_draws_the_same_images(trained_pipeline, guidance):
    theirs = StableDiffusionPipeline.from_pretrained(trained_pipeline.model_index.parent, safety_checker=None)
    theirs.set_progress_bar_config(disable=True)
    ours = sampler.Sampler(
        pipelines.open_files(trained_pipeline.paths()), job.Compute(), CPU, steps=6, guidance=guidance, batch=4
    )
    prompts = ["Effusion on the left.", "Effusion on the right.", ""]
    noise = ours.noise([11, 12, 13])
    found, finite = ours.decode(ours.denoise(ours.embed(prompts), noise))
    wanted = theirs(prompts, latents=noise, num_inference_steps=6, guidance_scale=guidance, height=16, width=16).images
    assert finite.all()
    assert wanted[0].mode == "L"
    difference = found.astype(int) - np.stack([np.asarray(image) for image in wanted])
    assert np.abs(difference).max() <= 1
    assert (difference == 0).mean() > 0.99


def test_a_training_that_was_killed_ends_in_the_same_bytes(
    diffusion_inputs, tools, trained_pipeline, tmp_path, monkeypatch
):
    monkeypatch.setattr(job.Scratch, "due", lambda self: True)
    settings, outputs = diffusion.Settings(**tools.diffusion), tools.pipeline_outputs(tmp_path)
    whole, calls = denoising.Objective.losses, []

    def killed(self, *arguments):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return whole(self, *arguments)

    monkeypatch.setattr(denoising.Objective, "losses", killed)
    with pytest.raises(KeyboardInterrupt):
        diffusion.run(settings, diffusion_inputs, outputs)
    assert not outputs.unet_weights.exists()
    diffusion.run(settings, diffusion_inputs, outputs)
    assert len(calls) == 7 + 6
    for name in diffusion.Outputs.model_fields:
        assert getattr(outputs, name).read_bytes() == getattr(trained_pipeline, name).read_bytes(), name


def test_prompts_of_the_sample_picture(corpus):
    held_out = pairs.read_pairs(corpus["images"], corpus["studies"], corpus["prompts"], "val", 16)
    chosen = samples.chosen_prompts(diffusion.Settings(sample_count=8), held_out, held_out)
    assert sorted(prompt for prompt, _ in chosen) == ["Effusion on the left.", "Effusion on the right."]
    given = diffusion.Settings(sample_prompts=["Nodule.", "Nodule."])
    chosen = samples.chosen_prompts(given, held_out, held_out)
    assert [prompt for prompt, _ in chosen] == ["Nodule.", "Nodule."]
    assert chosen[0][1] != chosen[1][1]


def test_only_pairs_of_the_split_are_read(corpus):
    train = pairs.read_pairs(corpus["images"], corpus["studies"], corpus["prompts"], "train", 8)
    assert train.study_id == [f"s{number:02d}" for number in range(16)]
    assert train.pixels.shape == (16, 8, 8)
    assert train.prompt[1] == "Effusion on the left."


def test_a_corpus_without_text_says_so(corpus, diffusion_inputs, tools, tmp_path):
    prompts = tables.read(corpus["prompts"], tables.PROMPTS).assign(prompt="")
    tables.write(prompts, tmp_path / "prompts.parquet", tables.PROMPTS)
    inputs = diffusion_inputs.model_copy(update={"prompts": tmp_path / "prompts.parquet"})
    with pytest.raises(job.JobError, match="nothing to train on"):
        diffusion.run(diffusion.Settings(**tools.diffusion), inputs, tools.pipeline_outputs(tmp_path))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image_size": 17}, "image_size = 17 is not a multiple of 2"),
        ({"channels": [8, 10]}, r"channels = \[8, 10\] has 10, which is not a multiple of groups = 4"),
        ({"groups": 1, "heads": 3}, r"has 8, which is not a multiple of heads = 3"),
        ({"attention_from": 2}, "attention_from = 2 is no level: channels has 2, from 0 on"),
        ({"text_heads": 3}, "text_width = 16 is not a multiple of text_heads = 3"),
        ({"beta_start": 0.5}, "beta_start = 0.5 is not below beta_end"),
    ],
)
def test_settings_that_do_not_fit_say_so(tools, wrong, message):
    with pytest.raises(ValidationError, match=message):
        diffusion.Settings(**tools.diffusion | wrong)


def test_images_that_autoencoder_and_levels_do_not_shrink_evenly_say_so(diffusion_inputs, tools, tmp_path):
    settings = diffusion.Settings(**tools.diffusion | {"image_size": 18})
    with pytest.raises(job.JobError, match="image_size = 18 is not a multiple of 4"):
        diffusion.run(settings, diffusion_inputs, tools.pipeline_outputs(tmp_path))
