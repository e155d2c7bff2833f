"""Anonymize the reports of a corpus: identifiers become stand-ins, old markers go, and an audit says what was done.

Detectors (rules, words of context, checks on vocabulary, and a token classifier if its folder is given) find
patients, doctors, dates, ages over 89, records, accessions, phones, hospitals, addresses and devices' serials.
A name that is certain in one of a patient's reports is looked for in all of them. Stand-ins keep the form, the
sex of first names and, per patient, the intervals between dates. All choices come from a keyed hash; the key is
the content of the file `key` and appears nowhere else.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from synvlp import job
from synvlp.reports import dates, markers, spans
from synvlp.reports.detectors import ages, names, numbers, places
from synvlp.reports.lexicons import words
from synvlp.reports.spans import Span
from synvlp.reports.surrogates import Surrogates, originals
from synvlp.store import files, tables

_KEY_BYTES = 16  # fewer could be tried out: the offsets of dates tell a wrong key from the right one
_DEFAULT_YEAR = 2019  # for dates of reports in which no date names a year
_BIRTH = re.compile(
    r"\b(?:dob|d\.o\.b|birth[ \t]?date|date of birth|birth(?:day)?|born)\b[^\w\n]*(?:(?:on|is|was|in)\W+)*$", re.I
)
_LINE_END = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_SPACE = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_UNSEEN = re.compile("[\u00ad\u200b-\u200d\u2060\ufeff]")


class Settings(job.Settings):
    max_shift: int = job.setting(
        364, "dates move by 1 to this many days, forward or back, one number per patient", unit="days", ge=1, le=3650
    )
    detector_folder: str | None = job.setting(
        None, "folder of a token classifier (transformers, safetensors) that detects beside the rules; none: rules only"
    )
    detector_threshold: float = job.setting(0.5, "least probability at which the classifier's label counts", gt=0, lt=1)
    examples: int = job.setting(5, "examples per category in the audit, as stand-ins", ge=0, le=50)
    keep_markers: bool = job.setting(
        False, "leave marks of an earlier de-identification where they are: for the ablation of memorization alone"
    )


class Inputs(job.Files):
    reports: Path = job.file("raw reports, private (Parquet)")
    studies: Path = job.file("table of studies (Parquet)")
    key: Path = job.file("file with the secret, at least 16 bytes; its content never leaves it")


class Outputs(job.Files):
    anonymized: Path = job.file("anonymized reports (Parquet)")
    found: Path = job.file(
        "where identifiers stood in the raw reports, plain spaces and line ends put in: positions, no text (Parquet)"
    )
    audit: Path = job.file("what was found and replaced, per category (JSON)")
    audit_table: Path = job.file("the same, for people (CSV)")


class Detector:
    """All detectors as one.

    Args:
        folder: of a token classifier, or None.
        threshold: its least probability.

    Raises JobError for a folder that holds no usable classifier.
    """

    def __init__(self, folder: str | None = None, threshold: float = 0.5) -> None:
        self._model = _classifier(folder, threshold) if folder else None

    def find(self, text: str) -> list[Span]:
        """The spans of one report, overlapping as the detectors gave them; none reaches into an old marker.

        Positions are those in the `normalized` text.
        """
        text = normalized(text)
        found = [Span(date.start, date.end, "date", "calendar", True) for date in dates.find(text)]
        for detector in (names, numbers, places, ages):
            found += detector.find(text)
        if self._model is not None:
            found += self._model.find(text)
        return _outside_markers(text, found)

    def find_all(self, texts: dict[str, str], patient: str) -> dict[str, list[Span]]:
        """The spans of all reports of one patient, in order and without overlap, in the `normalized` texts.

        Args:
            texts: report of each study.
            patient: the patient's id, which may itself stand in a report.
        """
        texts = {study: normalized(text) for study, text in texts.items()}
        found = {study: self.find(text) for study, text in texts.items()}
        known = _certain_names(texts, found)
        for study, text in texts.items():
            more = [
                *names.propagate(text, known),
                *numbers.known(text, patient, "record"),
                *numbers.known(text, study, "accession"),
            ]
            joined = spans.union(_outside_markers(text, found[study] + more))
            found[study] = [span for span in (spans.trimmed(text, span) for span in joined) if span.end > span.start]
        return found


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Anonymize all reports.

    Raises JobError for a key that is too short, a report whose patient the table of studies does not have.
    """
    key = _read_key(inputs.key)
    reports = tables.read(inputs.reports, tables.REPORTS)
    sexes = _sexes(reports, tables.read(inputs.studies, tables.STUDIES, ["study_id", "patient_id", "sex"]), inputs)
    detector = Detector(settings.detector_folder, settings.detector_threshold)
    patients = reports.sort_values("study_id").groupby("patient_id", sort=True)
    rows, found, replaced = [], [], []
    removed = Counter()
    if settings.keep_markers:
        job.log.warning("ABLATION: marks of an earlier de-identification stay in these reports (keep_markers)")
    for patient, group in job.progress(patients, "patients", total=patients.ngroups):
        texts = dict(zip(group["study_id"], map(normalized, group["text"]), strict=True))
        spotted = detector.find_all(texts, patient)
        used = [text for study in texts for text in originals(texts[study], spotted[study])]
        surrogates = Surrogates(key, patient, sexes.get(patient, ""), settings.max_shift, used)
        for study, text in texts.items():
            new, examples = replace(text, spotted[study], surrogates)
            clean, count = (new, 0) if settings.keep_markers else markers.clean(new)
            removed.update({"markers": count, "reports": count > 0})
            rows.append((study, patient, clean))
            found += [(study, span.category, span.start, span.end, span.detector) for span in spotted[study]]
            replaced += [(study, category, example) for category, example in examples]
    _write(settings, outputs, rows, found, replaced, removed)


