"""The runs that a table is made of: which files, which encoders, which numbers."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.store import files
from synvlp.tables import names

COLUMNS = ["task", "dataset", "method", "source", "encoder_seed", "fraction", "seed", "metric", "value"]


class Runs(job.Settings):
    """Base of jobs that read one file per encoder and data set; the lists are parallel to the files."""

    datasets: list[str] = job.setting([], "data set of each file, in the files' order")
    methods: list[str] = job.setting([], "method of each file's encoder (random, imagenet, convirt, …)")
    sources: list[str] = job.setting([], "pairs that each file's encoder saw (real, synthetic, …; none)")
    encoder_seeds: list[int] = job.setting([], "seed of each file's encoder")


def check_parallel(paths: list[Path], what: str, **lists: list) -> None:
    """Raise JobError if there is no file, or if a list has another length than the files."""
    if not paths:
        raise job.JobError(f"there is no file in {what}: give at least one")
    for name, values in lists.items():
        if len(values) != len(paths):
            raise job.JobError(
                f"{name} has {len(values)} entries for {len(paths)} files in {what}: give one per file, in their order"
            )


def check_distinct(runs: list[tuple], paths: list[Path]) -> None:
    """Raise JobError if two files stand for the same encoder on the same data set."""
    counted = Counter(runs)
    for run, path in zip(runs, paths, strict=True):
        if counted[run] > 1:
            raise job.JobError(f"{path}: {counted[run]} files are given for {', '.join(map(str, run))}; give each once")


def read_metrics(paths: list[Path], runs: Runs) -> pd.DataFrame:
    """All numbers of several metrics.json in long form, with the columns of COLUMNS, in the order of tables.

    Raises JobError for a file that is not such a JSON, and for lists that do not fit the files.
    """
    check_parallel(
        paths,
        "metrics",
        datasets=runs.datasets,
        methods=runs.methods,
        sources=runs.sources,
        encoder_seeds=runs.encoder_seeds,
    )
    encoders = list(zip(runs.datasets, runs.methods, runs.sources, runs.encoder_seeds, strict=True))
    check_distinct(encoders, paths)
    rows = []
    for path, encoder in zip(paths, encoders, strict=True):
        rows += _rows(path, encoder)
    if not rows:
        raise job.JobError(f"{paths[0]}: none of the {len(paths)} files in metrics holds a result")
    frame = pd.DataFrame(rows, columns=COLUMNS)
    again = frame.duplicated(COLUMNS[:-1]) & (frame["method"] == names.CHANCE)  # every encoder's file tells it
    return in_order(frame[~again])


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of a table in the order of reading: known methods, sources and metrics first, in their order."""
    first = {
        "method": names.METHODS,
        "source": names.SOURCES,
        "task": tuple(names.MAIN),
        "metric": sum(names.MAIN.values(), ()),
    }

    def rank(column: pd.Series) -> pd.Series:
        if column.name not in first:
            return column
        places = {name: number for number, name in enumerate(names.ordered(column, first[column.name]))}
        return column.map(places)

    by = [name for name in frame.columns if name in _ORDER]
    return frame.sort_values(sorted(by, key=_ORDER.index), key=rank, kind="stable", ignore_index=True)


_ORDER = [
    "task",
    "dataset",
    "metric",
    "method",
    "source",
    "reference_method",
    "reference_source",
    "fraction",
    "encoder_seed",
    "seed",
]


def significant(frame: pd.DataFrame, digits: int = 4) -> pd.DataFrame:
    """The frame with its floats rounded to `digits` significant digits."""
    rounded = frame.copy()
    for name in frame.columns[frame.dtypes == np.float64]:
        rounded[name] = [float(f"{value:.{digits}g}") for value in frame[name]]
    return rounded


def _rows(path: Path, encoder: tuple) -> list[tuple]:
    try:
        content = files.read_json(path)
        task = content["task"]
        return [
            (task, *encoder, float(result["fraction"]), int(result["seed"]), metric, _number(value))
            for result in content["results"]
            for metric, value in result["metrics"].items()
        ] + [
            (task, encoder[0], names.CHANCE, "none", 0, float(result["fraction"]), int(result["seed"]), metric, value)
            for result in content["results"]
            for metric, value in result.get("chance", {}).items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise job.JobError(
            f"{path}: not the metrics of a task: a JSON object with task and results, each with fraction, seed and "
            f"metrics ({type(error).__name__}: {error})"
        ) from error


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
