"""One training loop for all heads: AdamW, fixed steps, best on validation, and the same bytes after a kill."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from synvlp import job
from synvlp.store.seeds import seed_of
from synvlp.tasks.results import Ledger


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    Attributes:
        steps: optimizer steps.
        batch: samples a step (all samples if there are fewer).
        rate, weight_decay: of AdamW.
        cosine: whether the rate falls to 0 along half a cosine; the papers keep it constant.
        validations: how often the validation split is looked at, evenly spread, the last time at the end.
        patience: validations without improvement after which training stops; 0: never.
    """

    steps: int
    batch: int
    rate: float
    weight_decay: float
    cosine: bool = False
    validations: int = 10
    patience: int = 0

    def marks(self) -> list[int]:
        """The numbers of steps after which to validate."""
        count = min(self.validations, self.steps)
        return [round(self.steps * (number + 1) / count) for number in range(count)]


def train(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    validate: Callable[[], float],
    count: int,
    plan: Plan,
    run: tuple[float, int],
    ledger: Ledger,
) -> dict[str, float]:
    """Train `network` in place and leave it with the weights that were best on validation.

    Args:
        network: what is trained; whatever is frozen must not be in it.
        loss: of a batch, from the positions (int64 (batch,), in [0, count)) of its samples.
        validate: a number to be maximized; called in eval mode without gradients. Of equal ones the later wins.
        count: training samples.
        run: (fraction, seed); all randomness comes from the seed and the step.
        ledger: keeps the state of the run.

    Returns:
        best_step and best_score.

    Raises JobError if the loss is not finite.
    """
    fraction, seed = run
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=plan.rate, weight_decay=plan.weight_decay)
    marks = plan.marks()
    start, best = 0, {"score": -math.inf, "step": 0, "network": _copy(network)}
    if held := ledger.running(fraction, seed):
        start, best = held["step"], held["best"]
        network.load_state_dict(held["network"])
        optimizer.load_state_dict(held["optimizer"])
    for step in job.progress(range(start, plan.steps), "steps", plan.steps, start):
        if _waited(marks, best["step"], step, plan.patience):
            break
        value = _step(network, loss, optimizer, count, plan, seed, step)
        if step + 1 in marks:
            if not torch.isfinite(value):
                raise job.JobError(f"the loss is not finite at step {step} of fraction {fraction:g}: lower the rate")
            network.eval()
            with torch.no_grad():
                score = validate()
            job.log.info("fraction %g, seed %d, step %d: %.4g on validation", fraction, seed, step + 1, score)
            if score >= best["score"]:
                best = {"score": score, "step": step + 1, "network": _copy(network)}
        ledger.checkpoint(fraction, seed, functools.partial(_state, step + 1, network, optimizer, best))
    network.load_state_dict(best["network"])
    network.eval()
    return {"best_step": best["step"], "best_score": best["score"]}


def positions(count: int, batch: int, seed: int, step: int) -> Tensor:
    """The samples of a step, int64 (min(batch, count),): one permutation of all samples follows the other."""
    size = min(batch, count)
    first = step * size
    epochs = range(first // count, (first + size - 1) // count + 1)
    parts = []
    for epoch in epochs:
        generator = torch.Generator().manual_seed(seed_of(seed, "epoch", epoch))
        parts.append(torch.randperm(count, generator=generator))
    start = first - epochs[0] * count
    return torch.cat(parts)[start : start + size]


def _step(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    count: int,
    plan: Plan,
    seed: int,
    step: int,
) -> Tensor:
    torch.manual_seed(seed_of(seed, "step", step))
    if plan.cosine:
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * (1 + math.cos(math.pi * step / plan.steps)) / 2
    network.train()
    optimizer.zero_grad(set_to_none=True)
    value = loss(positions(count, plan.batch, seed, step))
    value.backward()
    optimizer.step()
    return value.detach()


def _waited(marks: list[int], best_step: int, step: int, patience: int) -> bool:
    """Whether `patience` validations have passed since the best one."""
    return bool(patience) and sum(best_step < mark <= step for mark in marks) >= patience


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _state(step: int, network: nn.Module, optimizer: torch.optim.Optimizer, best: dict) -> dict:
    return {"step": step, "network": _copy(network), "optimizer": optimizer.state_dict(), "best": best}
