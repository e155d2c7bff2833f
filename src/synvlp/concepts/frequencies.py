"""Draw how often concepts are in reports: real ones, and sets that are drawn as in reality or balanced."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from synvlp import job
from synvlp.concepts import observed
from synvlp.concepts.vocabulary import load
from synvlp.store import files, tables

NAMED = 90  # concepts whose names can be read under the figure
COLORS = ("#222222", "#1f77b4", "#d95f02", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#17becf")


class Settings(job.Settings):
    corpora: list[str] = job.setting([], "names of the corpora, in the order of their tables")
    written: list[str] = job.setting([], "names of the written sets, in the order of their tables")
    samplings: list[str] = job.setting([], "how each written set was drawn: balanced, natural")
    dpi: int = job.setting(150, "resolution of the PNG", unit="dots per inch", ge=50, le=600)


class Inputs(job.Files):
    vocabulary: Path = job.file("vocabulary of concepts (Parquet)")
    mentions: list[Path] = job.file("concepts of each corpus's reports (Parquet)")
    studies: list[Path] = job.file("studies of each corpus (Parquet)")
    sets: list[Path] = job.file("sets of concepts of each written set (Parquet)")


class Outputs(job.Files):
    figure: Path = job.file("the figure (PNG)")
    table: Path = job.file("what it shows: reports with each concept (CSV)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Draw the figure and write its numbers. Raises JobError if names and tables do not fit together."""
    for names, paths, what in (
        (settings.corpora, inputs.mentions, "corpora"),
        (settings.written, inputs.sets, "written"),
        (settings.samplings, inputs.sets, "samplings"),
    ):
        if len(names) != len(paths):
            raise job.JobError(f"{what} has {len(names)} entries for {len(paths)} tables: give one each")
    kinds = {name: concept.kind for name, concept in load(inputs.vocabulary).items()}
    table = counted(settings, inputs, kinds)
    tables.write_csv(table, outputs.table)
    figure = drawn(table, settings.dpi)
    with files.replacing(outputs.figure) as part:
        figure.savefig(part, format="png", metadata={"Software": None})


def counted(settings: Settings, inputs: Inputs, kinds: dict[str, str]) -> pd.DataFrame:
    """One row per concept and series: reports that have it, and their share of the reports with any concept.

    Real reports are those of the train split, which natural sets are drawn from. Within a kind of concepts, those that
    are most frequent in the first series go first.
    """
    series = {
        f"{name}, real": list(observed.sets(mentions, studies).values())
        for name, mentions, studies in zip(settings.corpora, inputs.mentions, inputs.studies, strict=True)
    }
    for name, sampling, path in zip(settings.written, settings.samplings, inputs.sets, strict=True):
        series[f"{name}, {sampling}"] = tables.read(path, tables.SETS)["concepts"].tolist()
    counts = {title: Counter(name for names in sets for name in names) for title, sets in series.items()}
    first = next(iter(counts.values()), Counter())
    order = sorted(kinds, key=lambda name: (kinds[name] == observed.ANATOMY, -first[name], name))
    rows = [
        (title, name, kinds[name], counts[title][name], counts[title][name] / max(len(series[title]), 1))
        for title in series
        for name in order
    ]
    return pd.DataFrame(rows, columns=["series", "concept", "kind", "reports", "share"])


def drawn(table: pd.DataFrame, dpi: int) -> Any:
    """The figure: a panel for findings and one for anatomy, shares on a logarithmic axis."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    anatomy = table["kind"] == observed.ANATOMY
    parts = [(title, table[chosen]) for title, chosen in (("Findings", ~anatomy), ("Anatomy", anatomy)) if chosen.any()]
    widths = [max(part["concept"].nunique(), 4) for _, part in parts]
    figure = Figure(figsize=(min(18, max(8, 3 + 0.22 * sum(widths))), 5), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(parts), sharey=True, squeeze=False, width_ratios=widths)[0]
    for axes, (title, part) in zip(panels, parts, strict=True):
        _panel(axes, title, part)
    panels[0].set_ylabel("share of reports")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(4, len(labels)), frameon=False)
    return figure


def _panel(axes: Any, title: str, part: pd.DataFrame) -> None:
    """One panel: concepts from left to right, a series of points each. Concepts in no report have no point."""
    names: Sequence[str] = part["concept"].drop_duplicates().tolist()
    for index, (series, rows) in enumerate(part.groupby("series", sort=False)):
        share = rows["share"].where(rows["share"] > 0)
        color = COLORS[index % len(COLORS)]
        axes.plot(range(len(names)), share, label=series, color=color, marker="o", markersize=3, linewidth=1)
    axes.set_yscale("log")
    axes.set_title(title, fontsize=10)
    axes.grid(axis="y", alpha=0.3)
    axes.set_xlim(-0.7, len(names) - 0.3)
    if len(names) <= NAMED:
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    else:
        axes.set_xlabel("concepts, the most frequent first")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
