"""The variational autoencoder: its divergence and its loss against plain ones, its latents, what it learns."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import distributions

from synvlp import job
from synvlp.generators import loop, prompted, variational, vocabulary
from synvlp.generators.kinds import vae as training
from synvlp.models import conditioning, parallel, vae

CPU = torch.device("cpu")
WORDS = (torch.zeros(3, 2, 8), torch.ones(3, 2, dtype=torch.bool))


def small():
    torch.manual_seed(0)
    network = vae.Network(16, [8, 16], [4, 2], 8, groups=4, heads=2)
    return network, torch.rand(3, 1, 16, 16) * 2 - 1, torch.randn(3, network.noise)


def test_the_divergence_is_the_closed_form():
    means, spreads = torch.randn(2, 50, dtype=torch.float64), torch.randn(2, 50, dtype=torch.float64)
    found = vae.gaussian_divergence(means[0], spreads[0], means[1], spreads[1])
    first, second = (distributions.Normal(mean, spread.exp()) for mean, spread in zip(means, spreads, strict=True))
    torch.testing.assert_close(found, distributions.kl_divergence(first, second))


def test_a_posterior_that_adds_nothing_draws_what_the_prior_draws():
    network, images, noise = small()
    for scale in network.scales:
        torch.nn.init.zeros_(scale.posterior[-1].weight)
        torch.nn.init.zeros_(scale.posterior[-1].bias)
    made, divergences = network(images, noise, *WORDS)
    torch.testing.assert_close(made, network.draw(noise, *WORDS))
    assert [part.shape for part in divergences] == [(3, 4, 4, 4), (3, 2, 8, 8)]
    assert all(not part.detach().abs().gt(1e-6).any() for part in divergences)


def test_all_noise_is_used_once_and_images_reach_the_posterior():
    network, images, noise = small()
    assert network.noise == 4 * 4 * 4 + 2 * 8 * 8
    for value in (noise, images):
        value.requires_grad_(True)
    made, _ = network(images, noise, *WORDS)
    made.square().sum().backward()
    assert (noise.grad != 0).float().mean() > 0.99
    assert (images.grad != 0).float().mean() > 0.9


class Known(torch.nn.Module):
    """A network that makes the images that it is told to, with the divergences that it is told to have."""

    noise = 1

    def __init__(self, made, divergences):
        super().__init__()
        self.made, self.divergences = made, torch.nn.ParameterList(divergences)

    def forward(self, images, noise, states, present):
        return self.made, list(self.divergences)


class Mute(torch.nn.Module):
    """A text encoder that says nothing."""

    config = type("config", (), {"eos_token_id": 1})

    def forward(self, ids):
        return type("states", (), {"last_hidden_state": torch.zeros(*ids.shape, 8)})


def test_the_loss_is_the_plain_one():
    rng = np.random.default_rng(0)
    pixels, made = rng.integers(0, 256, (4, 8, 8), np.uint8), rng.normal(size=(4, 1, 8, 8)).astype(np.float32)
    parts = [rng.random((4, 2, 2, 2)).astype(np.float32), 0.01 * rng.random((4, 1, 4, 4)).astype(np.float32)]
    network = torch.nn.ModuleDict(
        {"network": Known(torch.from_numpy(made), map(torch.from_numpy, parts)), "text_encoder": Mute()}
    )
    data = prompted.Data(torch.from_numpy(pixels), torch.tensor([[0, 1]] * 4))
    settings = training.Settings(divergence=0.3, edges=0.7, free=0.5, divergence_warmup=10)
    objective = variational.Objective(settings, CPU, parallel.ALONE)
    objective.at_step(4)
    found = objective.losses(network, data, np.arange(4))
    absolute, edges, divergence = [], [], []
    for place in range(4):
        error = made[place, 0] - (pixels[place] / 127.5 - 1)
        absolute.append(np.abs(error).mean())
        edges.append(np.abs(np.diff(error, axis=1)).mean() + np.abs(np.diff(error, axis=0)).mean())
        divergence.append(sum(part[place].sum() for part in parts))
    held = sum(max(0.5, part[:, channel].sum((1, 2)).mean()) for part in parts for channel in range(part.shape[1]))
    wanted = np.mean(absolute) + 0.7 * np.mean(edges) + 0.4 * 0.3 * held / 64
    assert found["loss"].item() == pytest.approx(wanted, rel=1e-5)
    assert float(found["absolute"]) == pytest.approx(np.mean(absolute), rel=1e-5)
    assert float(found["divergence"]) == pytest.approx(np.mean(divergence), rel=1e-5)
    found["loss"].backward()
    coarse, fine = (part.grad for part in network["network"].divergences)
    assert (coarse > 0).all() and not fine.any()  # what is below the free bits is not pushed further down
    objective.at_step(10)
    assert objective.share == 1
    values = objective.validate(network, data)
    wanted = np.mean(absolute) + 0.7 * np.mean(edges) + 0.3 * np.mean(divergence) / 64
    assert values["loss"] == pytest.approx(wanted, rel=1e-5)


def test_a_text_is_read_to_its_end_whatever_stands_beside_it():
    tokenizer = vocabulary.train(["left effusion", "a large nodule on the right"], 600, 12)
    encoder = vocabulary.text_encoder(training.Settings(text_width=16, text_heads=2, tokens=12), tokenizer).eval()
    texts = ["left effusion", "a large nodule on the right", ""]
    ids = tokenizer(texts, padding="max_length", max_length=12, return_tensors="pt")["input_ids"]
    states, present = conditioning.read(encoder, ids)
    for place, text in enumerate(texts):
        alone, there = conditioning.read(encoder, ids[place : place + 1])
        assert present[place].sum() == there.sum() == there.shape[1] == len(tokenizer(text)["input_ids"])
        torch.testing.assert_close(states[place, : there.shape[1]], alone[0], rtol=1e-4, atol=1e-5)
        assert not states[place, there.shape[1] :].any()
        summary = conditioning.summary(states, present)[place]
        torch.testing.assert_close(summary, alone[0].mean(0), rtol=1e-4, atol=1e-5)


def test_what_it_draws_follows_the_text(corpus, tools):
    settings = training.Settings(
        **tools.vae
        | {"channels": [8, 16, 16], "latents": [4], "divergence": 0.3, "steps": 120}
        | {"divergence_warmup": 30, "validate_every": 120, "free": 0.0}
    )
    seen, _ = prompted.read(settings, training.Inputs(**corpus))
    tokenizer = vocabulary.train(seen.prompt, 600, 12)
    encoder = vocabulary.text_encoder(settings, tokenizer)
    network = torch.nn.ModuleDict({"network": training.build(settings), "text_encoder": encoder})
    data, objective = prompted.tokenized(tokenizer, seen), variational.Objective(settings, CPU, parallel.ALONE)
    best, curve = loop.fit(
        network,
        settings,
        job.Scratch("synvlp.generators.kinds.vae", settings, job.Files()),
        CPU,
        lambda net, rows: objective.losses(net, data, rows),
        lambda net: objective.validate(net, data),
        count=len(data),
        before=objective.at_step,
    )
    assert curve[-1]["phase"] == "val"
    torch.manual_seed(5)
    states = conditioning.read(best["text_encoder"], data.ids)
    made = best["network"].draw(torch.randn(16, best["network"].noise), *states)[:, 0]
    brighter = (made[:, :, :8].mean((1, 2)) - made[:, :, 8:].mean((1, 2))).detach().numpy()
    left = np.array(["left" in prompt for prompt in seen.prompt])
    assert ((brighter > 0.2) == left).all() and ((brighter < -0.2) == ~left).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image_size": 18}, "image_size = 18 is not a multiple of 4, by which 2 scales shrink"),
        ({"channels": [8, 10]}, r"channels = \[8, 10\] has 10, which is not a multiple of groups = 4"),
        ({"heads": 3}, r"channels = \[8, 16\] has 16, which is not a multiple of heads = 3"),
        ({"latents": [4, 2, 1]}, r"latents = \[4, 2, 1\] are of more scales than channels has, 2"),
    ],
)
def test_settings_that_do_not_fit_say_so(tools, wrong, message):
    with pytest.raises(ValidationError, match=message):
        training.Settings(**tools.vae | wrong)
