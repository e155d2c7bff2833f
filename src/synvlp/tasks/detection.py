"""Detect with YOLOv3's heads on the encoder, frozen or tuned, at every label fraction and seed.

The weights with the highest mean average precision (IoU 0.40 to 0.95) on the whole validation split are kept. Average
precision is over every image, with and without objects, with and without detections (pycocotools); beside it stand
the papers' IoU thresholds, over every image and over those that their code looks at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.store import files, images, tables
from synvlp.store.seeds import seed_of
from synvlp.tasks import dense, fractions, matching, pictures, results

if TYPE_CHECKING:
    import torch

    from synvlp.tasks import trunk

LEVELS = ("layer2", "layer3", "layer4")
PUBLISHED_CONFIDENCE = 0.5  # below it the papers' code drops detections
SHOWN_CONFIDENCE = 0.25  # in the picture of examples


class Settings(dense.Dense):
    levels: list[Literal[LEVELS]] = job.setting(
        list(LEVELS),
        "feature maps that carry a detection branch; layer2 has cells of 8 pixels, layer4 of 32",
        min_length=1,
    )
    width: int = job.setting(512, "channels of the coarsest branch; each finer one has half", ge=32)
    anchors: Literal["coco", "clustered"] = job.setting(
        "coco", "coco: YOLOv3's, scaled to the image; clustered: k-means of the fraction's training boxes"
    )
    weight_decay: float = job.setting(1e-6, "weight decay of AdamW", ge=0)
    confidence: float = job.setting(
        0.005, "detections with a lower score are dropped; average precision needs low ones", ge=0, le=1
    )
    nms: float = job.setting(0.5, "of two boxes that overlap more (IoU) only the better one stays", gt=0, le=1)
    max_detections: int = job.setting(100, "detections kept per image", ge=1, le=matching.MAX_DETECTIONS)

    def check(self) -> None:
        """Whether each run is asked for once, and each level named once."""
        dense.Dense.check(self)
        job.check_different(self, "levels")


class Inputs(job.Files):
    image_encoder: Path = job.file("image encoder's weights (safetensors)")
    image_config: Path = job.file("image encoder's config (JSON)")
    pixels: Path = job.file("pixels, uint8 (n, size, size) (NumPy)")
    samples: Path = job.file("samples (Parquet)")
    boxes: Path = job.file("boxes (COCO JSON)")
    description: Path = job.file("the data set's description (JSON)")


class Outputs(job.Files):
    metrics: Path = job.file("metrics of every fraction and seed (JSON)")
    predictions: Path = job.file("detections on the test split and what they match (Parquet)")
    examples: Path = job.file("test images with true and detected boxes (PNG)")


@dataclass(frozen=True)
class Data:
    """The data set and the encoder, as every run needs them.

    Attributes:
        boxes, classes: per image, float (m, 4) x, y, width, height in pixels, and int (m,).
        sides: cells a side of the feature maps, fine to coarse.
        shown: rows of the test images in the picture of examples.
    """

    trunk: "trunk.Trunk"
    boxes: list[np.ndarray]
    classes: list[np.ndarray]
    samples: pd.DataFrame
    labels: list[str]
    where: "torch.device"
    channels: list[int]
    sides: list[int]
    shown: np.ndarray


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Train and test at every fraction and seed; see the module."""
    from synvlp.models import device

    runs = fractions.runs(settings)
    where = device.prepare(settings)
    description = results.read_description(inputs.description, "detection")
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
            found = {**best, "detections": as_tensors(fit.detect(rows["test"]))}
            ledger.finish(fraction, seed, found)
        detections = as_detections(found["detections"])
        measured, frame = evaluate((fraction, seed), data, rows["test"], detections)
        train, chosen = data.samples.iloc[rows["train"]], {"best_step": found["best_step"]}
        entries.append(results.entry(fraction, seed, measured, train, len(rows["test"]), **chosen))
        frames.append(frame)
        if (fraction, seed) == (max(settings.fractions), settings.seeds[0]):
            draw(outputs.examples, data, rows["test"], detections)
    results.write_predictions(frames, outputs.predictions, tables.DETECTION)
    results.write_metrics(outputs.metrics, description, settings, entries)
    ledger.close()


