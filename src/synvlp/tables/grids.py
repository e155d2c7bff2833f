"""Grids of cells, as the page shows them."""

from dataclasses import dataclass, field
from itertools import groupby

import pandas as pd

from synvlp.tables import markdown, names


@dataclass(frozen=True)
class Cell:
    """One cell: its text, a smaller second line, and how it looks."""

    text: str
    note: str = ""
    kind: str = ""  # text, number, best; number with soft (a baseline) or the verdict of a difference
    verdict: str = ""
    width: int = 1  # columns that a head spans


@dataclass(frozen=True)
class Grid:
    """A table: one or more rows of heads, rows of cells, and a title."""

    heads: list[list[Cell]]
    rows: list[list[Cell]]
    title: str = ""
    labels: int = field(default=0)  # leading columns that say what the row is


def of_pipes(pipes: markdown.Pipes) -> Grid:
    """A grid from Markdown; heads that read a · b · c are shown in three rows."""
    parts = [head.split(" · ") for head in pipes.heads]
    labels = next((number for number, part in enumerate(parts) if len(part) == 3), len(parts))
    nested = all(len(part) == 3 for part in parts[labels:]) and labels < len(parts)
    heads = [[Cell(head, kind="text" if number < labels else "number") for number, head in enumerate(pipes.heads)]]
    if nested:
        heads = [_spanning(parts, labels, depth) for depth in (1, 2, 3)]
    rows = [
        [
            Cell(text, kind="text" if number < labels else "best" if bold else "number")
            for number, (text, bold) in enumerate(row)
        ]
        for row in pipes.rows
    ]
    return Grid(heads, rows, labels=labels)


def of_comparison(frame: pd.DataFrame) -> list[tuple[str, Grid, list[Grid]]]:
    """Per task: its title, the grid of its first metric, and grids of its other metrics."""
    found = []
    for task in names.ordered(set(frame["task"]), tuple(names.MAIN)):
        rows = frame[frame["task"] == task]
        metrics = names.ordered(rows["metric"], names.main(task, rows["metric"]))
        made = [_of_metric(rows[rows["metric"] == metric], names.title(metric)) for metric in metrics]
        found.append((task.capitalize(), made[0], made[1:]))
    return found


def of_rows(heads: tuple[str, ...], rows: list[tuple]) -> Grid:
    """A grid of rows of text and numbers; the first column says what a row is."""
    kinds = [_number(value).kind for value in rows[0]]
    line = [Cell(head, kind=kind) for head, kind in zip(heads, kinds, strict=True)]
    return Grid([line], [[_number(value) for value in row] for row in rows], labels=1)


def of_json(value: object, title: str = "") -> list[Grid]:
    """Grids of a JSON value: plain entries in one grid of two columns, mappings of mappings as tables of their own."""
    if isinstance(value, list):
        if value and all(isinstance(item, dict) for item in value):
            return [_of_records(title, [("", item) for item in value])]
        return [Grid([], [[Cell(_shown(item))] for item in value], title)] if value else []
    if not isinstance(value, dict):
        return [Grid([], [[Cell(_shown(value))]], title)]
    nested = {name: item for name, item in value.items() if isinstance(item, dict | list) and not _is_plain(item)}
    plain = [[Cell(_words(name), kind="text"), _number(item)] for name, item in value.items() if name not in nested]
    found = [Grid([], plain, title, labels=1)] if plain else []
    for name, item in nested.items():
        below = f"{title}, {_words(name)}" if title else _words(name).capitalize()
        if isinstance(item, dict) and item and all(isinstance(part, dict) for part in item.values()):
            found.append(_of_records(below, list(item.items())))
        else:
            found += of_json(item, below)
    return found


def of_extraction(measures: dict) -> Grid:
    """Precision and recall per finding, and of all, of what reports say is present and what they say is absent."""
    heads = [
        [Cell("", kind="text"), Cell("present", kind="number", width=4), Cell("absent", kind="number", width=4)],
        [Cell("finding", kind="text")]
        + [Cell(head, kind="number") for head in ("said", "precision", "true", "recall")] * 2,
    ]
    named = [(measures["concepts"][label], label, claims) for label, claims in measures["labels"].items()]
    rows = []
    for name, label, claims in [*sorted(named), ("overall", "overall", measures["overall"])]:
        note = f"label {label}" if label != name else ""
        found, denied = _rates(claims, "present"), _rates(claims, "absent", "excluded")
        rows.append([Cell(name, note, "text"), *found, *denied])
    return Grid(heads, rows, f"{_shown(measures['reports'])} reports with labels", labels=1)


