"""Pre-training as a whole: what it writes, that it is the same twice and after a kill, and its parts."""

import itertools
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from torchvision.models import resnet18

from synvlp import job, processes
from synvlp.encoders import baseline, batches, convirt, gloria, loop, mgca, network
from synvlp.models import alignment, image_encoder, text_encoder, texts
from synvlp.store import files, weights

MODULES = {"convirt": convirt, "gloria": gloria, "mgca": mgca}


def contents(outputs):
    return {name: getattr(outputs, name).read_bytes() for name in type(outputs).model_fields}


@pytest.mark.parametrize("method", MODULES)
def test_training_writes_encoders_that_open_and_is_the_same_twice(method, files_of):
    runs = [files_of(method, name) for name in ("first", "second")]
    for settings, inputs, outputs in runs:
        job.execute(f"pretrain-{method}", MODULES[method], settings, inputs, outputs)
    outputs = runs[0][2]
    assert contents(outputs) == contents(runs[1][2])

    state = weights.load(outputs.image_encoder)
    left = resnet18().load_state_dict(state, strict=False)
    assert set(left.missing_keys) == {"fc.weight", "fc.bias"}
    assert not left.unexpected_keys
    encoder = image_encoder.load(outputs.image_config, outputs.image_encoder)
    assert not torch.equal(encoder.conv1.weight, image_encoder.seeded("resnet18", 0).conv1.weight)

    from transformers import AutoModel, AutoTokenizer

    folder = outputs.text_config.parent
    reader = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True, attn_implementation="eager").eval()
    own = text_encoder.load(outputs.text_config, outputs.text_weights)
    given = reader("Opacity in the left zone.", return_tensors="pt")
    with torch.no_grad():
        expected = own(**given).last_hidden_state
        torch.testing.assert_close(model(**given).last_hidden_state, expected)

    summary = files.read_json(outputs.summary)
    curve = pd.read_csv(outputs.curve)
    validation = curve[(curve.name == "total") & (curve.phase == "validation")].set_index("step").value
    assert list(validation.index) == [2, 4]
    assert summary["best_step"] == validation.idxmin()
    assert summary["validation_loss"] == pytest.approx(validation.min(), rel=1e-5)
    assert summary["pairs_seen"] == 16
    assert files.read_json(outputs.heads_config)["method"] == method

    written = alignment.Encoder(**{name: getattr(outputs, name) for name in alignment.Encoder.model_fields})
    opened = alignment.open_encoder(written, job.Compute(device="cpu"))
    settings, inputs, _ = runs[0]
    model = network.build(MODULES[method].METHOD, settings, inputs).eval()
    model.image.load_state_dict(state)
    model.text.load_state_dict(weights.load(outputs.text_weights))
    model.heads.load_state_dict(weights.load(outputs.heads))
    batch = batches.read(inputs.pairs, inputs.pixels, inputs.tokenizer, settings).train(0, 4)
    arrays = [torch.from_numpy(array).long() for array in (batch.ids, batch.lengths, batch.word_of)]
    with torch.no_grad():
        images, read = model(image_encoder.preprocess(torch.from_numpy(batch.pixels), opened.image_config), *arrays)
        heads = alignment.HEADS[method]
        expected = alignment.unit(heads.of_images(model.heads, images)).numpy()
        told = alignment.unit(heads.of_texts(model.heads, read, settings)).numpy()
    np.testing.assert_allclose(opened.images(batch.pixels), expected, atol=1e-5)
    tokenizer = texts.open_tokenizer(inputs.tokenizer)
    said = [tokenizer.decode(ids.tolist()) for ids in batch.ids]
    np.testing.assert_allclose(opened.texts(said), told, atol=1e-4)


def test_training_learns(files_of):
    settings, inputs, outputs = files_of(
        "convirt", "longer", steps=24, batch=8, validate_every=8, rate=3e-3, text_dropout=0.0
    )
    convirt.run(settings, inputs, outputs)
    curve = pd.read_csv(outputs.curve).query("name == 'total' and phase == 'training'").value
    assert curve.iloc[-1] < 0.9 * curve.iloc[0]


