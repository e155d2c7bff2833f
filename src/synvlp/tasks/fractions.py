"""Label fractions: nested, stratified subsets of the training samples, drawn by patient."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from synvlp import job
from synvlp.store.seeds import seed_of


class Fractions(job.Settings):
    """Shares of the training labels and the seeds that draw them, as every probe has them."""

    fractions: list[Annotated[float, Field(gt=0, le=1)]] = job.setting(
        [0.01, 0.1, 1.0], "shares of the training patients whose labels are used", min_length=1
    )
    seeds: list[Annotated[int, Field(ge=0)]] = job.setting(
        [0, 1, 2], "each seed draws other patients and seeds the training", min_length=1
    )

    def check(self) -> None:
        """Whether each run is asked for once."""
        job.check_different(self, "fractions", "seeds")


def runs(settings: Fractions) -> list[tuple[float, int]]:
    """All (fraction, seed) of a job, in order."""
    return [(fraction, seed) for fraction in settings.fractions for seed in settings.seeds]


def rows_of(samples: pd.DataFrame, labels: Sequence[str], run: tuple[float, int]) -> dict[str, np.ndarray]:
    """The rows of `samples` in each split, ascending; of the training split those of run = (fraction, seed)."""
    rows = {name: np.flatnonzero(samples["split"] == name) for name in ("train", "val", "test")}
    rows["train"] = rows["train"][subset(samples.iloc[rows["train"]], labels, *run)]
    return rows


def subset(samples: pd.DataFrame, labels: Sequence[str], fraction: float, seed: int) -> np.ndarray:
    """Positions in `samples` (of the training split) that a fraction's probe may see, ascending.

    A patient's samples go together, so that `fraction` is a share of patients. Patients are ordered by a hash
    of (seed, patient id) and form strata by the first of `labels` that they carry (or none); a fraction takes
    the first round(fraction * n) of each stratum. So a smaller fraction lies within a larger one, and another
    patient in the data set moves at most the edge of its stratum. The first patient with each label and the
    first without it always belong to the subset: at least one of both, however small the fraction is.

    Args:
        samples: with `patient_id` and `labels` (list per sample).
        labels: of the data set, in order.
        fraction: in (0, 1].
    """
    carried: dict[str, set[str]] = {}
    for patient, own in zip(samples["patient_id"], samples["labels"], strict=True):
        carried.setdefault(patient, set()).update(own)
    patients = choose_patients(carried, labels, fraction, seed)
    return np.flatnonzero(samples["patient_id"].isin(patients).to_numpy())


def choose_patients(carried: dict[str, set[str]], labels: Sequence[str], fraction: float, seed: int) -> set[str]:
    """The patients of a fraction; `carried` maps a patient to its labels. See `subset`."""
    order = sorted(carried, key=lambda patient: (seed_of(seed, "fraction", patient), patient))
    strata: dict[str | None, list[str]] = {}
    for patient in order:
        stratum = next((label for label in labels if label in carried[patient]), None)
        strata.setdefault(stratum, []).append(patient)
    chosen = {patient for members in strata.values() for patient in members[: int(fraction * len(members) + 0.5)]}
    for label in labels:
        for present in (True, False):
            chosen.update([p for p in order if (label in carried[p]) == present][:1])
    return chosen
