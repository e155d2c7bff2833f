"""Find where in an image a phrase is true, without any box or mask: maps against what was marked.

Each label has phrases. On test images that carry the label, a map says how well each place fits them: GLoRIA's
attention, cosines of regions with the phrases' words (GLoRIA, MGCA), or cosines of the last feature map's places with
the phrases (any method). Maps are enlarged to the image and scaled from 0 to 1 one by one, since cosines of different
methods lie on different scales.

Measured against the union of what was marked of the label: the pointing game (is the highest place inside), IoU in the
mean over thresholds, and the contrast of inside and outside (CNR). CNR as published takes the absolute value, so that
a map that avoids the place scores as well as one that finds it; here it has a sign, and the published one is beside it.
Images without the label say nothing about where it is and are left out; metrics.json says how many are left.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from synvlp import job
from synvlp.store import files, images, tables
from synvlp.tasks import pictures, prompts, untrained

TASK = {"name": "grounding", "of": ["segmentation", "detection"], "given": ["phrases"]}
AUTO = {"gloria": "attention", "mgca": "local", "convirt": "global"}


class Settings(job.Compute):
    map: Literal["auto", "attention", "local", "global"] = job.setting(
        "auto",
        "attention: GLoRIA's; local: regions and words (GLoRIA, MGCA); global: places and texts; auto: by method",
    )
    image_size: int = job.setting(
        0, "the network's input; more than it was trained with gives finer maps; 0: as trained", unit="px", ge=0
    )
    enlarge: Literal["bilinear", "nearest"] = job.setting(
        "bilinear", "how maps come to the images' size; of maps of few cells, bilinear moves the highest to the edges"
    )
    thresholds: list[Annotated[float, Field(gt=0, lt=1)]] = job.setting(
        [0.1, 0.2, 0.3, 0.4, 0.5], "of the scaled map, over which IoU is averaged", min_length=1
    )
    batch: int = job.setting(64, "images at a time", unit="images", ge=1)
    shown: int = job.setting(8, "maps in the picture of examples", unit="images", ge=1, le=64)
    phrases: list[str] = job.setting([], "what is looked for: 'label: phrase', or a phrase with {} for a label's name")


Inputs = untrained.Inputs


class Outputs(untrained.Outputs):
    examples: Path = job.file("maps over test images, what was marked outlined (PNG)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Map, measure, draw and write; see the module."""
    from synvlp.models import alignment

    description = untrained.read_description(inputs.description, TASK["of"])
    labels = description["labels"]
    asked = prompts.by_label(settings.phrases, labels, "phrases")
    samples, pixels = untrained.open_samples(inputs)
    masks = read_masks(inputs, labels, pixels.shape)
    encoder = alignment.open_encoder(inputs, settings)
    kind = AUTO[encoder.method] if settings.map == "auto" else settings.map
    chosen = {label: positives(samples, label, masks, number) for number, label in enumerate(labels)}
    rows, tiles = [], []
    for number, (label, own) in enumerate(chosen.items()):
        if len(own):
            maps, inside = label_maps(encoder, kind, pixels, own, asked[label], settings), masks(own, number)
            rows += measure(samples.iloc[own], label, maps, inside, settings.thresholds)
            tiles += drawn(pixels[own], maps, inside, label, -(-settings.shown // len(labels)))
    if not rows:
        raise job.JobError(f"{inputs.samples}: no test sample carries one of {', '.join(labels)}")
    pictures.write(outputs.examples, tiles[: settings.shown])
    frame = pd.concat(rows, ignore_index=True)
    metrics, chance = untrained.summarized(frame), untrained.summarized(frame, "chance")
    tested = samples[samples["study_id"].isin(frame["study_id"])]
    more = {"positives": {label: len(own) for label, own in chosen.items()}, "map": kind}
    untrained.write(
        outputs, "grounding", description, settings, metrics, chance, (frame, tables.MEASURED), tested, **more
    )


def read_masks(inputs: Inputs, labels: list[str], shape: tuple[int, ...]) -> Any:
    """A function from rows and a label's number to masks, bool (n, size, size). Raises JobError without a target."""
    if inputs.masks:
        stored = np.load(inputs.masks, mmap_mode="r", allow_pickle=False)
        if stored.shape != (shape[0], len(labels), *shape[1:]):
            raise job.JobError(
                f"{inputs.masks} is {stored.shape}, {inputs.pixels} {shape}: they are not of one data set"
            )
        return lambda rows, label: stored[rows, label] > 0
    if not inputs.boxes:
        raise job.JobError("grounding needs masks (of a segmentation data set) or boxes (of a detection data set)")
    boxes = pd.DataFrame(files.read_json(inputs.boxes)["annotations"], columns=["image_id", "category_id", "bbox"])

    def of_boxes(rows: np.ndarray, label: int) -> np.ndarray:
        found = np.zeros((len(rows), *shape[1:]), bool)
        own = boxes[boxes["category_id"] == label + 1]
        for place, row in enumerate(rows):
            for box in own.loc[own["image_id"] == row + 1, "bbox"]:
                found[place] |= filled(box, shape[-1])
        return found

    return of_boxes


def filled(box: list[float], side: int) -> np.ndarray:
    """The pixels whose centre lies in a box (x, y, width, height), bool (side, side)."""
    centre = np.arange(side) + 0.5
    x, y, width, height = box
    return ((centre >= y) & (centre <= y + height))[:, None] & ((centre >= x) & (centre <= x + width))[None]


def positives(samples: pd.DataFrame, label: str, masks: Any, number: int) -> np.ndarray:
    """Rows of the test samples in which something is marked, but not everything."""
    carried = np.array([label in own for own in samples["labels"]], bool)
    rows = np.flatnonzero((samples["split"] == "test").to_numpy() & carried)
    share = masks(rows, number).mean(axis=(1, 2)) if len(rows) else np.empty(0)
    return rows[(share > 0) & (share < 1)]


def label_maps(
    encoder: Any, kind: str, pixels: np.ndarray, rows: np.ndarray, phrases: list[str], settings: Settings
) -> np.ndarray:
    """Maps of a label on some images, at the images' size, each scaled from 0 to 1: float32 (n, s, s).

    Raises JobError for a kind of map that the method does not have, or that the phrases are too short for.
    """
    size = settings.image_size or None
    coarse = []
    text = feature_of(encoder, kind, phrases)
    for part in images.batches(len(rows), settings.batch):
        seen = pixels[rows[part]]
        if kind == "attention":
            coarse.append(np.mean([encoder.attention(seen, [phrase] * len(seen), size) for phrase in phrases], axis=0))
        else:
            coarse.append((encoder.regions if kind == "local" else encoder.places)(seen, size) @ text)
    return scaled(enlarged(np.concatenate(coarse), pixels.shape[-1], settings.enlarge))


def feature_of(encoder: Any, kind: str, phrases: list[str]) -> np.ndarray | None:
    """What places are compared with: the ensemble of the phrases, or of their words; none for attention."""
    if kind != "global" and not encoder.has_words:
        raise job.JobError(f"map = {kind}: {encoder.method} has no regions and words; auto or global is possible")
    if kind == "global":
        return prompts.ensemble(encoder.texts(phrases))
    words, lengths = encoder.words(phrases)
    if kind == "local":
        return prompts.ensemble(words.sum(axis=1))
    if encoder.method != "gloria":
        raise job.JobError(
            f"map = attention: {encoder.method} has none of GLoRIA's kind; auto, local or global is possible"
        )
    if lengths.min() < 2:
        short = phrases[int(lengths.argmin())]
        raise job.JobError(
            f"phrases: {short!r} is one word, and GLoRIA's attention divides each place among the words of a phrase; "
            "give phrases of two words or more, or map = local"
        )
    return None


def enlarged(maps: np.ndarray, side: int, how: str = "bilinear") -> np.ndarray:
    """Maps (n, h, w) at `side` pixels: float32 (n, side, side).

    Bilinear, a map is flat from the centres of its outer cells to the edge, so that of a map of two cells a side the
    highest place is always a corner; nearest, it is a cell, wherever that lies.
    """
    import torch
    from torch.nn import functional

    given = torch.from_numpy(np.ascontiguousarray(maps, dtype=np.float32))[:, None]
    options = {"mode": "bilinear", "align_corners": False} if how == "bilinear" else {"mode": "nearest-exact"}
    return functional.interpolate(given, (side, side), **options)[:, 0].numpy()


def scaled(maps: np.ndarray) -> np.ndarray:
    """Each map from 0 to 1; a map that is the same everywhere is 0 everywhere."""
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    return (maps - low) / np.where(high > low, high - low, 1)


def measure(
    tested: pd.DataFrame, label: str, maps: np.ndarray, inside: np.ndarray, thresholds: list[float]
) -> list[pd.DataFrame]:
    """Rows of MEASURED, by metric: pointing, miou, cnr, cnr_absolute; beside them what chance gives.

    Chance: a random place lies inside as often as the target is large; a map that shows everything has that IoU; and
    a map that has nothing to do with the target has no contrast.
    """
    area = inside.mean(axis=(1, 2))
    contrast = cnr(maps, inside)
    return [
        untrained.measured(tested, "pointing", label, pointing(maps, inside), chance=area),
        untrained.measured(tested, "miou", label, mean_iou(maps, inside, thresholds), chance=area),
        untrained.measured(tested, "cnr", label, contrast, chance=0.0),
        untrained.measured(tested, "cnr_absolute", label, np.abs(contrast)),
    ]


def pointing(maps: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The share of each map's highest pixels (one, but for ties) that lie inside: float64 (n,)."""
    highest = maps == maps.max(axis=(1, 2), keepdims=True)
    return (highest & inside).sum(axis=(1, 2)) / highest.sum(axis=(1, 2))


def mean_iou(maps: np.ndarray, inside: np.ndarray, thresholds: list[float]) -> np.ndarray:
    """IoU of target and map >= threshold, in the mean over thresholds: float64 (n,)."""
    found = []
    for threshold in thresholds:
        shown = maps >= np.float32(threshold)
        found.append((shown & inside).sum(axis=(1, 2)) / (shown | inside).sum(axis=(1, 2)))
    return np.mean(found, axis=0)


def cnr(maps: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(mean inside - mean outside) / sqrt(variance inside + variance outside): float64 (n,); 0 for a constant map."""
    found = np.zeros(len(maps))
    for row, (shown, target) in enumerate(zip(maps.astype(np.float64), inside, strict=True)):
        within, without = shown[target], shown[~target]
        spread = np.sqrt(within.var() + without.var())
        found[row] = (within.mean() - without.mean()) / spread if spread > 0 else 0
    return found


def drawn(pixels: np.ndarray, maps: np.ndarray, inside: np.ndarray, label: str, count: int) -> list[Any]:
    """Up to `count` tiles of a label, evenly among its test images: the map, and how much of its highest is inside."""
    rows = np.unique(np.linspace(0, len(maps) - 1, min(count, len(maps))).astype(int))
    hits = pointing(maps, inside)
    return [
        pictures.of_heat(pixels[row], inside[row], maps[row], label, f"highest place: {100 * hits[row]:.0f} % inside")
        for row in rows
    ]