def _of_metric(frame: pd.DataFrame, metric: str) -> Grid:
    """Data sets, label fractions and methods down; across what no method changes (random weights), each source's
    value and its difference to the reference.
    """
    own = frame[frame["reference_method"] == ""]
    against = frame[~frame["reference_source"].isin(["", "none"])]
    bare, trained = own[own["source"] == "none"], own[own["source"] != "none"]
    columns = [(method, "none", "") for method in names.ordered(bare["method"], names.METHODS)]
    columns += [("", source, "") for source in names.ordered(trained["source"], names.SOURCES)]
    for reference in sorted(set(against["reference_source"])):
        sources = against.loc[against["reference_source"] == reference, "source"]
        columns += [("", source, reference) for source in names.ordered(sources, names.SOURCES)]
    heads = [Cell(name, kind="text") for name in ("data set", "labels", "method")]
    heads += [Cell(_head(*column), kind="number") for column in columns]
    cells = {
        (row.dataset, row.fraction, row.method, row.source, row.reference_source): row
        for row in pd.concat([own, against]).itertuples()
    }
    keys = {key[:3] for key in cells if key[3] != "none"} or {(*key[:2], "") for key in cells}
    rows = []
    for *place, method in sorted(keys, key=lambda key: (*key[:2], names.place(key[2], names.METHODS))):
        texts = (place[0], names.percent(place[1]), names.title(method))
        figures = [_figure(cells.get((*place, bare or method, *rest))) for bare, *rest in columns]
        rows.append([Cell(text, kind="text") for text in texts] + figures)
    return Grid([heads], rows, f"{metric}, with 95 % intervals", labels=3)


def _head(method: str, source: str, reference: str) -> str:
    if method:
        return names.title(method)
    return f"{source} − {reference}" if reference else source


def _figure(row: tuple | None) -> Cell:
    if row is None:
        return Cell("–", kind="number")
    if not row.reference_method:
        kind = "number soft" if row.source == "none" else "number"
        return Cell(f"{row.value:.3f}", f"{row.low:.3f} to {row.high:.3f}", kind)
    note = f"{names.signed(row.low)} to {names.signed(row.high)}"
    kind = f"number {row.verdict.replace(' ', '-')}"
    return Cell(names.signed(row.value), note, kind, row.verdict)


def _rates(claims: dict, *statuses: str) -> list[Cell]:
    """How many reports say one of the statuses and how often that is right; how often it is true and then said.

    A rate of nothing is left open.
    """
    said, right = (sum(claims[status][count] for status in statuses) for count in ("said", "right"))
    true = claims[statuses[0]]["true"]
    pairs = ((said, right / said if said else None), (true, right / true if true else None))
    return [cell for count, rate in pairs for cell in (_number(count), _rate(rate))]


def _rate(value: float | None) -> Cell:
    return Cell("–" if value is None else f"{value:.4f}", kind="number")


def _of_records(title: str, records: list[tuple[str, dict]]) -> Grid:
    """A table of mappings: one row each, one column per key that any of them has."""
    keys = list(dict.fromkeys(key for _, record in records for key in record))
    named = any(name for name, _ in records)
    heads = [Cell("", kind="text")] * named + [Cell(_words(key), kind=_kind(records, key)) for key in keys]
    rows = [
        [Cell(_words(name), kind="text")] * named + [_number(record.get(key, "")) for key in keys]
        for name, record in records
    ]
    return Grid([heads], rows, title, labels=int(named))


def _spanning(parts: list[list[str]], labels: int, depth: int) -> list[Cell]:
    """One row of nested heads: neighbours that agree up to `depth` share a cell; labels stand in the last row."""
    cells = [Cell(part[0] if depth == 3 else "", kind="text") for part in parts[:labels]]
    for key, group in groupby(parts[labels:], key=lambda part: part[:depth]):
        cells.append(Cell(key[-1], kind="number", width=len(list(group))))
    return cells


def _is_plain(item: object) -> bool:
    return isinstance(item, list) and all(not isinstance(part, dict | list) for part in item)


def _kind(records: list[tuple[str, dict]], key: str) -> str:
    values = [record.get(key) for _, record in records]
    return "number" if all(isinstance(value, int | float | None) for value in values) else "text"


def _number(value: object) -> Cell:
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(_shown(value), kind="number" if numeric else "text")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return "; ".join(map(_shown, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{_words(name)} {_shown(item)}" for name, item in value.items()) or "none"
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else str(value)


def _words(name: object) -> str:
    return str(name).replace("_", " ")
