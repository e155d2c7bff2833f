"""Read a vocabulary of concepts: the built-in one, published finding definitions, or anybody's own table.

A table is CSV or Parquet with the columns concept, kind, synonyms, definition, origin, excludes; in CSV, synonyms and
what a concept excludes are parted by "|", and `*disease` stands for all concepts of a kind. Definitions are the JSON
of the Open Imaging Finding Models, with phrases for mentions as CheXpert's labeler has them.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from synvlp import job
from synvlp.concepts import regions, text, vocabulary
from synvlp.concepts.vocabulary import Concept
from synvlp.store import files, tables

COLUMNS = tuple(tables.VOCABULARY.columns)
HINT = "docs/concepts.md describes the layout"
_DISEASE, _PICTURE = "diagnosis", "technique"  # tags of the finding models


class Settings(job.Settings):
    """Settings of read-vocabulary."""

    kind: Literal["built-in", "definitions", "table"] = job.setting(
        "built-in", "built-in: this package's; definitions: published finding models; table: a table of your own"
    )
    add_built_in: bool = job.setting(
        False, "also take the built-in concepts, with their words for those that the source defines"
    )
    max_rejected: float = job.setting(0.1, "share of the source's concepts that may be set aside", ge=0, le=1)


class Inputs(job.Files):
    """Inputs of read-vocabulary."""

    source: list[Path] | None = job.optional_file("definitions (JSON) or table (CSV or Parquet); one file or none")
    phrases: list[Path] | None = job.optional_file("phrases of mentions beside definitions (JSON); one file or none")


class Outputs(job.Files):
    """Outputs of read-vocabulary."""

    vocabulary: Path = job.file("concepts (Parquet)")
    table: Path = job.file("the same, for people (CSV)")
    rejected: Path = job.file("concepts and synonyms that were set aside (CSV)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Read, check and write the vocabulary. Raises JobError for a file that is none, or too much to set aside."""
    source = _only(inputs.source, settings)
    if source is None:
        given, problems, name = vocabulary.as_built_in(), [], vocabulary.BUILT_IN.name
    elif settings.kind == "definitions":
        given, problems = read_definitions(source, _only(inputs.phrases, None), settings.add_built_in)
        name = source.name
    else:
        given, problems = read_table(source)
        name = source.name
    total = len(given) + len(problems)
    joined = with_built_in(given) if settings.add_built_in else given
    kept, more = vocabulary.checked(joined)
    lost = len(problems) + len(joined) - len(kept)
    rows = [(item or "(no name)", name, reason) for item, reason in problems + more]
    rejected = pd.DataFrame(rows, columns=list(tables.REJECTED.columns)).sort_values(["item", "reason"], kind="stable")
    tables.write_csv(rejected, outputs.rejected)
    job.check_rejected(lost, max(total, 1), settings.max_rejected, outputs.rejected)
    if not kept:
        raise job.JobError(f"{source} holds no concept; {HINT}")
    _write(vocabulary.closed(kept), outputs, lost, len(rejected))


def read_table(path: Path) -> tuple[list[Concept], list[tuple[str, str]]]:
    """The concepts of a table, and (concept, reason) of its rows that are none.

    Raises JobError for a file that is no table or lacks a column.
    """
    if path.suffix.lower() == ".parquet":
        frame = tables.read(path, tables.VOCABULARY)
        rows = [{name: _cell(value) for name, value in row.items()} for row in frame.to_dict("records")]
        return [vocabulary.of_cells(row) for row in rows], []
    lines = _csv(path)
    missing = [name for name in COLUMNS if name not in (lines[0] if lines else [])]
    if missing:
        raise job.JobError(f"{path} has no column {', '.join(missing)}; {HINT}")
    concepts, problems = [], []
    for number, cells in enumerate(lines[1:], 2):
        if len(cells) != len(lines[0]):
            reason = f"wrong number of cells: {len(cells)} where the header has {len(lines[0])}"
            problems.append((cells[0].strip() if cells else f"row {number}", reason))
        else:
            row = {column: cell.strip() for column, cell in zip(lines[0], cells, strict=True)}
            concepts.append(vocabulary.of_cells(row))
    return concepts, problems


def read_definitions(
    path: Path, phrases: Path | None, exclude: bool = False
) -> tuple[list[Concept], list[tuple[str, str]]]:
    """The concepts of a file of finding models, and (concept, reason) of what is none.

    What is tagged as a diagnosis is a disease, all else an abnormality; what is tagged as technique is about the
    picture, not the patient. The file says nothing of what they exclude; with `exclude` they exclude the built-in
    normal statements of their region. Raises JobError for a file that does not hold what it should.
    """
    document = _json(path, "findings", list)
    licence = document.get("license", "")
    concepts, problems = [], []
    for place, model in enumerate(document["findings"], 1):
        name = str(model.get("name") or "").strip() if isinstance(model, dict) else ""
        tags = model.get("tags") or [] if name else []
        if not name:
            problems.append((f"finding {place}", "no name"))
        elif _PICTURE in tags:
            problems.append((name, "about the picture, not the patient"))
        else:
            concepts.append(
                Concept(
                    name=name,
                    kind="disease" if _DISEASE in tags else "abnormality",
                    synonyms=tuple(map(str, model.get("synonyms") or ())),
                    definition=" ".join(str(model.get("description") or "").split()),
                    origin=f"{document.get('source', path.name)}, {model.get('id', name)}, {licence}".rstrip(", "),
                    excludes=regions.contradicted(name, tags) if exclude else (),
                )
            )
    return _with_phrases(concepts, phrases, problems) if phrases else (concepts, problems)


