"""Segment with a U-Net on the encoder, frozen or tuned, at every label fraction and seed.

The weights with the lowest loss on the whole validation split are kept. Pixels with a probability over 0.5 are
foreground. Dice and IoU are means over test images, over all of them and over those with foreground alone; an image
without foreground scores 1 if nothing is predicted, else 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from synvlp import job
from synvlp.store import images, tables
from synvlp.store.seeds import seed_of
from synvlp.tasks import dense, fractions, pictures, results, scores

if TYPE_CHECKING:
    import torch

    from synvlp.tasks import trunk, unet


class Settings(dense.Dense):
    loss: Literal["focal_dice", "bce_dice"] = job.setting(
        "focal_dice", "focal_dice: 10 focal - log Dice, as in the papers; bce_dice: cross entropy + 1 - Dice"
    )
    decoder_channels: list[Annotated[int, Field(ge=1)]] = job.setting(
        [256, 128, 64, 32, 16], "channels of the five decoder blocks, coarse to fine", min_length=5, max_length=5
    )
    weight_decay: float = job.setting(0.05, "weight decay of AdamW", ge=0)


class Inputs(job.Files):
    image_encoder: Path = job.file("image encoder's weights (safetensors)")
    image_config: Path = job.file("image encoder's config (JSON)")
    pixels: Path = job.file("pixels, uint8 (n, size, size) (NumPy)")
    samples: Path = job.file("samples (Parquet)")
    masks: Path = job.file("masks, uint8 0 or 1 (n, channels, size, size) (NumPy)")
    description: Path = job.file("the data set's description (JSON)")


class Outputs(job.Files):
    metrics: Path = job.file("metrics of every fraction and seed (JSON)")
    predictions: Path = job.file("pixel counts per test image and label (Parquet)")
    examples: Path = job.file("test images with true and predicted outlines (PNG)")


@dataclass(frozen=True)
class Data:
    """The data set and the encoder, as every run needs them."""

    trunk: "trunk.Trunk"
    masks: np.ndarray
    samples: pd.DataFrame
    labels: list[str]
    architecture: str
    where: "torch.device"
    shown: np.ndarray  # rows of the test images in the picture of examples


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Train and test at every fraction and seed; see the module."""
    from synvlp.models import device

    runs = fractions.runs(settings)
    where = device.prepare(settings)
    description = results.read_description(inputs.description, "segmentation")
    ledger = results.Ledger(job.Scratch(__name__, settings, inputs))
    data, entries, frames = None, [], []
    for fraction, seed in runs:
        if data is None or settings.encoder == "tuned":
            data = load(settings, inputs, description["labels"], where)
        found = ledger.done(fraction, seed)
        rows = fractions.rows_of(data.samples, data.labels, (fraction, seed))
        if found is None:
            fit = Fit(settings, data, rows, (fraction, seed))
            best = fit.train(ledger)
            found = {**best, "counts": fit.test(), "examples": fit.predict(data.shown).cpu()}
            ledger.finish(fraction, seed, found)
        frame = predictions((fraction, seed), data, rows["test"], found["counts"].numpy())
        chosen = {"best_step": found["best_step"]}
        train = data.samples.iloc[rows["train"]]
        entries.append(results.entry(fraction, seed, metrics(frame, data.labels), train, len(rows["test"]), **chosen))
        frames.append(frame)
        if (fraction, seed) == (max(settings.fractions), settings.seeds[0]):
            draw(outputs.examples, data, found["examples"].numpy())
    results.write_predictions(frames, outputs.predictions, tables.SEGMENTATION)
    results.write_metrics(outputs.metrics, description, settings, entries)
    ledger.close()


def load(settings: Settings, inputs: Inputs, labels: list[str], where: "torch.device") -> Data:
    """The data set, and a trunk with the pre-trained encoder. Raises JobError if files do not fit together."""
    from synvlp.models import image_encoder
    from synvlp.tasks import trunk, unet

    config = image_encoder.read_config(inputs.image_config)
    pixels = images.read_pixels(inputs.pixels)
    masks = np.load(inputs.masks, mmap_mode="r", allow_pickle=False)
    samples = results.read_samples(inputs.samples, len(pixels), inputs.pixels)
    if masks.shape != (len(pixels), len(labels), *pixels.shape[1:]):
        raise job.JobError(f"{inputs.masks} is {masks.shape}; {len(labels)} labels and {inputs.pixels} do not fit it")
    trunk.check(config, pixels, inputs.image_config)
    network = unet.encoder(config["architecture"], image_encoder.read_state(inputs.image_encoder), inputs.image_encoder)
    made = trunk.Trunk(network, unet.feature_maps, pixels, config, settings, where)
    made.keep()
    shown = pictures.choose(samples, settings.shown)
    return Data(made, masks, samples, labels, config["architecture"], where, shown)