@pytest.mark.parametrize("method", ["mgca"])
def test_a_killed_training_goes_on_to_the_same_bytes(method, files_of, tmp_path):
    options = {"steps": 6, "validate_every": 2, "accumulate": 2, "batch": 3}
    settings, inputs, whole = files_of(method, "whole", **options)
    MODULES[method].run(settings, inputs, whole)
    _, _, resumed = files_of(method, "resumed", **options)
    words = [f"pretrain-{method}"]
    for part in (inputs, resumed):
        for name, value in part:
            if value:
                words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    environment = os.environ | {"SYNVLP_CHECKPOINT_SECONDS": "0"}
    code = "import sys; from synvlp.cli import main; sys.exit(main(sys.argv[1:] + sys.stdin.read().split()))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdin.write(settings.flags().replace("''", ""))
    process.stdin.close()
    deadline = time.monotonic() + 120
    while not (saved := list((tmp_path / "scratch").glob("*/state.pt"))):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    step = torch.load(saved[0], weights_only=True)["step"]
    assert 0 < step < 6
    assert not resumed.image_encoder.exists()
    MODULES[method].run(settings, inputs, resumed)
    assert contents(resumed) == contents(whole)
    assert not list((tmp_path / "scratch").glob("*-*"))


def test_a_stopped_training_goes_on_to_the_same_bytes(files_of, stopped, tmp_path):
    settings, inputs, whole = files_of("gloria", "whole")
    gloria.run(settings, inputs, whole)
    _, _, outputs = files_of("gloria", "stopped")
    status, text = stopped(job.command("pretrain-gloria", settings, inputs, outputs), signal.SIGTERM)
    assert status == processes.STOPPED, text
    said = "pretrain-gloria stopped by SIGTERM at step 2 of 4; the next start goes on from there"
    assert text.splitlines()[-1].endswith(said)
    assert not outputs.image_encoder.exists()
    gloria.run(settings, inputs, outputs)
    assert contents(outputs) == contents(whole)
    assert not list((tmp_path / "scratch").glob("*-*"))


def test_all_methods_and_the_baseline_begin_with_the_same_image_encoder(files_of, tmp_path):
    outputs = baseline.Outputs(image_encoder=tmp_path / "a.safetensors", image_config=tmp_path / "a.json")
    baseline.run(baseline.Settings(architecture="resnet18", image_size=32, seed=3), baseline.Inputs(), outputs)
    expected = weights.load(outputs.image_encoder)
    for method, module in MODULES.items():
        settings, inputs, _ = files_of(method, "x", seed=3)
        state = network.build(module.METHOD, settings, inputs).image.state_dict()
        assert all(torch.equal(state[name], value) for name, value in expected.items())
    settings, inputs, _ = files_of("convirt", "x", seed=4)
    assert not torch.equal(network.build(convirt.METHOD, settings, inputs).image.conv1.weight, expected["conv1.weight"])


def test_given_weights_are_where_the_training_begins(files_of, tmp_path):
    torch.manual_seed(5)
    weights.save(resnet18().state_dict(), tmp_path / "imagenet.safetensors")
    bert = text_encoder.build(300, layers=3, hidden=16, heads=2, length=32, dropout=0.0)
    text_encoder.save(bert, tmp_path / "config.json", tmp_path / "model.safetensors")
    settings, inputs, _ = files_of(
        "convirt",
        "x",
        image_weights=tmp_path / "imagenet.safetensors",
        bert_config=tmp_path / "config.json",
        bert_weights=tmp_path / "model.safetensors",
        frozen_text_layers=1,
    )
    made = network.build(convirt.METHOD, settings, inputs)
    torch.manual_seed(5)
    assert torch.equal(made.image.layer4[1].conv2.weight, resnet18().layer4[1].conv2.weight)
    assert len(made.text.encoder.layer) == settings.text_layers == 2
    assert torch.equal(made.text.encoder.layer[1].output.dense.weight, bert.encoder.layer[1].output.dense.weight)
    trained = {name for name, value in made.text.named_parameters() if value.requires_grad}
    assert all(name.startswith("encoder.layer.1.") for name in trained)
    with pytest.raises(job.JobError, match="both bert_config and bert_weights"):
        network.build(convirt.METHOD, settings, inputs.model_copy(update={"bert_weights": None}))
    longer = settings.model_copy(update={"length": 64})
    with pytest.raises(job.JobError, match="room for 32 tokens, but 64"):
        network.build(convirt.METHOD, longer, inputs)


