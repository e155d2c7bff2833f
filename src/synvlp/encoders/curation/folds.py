"""Folds of patients, so that no study is judged by a model that saw its patient."""

from collections.abc import Sequence

import numpy as np

from synvlp.store.seeds import seed_of


def assign(patients: Sequence[str], count: int, seed: int) -> np.ndarray:
    """The fold of each study, in [0, count): int64 (n,).

    All studies of a patient are in one fold; folds differ by at most one patient.
    """
    ordered = sorted(set(patients), key=lambda patient: (seed_of(seed, "fold", patient), patient))
    fold_of = {patient: place % count for place, patient in enumerate(ordered)}
    return np.array([fold_of[patient] for patient in patients], np.int64)
