"""What the tasks without training share: their files, the test samples, and what they write."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.models import encoder_files
from synvlp.store import files, images, tables
from synvlp.tasks import results

FRACTION = 0.0  # of the labels that were used
SEED = 0  # nothing is drawn


class Inputs(encoder_files.Encoder):
    """An encoder with its text side, and the files of a data set; which of the optional ones depends on its kind."""

    samples: Path = job.file("samples (Parquet)")
    pixels: Path = job.file("pixels, uint8 (n, size, size) (NumPy)")
    description: Path = job.file("the data set's description (JSON)")
    masks: Path | None = job.optional_file("of a segmentation data set: masks, uint8 (n, labels, size, size) (NumPy)")
    boxes: Path | None = job.optional_file("of a detection data set: boxes (COCO JSON)")
    texts: Path | None = job.optional_file("of a retrieval data set: pairs with their texts (Parquet)")


class Outputs(job.Files):
    metrics: Path = job.file("metrics (JSON)")
    predictions: Path = job.file("what was measured on each test sample (Parquet)")


def read_description(path: Path, tasks: Sequence[str]) -> dict:
    """The description of a data set of one of some tasks. Raises JobError for another."""
    content = files.read_json(path)
    task = content.get("task") if isinstance(content, dict) else None
    if task not in tasks:
        raise job.JobError(f"{path}: describes a data set for {task or 'no task'}, not for {' or '.join(tasks)}")
    return content


def open_samples(inputs: Inputs) -> tuple[pd.DataFrame, np.ndarray]:
    """The samples and their pixels, row by row. Raises JobError if they are not of one data set."""
    pixels = images.read_pixels(inputs.pixels)
    return results.read_samples(inputs.samples, len(pixels), inputs.pixels), pixels


def write(
    outputs: Outputs,
    task: str,
    description: dict,
    settings: job.Settings,
    metrics: Mapping[str, float],
    chance: Mapping[str, float],
    predictions: tuple[pd.DataFrame, tables.Table],
    tested: pd.DataFrame,
    **more: object,
) -> None:
    """Write metrics.json, with what chance would give beside the metrics, and the table of predictions."""
    entry = results.entry(FRACTION, SEED, dict(metrics), tested.iloc[:0], len(tested), chance=dict(chance), **more)
    results.write_metrics(outputs.metrics, {**description, "task": task}, settings, [entry])
    results.write_predictions([predictions[0]], outputs.predictions, predictions[1])


def measured(
    tested: pd.DataFrame, metric: str, label: str, value: np.ndarray, **more: np.ndarray | float
) -> pd.DataFrame:
    """Rows of MEASURED, one per sample of `tested`; `more`: weight (1 if left out) and chance (NaN if left out)."""
    return pd.DataFrame(
        {
            "fraction": FRACTION,
            "seed": SEED,
            "study_id": tested["study_id"].to_numpy(),
            "patient_id": tested["patient_id"].to_numpy(),
            "label": label,
            "metric": metric,
            "value": np.asarray(value, np.float64),
            "weight": 1.0,
            "chance": np.nan,
        }
        | more
    )


def summarized(rows: pd.DataFrame, column: str = "value") -> dict[str, float]:
    """Metrics from rows of MEASURED: weighted means per label ("pointing/effusion"), and their means ("pointing").

    Of rows without a label there is the mean alone. What is not defined is left out.
    """
    found: dict[str, float] = {}
    for metric, own in rows.groupby("metric", sort=False):
        parts = {}
        for label, part in own.groupby("label", sort=False):
            part = part[part[column].notna() & (part["weight"] > 0)]
            if len(part):
                parts[label] = float(np.average(part[column], weights=part["weight"]))
        found |= {f"{metric}/{label}": value for label, value in parts.items() if label}
        if parts:
            found[str(metric)] = float(np.mean(list(parts.values())))
    return found
