"""Draw the figure of how good and how private synthetic images are: a panel per measure, a row per set of images.

A dot is a measure with its 95 % interval; the line behind it is what held-out real images reach, with theirs as a
band. Where a measure has several spaces or groups, they are rows of their own.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from synvlp import job
from synvlp.store import tables
from synvlp.tables import figure, quality

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

APART = ("fid", "kid")  # measures whose unit depends on the space: a panel for each
SHOWN = {  # panels, and the groups that they show; None: all
    "fid": None,
    "kid": None,
    "precision": None,
    "recall": None,
    "density": None,
    "coverage": None,
    "ms_ssim": None,
    "auroc": ("mean of findings",),
    "recall_at_5": None,
    "nearer_train": None,
    "close": None,
    "own_nearer": None,
}
SHORT = {  # titles that would be wider than a panel
    "nearer_train": "nearest is a training image",
    "close": "close to a training image",
    "own_nearer": "nearer to own study's image",
    "recall_at_5": "own prompt found, R@5",
}
COLOURS = ("#C75000", "#0072B2", "#00805D", "#A8487F", "#8C6D00", "#2E7FA8")
COLUMNS, WIDTH, ROW = 3, 10.2, 0.17  # panels in a row; inches


class Settings(job.Settings):
    """Settings of draw-quality."""

    dpi: int = job.setting(200, "resolution of the PNG", unit="dots per inch", ge=50, le=600)


class Inputs(job.Files):
    """Inputs of draw-quality."""

    quality: Path = job.file("all measures (Parquet)")


class Outputs(job.Files):
    """Outputs of draw-quality."""

    png: Path = job.file("the figure (PNG)")
    svg: Path = job.file("the figure (SVG, text as outlines)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Draw and write the figure. Raises JobError if there is no measure to draw."""
    frame = tables.read(inputs.quality, tables.QUALITY)
    made = panels(frame)
    if not made:
        raise job.JobError(f"{inputs.quality} holds no measure that the figure shows")
    figure.save(draw(made, frame), outputs, settings.dpi)


def panels(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Title and rows of each panel, in the order of the table."""
    found = []
    for measure, groups in SHOWN.items():
        rows = frame[(frame["measure"] == measure) & frame["value"].notna()]
        rows = rows[rows["group"].isin(groups)] if groups else rows
        spaces = sorted(set(rows["space"])) if measure in APART else [None]
        for space in spaces:
            own = rows if space is None else rows[rows["space"] == space]
            if len(own):
                name = SHORT.get(measure, quality.TITLES[measure])
                found.append((name if space is None else f"{name}, space {space}", own))
    return found


def draw(made: list[tuple[str, pd.DataFrame]], frame: pd.DataFrame) -> "Figure":
    """The figure of all panels; the sets of images have one colour each."""
    import matplotlib.figure
    import matplotlib.style

    sets = sorted(set(zip(frame["generator"], frame["corpus"], strict=True)))
    lines = [made[start : start + COLUMNS] for start in range(0, len(made), COLUMNS)]
    heights = [max(len(rows) + len(_heads(rows)) for _, rows in line) for line in lines]
    style = {"font.size": 7.5, "font.family": "DejaVu Sans", "text.parse_math": False}
    with matplotlib.style.context(["default", style]):
        size = (WIDTH, sum(height * ROW + 0.62 for height in heights))
        drawn = matplotlib.figure.Figure(figsize=size, layout="constrained", facecolor="white")
        drawn.get_layout_engine().set(w_pad=0.06, h_pad=0.05)
        grid = drawn.subplots(
            len(lines), COLUMNS, squeeze=False, height_ratios=[height * ROW + 0.4 for height in heights]
        )
        for axes, line, height in zip(grid, lines, heights, strict=True):
            for place, panel in enumerate(axes):
                if place < len(line):
                    _panel(panel, *line[place], sets, height)
                else:
                    panel.set_axis_off()
    return drawn


def _heads(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """The spaces and groups of a panel, each with a line of its own where there are several."""
    keys = sorted(set(zip(rows["space"], rows["group"], strict=True)))
    return keys if len(keys) > 1 else []


def _panel(panel: "Axes", title: str, rows: pd.DataFrame, sets: list[tuple[str, str]], height: int) -> None:
    ticks, labels, at = [], [], 0.5
    heads = _heads(rows)
    for space, group in heads or [(rows["space"].iloc[0], rows["group"].iloc[0])]:
        if heads:
            ticks.append((at, figure.INK, "bold"))
            labels.append(", ".join(filter(None, [group, space])))
            at += 1
        own = rows[(rows["space"] == space) & (rows["group"] == group)]
        for row in own.sort_values(["generator", "corpus"]).itertuples():
            tint = COLOURS[sets.index((row.generator, row.corpus)) % len(COLOURS)]
            _dot(panel, row, at, tint)
            ticks.append((at, tint, "normal"))
            same = sum(row.generator == generator for generator, _ in sets) > 1
            labels.append(quality.title(row.generator, row.corpus) if same else row.generator)
            at += 1
    panel.set_yticks([place for place, *_ in ticks], labels)
    for label, (_, tint, weight) in zip(panel.get_yticklabels(), ticks, strict=True):
        label.set(color=tint, fontweight=weight, fontsize=6.5)
    panel.set_ylim(max(at, height) + 0.1, -0.1)
    panel.set_title(title, fontsize=8, color=figure.INK, loc="left", fontweight="bold")
    panel.locator_params(axis="x", nbins=5)
    panel.tick_params(length=0, pad=2, labelsize=6.5)
    panel.grid(axis="x", color="#E4E4E4", linewidth=0.6, zorder=0)
    panel.set_axisbelow(True)
    panel.spines[:].set_visible(False)


def _dot(panel: "Axes", row: tuple, at: float, tint: str) -> None:
    """A value with its interval, before what real images reach."""
    if pd.notna(row.reference):
        if pd.notna(row.reference_low):
            panel.fill_betweenx(
                [at - 0.45, at + 0.45], row.reference_low, row.reference_high, color="#000000", alpha=0.08, linewidth=0
            )
        panel.plot([row.reference] * 2, [at - 0.45, at + 0.45], color=figure.FAINT, linewidth=1, zorder=1)
    if pd.notna(row.low):
        panel.plot([row.low, row.high], [at, at], color=tint, linewidth=1.5, solid_capstyle="butt", zorder=2)
    panel.plot(row.value, at, "o", color=tint, markersize=4.5, markeredgewidth=0, zorder=3)
