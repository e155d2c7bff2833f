"""Write the study's page: one HTML file that holds everything and works offline.

Findings in sentences, the comparison, tables, figures, pictures, the audit of anonymization, how well concepts are
found, rejected input and settings. Every part is optional; what is not given is left out.
"""

import base64
import re
from itertools import groupby
from pathlib import Path

import pandas as pd

from synvlp import job
from synvlp.store import files, tables
from synvlp.tables import findings, grids, markdown, names, records, template

_SECTIONS = (  # what the page links to at its top: name, anchor, and the parts of which one must be there
    ("Findings", "findings", "question"),
    ("Figures", "figures", "figures"),
    ("Comparison", "comparison", "comparisons"),
    ("Tables", "tables", "tables"),
    ("Examples", "examples", "examples"),
    ("Pictures", "pictures", "pictures"),
    ("Synthetic images", "quality", "quality"),
    ("Anonymization", "privacy", "audits", "measures"),
    ("Concepts", "concepts", "extractions"),
    ("Written reports", "written", "writings"),
    ("Screening", "screening", "screenings"),
    ("Rejected input", "rejected", "rejected"),
    ("Settings", "settings", "config", "command"),
)
_TYPES = {".png": "image/png", ".svg": "image/svg+xml", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


class Settings(job.Settings):
    """Settings of write-page."""

    study: str = job.setting("study", "the study's name, the page's heading")
    reference: str = job.setting("real", "the source that others are compared with, as in compare")
    command: str = job.setting("", "what to type to run the study again")
    picture_titles: list[str] = job.setting([], "title of each picture, in their order")
    example_tasks: list[str] = job.setting([], "task of each picture of predictions, in their order")
    example_datasets: list[str] = job.setting([], "data set of each picture of predictions")
    example_methods: list[str] = job.setting([], "method of each picture's encoder (random, convirt, …)")
    example_sources: list[str] = job.setting([], "pairs that each picture's encoder saw (real, …; none)")
    audit_titles: list[str] = job.setting([], "title of each audit, in their order")
    measure_titles: list[str] = job.setting([], "title of each file of measures, in their order")
    extraction_titles: list[str] = job.setting([], "title of each file of measures of extraction, in their order")
    writing_titles: list[str] = job.setting([], "title of each audit of written reports, in their order")
    screening_titles: list[str] = job.setting([], "title of each summary of screening, in their order")
    rejected_titles: list[str] = job.setting([], "title of each list of rejected input, in their order")
    shown_reasons: int = job.setting(8, "how many reasons of rejection are listed by name per list", ge=1)


class Inputs(job.Files):
    """Inputs of write-page."""

    comparison: Path | None = job.optional_file("values and differences with intervals (Parquet)")
    tables: list[Path] = job.setting([], "tables of the tasks (Markdown)")
    figures: list[Path] = job.setting([], "figures of the tasks (PNG or SVG)")
    pictures: list[Path] = job.setting([], "previews, samples, contact sheets, curves (PNG, SVG or JPEG)")
    examples: list[Path] = job.setting([], "pictures of predictions on test images (PNG)")
    audits: list[Path] = job.setting([], "audits of anonymization (JSON)")
    measures: list[Path] = job.setting([], "measures of anonymization (JSON)")
    extractions: list[Path] = job.setting([], "measures of the extraction of concepts (JSON)")
    writings: list[Path] = job.setting([], "audits of written reports (JSON)")
    screenings: list[Path] = job.setting([], "summaries of the screening of synthetic images (JSON)")
    rejected: list[Path] = job.setting([], "lists of rejected input (CSV)")
    quality_table: Path | None = job.optional_file("measures of the synthetic images (Markdown)")
    quality_figure: Path | None = job.optional_file("the same as a figure (PNG or SVG)")
    config: Path | None = job.optional_file("the study's settings (YAML or JSON), shown as they are")


class Outputs(job.Files):
    """Outputs of write-page."""

    page: Path = job.file("the page (HTML)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Write the page. Raises JobError for titles that do not fit the files, and for files that cannot be read."""
    import jinja2
    import markupsafe

    folder = Path(template.__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["whole"] = lambda text: text.replace(" %", "\N{NO-BREAK SPACE}%")
    parts = {
        "study": settings.study,
        "command": settings.command,
        "style": markupsafe.Markup((folder / "page.css").read_text(encoding="utf-8")),
        "config": _text(inputs.config) if inputs.config else "",
        "tables": [(title_of(path), *task_table(path)) for path in inputs.tables],
        "figures": [(title_of(path), data_uri(path)) for path in inputs.figures],
        "pictures": [(title, data_uri(path)) for title, path in titled(settings, inputs, "picture")],
        "examples": examples(settings, inputs.examples),
        "quality": task_tables(inputs.quality_table) if inputs.quality_table else [],
        "quality_figure": data_uri(inputs.quality_figure) if inputs.quality_figure else "",
        "extractions": [(title, extraction(path)) for title, path in titled(settings, inputs, "extraction")],
        "rejected": rejections(titled(settings, inputs, "rejected"), settings.shown_reasons),
        **compared(inputs.comparison, settings.reference),
    }
    for kind in ("audit", "measure", "writing", "screening"):
        parts[f"{kind}s"] = [(title, json_grids(path)) for title, path in titled(settings, inputs, kind)]
    parts["sections"] = [(name, anchor, any(parts[part] for part in needed)) for name, anchor, *needed in _SECTIONS]
    files.write_text(outputs.page, environment.get_template("page.html").render(parts).lstrip())


def titled(settings: Settings, inputs: Inputs, kind: str) -> list[tuple[str, Path]]:
    """The files of one kind with their titles. Raises JobError if there are more or fewer titles than files."""
    plural = kind if kind == "rejected" else f"{kind}s"
    paths, given = getattr(inputs, plural), getattr(settings, f"{kind}_titles")
    if len(paths) != len(given):
        raise job.JobError(f"{kind}_titles has {len(given)} entries for {len(paths)} files in {plural}: give one each")
    return list(zip(given, paths, strict=True))


def examples(settings: Settings, paths: list[Path]) -> list[tuple[str, tuple, list[tuple]]]:
    """Pictures of predictions by data set: its title, the first pre-trained method, and all other encoders.

    An encoder's entry is its method's title and, per source, caption and picture. Raises JobError if the lists do not
    fit the files.
    """
    if not paths:
        return []
    lists = {
        f"example_{name}": getattr(settings, f"example_{name}") for name in ("tasks", "datasets", "methods", "sources")
    }
    records.check_parallel(paths, "examples", **lists)
    shown = sorted(zip(*lists.values(), paths, strict=True), key=_place)
    found = []
    for (task, dataset), group in groupby(shown, key=lambda item: item[:2]):
        encoders = [
            (names.title(method), [(names.arm(method, source), data_uri(path)) for *_, source, path in own])
            for method, own in groupby(group, key=lambda item: item[2])
        ]
        found.append((f"{task.capitalize()}: {dataset}", encoders[0], encoders[1:]))
    return found


def title_of(path: Path) -> str:
    """A file's name as a title."""
    return path.stem.replace("_", " ").replace("-", " ").capitalize()


def data_uri(path: Path) -> str:
    """A picture inside a link. Raises JobError for a type that browsers may not show."""
    kind = _TYPES.get(path.suffix.lower())
    if kind is None:
        raise job.JobError(f"{path}: a picture should be one of {', '.join(_TYPES)}")
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def task_table(path: Path) -> tuple[str, grids.Grid]:
    """Caption and grid of a table that tabulate wrote in Markdown. Raises JobError if it is none."""
    return task_tables(path)[0]


def task_tables(path: Path) -> list[tuple[str, grids.Grid]]:
    """Caption and grid of each table in a Markdown file. Raises JobError if it has none."""
    try:
        return [(pipes.caption, grids.of_pipes(pipes)) for pipes in markdown.read_all(_text(path))]
    except ValueError as error:
        raise job.JobError(f"{path}: not a table in Markdown: {error}") from error


def json_grids(path: Path) -> list[grids.Grid]:
    """The numbers in a JSON file as grids. Raises JobError if it is none."""
    try:
        return grids.of_json(files.read_json(path))
    except ValueError as error:
        raise job.JobError(f"{path}: not readable as JSON ({error})") from error


def extraction(path: Path) -> grids.Grid:
    """The grid of a file of measure-extraction. Raises JobError if it is none."""
    try:
        return grids.of_extraction(files.read_json(path))
    except (ValueError, TypeError, KeyError) as error:
        raise job.JobError(f"{path}: not the measures of an extraction of concepts") from error


def rejections(lists: list[tuple[str, Path]], shown: int) -> grids.Grid | None:
    """How many inputs were rejected per list, and how often for which reason; None without a list.

    Reasons that differ in numbers alone count as one. Raises JobError for a list without a column `reason`.
    """
    rows = []
    for title, path in lists:
        try:
            reasons = pd.read_csv(path, dtype=str, keep_default_na=False)["reason"]
        except (ValueError, KeyError) as error:
            raise job.JobError(f"{path}: not a list of rejected input: a CSV with a column reason") from error
        counts = reasons.str.replace(r"\d+(\.\d+)?", "…", regex=True).value_counts()
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        rest = sum(number for _, number in ordered[shown:])
        ordered = ordered[:shown] + ([("other reasons", rest)] if rest else [])
        rows.append((title, len(reasons), "; ".join(f"{reason} ({number})" for reason, number in ordered) or "–"))
    return grids.of_rows(("input", "rejected", "reasons"), rows) if rows else None


def compared(path: Path | None, reference: str) -> dict:
    """The parts of the page that come from the comparison."""
    nothing = {"question": "", "answers": [], "caveats": "", "comparisons": []}
    if path is None:
        return nothing
    try:
        frame = tables.read(path, tables.COMPARISON)
    except tables.TableError as error:
        raise job.JobError(str(error)) from error
    if frame.empty:
        job.log.info("the comparison holds no row; its parts of the page are left out")
        return nothing
    # Ablations have tables and figures of their own.
    frame = frame[frame["reference_source"].isin(["", "none", reference])]
    return {
        "question": findings.question(frame, reference),
        "answers": findings.answers(frame),
        "caveats": findings.caveats(frame),
        "comparisons": grids.of_comparison(frame),
    }


def _place(shown: tuple) -> tuple:
    """Sorting key of a picture of predictions: encoders without pre-training come last."""
    task, dataset, method, source, _ = shown
    tasks, methods = names.place(task, tuple(names.MAIN)), names.place(method, names.METHODS)
    return tasks, dataset, source == "none", methods, names.place(source, names.SOURCES)


def _text(path: Path) -> str:
    try:
        return re.sub(r"\r\n?", "\n", path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise job.JobError(f"{path}: not a text in UTF-8 ({error})") from error
