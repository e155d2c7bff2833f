"""What all writers share: their files, the check of each text, rewrites, rejections, and going on after a kill.

A writer is a module of `synvlp.concepts.writers`. It turns requests into texts; here each text is read for concepts,
and is asked for again with what was wrong about it until it names all and only those of its set.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from synvlp import job
from synvlp.concepts.extraction import Extractor
from synvlp.concepts.observed import ANATOMY
from synvlp.concepts.vocabulary import Concept, load
from synvlp.store import prompting, tables

_HEADING = re.compile(r"(?:^[\s*#_]*|(?<=[.!?]\s))(FINDINGS?|IMPRESSION)[\s*_]*:[\s*_]*", re.IGNORECASE | re.MULTILINE)
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_MARKUP = re.compile(r"[*#_`]+|^\s*[-•]\s+|^\s*\d{1,2}[.)]\s+", re.MULTILINE)


class Settings(job.Settings):
    """Settings of every writer."""

    max_rewrites: int = job.setting(
        3, "how often a text that lacks or adds concepts is written again before its set is rejected", ge=0
    )
    max_rejected: float = job.setting(0.1, "share of sets that may be rejected before the run stops", ge=0, le=1)
    added_anatomy: bool = job.setting(
        True, "a text may name anatomy beside that of its set: most findings say where they are"
    )
    seed: int = job.setting(0, "seeds each text, together with its report and attempt", ge=0)


class Inputs(job.Files):
    """Inputs of every writer."""

    sets: Path = job.file("sets of concepts (Parquet)")
    vocabulary: Path = job.file("vocabulary of concepts (Parquet)")
    model_files: list[Path] = job.setting([], "files of the model that writes; for writers that have one")


class Outputs(job.Files):
    """Outputs of every writer."""

    reports: Path = job.file("written reports (Parquet)")
    rejected: Path = job.file("sets without a text that names all and only their concepts (CSV)")


@dataclass(frozen=True)
class Problem:
    """What is wrong with a text: concepts that it lacks, that it adds, or that it is no report."""

    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    form: str = ""

    def __str__(self) -> str:
        parts = [self.form] if self.form else []
        parts += [f"missing: {', '.join(self.missing)}"] if self.missing else []
        parts += [f"added: {', '.join(self.added)}"] if self.added else []
        return "; ".join(parts)


@dataclass(frozen=True)
class Request:
    """A report to write: its id, its set, the attempt from 0, and from the second one on the last text's problem."""

    study_id: str
    concepts: tuple[Concept, ...]
    attempt: int = 0
    last: str = ""
    problem: Problem = Problem()


@dataclass(frozen=True)
class Report:
    """The two sections of a written report."""

    findings: str
    impression: str


Write = Callable[[Sequence[Request]], Sequence[str]]


@dataclass
class _Progress:
    """How far the writing is, in plain values that can be saved."""

    attempt: int = 0
    place: int = 0  # requests of this attempt that were answered
    pending: list[str] = field(default_factory=list)  # ids of this attempt
    again: list[str] = field(default_factory=list)  # ids of the next
    written: dict[str, list] = field(default_factory=dict)  # id -> findings, impression, attempt
    wrong: dict[str, list] = field(default_factory=dict)  # id -> last text, missing, added, form


def run(module: str, settings: Settings, inputs: Inputs, outputs: Outputs, write: Write, batch: int) -> None:
    """Write a report for every set.

    Args:
        module: the writer's module, whose saved state is gone on from.
        settings, inputs, outputs: the writer's.
        write: texts for requests, in their order; a text depends on its request alone.
        batch: requests at a time; the state may be saved between two batches.

    Raises:
        JobError: a set has a concept that the vocabulary lacks, or too many sets are rejected.
    """
    vocabulary = load(inputs.vocabulary)
    sets = _sets(inputs, vocabulary)
    check = Checker(vocabulary, settings.added_anatomy)
    scratch = job.Scratch(module, settings, inputs)
    saved = scratch.load()
    done = _Progress(**saved) if saved else _Progress(pending=sorted(sets))
    while done.pending and done.attempt <= settings.max_rewrites:
        _attempt(done, sets, check, write, batch, scratch)
        job.log.info("attempt %d: %d texts are right, %d are not", done.attempt, len(done.written), len(done.again))
        done.attempt, done.place, done.pending, done.again = done.attempt + 1, 0, done.again, []
    _finish(settings, outputs, sets, done)
    scratch.remove()


def _sets(inputs: Inputs, vocabulary: Mapping[str, Concept]) -> dict[str, tuple[Concept, ...]]:
    frame = tables.read(inputs.sets, tables.SETS)
    unknown = sorted({name for names in frame["concepts"] for name in names} - set(vocabulary))
    if unknown:
        raise job.JobError(f"{inputs.sets}: {inputs.vocabulary} has no concept {unknown[0]!r}; draw the sets anew")
    return {row.study_id: tuple(vocabulary[name] for name in row.concepts) for row in frame.itertuples()}


