"""Classify with a linear probe on cached features, at every label fraction and seed.

The encoder is frozen; its features come from `synvlp encode`. The validation split is used whole at every fraction:
it chooses the penalty (or the epoch) and the thresholds for F1. Logistic regression is deterministic, so that at
fraction 1 all seeds have the same result.
"""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from synvlp import job
from synvlp.store import tables
from synvlp.tasks import fractions, probes, results, scores


class Settings(job.Compute, fractions.Fractions):
    probe: Literal["logistic", "adamw"] = job.setting(
        "logistic", "logistic: scikit-learn on standardised features; adamw: the papers' linear layer"
    )
    grid: list[Annotated[float, Field(gt=0)]] = job.setting(
        [0.0001, 0.001, 0.01, 0.1, 1.0], "logistic: values of C to choose from on the validation split", min_length=1
    )
    select: Literal["auroc", "log_loss"] = job.setting("auroc", "logistic: what chooses C on the validation split")
    rate: float = job.setting(5e-4, "adamw: learning rate", gt=0)
    weight_decay: float = job.setting(1e-6, "adamw: weight decay", ge=0)
    epochs: int = job.setting(50, "adamw: passes over the training samples", unit="epochs", ge=1)
    batch: int = job.setting(48, "adamw: samples a step", unit="samples", ge=1)
    patience: int = job.setting(
        10, "adamw: stop after so many epochs without a lower validation loss; 0: never", unit="epochs", ge=0
    )


class Inputs(job.Files):
    features: Path = job.file("features, float32 (n, d) (NumPy)")
    samples: Path = job.file("samples (Parquet)")
    description: Path = job.file("the data set's description (JSON)")


class Outputs(job.Files):
    metrics: Path = job.file("metrics of every fraction and seed (JSON)")
    predictions: Path = job.file("probabilities on the test split (Parquet)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Probe at every fraction and seed; see the module."""
    import sklearn.linear_model  # noqa: F401  (loads the libraries whose threads are limited below)
    from threadpoolctl import threadpool_limits

    description = results.read_description(inputs.description, "classification")
    features = np.load(inputs.features, allow_pickle=False)
    samples = results.read_samples(inputs.samples, len(features), inputs.features)
    ledger = results.Ledger(job.Scratch(__name__, settings, inputs))
    job.log.info("%d samples with %d features, labels %s", *features.shape, ", ".join(description["labels"]))
    entries, frames = [], []
    with threadpool_limits(settings.cpu_threads):
        for fraction, seed in job.progress(fractions.runs(settings), "probes"):
            entry, frame = probe(settings, description, features, samples, (fraction, seed), ledger)
            entries.append(entry)
            frames.append(frame)
    results.write_predictions(frames, outputs.predictions, tables.CLASSIFICATION)
    results.write_metrics(outputs.metrics, description, settings, entries)
    ledger.close()


def probe(
    settings: Settings,
    description: dict,
    features: np.ndarray,
    samples: pd.DataFrame,
    run: tuple[float, int],
    ledger: results.Ledger,
) -> tuple[dict, pd.DataFrame]:
    """One fraction and seed: its entry in metrics.json and its predictions."""
    labels, exclusive = description["labels"], description["kind"] == "exclusive"
    rows = fractions.rows_of(samples, labels, run)
    targets = np.array([[label in own for label in labels] for own in samples["labels"]], dtype=np.int64)
    parts = {name: (features[chosen], targets[chosen]) for name, chosen in rows.items()}
    # Without a seed in the fit, equal subsets have equal results: at fraction 1 one fit serves all seeds.
    same = settings.probe == "logistic" and run[0] == 1
    twin = (1.0, settings.seeds[0]) if same else run
    found = ledger.done(*twin)
    if found is None:
        fitted = fit(settings, probes.Data(exclusive=exclusive, **parts), labels, run, ledger)
        found = {"val": fitted.val.tolist(), "test": fitted.test.tolist(), "chosen": fitted.chosen}
        ledger.finish(*twin, found)
    val, test = np.array(found["val"]), np.array(found["test"])
    thresholds = [scores.best_threshold(parts["val"][1][:, i], val[:, i]) for i in range(len(labels))]
    metrics = scores.classification(parts["test"][1], test, labels, thresholds, exclusive=exclusive)
    train, tested = samples.iloc[rows["train"]], samples.iloc[rows["test"]]
    frame = predictions(run, tested, labels, parts["test"][1], test)
    return results.entry(*run, metrics, train, len(tested), chosen=found["chosen"]), frame


def fit(
    settings: Settings, data: probes.Data, labels: list[str], run: tuple[float, int], ledger: results.Ledger
) -> probes.Scores:
    """Fit the probe that the settings ask for. Raises JobError if a label is everywhere or nowhere in training."""
    for label, count in zip(labels, data.train[1].sum(0), strict=True):
        if not 0 < count < len(data.train[1]):
            total = len(data.train[1])
            raise job.JobError(f"label {label}, fraction {run[0]:g}: {count} of {total} training samples carry it")
    if settings.probe == "logistic":
        return probes.logistic(data, labels, settings.grid, settings.select)
    from synvlp.models import device

    where = device.prepare(settings)
    chosen = settings.model_dump(include={"rate", "weight_decay", "epochs", "batch", "patience"})
    return probes.adamw(data, run, ledger, device=where, **chosen)


def predictions(
    run: tuple[float, int], tested: pd.DataFrame, labels: list[str], targets: np.ndarray, values: np.ndarray
) -> pd.DataFrame:
    """Rows of CLASSIFICATION, one per test sample and label."""
    count = len(labels)
    return pd.DataFrame(
        {
            "fraction": run[0],
            "seed": run[1],
            "study_id": np.repeat(tested["study_id"].to_numpy(), count),
            "patient_id": np.repeat(tested["patient_id"].to_numpy(), count),
            "label": np.tile(np.array(labels, dtype=object), len(tested)),
            "target": targets.ravel(),
            "score": values.ravel(),
        }
    )
