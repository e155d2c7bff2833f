"""The training loop of the generators: rates, accumulation, clipping, moving average, and going on after a kill."""

import copy
import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from synvlp import job
from synvlp.generators.options import Training
from synvlp.models import device as devices
from synvlp.models.parallel import ALONE, Group
from synvlp.store.seeds import seed_of


def fit(
    network: nn.Module,
    settings: Training,
    scratch: job.Scratch,
    device: torch.device,
    loss_of: Callable[[nn.Module, np.ndarray], dict[str, torch.Tensor]],
    validate: Callable[[nn.Module], dict[str, float]],
    *,
    count: int,
    rates: dict[str, float] | None = None,
    group: Group = ALONE,
    before: Callable[[int], None] = lambda step: None,
) -> tuple[nn.Module, list[dict]]:
    """Train `network` in place; what it ends in depends on the settings and the data alone, also after a kill.

    Each step's batches and random numbers come from (seed, step), so that a saved state is weights, their average
    and the optimizer's.

    Args:
        network: what is trained, on `device`; parameters without gradient stay as they are.
        settings: steps, rates and so on.
        scratch: where the state is saved.
        device: where to compute.
        loss_of: (network, row numbers) to named losses; the one named "loss" is minimized. Called under autocast.
            The rows are those of all processes, of which it takes the group's part; all random numbers are drawn for
            all rows.
        validate: (averaged network) to named values; called every `validate_every` steps and at the end.
        count: training samples.
        rates: the learning rate of each child of `network`, as a multiple of `settings.rate`.
        group: the processes that train together; the network is equal in all, before and after.
        before: called before each step with its number, to set what changes with the steps.

    Returns:
        The averaged network, in evaluation mode, and the curve's rows (columns of `tables.CURVE`).

    Raises:
        JobError: the loss is no longer a finite number.
    """
    average = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = _optimizer(network, settings, rates or {}, device)
    curve: list[dict] = []
    recent: dict[str, list[float]] = {}
    first = _restore(scratch, network, average, optimizer, curve, recent)
    for step in job.progress(range(first, settings.steps), "steps", total=settings.steps, start=first):
        torch.manual_seed(seed_of(settings.seed, "step", step))
        before(step)
        values = _step(network, optimizer, settings, device, loss_of, count, step, group)
        update_average(average, network, settings.average, step)
        for name, value in values.items():
            recent.setdefault(name, []).append(value)
        if (step + 1) % settings.validate_every == 0 or step + 1 == settings.steps:
            curve.extend(curve_rows(step + 1, "train", {name: float(np.mean(many)) for name, many in recent.items()}))
            curve.extend(curve_rows(step + 1, "val", validate(average)))
            recent.clear()
            report(curve, step + 1, settings.steps)
        state = functools.partial(_state, step + 1, network, average, optimizer, curve, recent)
        scratch.checkpoint(state, f"at step {step + 1} of {settings.steps}")
    return average, curve


def batch_rows(count: int, size: int, step: int, seed: int) -> np.ndarray:
    """Row numbers of a step's samples: the rows in random order, over and over, each time in a new order."""
    places = np.arange(step * size, (step + 1) * size)
    orders = {
        epoch: np.random.default_rng(seed_of(seed, "epoch", int(epoch))).permutation(count)
        for epoch in np.unique(places // count)
    }
    return np.array([orders[place // count][place % count] for place in places])


def rate_at(step: int, settings: Training) -> float:
    """The factor of the learning rate at a step: a linear rise over `warmup` steps, then half a cosine to 0."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return 0.5 + 0.5 * math.cos(math.pi * done)


def decay_at(step: int, highest: float) -> float:
    """Decay of the moving average: it grows from 1/10 with the steps, so that first weights are soon forgotten."""
    return min(highest, (1 + step) / (10 + step))


def _optimizer(
    network: nn.Module, settings: Training, rates: dict[str, float], device: torch.device
) -> torch.optim.AdamW:
    groups = []
    for name, child in network.named_children():
        trained = [parameter for parameter in child.parameters() if parameter.requires_grad]
        if trained:
            groups.append({"params": trained, "factor": rates.get(name, 1.0)})
    return torch.optim.AdamW(
        groups, lr=settings.rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay, fused=True
    )


def _step(
    network: nn.Module,
    optimizer: torch.optim.AdamW,
    settings: Training,
    device: torch.device,
    loss_of: Callable,
    count: int,
    step: int,
    group: Group,
) -> dict[str, float]:
    network.train()
    optimizer.zero_grad(set_to_none=True)
    sums: dict[str, float] = {}
    rows = batch_rows(count, settings.batch * settings.accumulation, step, settings.seed)
    for part in np.split(rows, settings.accumulation):
        with devices.autocast(settings, device), group.dropout():
            losses = loss_of(network, part)
        (losses["loss"] / settings.accumulation).backward()
        for name, value in group.means(losses).items():
            sums[name] = sums.get(name, 0.0) + float(value) / settings.accumulation
    if not math.isfinite(sums["loss"]):
        raise job.JobError(f"the loss is {sums['loss']} at step {step + 1}; lower rate = {settings.rate:g}")
    group.average_gradients(network.parameters())
    if settings.clip:
        nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
    for group in optimizer.param_groups:
        group["lr"] = settings.rate * group["factor"] * rate_at(step, settings)
    optimizer.step()
    return sums


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, highest: float, step: int) -> None:
    """Move `average` towards `network`, as far as `decay_at` says for the step."""
    decay = decay_at(step, highest)
    kept, new = list(average.state_dict().values()), list(network.state_dict().values())
    for old, now in zip(kept, new, strict=True):
        if old.is_floating_point():
            old.lerp_(now, 1 - decay)
        else:
            old.copy_(now)


def _restore(
    scratch: job.Scratch,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.AdamW,
    curve: list[dict],
    recent: dict[str, list[float]],
) -> int:
    state = scratch.load()
    if state is None:
        return 0
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    curve.extend(state["curve"])
    recent.update(state["recent"])
    return state["step"]


def _state(
    step: int,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.AdamW,
    curve: list[dict],
    recent: dict[str, list[float]],
) -> dict:
    return {
        "step": step,
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "curve": curve,
        "recent": recent,
    }


def curve_rows(step: int, phase: str, values: dict[str, float]) -> list[dict]:
    """Rows of `tables.CURVE` for named values at a step, in a phase ("train" or "val")."""
    return [{"step": step, "phase": phase, "name": name, "value": value} for name, value in sorted(values.items())]


def report(curve: list[dict], step: int, steps: int) -> None:
    """Log the curve's values at a step."""
    words = [f"{row['phase']} {row['name']} {row['value']:.4g}" for row in curve if row["step"] == step]
    job.log.info("step %d of %d: %s", step, steps, ", ".join(words))