def normalized(text: str) -> str:
    """A report with `\\n` as its only line end, the plain space for all others, and no character that takes no room.

    A name behind a no-break space or a Windows line end is one all the same, and the rules know the plain ones.
    """
    return _UNSEEN.sub("", _SPACE.sub(" ", _LINE_END.sub("\n", text)))


def replace(text: str, found: list[Span], surrogates: Surrogates) -> tuple[str, list[tuple[str, str]]]:
    """A report with stand-ins at the spans, and per span its category and the stand-in in its context.

    Text outside the spans stays as it is, but for being `normalized`.
    """
    text = normalized(text)
    year = _year_of(text)
    # Longer names first: they tell which of their words is the first name.
    order = sorted(found, key=lambda span: (span.start - span.end, span.start))
    new = {span: surrogates.of(text, span, year) for span in order}
    out, examples, at = [], [], 0
    for span in found:
        out += [text[at : span.start], new[span]]
        before, after = _context(text[at : span.start], -1), _context(text[span.end :], 1)
        examples.append((span.category, f"{before}[{new[span]}]{after}".strip()))
        at = span.end
    return "".join([*out, text[at:]]), examples


def _year_of(text: str) -> int:
    """The year that dates without one are taken to be of: the latest that the report names, births left out."""
    named = [date.year for date in dates.find(text) if date.year and not _BIRTH.search(text[: date.start])]
    return max(named, default=_DEFAULT_YEAR)


def _context(text: str, side: int) -> str:
    """Up to two words beside a span, if they are everyday or clinical words in lower case; else nothing."""
    near = re.findall(r"\S+\s*$", text[-30:]) if side < 0 else re.findall(r"^\s*\S+", text[:30])
    plain = near and re.fullmatch(r"[a-z]{2,}:?", near[0].strip()) and words.is_vocabulary(near[0].strip().rstrip(":"))
    return (near[0].strip() + " " if side < 0 else " " + near[0].strip()) if plain else ""


def _outside_markers(text: str, found: list[Span]) -> list[Span]:
    """The spans, cut at old markers: what is left of a name beside one is a name still."""
    holes = [match.span() for match in markers.MARKER.finditer(text)]
    return [piece for span in found for piece in _pieces(text, span, holes)]


def _pieces(text: str, span: Span, holes: list[tuple[int, int]]) -> Iterator[Span]:
    """What markers leave of a span: all of it where there are none, else each piece that may identify."""
    inside = [(start, end) for start, end in holes if start < span.end and span.start < end]
    if not inside:
        yield span
        return
    starts = [span.start, *(end for _, end in inside)]
    ends = [*(start for start, _ in inside), span.end]
    for start, end in zip(starts, ends, strict=True):
        letters = [place for place in range(start, end) if text[place].isalnum()]
        if letters and _identifies(text[letters[0] : letters[-1] + 1], span.category):
            yield dataclasses.replace(span, start=letters[0], end=letters[-1] + 1)


