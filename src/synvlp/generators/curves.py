"""Loss curves as a table and as a picture."""

from pathlib import Path

import pandas as pd

from synvlp.store import files, tables


def write(curve: list[dict], path: Path) -> None:
    """Write the rows of a curve (columns of `tables.CURVE`) as CSV."""
    frame = pd.DataFrame(curve, columns=list(tables.CURVE.columns))
    tables.write_csv(frame.sort_values(list(tables.CURVE.key), kind="stable"), path)


def draw(curve: list[dict], path: Path, name: str = "loss") -> None:
    """Draw one of the curve's values over the steps, one line per phase, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    frame = pd.DataFrame(curve, columns=list(tables.CURVE.columns))
    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for phase, label, color in (("train", "training", "#1f77b4"), ("val", "validation", "#d95f02")):
        rows = frame[(frame["phase"] == phase) & (frame["name"] == name)]
        if len(rows):
            axes.plot(rows["step"], rows["value"], label=label, color=color, marker="o", markersize=3)
    axes.set_xlabel("step")
    axes.set_ylabel(name)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    with files.replacing(path) as part:
        figure.savefig(part, format="png", metadata={"Software": None})
