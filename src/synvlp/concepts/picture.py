"""The picture of a corpus's concepts: how often each is present, the long tail, and what occurs together."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from synvlp.concepts import statistics
from synvlp.store import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"present": "#0072B2", "uncertain": "#8C6D00", "absent": "#BBBBBB"}
GROUPS = {"findings": "#0072B2", "normal": "#00805D", "anatomy": "#C75000"}
INK = "#222222"
SQUARE = 15  # findings in the co-occurrence


def draw(counts: pd.DataFrame, mentions: pd.DataFrame, studies: int, shown: int, path: Path) -> None:
    """Draw the picture as PNG.

    Args:
        counts: as `statistics.counts` gives them.
        mentions: rows of the table MENTIONS.
        studies: number of texts.
        shown: concepts in the bars, at most.
        path: where to write.
    """
    import matplotlib.figure
    import matplotlib.style

    rows = counts[(counts["kind"] != "anatomy") & (counts["mentions"] > 0)].head(shown)
    with matplotlib.style.context(["default", {"font.size": 8, "font.family": "DejaVu Sans"}]):
        figure = matplotlib.figure.Figure(figsize=(12.5, 2.2 + 0.17 * max(shown, 25)), layout="constrained")
        figure.set_facecolor("white")
        bars, right = figure.add_gridspec(1, 2, width_ratios=(1, 1.15))
        tail, square = right.subgridspec(2, 1, height_ratios=(1, 1.9))
        _bars(figure.add_subplot(bars), rows, studies)
        _tail(figure.add_subplot(tail), counts)
        _square(figure.add_subplot(square), mentions)
        with files.replacing(path) as part:
            figure.savefig(part, format="png", dpi=150, metadata={"Software": None})


def _bars(panel: "Axes", rows: pd.DataFrame, studies: int) -> None:
    left = np.zeros(len(rows))
    for status, colour in COLOURS.items():
        share = rows[status].to_numpy() / studies
        panel.barh(np.arange(len(rows)), share, left=left, color=colour, label=status, height=0.75)
        left += share
    panel.set_yticks(np.arange(len(rows)), rows["concept"])
    panel.invert_yaxis()
    panel.set_xlabel("share of the reports")
    panel.set_title("Most frequent findings and normal concepts", fontsize=9, color=INK)
    panel.legend(frameon=False, loc="lower right")
    _plain(panel)


def _tail(panel: "Axes", counts: pd.DataFrame) -> None:
    for group, kinds in statistics.GROUPS.items():
        present = counts.loc[counts["kind"].isin(kinds) & (counts["present"] > 0), "present"]
        ordered = np.sort(present.to_numpy())[::-1]
        panel.plot(np.arange(1, len(ordered) + 1), ordered, marker="o", markersize=3, label=group, color=GROUPS[group])
    panel.set_yscale("log")
    panel.set_xlabel("concepts by rank")
    panel.set_ylabel("reports")
    panel.set_title("Long tail of what is present", fontsize=9, color=INK)
    panel.legend(frameon=False)
    panel.grid(alpha=0.3)
    _plain(panel)


def _square(panel: "Axes", mentions: pd.DataFrame) -> None:
    """Of the reports in which the row's concept is present, the share in which the column's is, too."""
    together = statistics.presence(mentions, "findings")
    names = sorted(together.columns, key=lambda name: (-together[name].sum(), name))[:SQUARE]
    chosen = together[names].to_numpy(dtype=float)
    shares = (chosen.T @ chosen) / np.maximum(chosen.sum(0)[:, None], 1)
    np.fill_diagonal(shares, np.nan)
    panel.set_title("% of the reports with a row's finding that have the column's", fontsize=9, color=INK)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    if not names:
        return
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    panel.set_xticks(np.arange(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    panel.set_yticks(np.arange(len(names)), names)
    for row, column in np.argwhere(shares >= 0.005):
        dark = "white" if shares[row, column] > 0.6 else INK
        text = f"{100 * shares[row, column]:.0f}"
        panel.text(column, row, text, ha="center", va="center", fontsize=6, color=dark)


def _plain(panel: "Axes") -> None:
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