def _attempt(done: _Progress, sets: Mapping, check: "Checker", write: Write, batch: int, scratch: job.Scratch) -> None:
    """Ask once for every pending text."""
    total = len(done.pending)
    starts = range(done.place, total, batch)
    for start in job.progress(starts, "batches", total=-(-total // batch), start=done.place // batch):
        requests = [_request(study_id, sets, done) for study_id in done.pending[start : start + batch]]
        for request, text in zip(requests, write(requests), strict=True):
            report, problem = check(text, request.concepts)
            if str(problem):
                done.again.append(request.study_id)
                done.wrong[request.study_id] = [text, list(problem.missing), list(problem.added), problem.form]
            else:
                done.written[request.study_id] = [report.findings, report.impression, request.attempt]
                done.wrong.pop(request.study_id, None)
        done.place = min(start + batch, total)
        place = f"after {done.place} of {total} texts of attempt {done.attempt}"
        scratch.checkpoint(lambda: dict(vars(done)), place)


def _request(study_id: str, sets: Mapping, done: _Progress) -> Request:
    text, missing, added, form = done.wrong.get(study_id, ["", [], [], ""])
    return Request(study_id, sets[study_id], done.attempt, text, Problem(tuple(missing), tuple(added), form))


def _finish(settings: Settings, outputs: Outputs, sets: Mapping, done: _Progress) -> None:
    lost = [
        (study_id, "sets.parquet", f"{reason}, after {settings.max_rewrites} rewrites")
        for study_id, (_, missing, added, form) in sorted(done.wrong.items())
        for reason in [str(Problem(tuple(missing), tuple(added), form))]
    ]
    tables.write_csv(pd.DataFrame(lost, columns=list(tables.REJECTED.columns)), outputs.rejected)
    job.check_rejected(len(lost), len(sets), settings.max_rejected, outputs.rejected)
    rows = [
        (study_id, [concept.name for concept in sets[study_id]], findings, impression, attempt)
        for study_id, (findings, impression, attempt) in sorted(done.written.items())
    ]
    tables.write(pd.DataFrame(rows, columns=list(tables.WRITTEN.columns)), outputs.reports, tables.WRITTEN)
    job.log.info("%d reports, %d sets rejected", len(rows), len(lost))


class Checker:
    """Whether a text is a report of all and only the concepts of its set."""

    def __init__(self, vocabulary: Mapping[str, Concept], added_anatomy: bool = True) -> None:
        self.vocabulary, self.added_anatomy = vocabulary, added_anatomy
        self.extract = Extractor(vocabulary)

    def __call__(self, text: str, concepts: Sequence[Concept]) -> tuple[Report, Problem]:
        """The text's sections, and what is wrong with them; the problem's text is "" where nothing is.

        FINDINGS must name each finding as present and each anatomy at all, after the cleaning that makes it a text for
        encoders, which drops sentences of one word. Neither section may name any other finding as present, not even in
        what is dropped.
        """
        report = parse(text)
        if not (report.findings and report.impression):
            return report, Problem(form="no FINDINGS or no IMPRESSION")
        found = self.named(prompting.write_text("", report.findings))
        both = found | self.named(report.findings) | self.named(report.impression)
        wanted = {concept.name for concept in concepts}
        added = sorted(name for name in both - wanted if not (self.added_anatomy and self._is_anatomy(name)))
        return report, Problem(tuple(sorted(wanted - found)), tuple(added))

    def named(self, text: str) -> set[str]:
        """Findings that a text says are present, and all anatomy that it names."""
        return {
            mention.concept
            for mention in self.extract(text)
            if mention.status == "present" or self._is_anatomy(mention.concept)
        }

    def _is_anatomy(self, name: str) -> bool:
        return self.vocabulary[name].kind == ANATOMY


def parse(text: str) -> Report:
    """The FINDINGS and the IMPRESSION of a text; "" where it has none.

    Markdown, lists and what a reasoning model thinks aloud are taken away.
    """
    parts = _HEADING.split(_THOUGHT.sub("", text))
    sections = {"FINDINGS": "", "IMPRESSION": ""}
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        name = "IMPRESSION" if heading.upper() == "IMPRESSION" else "FINDINGS"
        sections[name] = sections[name] or " ".join(_MARKUP.sub(" ", body).split())
    return Report(sections["FINDINGS"], sections["IMPRESSION"])


def joined(report: Report) -> str:
    """A report as the text that `parse` takes apart."""
    return f"FINDINGS: {report.findings}\nIMPRESSION: {report.impression}"
