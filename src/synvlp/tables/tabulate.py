"""Make one task's table: methods and sources by data sets, metrics and label fractions.

A cell is the mean over runs (encoder seeds × probe seeds) and their standard deviation; a single run has none. The
best mean of a column is bold in Markdown and LaTeX.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from synvlp import job
from synvlp.store import files, tables
from synvlp.tables import markdown, names, records

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "±": r"$\pm$",
    "×": r"$\times$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


class Settings(records.Runs):
    """Settings of tabulate."""

    task: str = job.setting("classification", "the task that all files are of")


class Inputs(job.Files):
    """Inputs of tabulate."""

    metrics: list[Path] = job.file("metrics.json of every encoder on every data set of the task")


class Outputs(job.Files):
    """Outputs of tabulate."""

    csv: Path = job.file("the table with mean, sd and n of each cell (CSV)")
    markdown: Path = job.file("the table in Markdown")
    latex: Path = job.file("the table in LaTeX; needs the package booktabs")


@dataclass(frozen=True)
class Cell:
    """Mean and standard deviation (n - 1 in the denominator; NaN for n = 1) of one metric over n runs."""

    mean: float
    sd: float
    n: int

    def __str__(self) -> str:
        spread = f" ± {self.sd:.3f}" if self.n > 1 else ""
        return f"{self.mean:.3f}{spread}"


@dataclass(frozen=True)
class Grid:
    """A table: rows (method, source), columns (data set, metric, fraction), and the cells that exist."""

    rows: list[tuple[str, str]]
    columns: list[tuple[str, str, float]]
    cells: dict[tuple, Cell]
    caption: str

    def text(self, row: tuple, column: tuple) -> str:
        """A cell for people; "–" where there was no run."""
        cell = self.cells.get((*row, *column))
        return str(cell) if cell else "–"

    def is_best(self, row: tuple, column: tuple) -> bool:
        """Whether no other row of the column has a higher mean, to the three decimals that are shown."""
        means = [self.cells[(*other, *column)].mean for other in self.rows if (*other, *column) in self.cells]
        cell = self.cells.get((*row, *column))
        return cell is not None and len(means) > 1 and round(cell.mean, 3) == round(max(means), 3)


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Write the table in three formats.

    Raises JobError as records.read_metrics does, and if a file is of another task or has none of its main metrics.
    """
    frame = records.read_metrics(inputs.metrics, settings)
    for task in sorted(set(frame["task"]) - {settings.task}):
        raise job.JobError(f"the table of {settings.task} was given metrics of {task}: give each task its own table")
    grid = make_grid(frame, settings.task)
    job.log.info("%d runs of %d encoders on %d columns", len(frame), len(grid.rows), len(grid.columns))
    tables.write_csv(as_csv(grid), outputs.csv)
    files.write_text(outputs.markdown, as_markdown(grid))
    files.write_text(outputs.latex, as_latex(grid))


def make_grid(frame: pd.DataFrame, task: str) -> Grid:
    """Cells from numbers in long form (records.COLUMNS). Raises JobError if no main metric of the task is there."""
    main = names.main(task, frame["metric"])
    frame = frame[frame["metric"].isin(main)].dropna(subset="value")
    if frame.empty:
        raise job.JobError(f"the metrics of {task} hold none of {', '.join(main)}")
    by = ["method", "source", "dataset", "metric", "fraction"]
    cells = {
        key: Cell(group.mean(), group.std(ddof=1), len(group))
        for key, group in frame.groupby(by)["value"]
        if len(group)
    }
    rows = sorted(
        {key[:2] for key in cells},
        key=lambda row: (names.place(row[0], names.METHODS), names.place(row[1], names.SOURCES)),
    )
    columns = sorted({key[2:] for key in cells}, key=lambda column: (column[0], main.index(column[1]), column[2]))
    return Grid(rows, columns, cells, _caption(task, frame, cells))


def as_csv(grid: Grid) -> pd.DataFrame:
    """One row per method and source; three columns (mean, sd, n) per data set, metric and fraction."""
    rows = []
    for row in grid.rows:
        line: dict[str, object] = dict(zip(("method", "source"), row, strict=True))
        for column in grid.columns:
            cell = grid.cells.get((*row, *column))
            name = f"{column[0]} {column[1]} {column[2]:g}"
            line[f"{name} mean"] = float(f"{cell.mean:.4g}") if cell else None
            line[f"{name} sd"] = float(f"{cell.sd:.4g}") if cell and cell.n > 1 else None
            line[f"{name} n"] = cell.n if cell else 0
        rows.append(line)
    return pd.DataFrame(rows)


