"""Predictions of encoders on one data set, and their metrics on resamples of its patients.

All encoders of a data set must have predicted the same studies with the same truth; otherwise a comparison would not
be paired, and it stops.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.store import images, tables
from synvlp.tables import statistics

SCHEMAS = {
    "classification": tables.CLASSIFICATION,
    "segmentation": tables.SEGMENTATION,
    "detection": tables.DETECTION,
    "zero-shot": tables.ZERO_SHOT,
}  # any other task: tables.MEASURED
TRUTH = {
    "classification": "target",
    "segmentation": "target_pixels",
    "detection": "objects",
    "zero-shot": "target",
}  # any other task: weight
CELLS = 4_000_000  # numbers in the largest array of a block of resamples: bounds memory to some 32 MB each


@dataclass(frozen=True)
class Split:
    """The test split as its first encoder saw it: what all others must have seen, too."""

    path: Path
    studies: pd.Index  # sorted
    labels: list[str]  # sorted
    patients: np.ndarray  # (studies,), patient ids
    place: np.ndarray  # (studies,), row of each study's patient among the distinct, sorted patients
    truth: np.ndarray  # (studies, labels): target, pixels or objects; NaN where a label was not judged

    @property
    def patient_count(self) -> int:
        """How many patients there are: the units that are resampled."""
        return int(self.place.max()) + 1


def read(path: Path, task: str) -> pd.DataFrame:
    """Read one encoder's predictions. Raises JobError for another file, and for an empty one."""
    try:
        frame = tables.read(path, SCHEMAS.get(task, tables.MEASURED))
    except tables.TableError as error:
        raise job.JobError(str(error)) from error
    if frame.empty:
        raise job.JobError(f"{path}: holds no prediction: every study of the test split should be in it")
    return frame


def runs(frame: pd.DataFrame) -> Iterator[tuple[float, int, pd.DataFrame]]:
    """The predictions of each label fraction and probe seed."""
    for (fraction, seed), group in frame.groupby(["fraction", "seed"], sort=True):
        yield float(fraction), int(seed), group


def own_rows(run: pd.DataFrame, task: str) -> pd.DataFrame:
    """The rows of a run that stand for a study and label: all, but for detection those without a box.

    Of measured samples, those of one metric: all metrics of a task are of the same studies and labels.
    """
    if task not in SCHEMAS:
        return run[run["metric"] == run["metric"].min()]
    return run[run["rank"] == -1] if task == "detection" else run


def split_of(run: pd.DataFrame, task: str, path: Path) -> Split:
    """The test split as one run shows it."""
    rows = own_rows(run, task)
    patients = rows.groupby("study_id", sort=True)["patient_id"].first()
    labels = sorted(set(rows["label"]))
    truth = _matrix(rows, TRUTH.get(task, "weight"), patients.index, labels, path)
    place = np.unique(patients.to_numpy(str), return_inverse=True)[1]
    return Split(path, patients.index, labels, patients.to_numpy(str), place, truth)


def check(run: pd.DataFrame, task: str, path: Path, split: Split) -> None:
    """Raise JobError, naming both files, if a run has other studies, labels, patients or truths than `split`."""
    other = split_of(run, task, path)
    for what, mine, first in (
        ("studies", set(other.studies), set(split.studies)),
        ("labels", set(other.labels), set(split.labels)),
    ):
        only_here, only_there = sorted(mine - first), sorted(first - mine)
        if only_here or only_there:
            raise job.JobError(
                f"{path} and {split.path} predict different {what}: {_some(only_here)} only in the first, "
                f"{_some(only_there)} only in the second; predict the same test split with both"
            )
    moved = split.studies[other.patients != split.patients]
    if len(moved):
        raise job.JobError(f"{path} and {split.path} give different patients for {_some(list(moved))}")
    unequal = ~((other.truth == split.truth) | (np.isnan(other.truth) & np.isnan(split.truth)))
    if unequal.any():
        studies = split.studies[unequal.any(axis=1)]
        raise job.JobError(
            f"{path} and {split.path} have another {TRUTH.get(task, 'weight')} for {_some(list(studies))}; "
            "predict the same version of the data set with both"
        )


def measure(run: pd.DataFrame, task: str, path: Path, split: Split, exclusive: bool) -> Callable:
    """A function from weights (resamples, studies) to {metric: (resamples,)} for one run.

    Args:
        exclusive: whether exactly one label is true of each study, so that accuracy is defined.

    Metrics of several labels are the mean over labels; a label of which a resample holds one class (AUROC),
    no positive image (Dice over positives) or no object (average precision) is left out of that resample's mean.
    """
    if task not in SCHEMAS:
        return _measured(run, "value", path, split)
    if task == "zero-shot":
        return _zero_shot(run, path, split, exclusive)
    if task == "classification":
        return _classification(run, path, split, exclusive)
    return (_segmentation if task == "segmentation" else _detection)(run, path, split)


def chance(run: pd.DataFrame, task: str, path: Path, split: Split) -> Callable | None:
    """As `measure`, of what is to be expected without looking; None for a task that trains a probe."""
    if task == "zero-shot":
        return lambda weights: {"auroc": np.full(len(weights), 0.5)}
    return None if task in SCHEMAS else _measured(run[run["chance"].notna()], "chance", path, split)