def with_built_in(given: list[Concept]) -> list[Concept]:
    """The built-in concepts and the given ones.

    Of the given concepts that are twins of a built-in one, the closest becomes that concept: with the built-in name,
    kind and exclusions, with the words of both, and with the given definition. The others stay concepts of their own,
    of its kind and with its exclusions.
    """
    own = {concept.name: concept for concept in vocabulary.as_built_in()}
    names = {key: concept.name for concept in own.values() for key in _keys(concept.name)}
    words = {key: concept.name for concept in own.values() for key in _all_keys(concept)} | names
    twins = [_twin(concept, names, words) for concept in given]
    chosen: dict[str, int] = {}
    for number in sorted(range(len(given)), key=lambda number: twins[number]):
        chosen.setdefault(twins[number][1], number)
    rest = []
    for number, (concept, (_, twin)) in enumerate(zip(given, twins, strict=True)):
        if not twin:
            rest.append(concept)
        elif chosen[twin] == number:
            own[twin] = _merged(own[twin], concept)
        else:
            rest.append(replace(concept, kind=own[twin].kind, excludes=own[twin].excludes))
    return [*own.values(), *rest]


def _twin(concept: Concept, names: Mapping[tuple, str], words: Mapping[tuple, str]) -> tuple[int, str]:
    """How far a concept is from the built-in one that it is a twin of, and that one's name; "" if there is none.

    0: it has its name; 1: one of its synonyms is that name; 2: its name is a word for the built-in concept. Such a word
    alone often names something narrower ("alveolar edema" for pulmonary edema), so that it comes last.
    """
    places = (_keys(concept.name), names), (_all_keys(concept), names), (_keys(concept.name), words)
    for distance, (keys, known) in enumerate(places):
        if twin := next((known[key] for key in keys if key in known), ""):
            return distance, twin
    return len(places), ""


def _merged(own: Concept, given: Concept) -> Concept:
    """A built-in concept with the words and the definition of a given one."""
    synonyms = tuple(dict.fromkeys((*own.synonyms, *given.phrases)))
    return replace(own, synonyms=synonyms, definition=given.definition or own.definition, origin=given.origin)


def _with_phrases(
    concepts: list[Concept], path: Path, problems: list[tuple[str, str]]
) -> tuple[list[Concept], list[tuple[str, str]]]:
    """The concepts with the phrases of CheXpert's labeler as synonyms.

    Its phrases are parts of words ("consolidat", "_line_"); what ends in no "_" may go on, unless one of its
    "unmentions" goes on from there ("massive").
    """
    places = {key: number for number, concept in reversed(list(enumerate(concepts))) for key in _all_keys(concept)}
    made = list(concepts)
    for observation, lists in _json(path, "phrases", dict)["phrases"].items():
        name = observation.replace("_", " ")
        number = next((places[key] for key in _keys(name) if key in places), None)
        if number is None:
            problems.append((observation, "phrases without a definition"))
            continue
        others = lists.get("unmention", [])
        for phrase in lists.get("mention", []):
            plain = phrase.replace("_", " ").strip()
            if {text.normal(word) for word in plain.split()} <= text.words("places"):
                problems.append((observation, f"names a place, not a finding: {plain}"))
                continue
            whole = phrase.endswith("_") or any(other.startswith(phrase) for other in others)
            synonyms = (*made[number].synonyms, plain if whole else f"{plain}*")
            made[number] = replace(made[number], synonyms=synonyms)
    return made, problems


def _all_keys(concept: Concept) -> Iterable[tuple]:
    return (key for phrase in concept.phrases for key in _keys(phrase))


def _keys(phrase: str) -> list[tuple]:
    return vocabulary.keys(phrase)


def _only(paths: list[Path] | None, settings: Settings | None) -> Path | None:
    """The one path in a list; None for none, which only some kinds may have."""
    if len(paths or []) > 1:
        raise job.JobError(f"one file is read, not {len(paths)}: {', '.join(map(str, paths))}")
    if settings and bool(paths) == (settings.kind == "built-in"):
        raise job.JobError(
            f"kind {settings.kind} reads {'no file' if paths else 'a file: name it in concepts.vocabulary.path'}"
        )
    return paths[0] if paths else None


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else "|".join(value) if value is not None else ""


def _csv(path: Path) -> list[list[str]]:
    try:
        content = path.read_text(encoding="utf-8-sig")
        return [row for row in csv.reader(io.StringIO(content, newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise job.JobError(f"{path}: not readable as CSV in UTF-8 ({error}); {HINT}") from error


def _json(path: Path, key: str, kind: type) -> dict:
    try:
        document = files.read_json(path)
    except ValueError as error:
        raise job.JobError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(document, dict) or not isinstance(document.get(key), kind):
        raise job.JobError(f"{path}: no {kind.__name__} under '{key}'; {HINT}")
    return document


def _write(concepts: list[Concept], outputs: Outputs, lost: int, problems: int) -> None:
    frame = pd.DataFrame(
        [
            (each.name, each.kind, list(each.synonyms), each.definition, each.origin, list(each.excludes))
            for each in sorted(concepts, key=lambda concept: concept.name)
        ],
        columns=list(COLUMNS),
    )
    tables.write(frame, outputs.vocabulary, tables.VOCABULARY)
    shown = frame.assign(synonyms=frame["synonyms"].str.join("|"), excludes=frame["excludes"].str.join("|"))
    tables.write_csv(shown, outputs.table)
    kinds = ", ".join(f"{kind} {count}" for kind, count in frame["kind"].value_counts().sort_index().items())
    job.log.info("%d concepts (%s), %d set aside; %d reasons listed", len(frame), kinds, lost, problems)