def as_markdown(grid: Grid) -> str:
    """A pipe table below its caption; headers read data set · metric · fraction."""
    headers = ["method", "source"]
    headers += [
        " · ".join((dataset, names.title(metric), names.percent(part))) for dataset, metric, part in grid.columns
    ]
    lines = [
        markdown.escape(grid.caption),
        "",
        markdown.row(map(markdown.escape, headers)),
        markdown.row(["---", "---", *["---:"] * len(grid.columns)]),
    ]
    for row in grid.rows:
        cells = [markdown.escape(names.title(name)) for name in row]
        for column in grid.columns:
            text = grid.text(row, column)
            cells.append(f"**{text}**" if grid.is_best(row, column) else text)
        lines.append(markdown.row(cells))
    return "\n".join(lines) + "\n"


def as_latex(grid: Grid) -> str:
    """A table with grouped headers; needs \\usepackage{booktabs}."""
    groups = [_groups([column[:depth] for column in grid.columns]) for depth in (1, 2)]
    heads = [
        _latex_heads(groups[0], lambda column: column[0]),
        _latex_heads(groups[1], lambda column: names.title(column[1])),
    ]
    fractions = [escape_latex(names.percent(column[2])) for column in grid.columns]
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        f"\\caption{{{escape_latex(grid.caption)}}}",
        f"\\begin{{tabular}}{{ll{'r' * len(grid.columns)}}}",
        r"\toprule",
        *heads,
        f"method & source & {' & '.join(fractions)} \\\\",
        r"\midrule",
    ]
    lines += _latex_body(grid)
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """Text that LaTeX shows as it is."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _caption(task: str, frame: pd.DataFrame, cells: dict[tuple, Cell]) -> str:
    used = [metric for metric in names.main(task, frame["metric"]) if (frame["metric"] == metric).any()]
    told = ": " + "; ".join(names.meanings(used)) if names.meanings(used) else ""
    but = (
        " but " + ", ".join(map(names.title, free))
        if (free := [name for name in used if name in names.UNBOUNDED])
        else ""
    )
    labels = "Percentages are the share of training labels used."
    if not frame["fraction"].any():
        labels = "No training label was used (0 %)."
    counts = sorted({cell.n for key, cell in cells.items() if key[0] != names.CHANCE})
    frame = frame[frame["method"] != names.CHANCE]
    encoders = frame.groupby(["method", "source", "dataset"])["encoder_seed"].nunique()
    probes = frame.groupby(["method", "source", "dataset", "encoder_seed", "fraction"])["seed"].nunique()
    runs = f"n = {_range(counts)} runs ({_range(encoders)} encoder × {_range(probes)} probe seeds)"
    spread = f"mean ± standard deviation over {runs}" if max(counts) > 1 else "a single run each (n = 1), no spread"
    return (
        f"{task.capitalize()} on the test split, {spread}. All metrics{but} go from 0 to 1, more is better{told}. "
        f"{labels} Bold: the highest mean of a column."
    )


def _range(counts: object) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def _groups(keys: list[tuple]) -> list[tuple[tuple, int]]:
    """Neighbouring equal keys as (key, how many)."""
    groups: list[tuple[tuple, int]] = []
    for key in keys:
        if groups and groups[-1][0] == key:
            groups[-1] = (key, groups[-1][1] + 1)
        else:
            groups.append((key, 1))
    return groups


def _latex_heads(groups: list[tuple[tuple, int]], name: object) -> str:
    cells = [f"\\multicolumn{{{width}}}{{c}}{{{escape_latex(name(key))}}}" for key, width in groups]
    rules, start = [], 3
    for _, width in groups:
        rules.append(f"\\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    return f" & & {' & '.join(cells)} \\\\ {' '.join(rules)}"


def _latex_body(grid: Grid) -> list[str]:
    lines, last = [], None
    for row in grid.rows:
        if last is not None and row[0] != last:
            lines.append(r"\addlinespace")
        method = escape_latex(names.title(row[0])) if row[0] != last else ""
        cells = [method, escape_latex(names.title(row[1]))]
        for column in grid.columns:
            text = escape_latex(grid.text(row, column))
            cells.append(f"\\textbf{{{text}}}" if grid.is_best(row, column) else text)
        lines.append(f"{' & '.join(cells)} \\\\")
        last = row[0]
    return lines