def load(settings: Settings, inputs: Inputs, labels: list[str], where: "torch.device") -> Data:
    """The data set, and a trunk with the pre-trained encoder. Raises JobError if files do not fit together."""
    from synvlp.models import image_encoder
    from synvlp.tasks import trunk

    config = image_encoder.read_config(inputs.image_config)
    pixels = images.read_pixels(inputs.pixels)
    samples = results.read_samples(inputs.samples, len(pixels), inputs.pixels)
    boxes, classes = read_boxes(inputs.boxes, samples, labels)
    trunk.check(config, pixels, inputs.image_config)
    network = image_encoder.load(inputs.image_config, inputs.image_encoder)
    levels = [name for name in LEVELS if name in settings.levels]

    def feature_maps(encoder: "torch.nn.Module", gray: "torch.Tensor") -> "list[torch.Tensor]":
        found = encoder(gray)
        return [found[name] for name in levels]

    made = trunk.Trunk(network, feature_maps, pixels, config, settings, where)
    made.keep()
    sides = [found.shape[-1] for found in made.at(np.arange(1))]
    channels = [network.channels[name] for name in levels]
    shown = pictures.choose(samples, settings.shown)
    return Data(made, boxes, classes, samples, labels, where, channels, sides, shown)


def read_boxes(path: Path, samples: pd.DataFrame, labels: Sequence[str]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Boxes (m, 4) and classes (m,) of each sample. Raises JobError if the file is of another data set."""
    coco = files.read_json(path)
    listed = {image["id"]: row for row, image in enumerate(coco["images"])}
    names = [category["name"] for category in coco["categories"]]
    if [image["file_name"] for image in coco["images"]] != list(samples["study_id"]) or names != list(labels):
        raise job.JobError(f"{path}: its images or categories are not those of the samples and the description")
    classes = {category["id"]: number for number, category in enumerate(coco["categories"])}
    found: list[list[list[float]]] = [[] for _ in listed]
    for box in coco["annotations"]:
        found[listed[box["image_id"]]].append([*box["bbox"], classes[box["category_id"]]])
    arrays = [np.array(own, float).reshape(-1, 5) for own in found]
    return [own[:, :4] for own in arrays], [own[:, 4].astype(np.int64) for own in arrays]


class Fit:
    """One fraction and seed: a head and what its training needs."""

    def __init__(self, settings: Settings, data: Data, rows: dict[str, np.ndarray], run: tuple[float, int]) -> None:
        import torch

        from synvlp.tasks import yolo

        torch.manual_seed(seed_of(run[1], "init"))
        classes = len(data.labels) if len(data.labels) > 1 else 0
        head = yolo.Head(data.channels, 5 + classes, settings.width).to(data.where)
        self.settings, self.data, self.rows, self.run = settings, data, rows, run
        self.network = torch.nn.ModuleDict({"head": head})
        if data.trunk.tuned:
            self.network["encoder"] = data.trunk.encoder
        self.anchors = self._anchors()
        self.grid = yolo.grid(data.sides, data.trunk.size, self.anchors, data.where)

    def train(self, ledger: results.Ledger) -> dict[str, float]:
        """Train; the network then has its best weights. Returns best_step and best_score."""
        from synvlp.tasks import fitting

        wanted = {"batch", "rate", "weight_decay", "cosine", "validations", "patience"}
        count = len(self.rows["train"])
        plan = fitting.Plan(self.settings.steps_for(count), **self.settings.model_dump(include=wanted))
        return fitting.train(self.network, self.loss, self.validate, count, plan, self.run, ledger)

    def loss(self, positions: "torch.Tensor") -> "torch.Tensor":
        """Training loss of a batch."""
        from synvlp.tasks import yolo

        rows = self.rows["train"][positions.numpy()]
        boxes, classes = [self.data.boxes[row] for row in rows], [self.data.classes[row] for row in rows]
        if self.settings.augment:
            gray, boxes, classes = self._augmented(rows, boxes, classes)
            maps = self.data.trunk.maps(gray)
        else:
            maps = self.data.trunk.at(rows)
        wanted = yolo.targets(boxes, classes, self.anchors, self.grid)
        return yolo.loss(self._raw(maps), wanted, self.grid)

    def validate(self) -> float:
        """Mean average precision, IoU 0.40 to 0.95, on the validation split; 0 if it has no object."""
        found = match(self.data, self.rows["val"], self.detect(self.rows["val"])).precision()
        return float(np.nanmean(found)) if np.isfinite(found).any() else 0.0

    def detect(self, rows: np.ndarray) -> list[matching.Detections]:
        """Detections in each of the images."""
        import torch

        from synvlp.tasks import yolo

        limits = {"confidence": self.settings.confidence, "nms": self.settings.nms}
        found = []
        with torch.no_grad():
            for part in self.data.trunk.batches(rows):
                raw = self._raw(self.data.trunk.at(part))
                found += yolo.detect(raw, self.grid, most=self.settings.max_detections, **limits)
        return found

    def _raw(self, maps: "list[torch.Tensor]") -> "torch.Tensor":
        from synvlp.models import device

        with device.autocast(self.settings, self.data.where):
            return self.network["head"](maps)

    def _anchors(self) -> np.ndarray:
        from synvlp.tasks import yolo

        levels = len(self.data.sides)
        scaled = yolo.scaled_anchors(levels, self.data.trunk.size)
        if self.settings.anchors == "coco":
            return scaled
        shapes = np.concatenate([self.data.boxes[row][:, 2:] for row in self.rows["train"]])
        found = yolo.clustered_anchors(shapes, len(scaled))
        if found is None:
            job.log.info("fraction %g, seed %d: too few boxes to cluster, the anchors are YOLOv3's", *self.run)
        return scaled if found is None else found

    def _augmented(
        self, rows: np.ndarray, boxes: list[np.ndarray], classes: list[np.ndarray]
    ) -> "tuple[torch.Tensor, list[np.ndarray], list[np.ndarray]]":
        import torch

        from synvlp.tasks import augment

        tensors = [torch.from_numpy(own) for own in boxes]
        gray, moved, remain = augment.with_boxes(self.data.trunk.gray(rows), tensors)
        kept = [own[inside.numpy()] for own, inside in zip(classes, remain, strict=True)]
        return gray, [own.numpy() for own in moved], kept


def match(data: Data, rows: np.ndarray, detections: Sequence[matching.Detections]) -> matching.Matches:
    """Match detections in the images `rows` against the true boxes."""
    boxes, classes = [data.boxes[row] for row in rows], [data.classes[row] for row in rows]
    return matching.match_all(detections, boxes, classes, len(data.labels))


def evaluate(
    run: tuple[float, int], data: Data, rows: np.ndarray, detections: Sequence[matching.Detections]
) -> tuple[dict[str, float], pd.DataFrame]:
    """The metrics of a run, and its rows of DETECTION."""
    boxes, classes = [data.boxes[row] for row in rows], [data.classes[row] for row in rows]
    matches = match(data, rows, detections)
    precision = matching.coco_precision(detections, boxes, classes, len(data.labels))
    measured = matching.metrics(precision, matches.published(PUBLISHED_CONFIDENCE), data.labels)
    return measured, predictions(run, data, rows, detections, matches)


def predictions(
    run: tuple[float, int],
    data: Data,
    rows: np.ndarray,
    detections: Sequence[matching.Detections],
    matches: matching.Matches,
) -> pd.DataFrame:
    """Rows of DETECTION: one per image and label with the number of objects, and one per detection."""
    samples, count = data.samples.iloc[rows], matches.objects.size
    truth = pd.DataFrame(
        {
            "image": np.repeat(np.arange(len(rows)), len(data.labels)),
            "label": np.tile(np.arange(len(data.labels)), len(rows)),
            "rank": -1,
            "objects": matches.objects.ravel(),
            "score": np.nan,
            "matched": [[]] * count,
        }
    )
    found = pd.DataFrame({"image": matches.image, "label": matches.label})
    found["rank"] = found.groupby(["image", "label"]).cumcount()
    found = found.assign(objects=0, score=matches.scores, matched=matches.matched.tolist())
    corners = np.concatenate([np.full((count, 4), np.nan), *(own.boxes for own in detections)])
    frame = pd.concat([truth, found], ignore_index=True)
    frame[["x", "y", "width", "height"]] = corners
    for name in ("study_id", "patient_id"):
        frame[name] = samples[name].to_numpy()[frame["image"]]
    frame["label"] = np.array(data.labels, dtype=object)[frame["label"]]
    return frame.drop(columns="image").assign(fraction=run[0], seed=run[1])


def as_tensors(detections: Sequence[matching.Detections]) -> "dict[str, torch.Tensor]":
    """Detections as tensors that can be saved."""
    import torch

    arrays = {
        "count": np.array([len(found.scores) for found in detections]),
        "scores": np.concatenate([found.scores for found in detections]),
        "boxes": np.concatenate([found.boxes for found in detections]),
        "labels": np.concatenate([found.labels for found in detections]),
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def as_detections(tensors: "dict[str, torch.Tensor]") -> list[matching.Detections]:
    """The reverse of `as_tensors`."""
    ends = np.cumsum(tensors["count"].numpy())[:-1]
    parts = [np.split(tensors[name].numpy(), ends) for name in ("scores", "boxes", "labels")]
    return [matching.Detections(*found) for found in zip(*parts, strict=True)]


def draw(path: Path, data: Data, rows: np.ndarray, detections: Sequence[matching.Detections]) -> None:
    """Write the picture of examples: in each image the surer detections, or the surest one."""
    by_row, labels = dict(zip(rows.tolist(), detections, strict=True)), np.array(data.labels, dtype=object)
    tiles = []
    for row in data.shown.tolist():
        found = by_row[row]
        sure = found.scores >= min(SHOWN_CONFIDENCE, found.scores.max(initial=0))
        true = data.boxes[row], labels[data.classes[row]]
        predicted = found.boxes[sure], labels[found.labels[sure]], found.scores[sure]
        tiles.append(pictures.of_boxes(data.trunk.pixels[row], *true, *predicted))
    pictures.write(path, tiles)
