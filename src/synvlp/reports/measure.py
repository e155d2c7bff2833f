"""Measure an anonymization against the identifiers that were planted: recall, precision, leaks, words lost.

A true identifier is found if found spans cover each of its letters and digits, whatever their category. A found
span is right if it touches a true identifier. A report leaks if a word or number of a true identifier is still
in its anonymized text where it was (dates: their day or month), or if a name or number stands in it verbatim.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from synvlp import job
from synvlp.store import files, tables

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


class Settings(job.Settings):
    pass


class Inputs(job.Files):
    reports: Path = job.file("raw reports, private (Parquet)")
    identifiers: Path = job.file("planted identifiers (Parquet)")
    found: Path = job.file("where identifiers were found (Parquet)")
    anonymized: Path = job.file("anonymized reports (Parquet)")


class Outputs(job.Files):
    measures: Path = job.file("all measures (JSON)")
    table: Path = job.file("recall and precision per category (CSV)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Write the measures. Raises JobError if the tables do not belong together."""
    reports = tables.read(inputs.reports, tables.REPORTS).set_index("study_id")["text"].to_dict()
    anonymized = tables.read(inputs.anonymized, tables.ANONYMIZED).set_index("study_id")["text"].to_dict()
    truth = tables.read(inputs.identifiers, tables.IDENTIFIERS)
    found = tables.read(inputs.found, tables.FOUND)
    _check(inputs, reports, anonymized, truth, found)
    measures = measure(reports, anonymized, truth, found)
    files.write_json(outputs.measures, measures)
    lines = [{"category": name, **values} for name, values in measures["categories"].items()]
    lines.append({"category": "overall", **measures["overall"]})
    columns = ["category", "true", "found", "recall", "spotted", "right", "precision", "f1"]
    tables.write_csv(pd.DataFrame(lines)[columns], outputs.table)
    job.log.info(
        "%d identifiers in %d reports: recall %.4f, precision %.4f, %d reports leak",
        len(truth),
        len(reports),
        measures["overall"]["recall"],
        measures["overall"]["precision"],
        measures["reports_with_leak"],
    )


def measure(reports: dict[str, str], anonymized: dict[str, str], truth: pd.DataFrame, found: pd.DataFrame) -> dict:
    """All measures of one anonymization.

    Args:
        reports: raw text of each study.
        anonymized: anonymized text of each study.
        truth: rows of the table IDENTIFIERS.
        found: rows of the table FOUND.
    """
    counts: dict[str, Counter] = {category: Counter() for category in sorted({*truth["category"], *found["category"]})}
    confusion: dict[str, Counter] = {category: Counter() for category in counts}
    totals = Counter()
    true_of = {study: list(rows.itertuples()) for study, rows in truth.groupby("study_id")}
    found_of = {study: list(rows.itertuples()) for study, rows in found.groupby("study_id")}
    for study, text in reports.items():
        true, spotted = true_of.get(study, []), found_of.get(study, [])
        covered = _covered(spotted)
        for span in true:
            hits = {other.category for other in spotted if _touch(span, other)}
            found_all = not any(text[place].isalnum() and place not in covered for place in range(span.start, span.end))
            counts[span.category].update({"true": 1, "found": found_all, "same": found_all and span.category in hits})
            confusion[span.category].update(hits or {"missed"})
        for span in spotted:
            counts[span.category].update({"spotted": 1, "right": any(_touch(span, other) for other in true)})
        leaks = sum(_leaks(text, anonymized[study], span, covered) for span in true)
        totals.update({"leaks": leaks, "leaky": leaks > 0})
        totals.update(_words(text, true, covered))
    return _summed(counts, confusion, totals, len(reports))


def _summed(counts: dict[str, Counter], confusion: dict[str, Counter], totals: Counter, reports: int) -> dict:
    everything = sum(counts.values(), Counter())
    return {
        "overall": _rates(everything),
        "categories": {category: _rates(count) for category, count in counts.items()},
        "confusion": {category: dict(sorted(count.items())) for category, count in confusion.items() if count},
        "reports": reports,
        "leaks": totals["leaks"],
        "leaks_per_report": totals["leaks"] / max(reports, 1),
        "reports_with_leak": totals["leaky"],
        "words_outside_identifiers": totals["outside"],
        "clinical_words_lost": totals["lost"],
        "clinical_words_lost_per_1000": 1000 * totals["lost"] / max(totals["outside"], 1),
    }


def _rates(count: Counter) -> dict:
    recall = count["found"] / count["true"] if count["true"] else 1.0
    precision = count["right"] / count["spotted"] if count["spotted"] else 1.0
    f1 = 2 * recall * precision / (recall + precision) if recall + precision else 0.0
    return {
        "true": count["true"],
        "found": count["found"],
        "found_as_same_category": count["same"],
        "spotted": count["spotted"],
        "right": count["right"],
        "recall": recall,
        "precision": precision,
        "f1": f1,
    }


def _touch(one: object, other: object) -> bool:
    return one.start < other.end and other.start < one.end


def _covered(spotted: list) -> set[int]:
    return {place for span in spotted for place in range(span.start, span.end)}


def _leaks(text: str, anonymized: str, span: object, covered: set[int]) -> bool:
    for word in re.finditer(r"[^\W_]+", text[span.start : span.end]):
        places = range(span.start + word.start(), span.start + word.end())
        year = span.category == "date" and re.fullmatch(r"(?:19|20|21)\d\d", word.group())
        if not year and not all(place in covered for place in places):
            return True
    if span.category in {"date", "age"}:
        return False  # every day of the calendar can be the stand-in of another
    return bool(re.search(rf"(?<!\w){re.escape(text[span.start : span.end])}(?!\w)", anonymized, re.IGNORECASE))


def _words(text: str, true: list, covered: set[int]) -> Iterator[dict]:
    truth = _covered(true)
    outside = [word for word in _WORD.finditer(text) if not truth & set(range(*word.span()))]
    lost = sum(any(place in covered for place in range(*word.span())) for word in outside)
    return {"outside": len(outside), "lost": lost}


def _check(inputs: Inputs, reports: dict, anonymized: dict, truth: pd.DataFrame, found: pd.DataFrame) -> None:
    for path, studies in (
        (inputs.anonymized, set(anonymized)),
        (inputs.identifiers, set(truth["study_id"])),
        (inputs.found, set(found["study_id"])),
    ):
        alien = studies - set(reports)
        if alien:
            raise job.JobError(
                f"{path}: {len(alien)} of its studies are not in {inputs.reports}, the first is {min(alien)}"
            )
    missing = set(reports) - set(anonymized)
    if missing:
        raise job.JobError(f"{inputs.anonymized}: {len(missing)} reports are missing, the first is {min(missing)}")
    for row in truth.itertuples():
        if reports[row.study_id][row.start : row.end] != row.text:
            raise job.JobError(
                f"{inputs.identifiers}: study {row.study_id}: no such identifier at {row.start} of its report"
            )
