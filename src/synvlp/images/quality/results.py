"""What the quality jobs write: measures with intervals, each beside what real images reach, and how intervals are made.

An interval comes from resampled patients: a resample is a row of whole weights, how often each image's patient was
drawn. Row 0 of the weights is the data as it is. All images of a patient are drawn together.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from synvlp.store import files
from synvlp.store.seeds import seed_of


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval and how many images (or prompts, pairs) it stands for; NaN: not defined."""

    value: float
    low: float = float("nan")
    high: float = float("nan")
    n: int = 0


NOTHING = Estimate(float("nan"))


@dataclass(frozen=True)
class Measure:
    """One figure of a set of synthetic images beside the same figure of real ones.

    Attributes:
        measure: what is measured ("fid").
        space: the feature space; "" where there is none.
        group: of which images, prompts or concepts; "" for all.
        found: the figure of the synthetic images.
        reference: the figure of real images, measured in the same way.
        kind: what the reference is: "floor", "ceiling" or "real".
    """

    measure: str
    space: str
    group: str
    found: Estimate
    reference: Estimate = field(default=NOTHING)
    kind: str = ""

    def row(self) -> dict[str, object]:
        """The measure as JSON holds it; what is not defined is null."""
        row: dict[str, object] = {"measure": self.measure, "space": self.space, "group": self.group}
        row |= asdict(self.found)
        row |= {"reference_kind": self.kind, "reference": self.reference.value}
        row |= {f"reference_{name}": getattr(self.reference, name) for name in ("low", "high", "n")}
        return {name: _plain(value) for name, value in row.items()}


def write(path: Path, measures: Sequence[Measure], counts: dict[str, object], notes: Sequence[str] = ()) -> None:
    """Write a job's measures with the counts that they rest on, and with what a reader must know."""
    value = {"counts": counts, "measures": [measure.row() for measure in measures], "notes": list(notes)}
    files.write_json(path, value)


def draw_weights(patients: Sequence[str], resamples: int, *identity: int | str) -> np.ndarray:
    """How often each image counts in each resample: float64 (1 + resamples, images), row 0 all ones.

    Args:
        patients: the patient of each image; patients are drawn with replacement, with all their images.
        resamples: how many.
        identity: seeds the draws.
    """
    found, place = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    generator = np.random.default_rng(seed_of(*identity, "patients"))
    weights = np.ones((resamples + 1, len(found)))
    for row in range(1, resamples + 1):
        weights[row] = np.bincount(generator.integers(0, len(found), len(found)), minlength=len(found))
    return weights[:, place]


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of values (n,) in each row of weights (resamples, n); values that are NaN are left out."""
    known = ~np.isnan(values)
    total = weights[:, known].sum(axis=1)
    return np.divide(weights[:, known] @ values[known], total, out=np.full(len(weights), np.nan), where=total > 0)


def weighted_quantile(values: np.ndarray, weights: np.ndarray, share: float) -> np.ndarray:
    """The smallest value that at least `share` of the weight does not exceed, in each row of weights."""
    order = np.argsort(values, kind="stable")
    heaped = np.cumsum(weights[:, order], axis=1)
    first = (heaped >= share * heaped[:, -1:] - 1e-9).argmax(axis=1)
    return values[order][first]


def estimate(values: np.ndarray, n: int, centred: bool = False) -> Estimate:
    """A value and its 95 % interval from (1 + resamples,) values, the first on the data as they are.

    Args:
        values: the figure on the data and on each resample.
        n: what it stands for.
        centred: take the resamples' spread around their own mean. For figures that grow when images occur twice, as
            the Fréchet distance does: its resamples lie above the estimate, and quantiles of them could miss it.
    """
    value, drawn = float(values[0]), values[1:][~np.isnan(values[1:])]
    if not len(drawn) or np.isnan(value):
        return Estimate(value, n=n)
    low, high = np.quantile(drawn, [0.025, 0.975])
    move = value - drawn.mean() if centred else 0.0
    return Estimate(value, float(low + move), float(high + move), n)


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not np.isfinite(value) else value
