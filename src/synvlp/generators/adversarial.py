"""Adversarial training: the losses, the augmentations, and a loop with two optimizers that goes on after a kill."""

import contextlib
import copy
import functools
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from synvlp import job
from synvlp.generators import loop, prompted
from synvlp.generators.options import Prompted
from synvlp.models import conditioning
from synvlp.models import device as devices
from synvlp.models.parallel import Group
from synvlp.store.images import batches
from synvlp.store.seeds import seed_of

SIDES = ("generator", "discriminator")


def fit(
    players: nn.ModuleDict,
    settings: Prompted,
    scratch: job.Scratch,
    device: torch.device,
    data: prompted.Data,
    unseen: prompted.Data,
    group: Group,
) -> tuple[nn.ModuleDict, list[dict]]:
    """Train two players in place; what they end in depends on the settings and the data alone, also after a kill.

    Args:
        players: "generator" and "discriminator", each a ModuleDict of "network" and "text_encoder", on `device`.
        settings: of `kinds.gan`.
        scratch: where the state is saved.
        device: where to compute.
        data, unseen: pairs to train on, and held-out ones.
        group: the processes that train together; the players are equal in all, before and after.

    Returns:
        The generator with the moving average of its weights, in evaluation mode, and the curve's rows.

    Raises:
        JobError: a loss is no longer a finite number.
    """
    game = Game(players, settings, device, data, group)
    average = copy.deepcopy(players["generator"]).eval().requires_grad_(False)
    held = {"players": players, "average": average, **game.optimizers}
    curve: list[dict] = []
    recent: dict[str, list[float]] = {}
    first = _restore(scratch, held, curve, recent)
    for step in job.progress(range(first, settings.steps), "steps", total=settings.steps, start=first):
        torch.manual_seed(seed_of(settings.seed, "step", step))
        players.train()
        values = game.play(step)
        loop.update_average(average, players["generator"], settings.average, step)
        for name, value in values.items():
            recent.setdefault(name, []).append(value)
        if (step + 1) % settings.validate_every == 0 or step + 1 == settings.steps:
            means = {name: float(np.mean(many)) for name, many in recent.items()}
            curve.extend(loop.curve_rows(step + 1, "train", means))
            curve.extend(loop.curve_rows(step + 1, "val", game.validate(average, unseen)))
            recent.clear()
            loop.report(curve, step + 1, settings.steps)
        state = functools.partial(_state, step + 1, held, curve, recent)
        scratch.checkpoint(state, f"at step {step + 1} of {settings.steps}")
    return average, curve


