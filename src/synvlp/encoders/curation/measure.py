"""Measure what the judges find in a corrupted copy of a corpus: each way's recall at a share of false rejections.

The score of a study is the highest of its judge's reasons. Its limit is the level that the stated share of untouched
studies of the other folds exceeds: known to be untouched, which only a measurement can know, and of other patients.
Beside it stands what is found at the limits that the judges set themselves without such knowledge, with the share of
untouched studies that they reject. Intervals are Wilson's, at 95 %.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.encoders.curation import corrupt, corruptions, folds
from synvlp.encoders.curation.duplicates import DUPLICATE, LEAK
from synvlp.store import files, tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Z = 1.959963984540054
# Which reasons are the right ones for a way; for all others it is the way's own name.
RIGHT = {
    "wrong-view": ("wrong-view", "foreign"),
    "not-chest": ("foreign",),
    "scrambled": ("foreign",),
    corrupt.DUPLICATED: (DUPLICATE, LEAK),
}
COLUMNS = [
    "judge",
    "way",
    "studies",
    "recall",
    "low",
    "high",
    "own_limit_recall",
    "own_limit_low",
    "own_limit_high",
    "right_reason",
]


class Settings(job.Settings):
    false_rejections: float = job.setting(
        0.01, "share of untouched studies that may be rejected by each judge", gt=0, lt=0.5
    )
    folds: int = job.setting(5, "folds of patients; each takes its limit from the others", ge=2, le=100)
    seed: int = job.setting(0, "seeds the folds", ge=0)
    dpi: int = job.setting(150, "resolution of the picture", unit="dots per inch", ge=50, le=600)


class Inputs(job.Files):
    truth: Path = job.file("what was done to which study (Parquet)")
    images: Path = job.file("judgements of images (Parquet)")
    pairs: Path = job.file("judgements of pairs (Parquet)")
    duplicates: Path = job.file("studies that repeat another one (Parquet)")


class Outputs(job.Files):
    measures: Path = job.file("all measures (JSON)")
    table: Path = job.file("recall of each way (CSV)")
    picture: Path = job.file("recall of each way with its interval (PNG)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Write the measures. Raises JobError if truth and judgements do not belong together."""
    truth = tables.read(inputs.truth, tables.CORRUPTED).set_index("study_id")
    judged = {name: tables.read(getattr(inputs, name), tables.JUDGEMENTS) for name in ("images", "pairs", "duplicates")}
    strange = sorted(set(truth.index) - set(judged["images"]["study_id"]))
    if strange:
        raise job.JobError(f"{inputs.images} does not judge study {strange[0]}, which {inputs.truth} lists")
    measures = {
        "images": of_images(judged["images"], truth, settings),
        "pairs": of_pairs(judged["pairs"], truth, settings),
        "duplicates": of_duplicates(judged["duplicates"], judged["images"], truth),
        "false_rejections": settings.false_rejections,
    }
    files.write_json(outputs.measures, measures)
    lines = [
        {"judge": name, "way": way, **values}
        for name in ("images", "pairs", "duplicates")
        for way, values in measures[name]["ways"].items()
    ]
    table = pd.DataFrame(lines, columns=COLUMNS)
    tables.write_csv(table, outputs.table)
    with files.replacing(outputs.picture) as part:
        draw(table, settings.false_rejections).savefig(
            part, dpi=settings.dpi, format="png", metadata={"Software": None}
        )
    for line in lines:
        job.log.info(
            "%s: recall %s [%s, %s] of %d", line["way"], *(line[key] for key in ("recall", "low", "high", "studies"))
        )


def of_images(judged: pd.DataFrame, truth: pd.DataFrame, settings: Settings) -> dict:
    """Recall of each way of corrupting images; studies with another text or another's whole pair count as untouched."""
    spoilt = truth[truth["way"].isin(list(corruptions.WAYS))]["way"]
    return _of_judge(judged, spoilt, set(), settings)


def of_pairs(judged: pd.DataFrame, truth: pd.DataFrame, settings: Settings) -> dict:
    """Recall of exchanged texts; studies with a corrupted image count neither way."""
    exchanged = truth[truth["way"] == corrupt.UNPAIRED]["way"]
    spoilt = set(truth.index[truth["way"].isin(list(corruptions.WAYS))])
    return _of_judge(judged, exchanged, spoilt, settings)