def _identifies(piece: str, category: str) -> bool:
    """Whether a piece of an identifier says something: of a place, the everyday words (Hospital) do not."""
    if category not in {"hospital", "address"} or re.search(r"\d", piece):
        return True
    kinds = words.single_words("hospital_words")
    return not all(word.lower() in kinds or words.is_vocabulary(word) for word in re.findall(r"[^\W\d_]+", piece))


def _certain_names(texts: dict[str, str], found: dict[str, list[Span]]) -> dict[str, str]:
    """The names (whole and by words) that are certain in a patient's reports, in lower case, with their category."""
    known: dict[str, str] = {}
    for study, text in texts.items():
        for span in found[study]:
            if span.certain and span.category in {"patient", "doctor"}:
                for part in names.parts(text[span.start : span.end]):
                    known.setdefault(part, span.category)
    return known


def _read_key(path: Path) -> bytes:
    key = path.read_bytes().strip()
    if len(key) < _KEY_BYTES:
        raise job.JobError(
            f"key {path}: {len(key)} bytes are too few for a secret, {_KEY_BYTES} are the least; "
            "`head -c 32 /dev/urandom | base64` makes one"
        )
    return key


def _sexes(reports: pd.DataFrame, studies: pd.DataFrame, inputs: Inputs) -> dict[str, str]:
    """Each patient's sex. Raises JobError for reports that the table of studies does not have."""
    alien = sorted(set(reports["study_id"]) - set(studies["study_id"]))
    if alien:
        raise job.JobError(
            f"{inputs.reports}: {len(alien)} reports belong to no study of {inputs.studies}, the first is {alien[0]}"
        )
    known = studies[studies["sex"].isin(["F", "M"])].drop_duplicates("patient_id")
    return dict(zip(known["patient_id"], known["sex"], strict=True))


def _classifier(folder: str, threshold: float) -> object:
    from synvlp.reports.detectors import model

    try:
        return model.Classifier(Path(folder), threshold)
    except (OSError, ValueError, KeyError) as error:
        raise job.JobError(f"setting detector_folder: {error}") from error


def _write(settings: Settings, outputs: Outputs, rows: list, found: list, replaced: list, removed: Counter) -> None:
    tables.write(pd.DataFrame(rows, columns=list(tables.ANONYMIZED.columns)), outputs.anonymized, tables.ANONYMIZED)
    spotted = pd.DataFrame(found, columns=list(tables.FOUND.columns)).astype({"start": "int64", "end": "int64"})
    tables.write(spotted, outputs.found, tables.FOUND)
    lines = list(_audit(spotted, replaced, settings.examples))
    files.write_json(
        outputs.audit,
        {
            "reports": len(rows),
            "reports_with_identifiers": int(spotted["study_id"].nunique()),
            "identifiers": len(spotted),
            "markers_removed": removed["markers"],
            "reports_with_markers": removed["reports"],
            **({"ablation": "markers are kept"} if settings.keep_markers else {}),
            "categories": {
                line["category"]: {name: line[name] for name in line if name != "category"} for line in lines
            },
        },
    )
    frame = pd.DataFrame(lines)
    tables.write_csv(
        frame.assign(examples=frame["examples"].map("; ".join), detectors=frame["detectors"].map(str)),
        outputs.audit_table,
    )
    job.log.info(
        "%d reports: %d identifiers in %d reports replaced, %d markers in %d reports removed",
        len(rows), len(spotted), spotted["study_id"].nunique(), removed["markers"], removed["reports"],
    )  # fmt: skip


def _audit(spotted: pd.DataFrame, replaced: list, limit: int) -> Iterator[dict]:
    for category in spans.CATEGORIES:
        own = spotted[spotted["category"] == category]
        examples = [example for _, name, example in replaced if name == category]
        yield {
            "category": category,
            "found": len(own),
            "replaced": len(examples),
            "reports": int(own["study_id"].nunique()),
            "detectors": {name: int(count) for name, count in sorted(Counter(own["detector"]).items())},
            "examples": list(dict.fromkeys(examples))[:limit],
        }