class Game:
    """Two players, their optimizers and what a step does to them."""

    def __init__(
        self, players: nn.ModuleDict, settings: Prompted, device: torch.device, data: prompted.Data, group: Group
    ) -> None:
        self.players, self.settings, self.device, self.data, self.group = players, settings, device, data, group
        self.optimizers = {side: self._optimizer(side) for side in SIDES}

    def play(self, step: int) -> dict[str, float]:
        """One step of each player, the discriminator first, on the same images and texts; the losses' values."""
        rows = loop.batch_rows(len(self.data), self.settings.batch, step, self.settings.seed)
        own = self.group.part(len(rows))
        ids = self.data.ids[rows]
        wrong, differs = other_texts(ids)
        real = self.data.images(rows[own], self.device)
        with self._computing():
            noise = prompted.noise(self.players["generator"]["network"], len(rows), self.group, self.device)
            made = generate(self.players["generator"], noise, ids[own].to(self.device))
            losses = self._judged(real, made.detach(), ids[own], wrong[own], differs[own], len(rows))
        if self.settings.penalty and step % self.settings.penalty_every == 0:
            losses["penalty"] = self._penalty(real, made.detach(), ids[own], len(rows))
            weight = self.settings.penalty * self.settings.penalty_every / 2
            losses["discriminator"] = losses["discriminator"] + weight * losses["penalty"]
        self._step("discriminator", losses["discriminator"], step)
        self.players["discriminator"].requires_grad_(False)
        with self._computing():
            losses |= self._fooled(real, made, ids[own], len(rows))
        self._step("generator", losses["loss"] + self.settings.diversity * losses.get("alike", 0), step)
        self.players["discriminator"].requires_grad_(True)
        return {name: float(value) for name, value in self.group.means(losses).items()}

    @torch.inference_mode()
    def validate(self, average: nn.ModuleDict, unseen: prompted.Data) -> dict[str, float]:
        """The averaged generator's loss for held-out texts, and how it draws: fixed noise, no augmentation."""
        if not len(unseen):
            return {}
        self.players.eval()
        seeded = torch.Generator("cpu").manual_seed(seed_of(self.settings.seed, "validation"))
        noise = torch.randn(len(unseen), average["network"].noise, generator=seeded)
        scores = {name: torch.zeros(len(unseen)) for name in ("made", "real")}
        for part in self.group.own(list(batches(len(unseen), self.settings.batch))):
            with devices.autocast(self.settings, self.device):
                ids = unseen.ids[part]
                made = generate(average, noise[part].to(self.device), ids.to(self.device))
                real = unseen.images(np.arange(part.start, part.stop), self.device)
                scores["made"][part] = self._scores(made, ids).cpu()
                scores["real"][part] = self._scores(real, ids).cpu()
        totals = {name: self.group.total(values) for name, values in scores.items()}
        loss = generator_loss(totals["made"], totals["real"], self.settings.loss)
        return {"loss": float(loss), "score_made": float(totals["made"].mean()),
                "score_real": float(totals["real"].mean())}  # fmt: skip

    @contextlib.contextmanager
    def _computing(self) -> Iterator[None]:
        with devices.autocast(self.settings, self.device), self.group.dropout():
            yield

    def _judged(
        self, real: Tensor, made: Tensor, ids: Tensor, wrong: Tensor, differs: Tensor, rows: int
    ) -> dict[str, Tensor]:
        """The discriminator's losses for real images, drawn ones, and real ones with the texts of others."""
        player = self.players["discriminator"]
        real, made = self._altered(real, rows), self._altered(made, rows)
        found = player["network"].features(torch.cat([real, made]))
        states, present = conditioning.read(player["text_encoder"], torch.cat([ids, wrong]).to(self.device))
        own, others = slice(0, len(ids)), slice(len(ids), None)
        good, bad = found.chunk(2)
        scores = {
            "real": player["network"](good, states[own], present[own]),
            "made": player["network"](bad, states[own], present[own]),
            "wrong": player["network"](good, states[others], present[others]),
        }
        return discriminator_losses(scores, differs.to(self.device), self.settings.loss, self.settings.mismatch)

    def _penalty(self, real: Tensor, made: Tensor, ids: Tensor, rows: int) -> Tensor:
        """R1 of the real images and R2 of the drawn ones, with their texts, summed, in float32."""
        penalties = []
        for images in (real, made):
            images = images.float().requires_grad_(True)
            penalties.append(gradient_penalty(self._scores(self._altered(images, rows), ids), images))
        return penalties[0] + penalties[1]

    def _fooled(self, real: Tensor, made: Tensor, ids: Tensor, rows: int) -> dict[str, Tensor]:
        """The generator's losses; the real images, and the drawn ones, are altered in equal ways."""
        drawn = torch.rand(rows, 6, device=self.device)
        good, bad = (self._scores(self._altered(images, rows, drawn), ids) for images in (real, made))
        losses = {"loss": generator_loss(bad, good, self.settings.loss)}
        if self.settings.diversity:
            everyone = self.group.gather(coarse(real))
            # Of a single image, or of equal ones, there is no distance to ask for; 0 would make the slope infinite.
            wanted = (self.settings.apart * distance(everyone, everyone.roll(1, 0)).mean()).clamp(min=1e-6)
            losses["alike"] = self._alike(made, ids, rows, wanted)
        return losses

    def _alike(self, made: Tensor, ids: Tensor, rows: int, wanted: Tensor) -> Tensor:
        """`likeness` of every other text of the batch: half of them tell as much, for half the time."""
        chosen = torch.arange(rows)[self.group.part(rows)] % 2 == 0
        noise = prompted.noise(self.players["generator"]["network"], rows, self.group, self.device)
        again = generate(self.players["generator"], noise[chosen], ids[chosen].to(self.device))
        return likeness(made[chosen], again, wanted).sum() * self.group.size / ((rows + 1) // 2)

    def _scores(self, images: Tensor, ids: Tensor) -> Tensor:
        player = self.players["discriminator"]
        states, present = conditioning.read(player["text_encoder"], ids.to(self.device))
        return player["network"](player["network"].features(images), states, present)

    def _altered(self, images: Tensor, rows: int, drawn: Tensor | None = None) -> Tensor:
        settings = self.settings
        drawn = torch.rand(rows, 6, device=images.device) if drawn is None else drawn
        drawn = drawn[self.group.part(rows)]
        return alter(images, drawn, settings.brightness, settings.contrast, settings.translation, settings.cutout)

    def _optimizer(self, side: str) -> torch.optim.AdamW:
        settings, player = self.settings, self.players[side]
        factor = settings.discriminator_rate if side == "discriminator" else 1.0
        groups = [
            {"params": list(player["network"].parameters()), "factor": factor},
            {"params": list(player["text_encoder"].parameters()), "factor": factor * settings.text_rate},
        ]
        return torch.optim.AdamW(
            groups, lr=settings.rate, betas=(0.0, 0.99), weight_decay=settings.weight_decay, fused=True
        )

    def _step(self, side: str, loss: Tensor, step: int) -> None:
        settings, optimizer, player = self.settings, self.optimizers[side], self.players[side]
        value = float(loss.detach())
        if not math.isfinite(value):
            raise job.JobError(f"the {side}'s loss is {value} at step {step + 1}; lower rate = {settings.rate:g}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.group.average_gradients(player.parameters())
        if settings.clip:
            nn.utils.clip_grad_norm_(player.parameters(), settings.clip)
        for part in optimizer.param_groups:
            part["lr"] = settings.rate * part["factor"] * loop.rate_at(step, settings)
        optimizer.step()


def generate(player: nn.ModuleDict, noise: Tensor, ids: Tensor) -> Tensor:
    """Images (B, 1, S, S) of a generator with its text encoder, for token numbers (B, T)."""
    states, present = conditioning.read(player["text_encoder"], ids)
    return player["network"](noise, states, present)


def discriminator_losses(scores: dict[str, Tensor], differs: Tensor, kind: str, mismatch: float) -> dict[str, Tensor]:
    """What the discriminator minimizes, and its parts.

    With f the score and m the weight of real images with texts of others, which teach it to look at the text
    (matching-aware, Reed et al. 2016, algorithm 1):

    - relativistic: (1 − m) E[a(f(made) − f(real))] + m E[a(f(real, text of another) − f(real))], each drawn image
      beside the real one of its text (Jolicoeur-Martineau 2019; Huang et al. 2024, eq. 2)
    - logistic, hinge: E[a(−f(real))] + (1 − m) E[a(f(made))] + m E[a(f(real, text of another))]

    a is log(1 + eˣ) (logistic, Goodfellow et al. 2014) or, for hinge, max(0, 1 + x) (Lim and Ye 2017).

    Args:
        scores: "real", "made" and "wrong", (B,) each.
        differs: where the other text is another one, bool (B,); elsewhere "wrong" costs nothing.
        kind: "relativistic", "logistic" or "hinge".
        mismatch: m.

    Returns:
        `discriminator`, and for the curve `score_real`, `score_made`, `score_wrong`.
    """
    shown = {f"score_{name}": value.detach().mean() for name, value in scores.items()}
    if kind == "relativistic":
        made, wrong = (functional.softplus(scores[name] - scores["real"]) for name in ("made", "wrong"))
        return {"discriminator": (1 - mismatch) * made.mean() + mismatch * (wrong * differs).mean(), **shown}
    cost = functional.softplus if kind == "logistic" else (lambda score: functional.relu(1 + score))
    wrong = (cost(scores["wrong"]) * differs).mean()
    loss = cost(-scores["real"]).mean() + (1 - mismatch) * cost(scores["made"]).mean() + mismatch * wrong
    return {"discriminator": loss, **shown}


def generator_loss(made: Tensor, real: Tensor, kind: str) -> Tensor:
    """What the generator minimizes, of the scores of drawn images and of the real ones of the same texts, (B,) each.

    E[log(1 + e^(f(real) − f(made)))] (relativistic, Huang et al. 2024, eq. 2), E[log(1 + e^−f(made))] (logistic, not
    saturating, Goodfellow et al. 2014), −E[f(made)] (hinge).
    """
    if kind == "relativistic":
        return functional.softplus(real - made).mean()
    return functional.softplus(-made).mean() if kind == "logistic" else -made.mean()


def likeness(first: Tensor, second: Tensor, wanted: Tensor) -> Tensor:
    """How far two images of each text, of different noise, are from being `wanted` apart: 1 − min(d / wanted, 1).

    The diversity-sensitive term of Yang et al. (2019, eq. 2) with τ = `wanted`, scaled to lie between 0 and 1. Texts
    are nearly all different, so that the discriminator alone never sees two images of one text: without this term the
    generator ignores its noise.

    Args:
        first, second: (B, 1, S, S).
        wanted: a distance, as `distance` measures it.

    Returns:
        (B,), between 0 and 1.
    """
    return 1 - (distance(coarse(first), coarse(second)) / wanted).clamp(max=1)


def coarse(images: Tensor) -> Tensor:
    """Means of four by four pixels, so that grain does not count as a difference."""
    return functional.avg_pool2d(images, 4)


def distance(first: Tensor, second: Tensor) -> Tensor:
    """The mean absolute difference of each pair of images, (B, …) to (B,)."""
    return (first - second).abs().flatten(1).mean(1)


def gradient_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """A zero-centred penalty without its weight γ/2: E‖∇ₓ f(x)‖² (Mescheder et al. 2018, eq. 9 and 10).

    At real images it is R1, at drawn ones R2; both are needed for training to be stable (Huang et al. 2024).

    Args:
        scores: (B,), each of its own image.
        images: (B, 1, S, S), which the scores depend on.
    """
    (slope,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean()


def alter(
    images: Tensor, drawn: Tensor, brightness: float, contrast: float, translation: float, cutout: float
) -> Tensor:
    """Alter images in ways through which gradients flow (Zhao et al. 2020): the real ones and the drawn ones alike.

    Brightness, contrast, a shift with black beyond the edge, and a black square; never a mirror image, since reports
    name sides.

    Args:
        images: float (B, 1, S, S) in [-1, 1].
        drawn: uniform numbers in [0, 1), (B, 6), that say by how much.
        brightness: largest change of all pixels, in either direction.
        contrast: largest share by which deviations from the mean grow or shrink.
        translation: largest shift, as a share of the side.
        cutout: side of the square, as a share of the side; 0: none.

    Returns:
        The same shape; not limited to [-1, 1].
    """
    swing = (2 * drawn - 1)[:, :, None, None, None]
    images = images + brightness * swing[:, 0]
    mean = images.mean((2, 3), keepdim=True)
    images = mean + (images - mean) * (1 + contrast * swing[:, 1])
    return _cut(_shifted(images, drawn[:, 2:4], translation), drawn[:, 4:6], cutout)


def other_texts(ids: Tensor) -> tuple[Tensor, Tensor]:
    """For each text of a batch, (B, T), the next one after it, around the end, that is another text.

    Returns:
        The others' tokens (B, T), and whether there was one, bool (B,).
    """
    count = len(ids)
    differs = (ids[:, None] != ids[None]).any(2)
    ahead = (torch.arange(count)[:, None] + torch.arange(count)[None]) % count
    found = differs.gather(1, ahead)
    place = ahead.gather(1, found.int().argmax(1, keepdim=True))[:, 0]
    return ids[place], found.any(1)


def _shifted(images: Tensor, drawn: Tensor, most: float) -> Tensor:
    size = images.shape[-1]
    reach = round(most * size)
    if not reach:
        return images
    moves = (drawn * (2 * reach + 1)).long()
    padded = functional.pad(images, (reach,) * 4, value=-1.0)
    places = torch.arange(size, device=images.device)
    rows = moves[:, :1] + places
    columns = moves[:, 1:] + places
    each = torch.arange(len(images), device=images.device)
    return padded[each[:, None, None], 0, rows[:, :, None], columns[:, None, :]][:, None]


def _cut(images: Tensor, drawn: Tensor, share: float) -> Tensor:
    size = images.shape[-1]
    side = round(share * size)
    if not side:
        return images
    first = (drawn * (size + 1)).long() - side // 2
    places = torch.arange(size, device=images.device)
    inside = (places >= first[:, :, None]) & (places < first[:, :, None] + side)
    hidden = inside[:, 0, :, None] & inside[:, 1, None, :]
    return images.masked_fill(hidden[:, None], -1.0)


def _restore(scratch: job.Scratch, held: dict, curve: list[dict], recent: dict[str, list[float]]) -> int:
    state = scratch.load()
    if state is None:
        return 0
    for name, part in held.items():
        part.load_state_dict(state[name])
    curve.extend(state["curve"])
    recent.update(state["recent"])
    return state["step"]


def _state(step: int, held: dict, curve: list[dict], recent: dict[str, list[float]]) -> dict:
    return {
        "step": step,
        **{name: part.state_dict() for name, part in held.items()},
        "curve": curve,
        "recent": recent,
    }
