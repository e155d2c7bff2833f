"""What all probes write, and what they keep against a kill."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from synvlp import job
from synvlp.store import files, tables


class Ledger:
    """The finished (fraction, seed) of a job and the state of the one that runs, in the job's scratch folder."""

    def __init__(self, scratch: job.Scratch) -> None:
        self._scratch = scratch
        self._state = scratch.load() or {"done": {}, "running": {}}

    def done(self, fraction: float, seed: int) -> dict | None:
        """The result of a run that is finished, or None."""
        return self._state["done"].get(_key(fraction, seed))

    def finish(self, fraction: float, seed: int, result: dict) -> None:
        """Keep a result: tensors, numbers, text, lists and dicts of them."""
        self._state["done"][_key(fraction, seed)] = result
        self._state["running"] = {}
        self._scratch.checkpoint(lambda: self._state, f"after fraction {fraction:g}, seed {seed}")

    def running(self, fraction: float, seed: int) -> dict | None:
        """The saved state of a run that was killed, or None."""
        return self._state["running"].get(_key(fraction, seed))

    def checkpoint(self, fraction: float, seed: int, state: Callable[[], dict]) -> None:
        """Save the state of the run, if it is time to, or if a signal asks the job to end."""

        def whole() -> dict:
            self._state["running"] = {_key(fraction, seed): state()}
            return self._state

        self._scratch.checkpoint(whole, f"in fraction {fraction:g}, seed {seed}")

    def close(self) -> None:
        """Forget everything; the outputs are written."""
        self._scratch.remove()


def _key(fraction: float, seed: int) -> str:
    return f"{fraction!r} {seed}"


def read_description(path: Path, task: str) -> dict:
    """The description of a data set. Raises JobError if it is one for another task."""
    content = files.read_json(path)
    found = content.get("task") if isinstance(content, dict) else None
    if found != task:
        raise job.JobError(f"{path}: describes a data set for {found or 'no task'}, not for {task}")
    return content


def read_samples(path: Path, count: int, other: Path) -> pd.DataFrame:
    """The samples, which must be as many as the `count` rows of the array `other`. Raises JobError if not."""
    samples = tables.read(path, tables.SAMPLES)
    if len(samples) != count:
        raise job.JobError(f"{path} has {len(samples)} rows, {other} has {count}: they are not of one data set")
    return samples


def entry(fraction: float, seed: int, metrics: dict[str, float], train: pd.DataFrame, tested: int, **more) -> dict:
    """One run's part of metrics.json, which is logged as well.

    Args:
        train: the samples whose labels were used.
        tested: number of samples in the test split.
        more: what else the run can say about itself.
    """
    patients = int(train["patient_id"].nunique())
    shown = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items() if "/" not in name)
    job.log.info("fraction %g, seed %d, %d samples of %d patients: %s", fraction, seed, len(train), patients, shown)
    counts = {"train_samples": len(train), "train_patients": patients, "test_samples": tested}
    return {"fraction": fraction, "seed": seed, "metrics": metrics, **counts, **more}


def write_metrics(path: Path, description: dict, settings: job.Settings, entries: Sequence[dict]) -> None:
    """Write metrics.json: task, data set, settings, one entry per run, and all metrics by the run's name.

    The last are there for `dvc metrics`, which shows numbers in dictionaries and leaves out lists.
    """
    dataset = {key: value for key, value in description.items() if key != "task"}
    content = {"task": description["task"], "dataset": dataset, "settings": settings.model_dump(mode="json")}
    numbers: dict[str, dict] = {}
    for run in entries:
        numbers.setdefault(f"fraction-{run['fraction']:g}", {})[f"seed-{run['seed']}"] = run["metrics"]
    files.write_json(path, {**content, "results": list(entries), "numbers": numbers})


def write_predictions(frames: Sequence[pd.DataFrame], path: Path, table: tables.Table) -> None:
    """Write the predictions of all runs on the test split."""
    tables.write(pd.concat(frames, ignore_index=True), path, table)
