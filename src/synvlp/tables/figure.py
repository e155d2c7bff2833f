"""Draw one task's figure: every encoder's value with its interval, per data set and label fraction.

A dot is the mean over runs, its line the 95 % bootstrap interval over test patients. The baseline is a line with its
interval as a band. Each row is labelled at the left; colours are near Okabe and Ito's, which the colour-blind
tell apart, but dark enough for text; shapes tell them apart, too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from synvlp import job
from synvlp.store import files, tables
from synvlp.tables import names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"real": "#0072B2", "synthetic": "#C75000", "mixed": "#00805D", "none": "#555555"}
MORE_COLOURS = ("#A8487F", "#8C6D00", "#2E7FA8", "#000000")
MARKERS = {"real": "o", "synthetic": "s", "mixed": "D"}
INK, FAINT = "#222222", "#8A8A8A"
WIDTH, ROW = 7.2, 0.165  # inches
GAP = 0.5  # above a method, in rows


class Settings(job.Settings):
    """Settings of draw-figure."""

    task: str = job.setting("classification", "the task that is drawn, with its first metric")
    baseline: str = job.setting("random", "the method (with source none) that is also drawn as a line")
    dpi: int = job.setting(200, "resolution of the PNG", unit="dots per inch", ge=50, le=600)


class Inputs(job.Files):
    """Inputs of draw-figure."""

    comparison: Path = job.file("values and differences with intervals (Parquet)")


class Outputs(job.Files):
    """Outputs of draw-figure."""

    png: Path = job.file("the figure (PNG)")
    svg: Path = job.file("the figure (SVG, text as outlines)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Draw and write the figure. Raises JobError if the comparison has no value for the task."""
    try:
        frame = tables.read(inputs.comparison, tables.COMPARISON)
    except tables.TableError as error:
        raise job.JobError(str(error)) from error
    own = (frame["reference_method"] == "") & (frame["task"] == settings.task)
    metric = [*names.main(settings.task, frame.loc[own, "metric"]), "value"][0]
    own &= frame["metric"] == metric
    if not own.any():
        raise job.JobError(f"{inputs.comparison}: holds no {metric} of {settings.task}: compare its predictions first")
    figure = draw(frame[own], settings.baseline)
    save(figure, outputs, settings.dpi)


def draw(values: pd.DataFrame, baseline: str) -> "Figure":
    """The figure of one task from its rows of own values, all of one metric: data sets down, fractions across."""
    import matplotlib.figure
    import matplotlib.style

    places, height = _places(_rows(values))
    datasets, fractions = sorted(set(values["dataset"])), sorted(set(values["fraction"]))
    with matplotlib.style.context(
        ["default", {"font.size": 8, "font.family": "DejaVu Sans", "text.parse_math": False}]
    ):
        size = (WIDTH, len(datasets) * (height * ROW + 1.1) + 0.05)
        figure = matplotlib.figure.Figure(figsize=size, layout="constrained", facecolor="white")
        figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)
        grid = figure.subplots(len(datasets), len(fractions), sharex="row", sharey=True, squeeze=False)
        for line, dataset in zip(grid, datasets, strict=True):
            chosen = values[values["dataset"] == dataset]
            for panel, fraction in zip(line, fractions, strict=True):
                _panel(panel, chosen[chosen["fraction"] == fraction], places, baseline)
                panel.set_title(names.share(fraction), fontsize=8, color=INK)
            _frame(line, places, height, dataset, f"{names.title(values['metric'].iloc[0])} with 95 % interval")
    return figure


def save(figure: "Figure", outputs: Outputs, dpi: int) -> None:
    """Write the figure as PNG and SVG; equal figures give equal bytes."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "synvlp", "svg.fonttype": "path"}):
        for path, metadata in ((outputs.png, {"Software": None}), (outputs.svg, {"Date": None, "Creator": None})):
            with files.replacing(path) as part:
                figure.savefig(part, format=path.suffix[1:], dpi=dpi, metadata=metadata, facecolor="white")


def colour(source: str, sources: list[str]) -> str:
    """A source's colour: fixed for the three of the study, by place for others."""
    others = [name for name in sources if name not in COLOURS]
    return COLOURS.get(source) or MORE_COLOURS[others.index(source) % len(MORE_COLOURS)]


def _rows(values: pd.DataFrame) -> list[tuple[str, str | None]]:
    """The rows from top to bottom: (method, source), with (method, None) as a heading above several sources."""
    rows: list[tuple[str, str | None]] = []
    for method in names.ordered(values["method"], names.METHODS):
        sources = names.ordered(values.loc[values["method"] == method, "source"], names.SOURCES)
        if sources != ["none"]:
            rows.append((method, None))
        rows += [(method, source) for source in sources]
    return rows


def _places(rows: list[tuple[str, str | None]]) -> tuple[dict, float]:
    """Each row's distance from the top, in rows, with a gap above headings, and the height of all."""
    places, height = {}, 0.0
    for number, row in enumerate(rows):
        height += GAP if number and row[1] is None else 0
        places[row] = height + 0.5
        height += 1
    return places, height


def _panel(panel: "Axes", values: pd.DataFrame, places: dict, baseline: str) -> None:
    sources = sorted({source for _, source in places if source})
    if values.empty:
        panel.text(0.5, 0.5, "not run", transform=panel.transAxes, ha="center", color=FAINT)
    for row in values.itertuples():
        place, tint = places[row.method, row.source], colour(row.source, sources)
        if row.method in (baseline, names.CHANCE):
            panel.axvspan(row.low, row.high, color="#000000", alpha=0.07, linewidth=0, zorder=0)
            panel.axvline(row.value, color=FAINT, linewidth=0.8, zorder=1)
        panel.plot([row.low, row.high], [place, place], color=tint, linewidth=1.5, solid_capstyle="butt", zorder=2)
        marker = MARKERS.get(row.source, "o")
        panel.plot(row.value, place, marker, color=tint, markersize=4.8, markeredgewidth=0, zorder=3)
        panel.annotate(
            f"{row.value:.3f}",
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center_baseline",
            fontsize=7,
            color=INK,
        )


def _frame(line: Sequence["Axes"], places: dict, height: float, dataset: str, metric: str) -> None:
    """Labels and limits of one data set's panels."""
    sources = sorted({source for _, source in places if source})
    first = line[0]
    first.set_ylim(height + 0.1, -0.1)
    labels = [names.title(method if source in (None, "none") else source) for method, source in places]
    first.set_yticks(list(places.values()), labels)
    for label, (_, source) in zip(first.get_yticklabels(), places, strict=True):
        label.set_color(colour(source, sources) if source else INK)
        label.set_fontweight("normal" if source else "bold")
    top = {"xytext": (0, 19), "textcoords": "offset points", "fontsize": 9, "fontweight": "bold", "color": INK}
    first.annotate(dataset, (0.008, 1), xycoords=("figure fraction", "axes fraction"), **top)
    for panel in line:
        panel.locator_params(axis="x", nbins=6)
        panel.tick_params(length=0, pad=3)
        panel.tick_params(axis="x", labelsize=7, labelcolor=INK)
        panel.grid(axis="x", color="#E4E4E4", linewidth=0.6, zorder=0)
        panel.set_axisbelow(True)
        panel.spines[:].set_visible(False)
        panel.set_xlabel(metric, fontsize=8, color=INK)
