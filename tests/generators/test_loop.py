"""The training loop: batches, rates, averages, accumulation, going on after a kill."""

import numpy as np
import pytest
import torch

from synvlp import job
from synvlp.generators import loop, options

DEVICE = torch.device("cpu")
DATA = torch.from_numpy(np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32))


def problem(**settings):
    """Fit y = 2x₀ − x₁ with a linear layer; noise in the loss comes from torch's state."""
    torch.manual_seed(1)
    network = torch.nn.ModuleDict({"line": torch.nn.Linear(2, 1)})
    return network, options.Training(**{"steps": 20, "batch": 4, "warmup": 2, "rate": 0.05} | settings)


def loss_of(network, rows, noise=0.0):
    wanted = DATA[rows] @ torch.tensor([2.0, -1.0]) + noise * torch.randn(len(rows))
    return {"loss": (network["line"](DATA[rows])[:, 0] - wanted).square().mean()}


def fit(network, settings, how=loss_of, folder=None, validate=lambda net: {}):
    scratch = job.Scratch("synvlp.generators.loop", settings, job.Files())
    return loop.fit(network, settings, scratch, DEVICE, how, validate, count=len(DATA))


def test_batches_go_through_all_rows_before_any_comes_again():
    rows = np.concatenate([loop.batch_rows(10, 4, step, seed=3) for step in range(5)])
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert list(rows[:10]) != list(rows[10:])
    assert list(loop.batch_rows(10, 4, 2, seed=3)) == list(rows[8:12])


def test_a_batch_may_be_larger_than_the_data():
    assert np.bincount(loop.batch_rows(3, 9, 0, seed=0)).tolist() == [3, 3, 3]


def test_rates_rise_and_fall():
    settings = options.Training(steps=12, warmup=2)
    rates = [loop.rate_at(step, settings) for step in range(12)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[7] == pytest.approx(0.5)
    assert rates == sorted(rates[:3]) + sorted(rates[3:], reverse=True)
    assert 0 < rates[-1] < 0.05


def test_average_forgets_the_first_weights():
    assert loop.decay_at(0, 0.99) == 0.1
    assert loop.decay_at(90, 0.99) == pytest.approx(0.91)
    assert loop.decay_at(10**6, 0.99) == 0.99


def test_it_learns():
    average, curve = fit(*problem(steps=300, rate=0.1, weight_decay=0, average=0.9))
    assert average["line"].weight.detach().numpy() == pytest.approx(np.array([[2, -1]]), abs=0.02)
    assert [row["step"] for row in curve] == [100, 200, 300]
    assert curve[-1]["value"] < curve[0]["value"] / 100


def test_accumulated_passes_equal_one_large_pass():
    small, _ = fit(*problem(batch=3, accumulation=4))
    large, _ = fit(*problem(batch=12))
    assert torch.allclose(small["line"].weight, large["line"].weight, atol=1e-6)


def test_a_run_that_was_killed_ends_in_the_same_weights_and_curve(monkeypatch, scratch):
    monkeypatch.setattr(job.Scratch, "due", lambda self: True)

    def noisy(network, rows):
        return loss_of(network, rows, noise=0.3)

    whole, curve = fit(*problem(validate_every=8), noisy)
    for state in scratch.iterdir():
        (state / "state.pt").unlink()
    count = 0

    def killed(network, rows):
        nonlocal count
        count += 1
        if count == 13:
            raise KeyboardInterrupt
        return noisy(network, rows)

    with pytest.raises(KeyboardInterrupt):
        fit(*problem(validate_every=8), killed)
    network, settings = problem(validate_every=8)
    calls = []
    again, curve_again = fit(network, settings, lambda net, rows: calls.append(1) or noisy(net, rows))
    assert len(calls) == 8
    assert curve_again == curve
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_a_loss_that_is_no_number_stops_with_advice():
    with pytest.raises(job.JobError, match=r"the loss is nan at step 1; lower rate = 0\.05"):
        fit(*problem(), lambda net, rows: {"loss": net["line"].weight.sum() * float("nan")})


def test_gradients_are_limited():
    def steep(network, rows):
        return {"loss": 1e6 * network["line"].weight.sum()}

    network, settings = problem(steps=1, clip=1.0)
    fit(network, settings, steep)
    norm = torch.stack([part.grad.norm() for part in network.parameters() if part.grad is not None]).norm()
    assert float(norm) == pytest.approx(1, abs=1e-4)