def of_duplicates(judged: pd.DataFrame, everything: pd.DataFrame, truth: pd.DataFrame) -> dict:
    """Recall of repeated studies: found if either of the two is judged; others that are judged are false rejections."""
    marked = set(judged["study_id"])
    repeated = truth[truth["way"] == corrupt.DUPLICATED]
    found = [study in marked or other in marked for study, other in repeated["other"].items()]
    spoilt = set(truth.index[truth["way"].isin(list(corruptions.WAYS))])
    involved = set(repeated.index) | set(repeated["other"]) | spoilt
    untouched = set(everything["study_id"]) - involved
    share = _share(len(marked & untouched), len(untouched))
    ways = {}
    if found:
        value = _share(sum(found), len(found))
        own = {f"own_limit_{key}": value[key] for key in ("recall", "low", "high")}
        ways[corrupt.DUPLICATED] = {**value, **own, "right_reason": value["recall"]}
    return {"ways": ways, "own_limit_false_rejections": {**share, "share": share.pop("recall")}}


def _of_judge(judged: pd.DataFrame, way_of: pd.Series, left_out: set[str], settings: Settings) -> dict:
    """Recall by way, with limits from untouched studies of other folds, and at the judge's own limit."""
    best = judged.sort_values(["study_id", "score"], kind="stable").drop_duplicates("study_id", keep="last")
    best = best[~best["study_id"].isin(left_out - set(way_of.index))].set_index("study_id")
    untouched = ~best.index.isin(way_of.index)
    fold = folds.assign(list(best["patient_id"]), settings.folds, settings.seed)
    beyond = exceeds(best["score"].to_numpy(), fold, untouched, settings.false_rejections)
    ways = {}
    for way in sorted(set(way_of)):
        rows = best.index.isin(way_of.index[way_of == way])
        own = _share(int((best["score"][rows] > 1).sum()), int(rows.sum()))
        right = best["reason"][rows & beyond].isin(RIGHT.get(way, (way,)))
        ways[way] = {
            **_share(int(beyond[rows].sum()), int(rows.sum())),
            **{f"own_limit_{key}": own[key] for key in ("recall", "low", "high")},
            "right_reason": round(float(right.mean()), 4) if len(right) else None,
        }
    measured = _share(int(beyond[untouched].sum()), int(untouched.sum()))
    own = _share(int((best["score"][untouched] > 1).sum()), int(untouched.sum()))
    return {
        "ways": ways,
        "measured_false_rejections": {**measured, "share": measured.pop("recall")},
        "own_limit_false_rejections": {**own, "share": own.pop("recall")},
    }


def exceeds(scores: np.ndarray, fold: np.ndarray, untouched: np.ndarray, share: float) -> np.ndarray:
    """Which scores exceed the level that `share` of the untouched ones of the other folds exceeds: bool (n,)."""
    beyond = np.zeros(len(scores), bool)
    for one in np.unique(fold):
        known = scores[untouched & (fold != one)]
        if not len(known):
            raise job.JobError("no untouched study is left to take a limit from; corrupt fewer or use fewer folds")
        level = np.sort(known)[max(math.ceil((1 - share) * len(known)) - 1, 0)]
        beyond[fold == one] = scores[fold == one] > level
    return beyond


def _share(found: int, count: int) -> dict:
    """A share with Wilson's interval (Journal of the American Statistical Association 22, 1927); None of nothing."""
    if not count:
        return {"studies": 0, "recall": None, "low": None, "high": None}
    value, more = found / count, Z**2 / count
    middle = (value + more / 2) / (1 + more)
    half = Z * math.sqrt(value * (1 - value) / count + more / (4 * count)) / (1 + more)
    low, high = max(middle - half, 0.0), min(middle + half, 1.0)
    return {"studies": count, "recall": round(value, 4), "low": round(low, 4), "high": round(high, 4)}


def draw(table: pd.DataFrame, share: float) -> "Figure":
    """One line per way: a dot with its interval, and a circle for what is found at the judge's own limit."""
    import matplotlib.figure
    import matplotlib.style

    table = table.dropna(subset=["recall"]).iloc[::-1].reset_index(drop=True)
    with matplotlib.style.context(["default", {"font.size": 8, "font.family": "DejaVu Sans"}]):
        figure = matplotlib.figure.Figure(figsize=(6, 0.9 + 0.24 * max(len(table), 1)), layout="constrained")
        axes = figure.subplots()
        values = table[["recall", "low", "high"]].to_numpy(float)
        errors = np.clip([values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]], 0, None)
        axes.errorbar(
            values[:, 0], table.index, xerr=errors, fmt="o", ms=4, color="#0072B2", label="limit of the measurement"
        )
        axes.plot(
            table["own_limit_recall"], table.index, "o", ms=8, mfc="none", color="#C75000", label="judge's own limit"
        )
        axes.set_yticks(table.index, [f"{row.way} ({row.studies})" for row in table.itertuples()])
        axes.set(xlim=(-0.03, 1.03), xlabel=f"recall at {share:.0%} false rejections, with 95 % intervals")
        axes.grid(axis="x", color="#DDDDDD")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    return figure
