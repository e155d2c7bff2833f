"""Draw a task's metric against the number of pairs that encoders were pre-trained on.

Each point is a source: the mean over runs, with the 95 % bootstrap interval over test patients. A source to compare
with (real pairs) is a line with its interval as a band, and so is the baseline, without a band. Where there are three
numbers of pairs or more, a straight line over their logarithm is fitted by least squares. Its slope is what the metric
gains when the pairs are doubled; as it is fitted anew in each resample, in which all points are of the same test
patients, its interval is paired. It tells nothing of other trainings, nor of numbers of pairs beyond those drawn.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.store import files, tables
from synvlp.tables import comparison, figure, names, records, statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = ["dataset", "fraction", "metric", "method", "source", "role", "pairs", "value", "low", "high"]
SLOPES = ["dataset", "fraction", "metric", "method", "points", "per_doubling", "low", "high", "start", "p"]
LEAST = 3  # different numbers of pairs that a line is fitted to


class Settings(records.Runs):
    """Settings of draw-scaling."""

    task: str = job.setting("classification", "the task that is drawn, with its first metric")
    curve: list[str] = job.setting([], "the sources that make the curve")
    counted: list[str] = job.setting([], "the source that each summary counts the pairs of, in the summaries' order")
    reference: str = job.setting("real", "the source that is drawn as a line to compare with")
    resamples: int = job.setting(1000, "bootstrap resamples of the test patients, as in compare", ge=100, le=100_000)
    seed: int = job.setting(0, "seeds the resamples, as in compare", ge=0)
    dpi: int = job.setting(200, "resolution of the PNG", unit="dots per inch", ge=50, le=600)


class Inputs(job.Files):
    """Inputs of draw-scaling."""

    predictions: list[Path] = job.file("predictions of encoders of these sources on the task's data sets (Parquet)")
    summaries: list[Path] = job.file("summary.json of one encoder of each source")


class Outputs(job.Files):
    """Outputs of draw-scaling."""

    points: Path = job.file("numbers of pairs and values with intervals (CSV)")
    slopes: Path = job.file("what doubling the pairs gains, with intervals (CSV)")
    png: Path = job.file("the figure (PNG)")
    svg: Path = job.file("the figure (SVG, text as outlines)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Write points, slopes and the figure.

    Raises JobError for lists that do not fit the files, files that are none of a training or of
    predictions, and a source of the curve whose pairs are not counted.
    """
    pairs = counts(inputs.summaries, settings)
    points, slopes = [], []
    for dataset, paths in _by_dataset(settings, inputs.predictions).items():
        own, fitted = measured(dataset, paths, pairs, settings)
        points += own
        slopes += fitted
    points, slopes = pd.DataFrame(points, columns=POINTS), pd.DataFrame(slopes, columns=SLOPES)
    if not (points["role"] == "curve").any():
        raise job.JobError(f"no encoder of {', '.join(settings.curve) or 'any source'} predicted {settings.task}")
    tables.write_csv(points, outputs.points)
    tables.write_csv(slopes, outputs.slopes)
    figure.save(draw(points, slopes, settings.reference), outputs, settings.dpi)


def counts(paths: list[Path], settings: Settings) -> dict[str, int]:
    """Source -> the training pairs of all sets that it draws from. Raises JobError as `run` does."""
    records.check_parallel(paths, "summaries", counted=settings.counted)
    found = {}
    for source, path in zip(settings.counted, paths, strict=True):
        try:
            sets = files.read_json(path)["sets"]
            found[source] = sum(int(one["training"]) for one in sets if np.max(one["weight"]) > 0)
        except (ValueError, KeyError, TypeError) as error:
            raise job.JobError(f"{path}: not the summary of a pre-training, with its sets of pairs") from error
    unknown = [name for name in settings.curve if name not in found]
    if unknown:
        raise job.JobError(f"the pairs of {', '.join(unknown)} are not counted: give a summary of each source")
    return found


def measured(dataset: str, paths: dict, pairs: dict[str, int], settings: Settings) -> tuple[list[dict], list[dict]]:
    """Points and slopes of one data set. `paths`: (method, source, encoder seed) to its predictions."""
    drawing = comparison.Settings(resamples=settings.resamples, seed=settings.seed)
    values, _ = comparison.resampled(settings.task, dataset, paths, drawing)
    metric = names.main(settings.task, [key[1] for key in values])[0]
    points, slopes = [], []
    for (fraction, _), arms in sorted(item for item in values.items() if item[0][1] == metric):
        place = {"dataset": dataset, "fraction": fraction, "metric": metric}
        means = {arm: statistics.mean_over(list(found)) for arm, found in arms.items()}
        for (method, source), found in sorted(means.items()):
            low, high = statistics.interval(found[1:], 0.95)
            own = {"source": source, "pairs": pairs.get(source, 0), "value": float(found[0]), "low": low, "high": high}
            points += [{**place, "method": method, "role": role, **own} for role in _roles(source, settings)]
        for method in names.ordered((method for method, source in means if source in settings.curve), names.METHODS):
            own = [(pairs[source], means[method, source]) for source in settings.curve if (method, source) in means]
            if len({count for count, _ in own}) >= LEAST:
                slopes.append({**place, "method": method, **fit(*zip(*own, strict=True))})
    return points, slopes


