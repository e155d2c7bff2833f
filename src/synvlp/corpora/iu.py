"""Read the Indiana University reports as published: XML files in a .tgz archive, streamed, never unpacked.

A study is one report without an image: there are 3,955. Words that its publishers took out are XXXX. Splits and
labels come from an index (CSV) where it is given, else from a hash of the id and the coders' MeSH headings.
"""

import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import ParseError

from synvlp import job
from synvlp.corpora import checks, corpus
from synvlp.corpora.checks import Rejected, Row

LARGEST = 1_000_000  # bytes of one report; the published ones have up to 9,000
LARGEST_TOTAL = 2_000_000_000  # bytes of all members, unpacked
INDEX_HINT = "the index is described in docs/data.md"


class Settings(job.Settings):
    """Settings of the Indiana reports."""

    split_seed: int = job.setting(0, "seeds the split where there is no index with a column split", ge=0)
    max_rejected: float = job.setting(0.05, "share of reports that may be set aside before the run stops", ge=0, le=1)


class Inputs(job.Files):
    archive: Path = job.file("reports as published (.tgz of XML)")
    index: list[Path] | None = job.optional_file("index of the reports, one CSV file with the column uid, or none")


class Outputs(corpus.Outputs):
    """The corpus; it has no images and no annotations."""


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Read the archive. Raises JobError if archive or index is unusable or too much was set aside."""
    read, identities = corpus.Corpus(), checks.Identities()
    index = _read_index(read, inputs.index or [])
    repeated, total = len(read.rejected), 0
    for name, data in job.progress(_members(inputs.archive), "reports"):
        total += 1
        try:
            _read_report(settings, read, identities, name, data, index)
        except Rejected as error:
            read.reject(Path(name).stem, name, str(error))
    if not total:
        raise job.JobError(f"{inputs.archive} holds no .xml file; the archive as published is NLMCXR_reports.tgz")
    if index is not None:
        found = {study["study_id"] for study in read.studies} | {f"iu_{row['item']}" for row in read.rejected}
        job.log.info("%d rows of the index have no report", sum(f"iu_{uid}" not in found for uid in index))
    read.write(outputs)
    job.check_rejected(len(read.rejected), total + repeated, settings.max_rejected, outputs.rejected)


def _members(archive: Path) -> Iterator[tuple[str, bytes | None]]:
    """Yield name and content of each XML file, None for the content of one that is too large."""
    total = 0
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                total += member.size
                if total > LARGEST_TOTAL:
                    raise job.JobError(f"{archive} holds more than {LARGEST_TOTAL:,} bytes; these are not the reports")
                if member.isfile() and member.name.lower().endswith(".xml"):
                    large = member.size > LARGEST
                    yield member.name, None if large else tar.extractfile(member).read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise job.JobError(f"{archive} is not a whole .tgz archive ({type(error).__name__}); fetch it again") from error


def _read_index(read: corpus.Corpus, paths: list[Path]) -> dict[str, Row] | None:
    """The rows of the index by uid; of a uid's rows the first, and the others are set aside."""
    if len(paths) > 1:
        raise job.JobError(f"index is one file, not {len(paths)}")
    if not paths:
        return None
    rows = checks.read_csv(paths[0], ["uid"], INDEX_HINT)
    if broken := [row for row in rows if row.problem]:
        raise job.JobError(f"{paths[0]}, line {broken[0].line}: {broken[0].problem}; {INDEX_HINT}")
    index: dict[str, Row] = {}
    for row in rows:
        if index.setdefault(row.get("uid"), row) is not row:
            # By its line: under the uid it would pass for a report that was set aside.
            read.reject(f"line {row.line}", paths[0].name, f"duplicate id: {row.get('uid')}")
    return index


def _read_report(
    settings: Settings,
    read: corpus.Corpus,
    identities: checks.Identities,
    name: str,
    data: bytes | None,
    index: dict[str, Row] | None,
) -> None:
    """Add one report to the corpus. Raises Rejected."""
    if data is None:
        raise Rejected(f"too large: more than {LARGEST:,} bytes")
    root = _parse(data)
    uid = _uid(root, name)
    row = None if index is None else index.get(uid)
    if index is not None and row is None:
        raise Rejected("not in the index")
    text = _text(root)
    if not text:
        raise Rejected("empty report")
    study_id = f"iu_{uid}"
    split = checks.split_named(row.get("split")) if row and "split" in row.cells else ""
    split = split or corpus.split_of(settings.split_seed, study_id)
    identities.check(study_id, study_id, split)
    labels, labelled = _labels(root, row)
    study = {"study_id": study_id, "patient_id": study_id, "collection": "iu", "split": split}
    read.add(study | {"labels": labels, "labelled": labelled}, text=text)


def _parse(data: bytes):
    """The root of an XML document without entities and document types. Raises Rejected."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        return fromstring(data, forbid_dtd=True)
    except ParseError as error:
        raise Rejected(f"broken XML: line {error.position[0]}, column {error.position[1]}") from error
    except DefusedXmlException as error:
        raise Rejected(f"unsafe XML: {type(error).__name__}") from error
    except (ValueError, LookupError) as error:
        raise Rejected("broken XML: unknown encoding") from error


def _uid(root, name: str) -> str:
    """The report's number: of <uId id="CXR10"/>, else of the file's name."""
    element = root.find("uId")
    given = element.get("id", "") if element is not None else Path(name).stem
    found = re.fullmatch(r"(?:CXR)?(\d{1,9})", given)
    if not found:
        raise Rejected("missing id: <uId> is no number")
    return found.group(1)


def _text(root) -> str:
    """The sections as paragraphs with headings, in the order of the file; "" where none has text."""
    parts = []
    for section in root.iter("AbstractText"):
        text = " ".join("".join(section.itertext()).split())
        label = section.get("Label", "").strip().upper()
        if text:
            parts.append(f"{label}: {text}" if label else text)
    return "\n\n".join(parts)


def _labels(root, row: Row | None) -> tuple[list[str], bool]:
    """Labels of the index, else the first terms of the MeSH headings. A report that the coders left out has none;
    one whose headings are none of the index's labels has Other."""
    headings = [heading.strip() for heading in _headings(root, row) if heading.strip()]
    coded = bool(headings) and headings != ["No Indexing"]
    normal = headings == ["normal"]
    if row is not None and "labels" in row.cells:
        labels, labelled = checks.labels_of(row.get("labels"))
        if labelled or not coded:
            return labels, labelled
        return ([], True) if normal else (["Other"], True)
    terms = dict.fromkeys(heading.partition("/")[0].strip() for heading in headings)
    return ([] if normal or not coded else list(terms)), coded


def _headings(root, row: Row | None) -> list[str]:
    if row is not None and "mesh_major" in row.cells:
        return row.get("mesh_major").split(";")
    return [element.text or "" for element in root.iterfind("MeSH/major")]
