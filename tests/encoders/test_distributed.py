"""Pre-training on two processes: losses, gradients and weights are those of one process with the joined batch."""

import json
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from synvlp import job, processes
from synvlp.encoders import convirt, gloria, mgca, network
from synvlp.models import parallel
from synvlp.store import files, weights

APART = Path(__file__).with_name("apart.py")
METHODS = {"convirt": convirt, "gloria": gloria, "mgca": mgca}
PHASES = {"sets": 2, "weights": [1.0, 0.0, 0.0, 1.0], "phases": [1.0, 1.0]}
CASES = {
    "convirt": ("convirt", {"steps": 2}),
    "gloria": ("gloria", {"steps": 2}),
    "mgca as published": ("mgca", {"steps": 1, "padding_competes": True}),
    "mgca": ("mgca", {"steps": 2, "accumulate": 2, "validate_every": 1, "freeze_prototypes": 0.4, **PHASES}),
}


@pytest.fixture
def cases(files_of):
    """Settings and inputs of each case, for two processes."""
    made = {}
    for name, (method, changes) in CASES.items():
        settings, inputs, _ = files_of(method, "x", sentences=True, processes=2, **changes)
        made[name] = (METHODS[method], settings, inputs)
    return made


def test_two_processes_compute_what_one_does(cases, tmp_path, capfd):
    described = {
        name: {
            "method": module.METHOD.name,
            "settings": settings.model_dump(mode="json"),
            "inputs": inputs.model_dump(mode="json", exclude_none=True),
        }
        for name, (module, settings, inputs) in cases.items()
    }
    (tmp_path / "cases.json").write_text(json.dumps(described))
    processes.start([sys.executable, str(APART), str(tmp_path / "cases.json"), str(tmp_path / "found.pt")], 2)
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    said = "process 0: stopped by a signal at step 1 of 2; the next start goes on from there"
    assert capfd.readouterr().out.count(said) == sum(settings.steps > 1 for _, settings, _ in cases.values())
    measured = runpy.run_path(str(APART))["measured"]
    for name, (module, settings, inputs) in cases.items():
        wanted = measured(module, settings, inputs, parallel.ALONE)
        assert found[name].keys() == wanted.keys()
        kinds = {key.partition(" ")[0] for key in wanted}
        assert kinds == {"loss", "gradient", "buffer", *(["weight", "curve"] if settings.steps > 1 else [])}
        model = network.build(module.METHOD, settings, inputs)
        begun = model.state_dict()
        for part in ("image", "text", "heads") if settings.steps > 1 else ():
            names = [name for name, _ in model.named_parameters() if name.startswith(f"{part}.")]
            assert max((wanted[f"weight {name}"] - begun[name]).abs().max() for name in names) > 1e-4, part
        for key, value in wanted.items():
            torch.testing.assert_close(
                found[name][key],
                value,
                rtol=1e-6,
                atol=1e-7,
                msg=lambda text, key=key, name=name: f"{name}, {key}: {text}",
            )


def test_two_processes_stop_and_go_on_to_what_one_ends_in(files_of, stopped, tmp_path):
    options = {"rate": 1e-7}  # so that rounding does not grow
    settings, inputs, whole = files_of("mgca", "whole", **options)
    mgca.run(settings, inputs, whole)
    settings, _, outputs = files_of("mgca", "two", **options, processes=2)
    words = job.command("pretrain-mgca", settings, inputs, outputs)

    status, text = stopped(words, signal.SIGTERM)
    assert status == processes.STOPPED, text
    said = "pretrain-mgca stopped by SIGTERM at step 2 of 4; the next start goes on from there"
    assert text.splitlines()[-1].endswith(said)
    assert text.count("2 processes, each of which takes 2 of a batch of 4") == 1
    saved = list((tmp_path / "scratch").glob("*/state.pt"))
    assert torch.load(saved[0], weights_only=True)["step"] == 2
    assert not outputs.image_encoder.exists()

    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*torchrun, "-m", "synvlp", *words], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("going on from") == 1
    one, two = (pd.read_csv(part.curve) for part in (whole, outputs))
    pd.testing.assert_frame_equal(one, two, rtol=1e-3, atol=1e-4)
    assert files.read_json(outputs.summary)["settings"]["processes"] == 2
    first, other = (weights.load(part.image_encoder) for part in (whole, outputs))
    start = network.build(mgca.METHOD, settings, inputs).image.state_dict()
    learned = [name for name, value in first.items() if value.is_floating_point() and "running" not in name]

    def apart(one: dict, another: dict) -> float:
        return sum((one[name] - another[name]).double().square().sum() for name in learned).sqrt().item()

    # Steps this small say nothing by their size: both must have gone the same way from where they began.
    assert apart(first, other) < apart(first, start) / 2
    for name in first.keys() - set(learned):
        torch.testing.assert_close(first[name], other[name], rtol=1e-3, atol=1e-4)
    assert not list((tmp_path / "scratch").glob("mgca-*"))


def test_a_batch_that_cannot_be_divided_and_processes_that_were_not_started_say_so(files_of, monkeypatch):
    with pytest.raises(ValidationError, match="batch = 4 is not a multiple of processes = 3"):
        files_of("convirt", "x", processes=3)
    settings, inputs, outputs = files_of("convirt", "x", processes=2)
    with pytest.raises(job.JobError, match="processes = 2, but 1 was started"):
        convirt.run(settings, inputs, outputs)
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "4")
    with pytest.raises(job.JobError, match="processes = 2, but 4 was started"):
        convirt.run(settings, inputs, outputs)
