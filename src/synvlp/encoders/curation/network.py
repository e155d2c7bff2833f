"""A small network that tells how an image was corrupted, if at all: trained on a corpus's own images.

No label is needed: half of what it sees are the images as they are, half are copies corrupted on purpose.
"""

import functools
import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from synvlp import job
from synvlp.encoders.curation import bank as banks
from synvlp.encoders.curation import statistics
from synvlp.models import device
from synvlp.store.seeds import seed_of

FEATURES = 64
CLASSES = banks.CLASSES
# Half of the samples are sound, the others are corrupted in each way equally often.
SHARES = np.array([0.5, *[0.5 / (len(CLASSES) - 1)] * (len(CLASSES) - 1)])


class Judge(nn.Module):
    """Four convolutions of stride 2, a layer that knows where things are, and the image's statistics beside it."""

    def __init__(self, side: int) -> None:
        super().__init__()
        widths = (1, 16, 32, 48, 64)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.maps = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.2))
        self.features = nn.Sequential(nn.Linear(widths[-1] * (side // 16) ** 2, FEATURES), nn.ReLU())
        self.scale = nn.BatchNorm1d(len(statistics.NAMES), affine=False)
        self.classes = nn.Sequential(
            nn.Linear(FEATURES + len(statistics.NAMES), FEATURES), nn.ReLU(), nn.Linear(FEATURES, len(CLASSES))
        )

    def forward(self, pixels: Tensor, numbers: Tensor) -> Tensor:
        """Logits (B, classes) of uint8 (B, S, S) and statistics (B, 7)."""
        seen = self.features(self.maps(pixels[:, None].float() / 128 - 1))
        return self.classes(torch.cat([seen, self.scale(numbers)], 1))


def train(
    bank: banks.Bank,
    rows: np.ndarray,
    fold: int,
    settings: job.Compute,
    place: torch.device,
    state: dict | None,
    checkpoint: Callable[[Callable[[], dict], str], None],
) -> Judge:
    """A network that has learned from the rows `rows` of the bank.

    Args:
        bank: images and copies.
        rows: of the studies that may be seen.
        fold: which network this is; its random numbers follow from it.
        settings: of the job judge-images.
        place: where to compute.
        state: of an interrupted training, to go on from.
        checkpoint: called between steps with a function that gives the state, and a word on how far it is.
    """
    torch.manual_seed(seed_of(settings.seed, "judge", fold))
    model = Judge(settings.image_size).to(place)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.rate, weight_decay=0.05)
    first = 0
    if state:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    model.train()
    for step in job.progress(range(first, settings.steps), "steps", total=settings.steps, start=first):
        for group in optimizer.param_groups:
            group["lr"] = settings.rate * min((step + 1) / 20, (1 + math.cos(math.pi * step / settings.steps)) / 2)
        with device.autocast(settings, place):
            loss = _loss(model, _batch(bank, rows, fold, step, settings), place)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        made = functools.partial(_state, model, optimizer, step + 1)
        checkpoint(made, f"at step {step + 1} of {settings.steps} of model {fold + 1} of {settings.folds}")
    return model.eval()


@torch.no_grad()
def read(model: Judge, shrunk: banks.Shrunk, place: torch.device, batch: int) -> np.ndarray:
    """Log-probabilities of images: float64 (n, classes)."""
    outputs = [np.empty((0, len(CLASSES)))]
    for start in range(0, len(shrunk.pixels), batch):
        pixels, numbers = (
            torch.from_numpy(np.ascontiguousarray(values[start : start + batch]))
            for values in (shrunk.pixels, shrunk.statistics)
        )
        logits = model(pixels.to(place), numbers.to(place))
        outputs.append(functional.log_softmax(logits.double(), 1).cpu().numpy())
    return np.concatenate(outputs)


def _batch(bank: banks.Bank, rows: np.ndarray, fold: int, step: int, settings: job.Compute) -> tuple[np.ndarray, ...]:
    """Pixels, statistics and classes of one step, which follow from seed, fold and step."""
    seed = seed_of(settings.seed, "judge", fold, "step", step)
    torch.manual_seed(seed)  # dropout
    random = np.random.default_rng(seed)
    classes = np.where(random.random(settings.batch) < 0.5, 0, random.integers(1, len(CLASSES), settings.batch))
    chosen = rows[random.integers(0, len(rows), settings.batch)]
    pixels, numbers = bank.take(classes, random.integers(0, settings.variants, settings.batch), chosen)
    reach = settings.image_size // 32
    y, x = random.integers(0, 2 * reach + 1, 2)
    wide = np.pad(pixels, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    moved = wide[:, y : y + settings.image_size, x : x + settings.image_size]
    gain = random.uniform(0.9, 1.1, (settings.batch, 1, 1))
    return np.clip(moved * gain, 0, 255).astype(np.uint8), numbers, classes


def _loss(model: Judge, batch: tuple[np.ndarray, ...], place: torch.device) -> Tensor:
    pixels, numbers, classes = (torch.from_numpy(values).to(place) for values in batch)
    return functional.cross_entropy(model(pixels, numbers), classes)


def _state(model: Judge, optimizer: torch.optim.Optimizer, step: int) -> dict:
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
