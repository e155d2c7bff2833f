import itertools

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from synvlp.tasks import fractions

LABELS = ["effusion", "nodule", "rare"]


def draw(patients: int) -> pd.DataFrame:
    """Two samples a patient; effusion in a third of the patients, nodule in a fifth, rare in one of 150."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(patients):
        own = [name for name, share in zip(LABELS, (0.33, 0.2, 0.0), strict=True) if rng.random() < share]
        if number % 150 == 0:
            own.append("rare")
        rows += [(f"p{number}", own), (f"p{number}", [])]
    return pd.DataFrame(rows, columns=["patient_id", "labels"])


def patients_of(samples: pd.DataFrame, fraction: float, seed: int = 0) -> set[str]:
    return set(samples["patient_id"].iloc[fractions.subset(samples, LABELS, fraction, seed)])


@pytest.mark.parametrize("seed", range(5))
def test_fractions_are_nested(seed):
    samples = draw(600)
    subsets = [patients_of(samples, fraction, seed) for fraction in (0.01, 0.03, 0.1, 0.5, 1.0)]
    for small, large in itertools.pairwise(subsets):
        assert small < large
    assert len(subsets[-1]) == 600


def test_a_patients_samples_go_together():
    samples = draw(300)
    rows = fractions.subset(samples, LABELS, 0.1, 0)
    assert samples.iloc[rows].groupby("patient_id").size().eq(2).all()
    assert (np.diff(rows) > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_fractions_have_the_size_and_the_labels_of_the_whole(seed):
    samples = draw(1000)
    chosen = samples.iloc[fractions.subset(samples, LABELS, 0.1, seed)]
    assert 98 <= chosen["patient_id"].nunique() <= 104
    for label in ("effusion", "nodule"):
        whole = sum(label in own for own in samples["labels"])
        part = sum(label in own for own in chosen["labels"])
        assert part / whole == pytest.approx(0.1, abs=0.035)
    # The first label decides on its stratum alone, so that its share is exact.
    whole = sum("effusion" in own for own in samples["labels"])
    assert abs(sum("effusion" in own for own in chosen["labels"]) - whole / 10) <= 1.5


@pytest.mark.parametrize("seed", range(5))
def test_every_label_is_present_and_absent_in_the_smallest_fraction(seed):
    samples = draw(300)
    chosen = samples.iloc[fractions.subset(samples, LABELS, 0.001, seed)]
    by_patient = chosen.groupby("patient_id")["labels"].sum()
    for label in LABELS:
        carried = [label in own for own in by_patient]
        assert any(carried) and not all(carried)


@pytest.mark.parametrize("seed", range(5))
def test_another_patient_reshuffles_nobody(seed):
    samples = draw(400)
    before = patients_of(samples, 0.1, seed)
    for own in ([], ["effusion"], ["nodule", "rare"]):
        more = pd.concat([samples, pd.DataFrame({"patient_id": ["new"], "labels": [own]})])
        after = patients_of(more, 0.1, seed)
        assert len((before ^ after) - {"new"}) <= 2


def test_the_order_of_samples_does_not_matter_and_seeds_differ():
    samples = draw(300)
    shuffled = samples.sample(frac=1, random_state=1, ignore_index=True)
    assert patients_of(samples, 0.1) == patients_of(shuffled, 0.1)
    assert len(patients_of(samples, 0.1, 0) & patients_of(samples, 0.1, 1)) < 15


def test_wrong_fractions_and_seeds_are_named():
    for settings in ({"fractions": [0.0]}, {"fractions": [1.5]}, {"fractions": [0.1, 0.1]}, {"seeds": []}):
        with pytest.raises(ValidationError, match=next(iter(settings))):
            fractions.Fractions(**settings)
    assert fractions.runs(fractions.Fractions(fractions=[0.1, 1.0], seeds=[4])) == [(0.1, 4), (1.0, 4)]