def test_prototypes_stay_on_the_sphere_and_still_at_first(files_of):
    settings, inputs, outputs = files_of("mgca", "x", steps=2, validate_every=1, freeze_prototypes=0.5)
    first = network.build(mgca.METHOD, settings, inputs).heads["prototypes"].weight.detach()
    torch.testing.assert_close(first.norm(dim=1), torch.ones(8))
    moved = []
    for steps in (1, 2):
        part = settings.model_copy(update={"steps": steps, "freeze_prototypes": 0.5 if steps == 2 else 1.0})
        mgca.run(part, inputs, outputs)
        last = weights.load(outputs.heads)["prototypes.weight"]
        torch.testing.assert_close(last.norm(dim=1), torch.ones(8))
        moved.append(not torch.allclose(last, first, atol=1e-7))
    heads = network.build(mgca.METHOD, settings, inputs).heads
    heads["prototypes"].weight.grad = torch.ones(8, 8)
    mgca.hold_prototypes(heads, 0.5, settings)
    assert heads["prototypes"].weight.grad is not None
    mgca.hold_prototypes(heads, 0.49, settings)
    assert heads["prototypes"].weight.grad is None
    assert not moved[0]


def test_accumulated_gradients_are_the_mean_over_batches(files_of):
    options = {"text_dropout": 0.0, "batch": 4, "clip": 0.0}
    settings, inputs, _ = files_of("gloria", "x", accumulate=2, **options)
    sets = batches.read(inputs.pairs, inputs.pixels, inputs.tokenizer, settings)
    model = network.build(gloria.METHOD, settings, inputs)
    run = loop._Run(gloria.METHOD, model, sets, settings, torch.device("cpu"))
    model.train()
    total = [run.losses(run.view(one, k), one)["total"] for k, one in enumerate([sets.train(0, 4), sets.train(1, 4)])]
    expected = torch.autograd.grad(sum(total) / 2, model.image.conv1.weight)[0]

    class Still(torch.optim.SGD):
        def step(self):
            self.seen = model.image.conv1.weight.grad.clone()

    still = Still(model.parameters(), lr=0.0)
    run.update(0, still, loop.Result())
    torch.testing.assert_close(still.seen, expected, rtol=1e-4, atol=1e-6)


def test_the_rate_rises_then_falls_to_zero():
    settings = convirt.Settings(steps=100, warmup=0.1, rate=1.0)
    rates = [loop.rate_at(step, settings) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert all(one >= other for one, other in itertools.pairwise(rates[9:]))
    assert 0 < rates[-1] < 1e-3
    assert loop.rate_at(0, convirt.Settings(steps=1, warmup=0.0, rate=1.0)) == 1.0


def test_norms_and_biases_do_not_decay(files_of):
    settings, inputs, _ = files_of("mgca", "x")
    model = network.build(mgca.METHOD, settings, inputs)
    decayed, kept = loop.adamw(model, settings).param_groups
    assert decayed["weight_decay"] == settings.weight_decay == 0.05
    assert kept["weight_decay"] == 0
    assert all(value.ndim > 1 for value in decayed["params"])
    assert any(value is model.image.bn1.weight for value in kept["params"])


def test_a_loss_that_is_not_finite_stops_with_advice(files_of):
    settings, inputs, outputs = files_of("convirt", "x", rate=1e30, clip=0.0, warmup=0.0)
    with pytest.raises(job.JobError, match=r"not finite by step 2; a lower rate.*rate = 1e\+30"):
        convirt.run(settings, inputs, outputs)
    assert not outputs.image_encoder.exists()


def test_mixed_precision_trains(files_of):
    for method, module in MODULES.items():
        settings, inputs, outputs = files_of(method, method, precision="bf16", steps=2, validate_every=2)
        module.run(settings, inputs, outputs)
        assert all(value.dtype != torch.bfloat16 for value in weights.load(outputs.image_encoder).values())
