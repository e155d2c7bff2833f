"""The vocabulary: concepts with their kind, synonyms, definition, where it comes from, and what they exclude.

A synonym may hold `*` for up to four words ("heart * enlarged" is also "the heart is mildly enlarged"), and end
in `*` for any ending. One that begins with "no" is met where the rest is said to be absent ("no acute disease" also
in "without evidence of acute disease").
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from synvlp.concepts import text
from synvlp.job import JobError
from synvlp.store import tables

KINDS = ("abnormality", "non-abnormality", "disease", "non-disease", "anatomy")
BUILT_IN = Path(__file__).with_name("builtin.csv")


@dataclass(frozen=True)
class Concept:
    """One concept."""

    name: str
    kind: str  # abnormality, non-abnormality, disease, non-disease, anatomy
    synonyms: tuple[str, ...]  # other words for it; its name counts, too
    definition: str
    origin: str  # where the definition comes from
    excludes: tuple[str, ...]  # concepts that cannot be true of the same image

    @property
    def phrases(self) -> tuple[str, ...]:
        """All that it is called."""
        return (self.name, *self.synonyms)


def load(path: Path) -> dict[str, Concept]:
    """The concepts by name, in the order of their names, from the Parquet table that read-vocabulary writes.

    Raises JobError if it is no such table, or holds what read-vocabulary would not have written.
    """
    try:
        frame = tables.read(path, tables.VOCABULARY)
    except tables.TableError as error:
        raise JobError(f"{error}; read-vocabulary writes such a table") from error
    concepts = [
        Concept(row.concept, row.kind, tuple(row.synonyms), row.definition, row.origin, tuple(row.excludes))
        for row in frame.sort_values("concept").itertuples()
    ]
    kept, problems = checked(concepts)
    if problems or not kept:
        name, reason = problems[0] if problems else ("", "no concepts")
        raise JobError(f"{path}: {name}: {reason}; write it anew with read-vocabulary")
    if closed(kept) != kept:
        raise JobError(f"{path}: what concepts exclude is not the same both ways; write it anew with read-vocabulary")
    return {concept.name: concept for concept in kept}


def built_in() -> dict[str, Concept]:
    """The concepts of the vocabulary that this package holds (`builtin.csv`), by name."""
    kept, problems = checked(as_built_in())
    if problems:
        raise ValueError(f"{BUILT_IN.name}: {problems}")
    return {concept.name: concept for concept in sorted(closed(kept), key=lambda concept: concept.name)}


def as_built_in() -> list[Concept]:
    """The rows of `builtin.csv` as they are written there."""
    with BUILT_IN.open(encoding="utf-8", newline="") as file:
        return [of_cells(row) for row in csv.DictReader(file)]


def of_cells(cells: Mapping[str, str]) -> Concept:
    """The concept in a row of a CSV table; synonyms and what it excludes are parted by "|"."""
    lists = {
        name: tuple(part.strip() for part in cells.get(name, "").split("|") if part.strip())
        for name in ("synonyms", "excludes")
    }
    return Concept(
        name=cells["concept"], kind=cells["kind"], definition=cells["definition"], origin=cells["origin"], **lists
    )


def checked(concepts: Iterable[Concept]) -> tuple[list[Concept], list[tuple[str, str]]]:
    """The concepts that can be used, and (name, reason) of each that cannot, or of a part of it that was left out.

    A name may come once, and goes before synonyms; of concepts with the same synonym the first keeps it. "*disease"
    among what a concept excludes becomes all concepts of that kind; so for each kind.
    """
    kept: list[Concept] = []
    problems: list[tuple[str, str]] = []
    names: dict[tuple, str] = {}
    for concept in concepts:
        if reason := _unusable(concept, names):
            problems.append((concept.name, reason))
        else:
            names.update((key, concept.name) for key in keys(concept.name))
            kept.append(concept)
    kept = _expanded(kept)
    owners, known = dict(names), {concept.name for concept in kept}
    for place, concept in enumerate(kept):
        synonyms, alien = _synonyms(concept, owners)
        missing = [name for name in concept.excludes if name not in known or name == concept.name]
        problems += [(concept.name, reason) for reason in alien]
        problems += [(concept.name, f"excludes an unknown concept: {name}") for name in missing]
        excludes = tuple(sorted(set(concept.excludes) - set(missing)))
        kept[place] = replace(concept, synonyms=synonyms, excludes=excludes)
    return kept, problems


def closed(concepts: list[Concept]) -> list[Concept]:
    """The concepts, each excluding also those that exclude it."""
    excluding: dict[str, set[str]] = {concept.name: set(concept.excludes) for concept in concepts}
    for concept in concepts:
        for other in concept.excludes:
            excluding[other].add(concept.name)
    return [replace(concept, excludes=tuple(sorted(excluding[concept.name]))) for concept in concepts]


def contradictions(names: Iterable[str], vocabulary: Mapping[str, Concept]) -> list[tuple[str, str]]:
    """The pairs among `names`, in alphabetical order, of which one excludes the other."""
    chosen = sorted(set(names))
    return [(one, other) for one in chosen for other in vocabulary[one].excludes if one < other and other in chosen]


def negated(phrase: str) -> bool:
    """Whether a phrase says that something is absent: it is met where the rest of it is."""
    return phrase.lower().startswith("no ")


def keys(phrase: str) -> list[tuple]:
    """What makes two phrases the same: their normal words, in all their variants."""
    return [tuple(words) for words in text.variants(phrase)]


def _expanded(concepts: list[Concept]) -> list[Concept]:
    """The concepts with "*disease" among what they exclude replaced by all other concepts of that kind."""
    of_kind: dict[str, list[str]] = {f"*{kind}": [] for kind in KINDS}
    for concept in concepts:
        of_kind[f"*{concept.kind}"].append(concept.name)
    made = []
    for concept in concepts:
        excludes = {each for name in concept.excludes for each in of_kind.get(name, [name])}
        made.append(replace(concept, excludes=tuple(sorted(excludes - {concept.name}))))
    return made


def _unusable(concept: Concept, names: Mapping[tuple, str]) -> str:
    """Why a concept cannot be used, or ""."""
    if not keys(concept.name):
        return "no name"
    if twin := next((names[key] for key in keys(concept.name) if key in names), ""):
        return f"duplicate name: the same as {twin}"
    if concept.kind not in KINDS:
        return f"unknown kind: {concept.kind or 'none'} where one of {', '.join(KINDS)} is expected"
    if not concept.definition.strip():
        return "empty definition"
    return ""


def _synonyms(concept: Concept, owners: dict[tuple, str]) -> tuple[tuple[str, ...], list[str]]:
    """The synonyms of a concept that are its own, and why others are not; `owners` learns whose they are."""
    own, problems = [], []
    for synonym in dict.fromkeys(map(str.strip, concept.synonyms)):
        forms = keys(synonym)
        taken = next((owners[form] for form in forms if owners.get(form, concept.name) != concept.name), "")
        if not forms:
            problems.append(f"empty synonym: '{synonym}'")
        elif taken:
            problems.append(f"duplicate synonym: '{synonym}' belongs to {taken}")
        elif not all(form in owners for form in forms):
            owners.update((form, concept.name) for form in forms)
            own.append(synonym)
    return tuple(own), problems