def on_resamples(function: Callable, weights: np.ndarray, split: Split) -> dict[str, np.ndarray]:
    """Metrics of every row of `weights` (resamples, patients), computed in blocks that bound memory."""
    parts = []
    for block in images.batches(len(weights), max(1, CELLS // len(split.studies))):
        parts.append(function(weights[block][:, split.place].astype(np.float64)))
    return {metric: np.concatenate([part[metric] for part in parts]) for metric in parts[0]}


def _classification(run: pd.DataFrame, path: Path, split: Split, exclusive: bool) -> Callable:
    scores = _matrix(run, "score", split.studies, split.labels, path)
    known = ~np.isnan(split.truth)
    right = (scores.argmax(axis=1) == np.nan_to_num(split.truth).argmax(axis=1)).astype(np.float64)

    def metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        areas = [
            statistics.auroc(scores[rows, label], split.truth[rows, label], weights[:, rows])
            for label, rows in enumerate(known.T)
        ]
        found = {"auroc": statistics.mean_over(areas)}
        if exclusive:
            found["accuracy"] = statistics.weighted_mean(right, weights)
        return found

    return metrics


def _zero_shot(run: pd.DataFrame, path: Path, split: Split, exclusive: bool) -> Callable:
    """As of classification, with F1 and accuracy of the labels as they were predicted."""
    ranked = _classification(run, path, split, exclusive)
    true, predicted = split.truth == 1, _matrix(run, "predicted", split.studies, split.labels, path) == 1
    right = np.where(np.isnan(split.truth), np.nan, true == predicted)

    def metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        found = ranked(weights)
        both = weights @ (true.astype(np.float64) + predicted)
        found["f1"] = (2 * (weights @ (true & predicted)) / np.maximum(both, 1)).mean(axis=1)
        if not exclusive:
            columns = [statistics.weighted_mean(column, weights) for column in right.T]
            found["label_accuracy"] = statistics.mean_over(columns)
        return found

    return metrics


def _measured(run: pd.DataFrame, column: str, path: Path, split: Split) -> Callable:
    """Weighted means over studies of each metric and label, then over labels; what is not defined is left out."""
    values = {
        str(metric): [_matrix(rows, name, split.studies, split.labels, path) for name in (column, "weight")]
        for metric, rows in run.groupby("metric", sort=True)
    }

    def metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {
            metric: statistics.mean_over(
                [
                    statistics.weighted_mean(one, weights * np.nan_to_num(own))
                    for one, own in zip(value.T, weight.T, strict=True)
                ]
            )
            for metric, (value, weight) in values.items()
        }

    return metrics


def _segmentation(run: pd.DataFrame, path: Path, split: Split) -> Callable:
    columns = ("target_pixels", "predicted_pixels", "common_pixels")
    counts = [_matrix(run, column, split.studies, split.labels, path) for column in columns]
    known = ~np.isnan(split.truth)
    values = {
        "dice": np.where(known, statistics.dice(*counts), np.nan),
        "iou": np.where(known, statistics.iou(*counts), np.nan),
    }
    values["dice_positives"] = np.where(split.truth > 0, values["dice"], np.nan)

    def metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {
            name: statistics.mean_over([statistics.weighted_mean(column, weights) for column in matrix.T])
            for name, matrix in values.items()
        }

    return metrics


def _detection(run: pd.DataFrame, path: Path, split: Split) -> Callable:
    boxes = run[run["rank"] >= 0].sort_values(["study_id", "label", "rank"], kind="stable")
    unknown = sorted(set(boxes["label"]) - set(split.labels))
    if unknown:
        raise job.JobError(f"{path}: boxes of {_some(unknown)} have no row with rank -1 in any study")
    known = [_boxes(boxes[boxes["label"] == label], split, column, path) for column, label in enumerate(split.labels)]
    levels = {
        "map": statistics.THRESHOLDS >= 0.5,
        "ap50": statistics.THRESHOLDS == 0.5,
        "map_40_75": statistics.THRESHOLDS <= 0.75,
    }

    def metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        precision = statistics.mean_over([statistics.average_precision(*parts, weights) for parts in known])
        return {name: precision[:, chosen].mean(axis=1) for name, chosen in levels.items()}

    return metrics


def _boxes(boxes: pd.DataFrame, split: Split, label: int, path: Path) -> tuple[np.ndarray, ...]:
    """Scores, images and matches of one label's boxes, and the objects of each image."""
    place = split.studies.get_indexer(boxes["study_id"])
    if (place < 0).any():
        raise job.JobError(f"{path}: boxes in {(place < 0).sum()} rows lie in studies that have no row with rank -1")
    flags = boxes["matched"].tolist()
    count = len(statistics.THRESHOLDS)
    if any(len(row) != count for row in flags):
        raise job.JobError(f"{path}: matched should hold {count} flags in every row, one per IoU threshold")
    matched = np.array(flags, dtype=bool).reshape(len(flags), count)
    return boxes["score"].to_numpy(np.float64), place, matched, np.nan_to_num(split.truth[:, label])


def _matrix(rows: pd.DataFrame, column: str, studies: pd.Index, labels: list[str], path: Path) -> np.ndarray:
    """A column as float64 (studies, labels); NaN where there is no row."""
    matrix = np.full((len(studies), len(labels)), np.nan)
    place = studies.get_indexer(rows["study_id"]), pd.Index(labels).get_indexer(rows["label"])
    flat = place[0] * len(labels) + place[1]
    if len(np.unique(flat)) < len(flat):
        raise job.JobError(f"{path}: some study and label come twice for one fraction and seed")
    matrix[place] = rows[column].to_numpy(np.float64)
    return matrix


def _some(items: list[str]) -> str:
    """How many items there are, with up to three of them by name."""
    if not items:
        return "none"
    shown = ", ".join(map(str, items[:3]))
    return f"{len(items)} ({shown}{', …' if len(items) > 3 else ''})"