def fit(pairs: Sequence[int], values: Sequence[np.ndarray]) -> dict:
    """The least-squares line of a metric over the binary logarithm of the number of pairs.

    Args:
        pairs: number of pairs of each point.
        values: the metric of each point, (1 + resamples,): on the test split as it is, then on each resample.

    Returns:
        points; the slope (per doubling) with its 95 % interval and bootstrap p-value; start, the line's value at the
        smallest number of pairs.
    """
    stack, place = np.stack(values), np.log2(pairs)
    centred = place - place.mean()
    slopes = centred @ stack / (centred**2).sum()
    low, high = statistics.interval(slopes[1:], 0.95)
    start = stack[:, 0].mean() + slopes[0] * centred.min()
    share = statistics.share(slopes[1:])
    return {"points": len(place), "per_doubling": slopes[0], "low": low, "high": high, "start": start, "p": share}


def draw(points: pd.DataFrame, slopes: pd.DataFrame, reference: str) -> "Figure":
    """The figure: data sets and label fractions down, methods across, the number of pairs along each panel."""
    curve = points[points["role"] == "curve"]
    methods = names.ordered(curve["method"], names.METHODS)
    lines = sorted(set(zip(curve["dataset"], curve["fraction"], strict=True)))
    metric = names.title(curve["metric"].iloc[0])
    with figure.style():
        made = figure.sheet(max(figure.WIDTH, 2.4 * len(methods)), 2.15 * len(lines) + 0.5)
        grid = made.subplots(len(lines), len(methods), sharex=True, sharey="row", squeeze=False)
        for (dataset, fraction), row in zip(lines, grid, strict=True):
            here = points[(points["dataset"] == dataset) & (points["fraction"] == fraction)]
            fitted = slopes[(slopes["dataset"] == dataset) & (slopes["fraction"] == fraction)]
            for method, panel in zip(methods, row, strict=True):
                _panel(panel, here, fitted[fitted["method"] == method], method)
            figure.heading(row[0], f"{dataset}, {names.share(fraction)}")
            row[0].set_ylabel(metric, color=figure.INK)
        for panel in grid[-1]:
            panel.set_xlabel("training pairs", color=figure.INK)
        made.supxlabel(_legend(points, reference, bool(len(slopes))), fontsize=7, color=figure.INK, x=0.008, ha="left")
    return made


def _panel(panel: "Axes", here: pd.DataFrame, fitted: pd.DataFrame, method: str) -> None:
    """One method on one data set at one label fraction."""
    own = here[(here["method"] == method) & (here["role"] == "curve")].sort_values(["pairs", "source"])
    for row in here[
        (here["role"] == "baseline") | ((here["method"] == method) & (here["role"] == "reference"))
    ].itertuples():
        tint = figure.FAINT if row.role == "baseline" else figure.COLOURS["real"]
        panel.axhline(row.value, color=tint, linewidth=0.9, linestyle=":" if row.role == "baseline" else "-", zorder=1)
        if row.role == "reference":
            panel.axhspan(row.low, row.high, color=tint, alpha=0.12, linewidth=0, zorder=0)
    tint = figure.COLOURS["synthetic"]
    panel.vlines(own["pairs"], own["low"], own["high"], color=tint, linewidth=1.5, zorder=3)
    panel.plot(own["pairs"], own["value"], "s", color=tint, markersize=4.8, markeredgewidth=0, zorder=4)
    panel.set_xscale("log", base=2)
    ticks = sorted(set(here.loc[here["role"] == "curve", "pairs"]))
    panel.set_xticks(ticks, [_grouped(tick) for tick in ticks])
    panel.set_xticks([], minor=True)
    said = "" if len(own) else "not run"
    for row in fitted.itertuples():
        ends = np.array([own["pairs"].min(), own["pairs"].max()])
        line = row.start + row.per_doubling * np.log2(ends / ends[0])
        panel.plot(ends, line, color=tint, linewidth=0.9, linestyle="--", zorder=2)
        said = f"{names.signed(row.per_doubling)} ({names.signed(row.low)} to {names.signed(row.high)}) per doubling"
    panel.set_title(f"{names.title(method)}\n{said}" if said else names.title(method), fontsize=7.5, color=figure.INK)
    figure.plain(panel, "y")
    panel.tick_params(axis="x", labelsize=7)


def _legend(points: pd.DataFrame, reference: str, fitted: bool) -> str:
    """What the marks mean, in one or two lines below the figure."""
    said = ["Squares: means over runs, with 95 % intervals over test patients."]
    counted = points.loc[points["role"] == "reference", "pairs"]
    if len(counted):
        said.append(f"Line and band: {reference}, {_grouped(counted.iloc[0])} pairs.")
    baselines = points.loc[points["role"] == "baseline", "method"]
    if len(baselines):
        said.append("Dotted: chance." if (baselines == names.CHANCE).all() else "Dotted: without pre-training.")
    text = " ".join(said)
    if fitted:
        text += (
            "\nDashed: least-squares line over the logarithm of the number of pairs; its slope's interval is over test "
            "patients, not over trainings."
        )
    return text


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", "\N{NO-BREAK SPACE}")


def _roles(source: str, settings: Settings) -> list[str]:
    """What a run stands for in the figure."""
    found = ["curve"] if source in settings.curve else []
    found += ["reference"] if source == settings.reference else []
    return found + (["baseline"] if source == "none" else [])


def _by_dataset(settings: Settings, paths: list[Path]) -> dict[str, dict[tuple, Path]]:
    """Data set -> (method, source, encoder seed) -> predictions, both in their order."""
    lists = {name: getattr(settings, name) for name in ("datasets", "methods", "sources", "encoder_seeds")}
    records.check_parallel(paths, "predictions", **lists)
    runs = list(zip(*lists.values(), strict=True))
    records.check_distinct(runs, paths)
    found: dict[str, dict[tuple, Path]] = defaultdict(dict)
    for (dataset, *encoder), path in sorted(zip(runs, paths, strict=True), key=lambda item: item[0]):
        found[dataset][tuple(encoder)] = path
    return found
