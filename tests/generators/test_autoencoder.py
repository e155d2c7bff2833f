"""The autoencoder: its losses, the latents' scale, training and going on after a kill."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import AutoencoderKL
from pydantic import ValidationError

from synvlp import job
from synvlp.generators import autoencoder
from synvlp.models import latents
from synvlp.models import pipeline as pipelines
from synvlp.store import tables


def network(channels=1, latent=3, **more):
    torch.manual_seed(0)
    return AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        layers_per_block=1,
        latent_channels=latent,
        norm_num_groups=4,
        **more,
    ).eval()


def pixels(count=6, size=16):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, size, size)).astype(np.uint8))


@pytest.mark.parametrize("channels", [1, 3])
def test_losses_are_what_they_are_called(channels):
    vae, images = network(channels), pixels()
    torch.manual_seed(7)
    found = autoencoder.losses(vae, images, divergence=0.01, edges=0.5)
    torch.manual_seed(7)
    wanted = (images.double() / 127.5 - 1)[:, None].expand(-1, channels, -1, -1)
    with torch.no_grad():
        moments = vae.quant_conv(vae.encoder(wanted.float()))
        mean, logvar = moments.chunk(2, dim=1)
        drawn = mean + (0.5 * logvar).exp() * torch.randn(mean.shape)
        error = vae.decode(drawn).sample.double() - wanted
    divergence = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).double().sum((1, 2, 3)).mean()
    edges = (error[..., 1:] - error[..., :-1]).abs().mean() + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    assert found["absolute"].item() == pytest.approx(error.abs().mean().item(), rel=1e-5)
    assert found["divergence"].item() == pytest.approx(divergence.item(), rel=1e-5)
    assert found["edges"].item() == pytest.approx(edges.item(), rel=1e-5)
    total = error.abs().mean() + 0.01 * divergence + 0.5 * edges
    assert found["loss"].item() == pytest.approx(total.item(), rel=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_latents_get_mean_0_and_deviation_1_and_reconstructions_stay(channels):
    vae, images = network(channels), pixels(40)
    with torch.no_grad():
        vae.quant_conv.bias += torch.tensor([1.0, -2.0, 0.5, 0, 1, -3])
        before = vae.decode(vae.encode(latents.from_gray(images, channels)).latent_dist.mean).sample
        spread = vae.encode(latents.from_gray(images, channels)).latent_dist
    autoencoder.standardize(vae, images, batch=16)
    with torch.no_grad():
        posterior = vae.encode(latents.from_gray(images, channels)).latent_dist
        after = vae.decode(posterior.mean).sample
    assert torch.allclose(before, after, atol=1e-4)
    assert posterior.mean.mean((0, 2, 3)).abs().max() < 1e-4
    second = (posterior.mean.square() + posterior.std.square()).mean((0, 2, 3))
    assert torch.allclose(second, torch.ones(3), atol=1e-3)
    ratio = (posterior.std / spread.std).mean((0, 2, 3))
    scale = posterior.mean.std((0, 2, 3)) / spread.mean.std((0, 2, 3))
    assert torch.allclose(ratio, scale, rtol=1e-3)
    assert vae.config.scaling_factor == pytest.approx(1, abs=1e-3)


def test_training_lowers_the_error_and_writes_what_diffusers_opens(trained_autoencoder):
    curve = pd.read_csv(trained_autoencoder.curve)
    errors = curve[(curve["phase"] == "val") & (curve["name"] == "absolute")].set_index("step")["value"]
    assert list(errors.index) == [20, 40]
    assert errors[40] < errors[20] < 0.5
    opened = AutoencoderKL.from_pretrained(trained_autoencoder.config.parent, use_safetensors=True)
    ours = pipelines.open_autoencoder(trained_autoencoder.config, trained_autoencoder.weights)
    images = latents.from_gray(pixels(), 1)
    with torch.no_grad():
        assert torch.equal(opened.encode(images).latent_dist.mean, ours.eval().encode(images).latent_dist.mean)
    assert opened.config.in_channels == 1
    assert opened.config.scaling_factor == pytest.approx(1, abs=0.01)
    assert "_name_or_path" not in json.loads(trained_autoencoder.config.read_text())


def test_a_training_that_was_killed_ends_in_the_same_bytes(corpus, tools, trained_autoencoder, tmp_path, monkeypatch):
    monkeypatch.setattr(job.Scratch, "due", lambda self: True)
    settings = autoencoder.Settings(**tools.autoencoder)
    inputs = autoencoder.Inputs(images=corpus["images"], studies=corpus["studies"])
    outputs = tools.autoencoder_outputs(tmp_path)
    whole, calls = autoencoder.losses, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 27:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(autoencoder, "losses", killed)
    with pytest.raises(KeyboardInterrupt):
        autoencoder.run(settings, inputs, outputs)
    assert not outputs.weights.exists()
    autoencoder.run(settings, inputs, outputs)
    assert len(calls) == 27 + 14
    for name in autoencoder.Outputs.model_fields:
        assert getattr(outputs, name).read_bytes() == getattr(trained_autoencoder, name).read_bytes(), name
    assert not list((tmp_path / "scratch").glob("*-*"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image_size": 17}, "image_size = 17 is not a multiple of 2"),
        ({"groups": 3}, r"channels = \[8, 8\] has 8, which is not a multiple of groups = 3"),
    ],
)
def test_settings_that_do_not_fit_say_so(tools, wrong, message):
    with pytest.raises(ValidationError, match=message):
        autoencoder.Settings(**tools.autoencoder | wrong)


def test_a_corpus_without_images_to_train_on_says_so(corpus, tools, tmp_path):
    none = tables.read(corpus["images"], tables.IMAGES).iloc[:0]
    tables.write(none, tmp_path / "none.parquet", tables.IMAGES)
    inputs = autoencoder.Inputs(images=tmp_path / "none.parquet", studies=corpus["studies"])
    with pytest.raises(job.JobError, match="nothing to train on"):
        autoencoder.run(autoencoder.Settings(**tools.autoencoder), inputs, tools.autoencoder_outputs(tmp_path))
