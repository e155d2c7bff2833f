"""Generators trained on two processes: losses, gradients and weights are those of one with the joined batch."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from synvlp import processes
from synvlp.generators import autoencoder, diffusion
from synvlp.generators.kinds import gan, vae
from synvlp.models import parallel

APART = Path(__file__).with_name("apart.py")


def test_two_processes_compute_what_one_does(corpus, diffusion_inputs, tools, tmp_path, capfd):
    options = {"processes": 2, "steps": 3, "batch": 4, "accumulation": 2, "validate_every": 2}
    images = autoencoder.Inputs(images=corpus["images"], studies=corpus["studies"])
    cases = {
        "autoencoder": (autoencoder.Settings(**tools.autoencoder | options), images),
        "diffusion": (diffusion.Settings(**tools.diffusion | options, offset_noise=0.1), diffusion_inputs),
        "vae": (vae.Settings(**tools.vae | options), vae.Inputs(**corpus)),
        "gan": (gan.Settings(**tools.gan | options | {"batch": 6, "accumulation": 1}), gan.Inputs(**corpus)),
    }
    described = {
        name: {"settings": settings.model_dump(mode="json"), "inputs": inputs.model_dump(mode="json")}
        for name, (settings, inputs) in cases.items()
    }
    (tmp_path / "cases.json").write_text(json.dumps(described))
    processes.start([sys.executable, str(APART), str(tmp_path / "cases.json"), str(tmp_path / "found.pt")], 2)
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    said = "process 0: stopped by a signal at step 1 of 3; the next start goes on from there"
    assert capfd.readouterr().out.count(said) == len(cases)
    measured = runpy.run_path(str(APART))["measured"]
    for name, (settings, inputs) in cases.items():
        wanted = measured(name, settings, inputs, parallel.ALONE)
        assert found[name].keys() == wanted.keys()
        measured_too = set() if name == "gan" else {"loss", "gradient"}
        assert {key.partition(" ")[0] for key in wanted} == {"weight", "curve"} | measured_too
        for key, value in wanted.items():
            torch.testing.assert_close(
                found[name][key], value, rtol=1e-6, atol=1e-7, msg=lambda text, key=key: f"{key}: {text}"
            )


def test_a_batch_that_cannot_be_divided_says_so(tools):
    with pytest.raises(ValidationError, match="batch = 8 is not a multiple of processes = 3"):
        autoencoder.Settings(**tools.autoencoder | {"batch": 8, "processes": 3})
