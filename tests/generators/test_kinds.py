"""What holds for every kind that trains in one job: what it writes, and that it goes on after a kill."""

import signal

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from synvlp import job, processes
from synvlp.generators import adversarial, kinds, loop
from synvlp.generators.kinds import gan, vae
from synvlp.models import gan as gan_networks
from synvlp.models import generator, onepass
from synvlp.models import vae as vae_networks

KINDS = {"vae": vae, "gan": gan}
NETWORKS = {"vae": vae_networks.Network, "gan": gan_networks.Generator}


def test_these_are_all_kinds():
    assert kinds.names() == sorted(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_curve_and_the_pictures(trained, kind):
    curve = pd.read_csv(trained[kind].curve)
    losses = curve[curve["name"] == "loss"].pivot(index="step", columns="phase", values="value")
    assert list(losses.index) == [4, 8, 12] and losses.notna().all(axis=None)
    assert Image.open(trained[kind].samples).size[0] > 300
    assert Image.open(trained[kind].curve_picture).size[0] > 300


def test_training_lowers_the_loss_of_the_vae(trained):
    curve = pd.read_csv(trained["vae"].curve)
    losses = curve[(curve["name"] == "absolute") & (curve["phase"] == "val")].set_index("step")["value"]
    assert losses[12] < losses[4]


def test_the_discriminator_learns_to_tell(trained):
    curve = pd.read_csv(trained["gan"].curve)
    scores = curve[curve["phase"] == "train"].pivot(index="step", columns="name", values="value")
    assert scores.loc[12, "score_real"] > scores.loc[12, "score_made"]
    assert scores["penalty"].notna().all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_names_no_folder(trained, kind):
    for path in trained[kind].paths():
        assert b"/tmp" not in path.read_bytes() and b"pytest" not in path.read_bytes(), path.name


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_open_as_what_they_are(trained, kind):
    parts = generator.read(trained[kind].paths())
    assert parts.kind == kind
    sampler = onepass.Sampler(parts, NETWORKS[kind], job.Compute(), torch.device("cpu"), temperature=1.0, batch=2)
    pixels, finite = next(sampler.draw(sampler.embed(["Effusion on the left."] * 2), [1, 2]))
    assert pixels.shape == (2, 16, 16) and finite.all()
    assert (pixels[0] != pixels[1]).any()
    assert sampler.cut(["Effusion on the left.", "effusion " * 20]) == (1, 12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_that_was_killed_ends_in_the_same_bytes(corpus, tools, trained, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(job.Scratch, "due", lambda self: True)
    module, outputs = KINDS[kind], tools.generator_outputs(tmp_path, KINDS[kind])
    owner, name = (adversarial.Game, "play") if kind == "gan" else (loop, "_step")
    whole, calls = getattr(owner, name), []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(owner, name, killed)
    settings, inputs = module.Settings(**getattr(tools, kind)), module.Inputs(**corpus)
    with pytest.raises(KeyboardInterrupt):
        module.run(settings, inputs, outputs)
    assert not outputs.weights.exists()
    module.run(settings, inputs, outputs)
    assert len(calls) == 7 + 6
    for field in module.Outputs.model_fields:
        assert getattr(outputs, field).read_bytes() == getattr(trained[kind], field).read_bytes(), field


def test_a_stopped_training_goes_on_to_the_same_bytes(corpus, tools, trained, stopped, scratch, tmp_path):
    settings, outputs = gan.Settings(**tools.gan), tools.generator_outputs(tmp_path / "stopped", gan)
    inputs = gan.Inputs(**corpus)
    status, text = stopped(job.command("train-gan", settings, inputs, outputs), signal.SIGTERM)
    assert status == processes.STOPPED, text
    said = "train-gan stopped by SIGTERM at step 2 of 12; the next start goes on from there"
    assert text.splitlines()[-1].endswith(said)
    assert not outputs.weights.exists()

    gan.run(settings, inputs, outputs)
    for field in gan.Outputs.model_fields:
        assert getattr(outputs, field).read_bytes() == getattr(trained["gan"], field).read_bytes(), field
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_step_is_reached_by_the_average(trained, kind):
    weights = generator.read(trained[kind].paths()).weights
    assert {name.partition(".")[0] for name in weights} == {"network", "text_encoder"}
    assert all(np.isfinite(value.numpy()).all() for value in weights.values())
