import math
from pathlib import Path

import pytest
import torch

from synvlp import job
from synvlp.tasks import fitting, results


class Inputs(job.Files):
    pass


def ledger() -> results.Ledger:
    return results.Ledger(job.Scratch("synvlp.tasks.fitting", job.Settings(), Inputs()))


def regression(**plan):
    """A linear layer that learns y = x w; returns the layer and what to call train with."""
    torch.manual_seed(0)
    x = torch.randn(30, 4)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]])
    layer = torch.nn.Linear(4, 1)
    plan = fitting.Plan(**{"steps": 60, "batch": 7, "rate": 0.05, "weight_decay": 0.0} | plan)

    def loss(rows):
        return (layer(x[rows]) - y[rows]).square().mean()

    return layer, (layer, loss, lambda: -loss(torch.arange(30)).item(), 30, plan, (1.0, 3))


def test_every_sample_is_seen_once_an_epoch():
    seen = torch.cat([fitting.positions(10, 4, 0, step) for step in range(5)])
    assert sorted(seen[:10].tolist()) == sorted(seen[10:].tolist()) == list(range(10))
    assert seen[:10].tolist() != seen[10:].tolist()
    assert sorted(fitting.positions(3, 16, 0, 5).tolist()) == [0, 1, 2]
    assert fitting.positions(10, 4, 0, 0).tolist() != fitting.positions(10, 4, 1, 0).tolist()


def test_training_learns_and_keeps_the_best_weights():
    layer, arguments = regression(steps=200)
    found = fitting.train(*arguments, ledger())
    assert found["best_score"] > -0.05
    assert arguments[2]() == pytest.approx(found["best_score"])

    # A validation that falls from the third look on brings the weights of the second back.
    layer, arguments = regression(validations=6)
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.2, 0.1])
    kept = []

    def validate():
        kept.append(layer.weight.detach().clone())
        return next(scores)

    found = fitting.train(*arguments[:2], validate, *arguments[3:], ledger())
    assert found == {"best_step": 20, "best_score": 0.5}
    assert torch.equal(layer.weight, kept[1])


def test_patience_stops_early():
    _, arguments = regression(validations=6, patience=2)
    scores = iter([0.1, 0.5, 0.4, 0.3])
    found = fitting.train(*arguments[:2], lambda: next(scores), *arguments[3:], ledger())
    assert found["best_step"] == 20 and next(scores, None) is None


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("stop", [1, 17, 59])
def test_a_killed_training_ends_in_the_same_weights(monkeypatch, cosine, stop):
    whole, arguments = regression(cosine=cosine)
    expected = fitting.train(*arguments, ledger())

    monkeypatch.setattr(job.Scratch, "due", lambda self: True)
    part, arguments = regression(cosine=cosine)
    calls = []

    def dying(rows):
        calls.append(1)
        if len(calls) == stop + 1:
            raise KeyboardInterrupt
        return arguments[1](rows)

    with pytest.raises(KeyboardInterrupt):
        fitting.train(part, dying, arguments[2], *arguments[3:], ledger())
    again, arguments = regression(cosine=cosine)
    torch.nn.init.zeros_(again.weight)  # whatever it starts from, the saved state counts
    monkeypatch.setattr(torch.Tensor, "backward", counted(torch.Tensor.backward, calls))
    calls.clear()
    assert fitting.train(*arguments, ledger()) == expected
    assert len(calls) == 60 - stop
    assert torch.equal(again.weight, whole.weight) and torch.equal(again.bias, whole.bias)


def counted(function, calls):
    def call(*arguments, **options):
        calls.append(1)
        return function(*arguments, **options)

    return call


def test_a_loss_that_is_not_finite_stops():
    layer, arguments = regression()
    with pytest.raises(job.JobError, match="lower the rate"):
        fitting.train(layer, lambda rows: layer.weight.sum() * math.nan, *arguments[2:], ledger())


def test_validations_are_spread_to_the_end():
    assert fitting.Plan(100, 8, 1e-3, 0.0, validations=4).marks() == [25, 50, 75, 100]
    assert fitting.Plan(3, 8, 1e-3, 0.0, validations=10).marks() == [1, 2, 3]


def test_a_ledger_forgets_when_it_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(job.Scratch, "due", lambda self: True)
    first = ledger()
    first.finish(0.1, 0, {"value": 1.5})
    assert ledger().done(0.1, 0) == {"value": 1.5} and ledger().done(0.1, 1) is None
    first.checkpoint(0.1, 1, lambda: {"step": 4})
    assert ledger().running(0.1, 1) == {"step": 4} and ledger().running(0.1, 0) is None
    first.close()
    assert ledger().done(0.1, 0) is None and not list(Path(tmp_path, "scratch").glob("*"))
