"""The training loop: AdamW, warm-up and cosine, best-on-validation, and a state that outlives a kill."""

import functools
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from synvlp.encoders import augment
from synvlp.encoders.batches import Batch, PairSets, phase_ends
from synvlp.encoders.trainer import Method, Training
from synvlp.job import JobError, Scratch, log, progress
from synvlp.models import device, image_encoder, parallel
from synvlp.store import seeds


@dataclass
class Result:
    """What a training has found so far: the weights of the best validation, and the curve."""

    best: dict[str, Tensor] = field(default_factory=dict)
    best_step: int = -1
    best_loss: float = math.inf
    curve: list[list] = field(default_factory=list)  # step, phase, name, value
    sums: dict[str, Tensor] = field(default_factory=dict)  # training losses since the last validation
    summed: int = 0


def train(
    method: Method,
    model: nn.Module,
    pairs: PairSets,
    settings: Training,
    place: torch.device,
    scratch: Scratch,
    group: parallel.Group = parallel.ALONE,
) -> Result:
    """Train `model` for `settings.steps` updates; a saved state is gone on from, to the same result.

    Each process of the group trains a model of its own, all of which stay equal.

    Raises JobError if the loss is not finite.
    """
    optimizer = adamw(model, settings)
    run = _Run(method, model, pairs, settings, place, group)
    result, first = _resume(model, optimizer, scratch)
    for step in progress(range(first, settings.steps), "steps", total=settings.steps, start=first):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, settings)
        run.update(step, optimizer, result)
        if (step + 1) % settings.validate_every == 0 or step + 1 == settings.steps:
            run.validate(step + 1, result)
        state = functools.partial(_state, model, optimizer, result, step + 1)
        scratch.checkpoint(state, f"at step {step + 1} of {settings.steps}")
    log.info("best at step %d: validation loss %.4f", result.best_step, result.best_loss)
    return result


def adamw(model: nn.Module, settings: Training) -> torch.optim.AdamW:
    """AdamW over all weights that train. Biases, norms and scales do not decay (the published code decays all)."""
    trained = [value for value in model.parameters() if value.requires_grad]
    groups = [
        {"params": [value for value in trained if value.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [value for value in trained if value.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.rate, betas=(settings.beta1, 0.999), fused=True)


def rate_at(step: int, settings: Training) -> float:
    """The learning rate of a step: up in a line over the warm-up, then down to 0 along a cosine."""
    rising = int(settings.warmup * settings.steps)
    if step < rising:
        return settings.rate * (step + 1) / rising
    return settings.rate * (1 + math.cos(math.pi * (step - rising) / max(settings.steps - rising, 1))) / 2


@dataclass
class _Run:
    """One training's fixed parts."""

    method: Method
    model: nn.Module
    pairs: PairSets
    settings: Training
    place: torch.device
    group: parallel.Group = parallel.ALONE

    def __post_init__(self) -> None:
        self.config = image_encoder.describe(self.settings.architecture, self.settings.image_size)
        self.held_out = self.pairs.validate(self.settings.batch)
        self.last_phase = [0, *phase_ends(self.settings)][-2]

    def update(self, step: int, optimizer: torch.optim.Optimizer, result: Result) -> None:
        """One update from `accumulate` batches. All its randomness follows from the seed and the step."""
        settings, group = self.settings, self.group
        self.model.train()
        torch.manual_seed(seeds.seed_of(settings.seed, "step", step))
        optimizer.zero_grad()
        for index in range(step * settings.accumulate, (step + 1) * settings.accumulate):
            batch = self.pairs.train(index, settings.batch, group.part(settings.batch))
            with group.dropout():
                losses = self.losses(self.view(batch, index), batch, group)
            (losses["total"] / settings.accumulate).backward()
            _add(result, group.means(losses))
        group.average_gradients(self.model.parameters())
        self.method.before_update(self.model.heads, step / settings.steps, settings)
        if settings.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        optimizer.step()
        self.method.after_update(self.model.heads)

    @torch.no_grad()
    def validate(self, step: int, result: Result) -> None:
        """Add a point to the curve, and keep the weights if they are the best so far of the last phase.

        Each batch is one process's, as it is where there is one process.
        """
        self.model.eval()
        means = dict.fromkeys(result.sums, 0.0)
        for weight, batch in self.group.own(self.held_out):
            images = image_encoder.preprocess(torch.from_numpy(batch.pixels).to(self.place), self.config)
            for name, value in self.losses(images, batch).items():
                means[name] += weight * value.item()
        means = dict(zip(means, self.group.total(torch.tensor(list(means.values()), dtype=torch.float64)), strict=True))
        means = {name: value.item() for name, value in means.items()}
        training = {name: value.item() / result.summed for name, value in result.sums.items()}
        if not (math.isfinite(training["total"]) and math.isfinite(means["total"])):
            raise JobError(
                f"the loss is not finite by step {step}; a lower rate or a tighter clip helps "
                f"(rate = {self.settings.rate:g}, clip = {self.settings.clip:g})"
            )
        for phase, values in (("training", training), ("validation", means)):
            result.curve += [[step, phase, name, value] for name, value in sorted(values.items())]
        result.sums, result.summed = {}, 0
        log.info("step %d: loss %.4f, validation %.4f", step, training["total"], means["total"])
        if step > self.last_phase and means["total"] < result.best_loss:
            result.best_step, result.best_loss = step, means["total"]
            result.best = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}

    def view(self, batch: Batch, index: int) -> Tensor:
        """Random views of the images of this process's part of a batch."""
        settings = self.settings
        generator = torch.Generator().manual_seed(seeds.seed_of(settings.seed, "augment", index))
        rows = self.group.size * len(batch.pixels)
        numbers = torch.rand(rows, 6, generator=generator)[self.group.part(rows)]
        return augment.augment(
            torch.from_numpy(batch.pixels).to(self.place),
            numbers.to(self.place),
            self.config,
            crop=settings.crop,
            rotation=settings.rotation,
            brightness=settings.brightness,
        )

    def losses(self, images: Tensor, batch: Batch, group: parallel.Group = parallel.ALONE) -> dict[str, Tensor]:
        """The method's losses of normalised images and a batch's texts, among those of the group."""
        ids, lengths, word_of = (
            torch.from_numpy(values).to(self.place, torch.int64) for values in (batch.ids, batch.lengths, batch.word_of)
        )
        with device.autocast(self.settings, self.place):
            image, text = self.model(images, ids, lengths, word_of, batch.words)
            return self.method.losses_of(self.model.heads, image, text, self.settings, group)


def _add(result: Result, losses: dict[str, Tensor]) -> None:
    for name, value in losses.items():
        result.sums[name] = result.sums.get(name, 0) + value.detach()
    result.summed += 1


def _state(model: nn.Module, optimizer: torch.optim.Optimizer, result: Result, step: int) -> dict:
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "result": vars(result), "step": step}


def _resume(model: nn.Module, optimizer: torch.optim.Optimizer, scratch: Scratch) -> tuple[Result, int]:
    state = scratch.load()
    if state is None:
        return Result(), 0
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return Result(**state["result"]), state["step"]
