"""Measure an extraction against the findings that a drawn corpus is known to show.

Per label and status: how many reports say so, and how often that is true. A drawn report names every finding that its
image shows, so that what is not found lowers recall of present; what is absent need not be named, so that recall of
absent also says how much the reports deny. A finding that is ruled out by what the report calls normal ("the lungs are
clear") is excluded, which counts as absent.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from synvlp import job
from synvlp.concepts import statistics, vocabulary
from synvlp.concepts.vocabulary import Concept
from synvlp.store import files, tables

CLAIMS = ("present", "uncertain", "absent", "excluded")


class Settings(job.Settings):
    pass


class Inputs(job.Files):
    """Inputs of measure-extraction."""

    mentions: Path = job.file("where the texts speak of concepts (Parquet)")
    vocabulary: Path = job.file("concepts (Parquet)")
    prompts: Path = job.file("texts of the corpus (Parquet)")
    studies: Path = job.file("table of studies with their true labels (Parquet)")


class Outputs(job.Files):
    """Outputs of measure-extraction."""

    measures: Path = job.file("all measures (JSON)")
    table: Path = job.file("precision and recall per label and status (CSV)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Write the measures. Raises JobError if no label is in the vocabulary, or if the tables do not belong together."""
    concepts = vocabulary.load(inputs.vocabulary)
    studies = tables.read(inputs.studies, tables.STUDIES, ["study_id", "labels", "labelled"])
    prompts = tables.read(inputs.prompts, tables.PROMPTS, ["study_id", "origin"])
    written = set(prompts.loc[prompts["origin"] != "caption", "study_id"])
    truth = {row.study_id: set(row.labels) for row in studies.itertuples() if row.labelled and row.study_id in written}
    mentions = tables.read(inputs.mentions, tables.MENTIONS)
    alien = sorted(set(mentions["study_id"]) - written)
    if alien or not truth:
        problem = f"{len(alien)} of its studies have no report there, the first is {alien[0]}" if alien else "no labels"
        raise job.JobError(f"{inputs.mentions} and {inputs.prompts} do not belong together: {problem}")
    measures = measure(mentions, truth, concepts)
    if not measures["labels"]:
        raise job.JobError(f"{inputs.vocabulary}: none of the labels of {inputs.studies} is a concept or a synonym")
    files.write_json(outputs.measures, measures)
    rows = [
        {"label": label, "status": status, **numbers}
        for label, claims in [*measures["labels"].items(), ("overall", measures["overall"])]
        for status, numbers in claims.items()
    ]
    tables.write_csv(pd.DataFrame(rows), outputs.table)
    present = measures["overall"]["present"]
    job.log.info(
        "%d reports, %d labels: present has precision %.4f and recall %.4f",
        measures["reports"],
        len(measures["labels"]),
        present["precision"],
        present["recall"],
    )


def measure(mentions: pd.DataFrame, truth: Mapping[str, set[str]], concepts: Mapping[str, Concept]) -> dict:
    """All measures.

    Args:
        mentions: rows of the table MENTIONS.
        truth: the true labels of each study with a report.
        concepts: the vocabulary by name.
    """
    said = statistics.by_study(mentions)
    of_study: dict[str, dict[str, str]] = {study: {} for study in truth}
    for row in said[said["study_id"].isin(truth)].itertuples():
        of_study[row.study_id][row.concept] = row.status
    names = labelled(sorted({label for labels in truth.values() for label in labels}), concepts)
    claims = {
        label: [(_claim(of_study[study], concepts[name]), label in truth[study]) for study in sorted(truth)]
        for label, name in names.items()
    }
    return {
        "reports": len(truth),
        "labels": {label: _rates(claims[label]) for label in names},
        "overall": _rates([claim for label in names for claim in claims[label]]),
        "concepts": names,
    }


def labelled(labels: Sequence[str], concepts: Mapping[str, Concept]) -> dict[str, str]:
    """The concept that each label stands for, by its name or a synonym; labels that stand for none are left out."""
    words = {
        key: concept.name
        for concept in reversed(list(concepts.values()))
        for phrase in reversed(concept.phrases)
        for key in vocabulary.keys(phrase)
    }
    found = {label: next((words[key] for key in vocabulary.keys(label) if key in words), "") for label in labels}
    return {label: name for label, name in found.items() if name}


def _claim(said: Mapping[str, str], concept: Concept) -> str:
    """What a report says of a concept: a status, or excluded by what it calls normal, or ""."""
    status = said.get(concept.name, "")
    if status in ("", "absent") and any(said.get(other) == "present" for other in concept.excludes):
        return status or "excluded"
    return status


def _rates(claims: Sequence[tuple[str, bool]]) -> dict[str, dict]:
    """Counts and rates per status, from (what a report says, whether the finding is there).

    `said` counts the reports that say so, `right` those of them where it is true. What is uncertain is right where the
    finding is there. Recall is that of what is present, and of what is absent or excluded.
    """
    rates = {}
    for status in CLAIMS:
        there = status in ("present", "uncertain")
        said = sum(claim == status for claim, _ in claims)
        right = sum(claim == status and true == there for claim, true in claims)
        rates[status] = {"said": said, "right": right, "precision": right / said if said else 1.0}
    for status, counted in (("present", ("present",)), ("absent", ("absent", "excluded"))):
        true = sum(true == (status == "present") for _, true in claims)
        recall = sum(rates[name]["right"] for name in counted) / true if true else 1.0
        rates[status] |= {"true": true, "recall": recall}
    return rates
