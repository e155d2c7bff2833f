"""Classify images by what their encoder's text side makes of prompts, without any label.

Every label has several prompts that say it is there and several that it is not; each side is their ensemble. Where a
sample may carry any number of labels, a label's probability is that of its positive ensemble against its negative one;
where it carries exactly one, it is the softmax over the labels' positive ensembles. The samples of a segmentation or
detection data set carry the labels of what is marked in them.

Labels of the validation split choose the thresholds of F1 and of accuracy per label; none is used for anything else,
and the test split chooses nothing. A sample's scores depend on that sample alone: published code standardises a label's
scores over the test images (GLoRIA's `normalize`), so that a prediction depends on which other images are tested.
"""

from typing import Any, Literal

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.store import tables
from synvlp.tasks import prompts, scores, untrained

TASK = {
    "name": "zero-shot",
    "of": ["classification", "segmentation", "detection"],
    "given": ["positive", "negative"],
}


class Settings(job.Compute):
    similarity: Literal["global", "local", "both"] = job.setting(
        "global", "images and texts as wholes; regions and words, where the method scores them (GLoRIA); or their mean"
    )
    temperature: float = job.setting(1.0, "divides the cosines before they become probabilities", gt=0)
    batch: int = job.setting(64, "images at a time", unit="images", ge=1)
    positive: list[str] = job.setting(
        [], "prompts that say a label is there: 'label: text', or a text with {} for every label's name"
    )
    negative: list[str] = job.setting([], "prompts that say it is not; unused where labels exclude each other")


Inputs = untrained.Inputs
Outputs = untrained.Outputs


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Score, choose thresholds on the validation split, and write the test split's results; see the module."""
    from synvlp.models import alignment

    description = untrained.read_description(inputs.description, TASK["of"])
    labels, exclusive = description["labels"], description.get("kind") == "exclusive"
    asked = [prompts.by_label(settings.positive, labels, "positive")]
    if not exclusive:
        asked.append(prompts.by_label(settings.negative, labels, "negative"))
    samples, pixels = untrained.open_samples(inputs)
    rows = {split: np.flatnonzero(samples["split"] == split) for split in ("val", "test")}
    encoder = alignment.open_encoder(inputs, settings)
    found = {name: probabilities(encoder, pixels[chosen], asked, settings) for name, chosen in rows.items()}
    truth = {
        name: np.array([[label in own for label in labels] for own in samples["labels"].iloc[chosen]], np.int64)
        for name, chosen in rows.items()
    }
    thresholds = [
        scores.best_threshold(truth["val"][:, column], found["val"][:, column]) for column in range(len(labels))
    ]
    predicted = (found["test"] >= np.array(thresholds)).astype(np.int64)
    metrics = scores.classification(truth["test"], found["test"], labels, thresholds, exclusive=exclusive)
    if not exclusive:
        metrics |= label_accuracy(truth["test"], predicted, labels)
    tested = samples.iloc[rows["test"]]
    frame = predictions(tested, labels, truth["test"], found["test"], predicted)
    chosen = {"thresholds": dict(zip(labels, thresholds, strict=True)), "validation_samples": len(rows["val"])}
    written = (frame, tables.ZERO_SHOT)
    untrained.write(outputs, "zero-shot", description, settings, metrics, {"auroc": 0.5}, written, tested, **chosen)


def probabilities(
    encoder: Any, pixels: np.ndarray, asked: list[dict[str, list[str]]], settings: Settings
) -> np.ndarray:
    """Probabilities of labels, float64 (n, labels), from one or two sets of prompts by label: positive, negative."""
    cosines = [similarities(encoder, pixels, one, settings) for one in asked]
    if len(cosines) == 1:
        return prompts.class_probability(cosines[0], settings.temperature)
    return prompts.pair_probability(*cosines, settings.temperature)


def similarities(encoder: Any, pixels: np.ndarray, asked: dict[str, list[str]], settings: Settings) -> np.ndarray:
    """Similarity of images with each label's ensemble, from -1 to 1: float32 (n, labels)."""
    texts = [text for own in asked.values() for text in own]
    ends = np.cumsum([len(own) for own in asked.values()])
    parts = []
    if settings.similarity != "local" or encoder.method != "gloria":
        of_texts = np.split(encoder.texts(texts), ends[:-1])
        ensembles = np.stack([prompts.ensemble(features) for features in of_texts])
        parts.append(encoder.images(pixels, settings.batch) @ ensembles.T)
    if settings.similarity != "global" and encoder.method == "gloria":
        local = np.split(encoder.local_scores(pixels, texts, settings.batch), ends[:-1], axis=1)
        parts.append(np.stack([own.mean(axis=1) for own in local], axis=1))
    return np.mean(parts, axis=0)


def label_accuracy(truth: np.ndarray, predicted: np.ndarray, labels: list[str]) -> dict[str, float]:
    """The share of samples of which a label is told right, per label, and its mean; 0 or 1 (n, labels) each."""
    found = {
        f"label_accuracy/{label}": float(np.mean(truth[:, i] == predicted[:, i])) for i, label in enumerate(labels)
    }
    return found | {"label_accuracy": float(np.mean(list(found.values())))}


def predictions(
    tested: pd.DataFrame, labels: list[str], truth: np.ndarray, values: np.ndarray, predicted: np.ndarray
) -> pd.DataFrame:
    """Rows of ZERO_SHOT, one per test sample and label."""
    count = len(labels)
    return pd.DataFrame(
        {
            "fraction": untrained.FRACTION,
            "seed": untrained.SEED,
            "study_id": np.repeat(tested["study_id"].to_numpy(), count),
            "patient_id": np.repeat(tested["patient_id"].to_numpy(), count),
            "label": np.tile(np.array(labels, dtype=object), len(tested)),
            "target": truth.ravel(),
            "score": values.ravel(),
            "predicted": predicted.ravel(),
        }
    )
