"""Compare a few sources, such as those that differ in one choice: a table and a figure of differences to the first.

Both show each task's first metric. Values, differences and intervals are the comparison's; the figure holds a row for
each method and source, right of 0 where it is better than the first source, with the margin of equivalence as a band.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from synvlp import job
from synvlp.store import files, tables
from synvlp.tables import figure, markdown, names, records

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = [
    *("task", "dataset", "metric", "fraction", "method", "source", "value", "low", "high"),
    *("difference", "difference_low", "difference_high", "p", "adjusted", "verdict"),
]


class Settings(job.Settings):
    """Settings of draw-ablation."""

    name: str = job.setting("ablation", "what the comparison is called")
    members: list[str] = job.setting([], "the sources; all others are compared with the first")
    dpi: int = job.setting(200, "resolution of the PNG", unit="dots per inch", ge=50, le=600)


class Inputs(job.Files):
    """Inputs of draw-ablation."""

    comparison: Path = job.file("values and differences with intervals (Parquet)")


class Outputs(job.Files):
    """Outputs of draw-ablation."""

    csv: Path = job.file("values and differences (CSV)")
    markdown: Path = job.file("the same in Markdown")
    png: Path = job.file("the differences (PNG)")
    svg: Path = job.file("the differences (SVG, text as outlines)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Write table and figure. Raises JobError if the comparison holds no difference to the first source."""
    if len(settings.members) < 2:
        raise job.JobError("members must name at least two sources")
    frame = chosen(tables.read(inputs.comparison, tables.COMPARISON), settings.members)
    if frame["difference"].isna().all():
        first, *others = settings.members
        raise job.JobError(
            f"{inputs.comparison}: holds no difference of {' or '.join(others)} to {first} for any method; "
            "pre-train them with the same methods, and let compare set one against the other"
        )
    tables.write_csv(records.significant(frame[COLUMNS]), outputs.csv)
    files.write_text(outputs.markdown, as_markdown(frame, settings))
    figure.save(draw(frame.dropna(subset="difference"), settings), outputs, settings.dpi)


def chosen(comparison: pd.DataFrame, members: list[str]) -> pd.DataFrame:
    """One row per value of a member (COLUMNS and margin), with its difference to the first; of first metrics."""
    first = {task: names.main(task, rows["metric"])[0] for task, rows in comparison.groupby("task")}
    frame = comparison[comparison["source"].isin(members) & (comparison["metric"] == comparison["task"].map(first))]
    key = ["task", "dataset", "metric", "fraction", "method", "source"]
    own = frame[frame["reference_method"] == ""][[*key, "value", "low", "high"]]
    against = frame[frame["reference_source"] == members[0]].rename(
        columns={"value": "difference", "low": "difference_low", "high": "difference_high", "share": "p"}
    )
    joined = own.merge(against[[*key, *COLUMNS[9:], "margin"]], on=key, how="left")
    return records.in_order(joined.assign(verdict=joined["verdict"].fillna("")))


def as_markdown(frame: pd.DataFrame, settings: Settings) -> str:
    """A pipe table below its caption: one row per data set, method and label fraction."""
    first, *others = settings.members
    heads = ["data set", "metric", "method", "labels", *settings.members, *(f"{other} − {first}" for other in others)]
    lines = [markdown.escape(_caption(settings)), "", markdown.row(map(markdown.escape, heads))]
    lines.append(markdown.row(["---"] * 4 + ["---:"] * (len(heads) - 4)))
    by = ["dataset", "metric", "method", "fraction"]
    for (dataset, metric, method, fraction), rows in frame.groupby(by, sort=False):
        found = {row.source: row for row in rows.itertuples()}
        cells = [dataset, names.title(metric), names.title(method), names.percent(fraction)]
        cells += [f"{found[name].value:.3f}" if name in found else "–" for name in settings.members]
        cells += [_difference(found.get(name)) for name in others]
        lines.append(markdown.row(map(markdown.escape, cells)))
    return "\n".join(lines) + "\n"


def draw(frame: pd.DataFrame, settings: Settings) -> "Figure":
    """The figure of rows that have a difference: data sets down, label fractions across."""
    first, *others = settings.members
    methods = names.ordered(frame["method"], names.METHODS)
    rows = [row for method in methods for row in ((method, None), *((method, other) for other in others))]
    places, height = figure.placed(rows)
    lines = list(dict.fromkeys(zip(frame["task"], frame["dataset"], frame["metric"], strict=True)))
    margin = frame["margin"].max()
    across = max(len(set(part["fraction"])) for _, part in frame.groupby(["task", "dataset"]))
    with figure.style():
        made = figure.sheet(figure.WIDTH, len(lines) * (height * figure.ROW + 1.1) + 0.3)
        grid = made.subplots(len(lines), across, sharey=True, squeeze=False)
        for (task, dataset, metric), line in zip(lines, grid, strict=True):
            here = frame[(frame["task"] == task) & (frame["dataset"] == dataset)]
            fractions = sorted(set(here["fraction"]))
            for panel, fraction in zip(line, fractions, strict=False):
                _panel(panel, here[here["fraction"] == fraction], places, sorted(others))
                panel.set_title(names.share(fraction), fontsize=8, color=figure.INK)
            for panel in line[len(fractions) :]:
                panel.set_visible(False)
            figure.frame(line, places, height, f"{task.capitalize()}: {dataset}", f"{names.title(metric)}, difference")
        said = f"Dots and lines: differences to {first} with 95 % intervals. Band: ±{margin:g}, which counts as none."
        made.supxlabel(said, fontsize=7, color=figure.INK, x=0.008, ha="left")
    return made


def _panel(panel: "Axes", here: pd.DataFrame, places: dict, sources: list[str]) -> None:
    margin = here["margin"].max()
    panel.axvspan(-margin, margin, color="#000000", alpha=0.07, linewidth=0, zorder=0)
    panel.axvline(0, color=figure.FAINT, linewidth=0.8, zorder=1)
    shown = here.assign(value=here["difference"], low=here["difference_low"], high=here["difference_high"])
    for row in shown.itertuples():
        tint, shape = figure.colour(row.source, sources), figure.marker(row.source, sources)
        figure.mark(panel, row, places[row.method, row.source], tint, shape, names.signed(row.value))


def _difference(row: tuple | None) -> str:
    if row is None or pd.isna(row.difference):
        return "–"
    extent = f"{names.signed(row.difference_low)} to {names.signed(row.difference_high)}"
    return f"{names.signed(row.difference)} ({extent}), {row.verdict}"


def _caption(settings: Settings) -> str:
    first, *others = settings.members
    return (
        f"Ablation {settings.name}: {', '.join(others)} against {first}, method by method; each task's first metric, "
        "differences with paired 95 % intervals over test patients. Verdicts are explained in comparison.md."
    )