class Fit:
    """One fraction and seed: a decoder and what its training needs."""

    def __init__(self, settings: Settings, data: Data, rows: dict[str, np.ndarray], run: tuple[float, int]) -> None:
        import torch

        from synvlp.tasks import unet

        torch.manual_seed(seed_of(run[1], "init"))
        decoder = unet.Decoder(data.architecture, settings.decoder_channels, len(data.labels))
        decoder = decoder.to(data.where, memory_format=torch.channels_last)
        self.settings, self.data, self.rows, self.run = settings, data, rows, run
        self.network = torch.nn.ModuleDict({"decoder": decoder})
        if data.trunk.tuned:
            self.network["encoder"] = data.trunk.encoder

    def train(self, ledger: results.Ledger) -> dict[str, float]:
        """Train; the network then has its best weights. Returns best_step and best_score."""
        from synvlp.tasks import fitting

        wanted = {"batch", "rate", "weight_decay", "cosine", "validations", "patience"}
        count = len(self.rows["train"])
        plan = fitting.Plan(self.settings.steps_for(count), **self.settings.model_dump(include=wanted))
        return fitting.train(self.network, self.loss, self.validate, count, plan, self.run, ledger)

    def loss(self, positions: "torch.Tensor") -> "torch.Tensor":
        """Training loss of a batch."""
        from synvlp.tasks import augment

        rows = self.rows["train"][positions.numpy()]
        if not self.settings.augment:
            return self.totals(rows).loss(self.settings.loss)
        gray, masks = augment.with_masks(self.data.trunk.gray(rows), self.masks(rows))
        return self.totals_of(self.data.trunk.maps(gray), masks).loss(self.settings.loss)

    def validate(self) -> float:
        """Minus the loss over the whole validation split."""
        first, *others = self.data.trunk.batches(self.rows["val"])
        totals = self.totals(first)
        for rows in others:
            totals += self.totals(rows)
        return -totals.loss(self.settings.loss).item()

    def test(self) -> "torch.Tensor":
        """Pixel counts on the test split, int64 (n, 3, labels); see `count`."""
        import torch

        parts = self.data.trunk.batches(self.rows["test"])
        return torch.cat([count(self.predict(rows), self.masks(rows) > 0) for rows in parts]).cpu()

    def predict(self, rows: np.ndarray) -> "torch.Tensor":
        """Predicted masks, bool (b, labels, size, size)."""
        import torch

        with torch.no_grad():
            return self.logits(self.data.trunk.at(rows)) > 0

    def logits(self, maps: "list[torch.Tensor]") -> "torch.Tensor":
        from synvlp.models import device

        with device.autocast(self.settings, self.data.where):
            return self.network["decoder"](maps, self.data.trunk.size)

    def totals(self, rows: np.ndarray) -> "unet.Totals":
        return self.totals_of(self.data.trunk.at(rows), self.masks(rows))

    def totals_of(self, maps: "list[torch.Tensor]", masks: "torch.Tensor") -> "unet.Totals":
        from synvlp.tasks import unet

        return unet.Totals(self.logits(maps), masks)

    def masks(self, rows: np.ndarray) -> "torch.Tensor":
        """True masks, float 0 or 1 (b, labels, size, size)."""
        import torch

        return torch.from_numpy(self.data.masks[rows]).to(self.data.where).float()


def count(predicted: "torch.Tensor", target: "torch.Tensor") -> "torch.Tensor":
    """Pixels per image and label, int64 (b, 3, labels): target, predicted, both. Masks: bool (b, labels, s, s)."""
    import torch

    return torch.stack([found.sum((2, 3)) for found in (target, predicted, target & predicted)], 1)


def predictions(run: tuple[float, int], data: Data, tested: np.ndarray, counts: np.ndarray) -> pd.DataFrame:
    """Rows of SEGMENTATION, one per test image and label."""
    samples, labels = data.samples.iloc[tested], len(data.labels)
    return pd.DataFrame(
        {
            "fraction": run[0],
            "seed": run[1],
            "study_id": np.repeat(samples["study_id"].to_numpy(), labels),
            "patient_id": np.repeat(samples["patient_id"].to_numpy(), labels),
            "label": np.tile(np.array(data.labels, dtype=object), len(samples)),
            "target_pixels": counts[:, 0].ravel(),
            "predicted_pixels": counts[:, 1].ravel(),
            "common_pixels": counts[:, 2].ravel(),
        }
    )


def metrics(frame: pd.DataFrame, labels: Sequence[str]) -> dict[str, float]:
    """Dice and IoU per label ("dice/lungs") and their means over labels ("dice")."""
    found = {}
    for label in labels:
        own = frame[frame["label"] == label]
        counts = (own[f"{name}_pixels"].to_numpy() for name in ("target", "predicted", "common"))
        found |= {f"{name}/{label}": value for name, value in scores.segmentation(*counts).items()}
    return found | scores.means(found, labels)


def draw(path: Path, data: Data, predicted: np.ndarray) -> None:
    """Write the picture of examples."""
    tiles = [
        pictures.of_masks(data.trunk.pixels[row], data.masks[row] > 0, masks, data.labels)
        for row, masks in zip(data.shown, predicted, strict=True)
    ]
    pictures.write(path, tiles)
