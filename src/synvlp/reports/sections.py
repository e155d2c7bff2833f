"""Split anonymized reports into sections: indication, comparison, technique, findings, impression, the rest.

Headings are known by their many names, on their own line or before their text, with or without colon, in any
case, also in one running line. The last of repeated sections wins (an addendum's impression replaces the
report's), unless it is empty. Numbered lists become sentences. Reports of the Indiana collection may also come
as the XML in which they are published.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from synvlp import job
from synvlp.store import tables

FIELDS = tuple(name for name in tables.SECTIONS.columns if name != "study_id")

# Names of headings by what stands under them; longer names first where one begins another.
_NAMES = {
    "findings": (
        r"(?:findings?|observations?)\s*(?:and|&|/|or)\s*(?:impressions?|conclusions?)",
        r"(?:impressions?|conclusions?)\s*(?:and|&|/)\s*findings?",
        r"(?:procedures?|techniques?|exam(?:ination)?)\s*(?:and|&|/)\s*findings?",
        r"findings?\s*(?:and|&|/)\s*(?:procedures?|techniques?)",
        r"(?:radiographic|radiological|imaging|chest|x-?ray|cxr|radiology)?\s*findings?",
        r"observations?",
        r"imaging\s+notes",
        r"(?:body\s+of\s+)?report",
        r"description",
        r"narrative",
    ),
    "impression": (
        r"(?:impressions?|conclusions?|assessment)\s*(?:and|&|/)\s*(?:recommendations?|plan|comments?)",
        r"imp",
        r"(?:final|overall|radiographic|radiologic|radiological|clinical)?\s*impressions?",
        r"conclusions?",
        r"opinion",
        r"interpretation",
        r"summary",
        r"(?:final\s+|radiologic(?:al)?\s+)?diagnosis",
        r"assessment",
    ),
    "indication": (
        r"(?:clinical\s+)?indications?(?:\s+for\s+(?:the\s+)?(?:exam(?:ination)?|study))?",
        r"(?:clinical|patient|brief|relevant|medical)?\s*history(?:\s*(?:/|and)\s*indications?)?",
        r"clinical\s+(?:information|data|details|statement|question|context|summary|presentation|background|notes?)",
        r"indications?\s*(?:/|and)\s*(?:clinical\s+)?history",
        r"(?:reason|indication)s?\s+for\s+(?:the\s+|this\s+)?(?:exam(?:ination)?|study|procedure|referral|request|"
        r"test|visit)",
        r"(?:underlying\s+)?medical\s+condition",
        r"presentation",
        r"(?:admitting|provisional)\s+diagnosis",
        r"symptoms?",
    ),
    "comparison": (
        r"comparisons?(?:\s+(?:stud(?:y|ies)|exams?|examinations?|films?|radiographs?|date|dates))?",
        r"(?:prior|previous|relevant)\s+(?:imaging|stud(?:y|ies)|exams?|examinations?|films?|radiographs?)",
        r"compared\s+(?:to|with)",
    ),
    "technique": (
        r"techniques?",
        r"(?:type\s+of\s+)?(?:procedure|exam(?:ination)?)(?:\s+(?:type|description|performed))?",
        r"study(?:\s+type)?",
        r"views?",
        r"protocol",
        r"modality",
    ),
    "other": (
        r"recommendations?",
        r"addend(?:um|a)",
        r"notifications?",
        r"communications?(?:\s+of\s+critical\s+results?)?",
        r"critical\s+results?",
        r"wet\s+read(?:ing)?",
        r"preliminary\s+(?:report|read|impression)",
        r"attestation",
        r"discussion",
        r"comments?",
        r"notes?",
        r"signed(?:\s+by)?",
        r"end\s+of\s+(?:report|impression)",
        r"limitations?",
        r"disclaimer",
    ),
}
_NAMES["title"] = (r"(?:final|preliminary|radiology|unofficial|corrected)\s+(?:radiology\s+)?report",)
_ORDER = ("title", "findings", "impression", "indication", "comparison", "technique", "other")
_ANY = "|".join(f"(?P<{field}>{'|'.join(_NAMES[field])})" for field in _ORDER)
_DECOR = r"[ \t]*(?:\#{1,6}[ \t]*|\*\*[ \t]*|__[ \t]*|[-*•=>]+[ \t]+)?"
# A heading at a line's start: with a colon, a slash or a dash after it, or alone on its line.
_ON_LINE = re.compile(
    rf"^{_DECOR}(?:{_ANY})[ \t]*(?:\([^)\n]*\))?(?:[ \t]*(?:\*\*)?[ \t]*[:/](?!/)(?:\*\*)?|[ \t]+[-–—]+(?=[ \t]|$)|"
    rf"[ \t]*(?:\*\*)?[ \t]*$)[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
# A heading inside a line: in capitals with a colon, or capitalised with a colon after the end of a sentence.
_IN_LINE = re.compile(
    rf"(?:(?<=[.;!?)\]])|(?<=\s\s)|(?<=[.;!?)\]]\s))\s*(?-i:(?=[A-Z]))(?:{_ANY})[ \t]*:[ \t]*|"
    rf"(?<=\s)(?<!AND\s)(?<!&\s)(?<!/\s)(?-i:(?=[A-Z][A-Z &/-]{{5,}}:))"
    rf"(?:{_ANY.replace('?P<', '?P<in_')})[ \t]*:[ \t]*",
    re.IGNORECASE,
)
# Lines that belong to no section: who wrote the report, who gets it, whose it is.
_FOOTER = re.compile(
    r"^[ \t]*(?:(?:electronically[ \t]+|digitally[ \t]+)?(?:signed|dictated|interpreted|read|reviewed|approved|"
    r"verified|"
    r"authenticated|transcribed|finalized|reported)(?:[ \t]+(?:and|&)"
    r"[ \t]+\w+)?(?:[ \t]+electronically)?[ \t]*(?:by\b|:|$)|"
    r"(?:attending|reading|interpreting|reporting|referring|ordering|dictating|staff)?[ \t]*(?:radiologist|physician|"
    r"provider|resident)[ \t]*:|"
    r"(?:attending|referring|ordering|referred by)[ \t]*:|"
    r"(?:D|T|DD|DT|TD|cc|dictated|transcribed|job|exam[ \t]+date|date(?:[ \t]+of[ \t]+\w+)?|dob|dos|mrn|accession|"
    r"acc#?|patient(?:[ \t]+(?:name|id))?|name|"
    r"sex|age|gender|facility|location|hospital|order(?:ing)?|account|department[ \t]+of[ \t]+\w+|phone|fax|tel)"
    r"[ \t]*(?:#[ \t]*)?[:|])",
    re.IGNORECASE,
)
_ITEM = re.compile(r"^[ \t]*(?:\(?\d{1,2}[.)](?!\d)|[-*•–])[ \t]*(?=\S)")
_NUMBER = re.compile(r"(?:^|(?<=\s))\(?(\d{1,2})[.)][ \t]+(?=[A-Z(])")


class Settings(job.Settings):
    max_rejected: float = job.setting(0.2, "largest share of reports without findings and impression", ge=0, le=1)


class Inputs(job.Files):
    anonymized: Path = job.file("anonymized reports (Parquet)")


class Outputs(job.Files):
    sections: Path = job.file("sections of the reports (Parquet)")
    rejected: Path = job.file("reports without findings and impression (CSV)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Split all reports. Raises JobError if more than `max_rejected` of them have no findings and no impression."""
    reports = tables.read(inputs.anonymized, tables.ANONYMIZED)
    rows, rejected = [], []
    for report in job.progress(reports.itertuples(), "reports", total=len(reports)):
        try:
            sections = parse(report.text)
        except ValueError as error:
            rejected.append((report.study_id, inputs.anonymized.name, str(error)))
            continue
        if sections["findings"] or sections["impression"]:
            rows.append((report.study_id, *(sections[field] for field in FIELDS)))
        else:
            rejected.append((report.study_id, inputs.anonymized.name, "neither findings nor impression"))
    lost = pd.DataFrame(rejected, columns=list(tables.REJECTED.columns)).sort_values("item")
    tables.write_csv(lost, outputs.rejected)
    job.check_rejected(len(rejected), len(reports), settings.max_rejected, outputs.rejected)
    frame = pd.DataFrame(rows, columns=list(tables.SECTIONS.columns))
    tables.write(frame, outputs.sections, tables.SECTIONS)
    filled = ", ".join(f"{field} {int((frame[field] != '').sum())}" for field in FIELDS)
    job.log.info("%d reports, %d rejected; sections with text: %s", len(reports), len(rejected), filled)


def parse(text: str) -> dict[str, str]:
    """The sections of one report, "" for each that it does not have.

    Text under no heading, or in a paragraph of its own after the indication, comparison or technique, counts as
    findings if there is no heading for them. If there is none for the impression either, its last paragraph is
    the impression and the paragraphs before it the findings (as in MGCA, which takes the last paragraph where a
    report has no impression); a single paragraph is the findings. Findings and impression under one heading
    ("FINDINGS AND IMPRESSION") are the findings.

    Raises ValueError for XML that cannot be read.
    """
    if text.lstrip().startswith(("<?xml", "<eCitation")):
        return parse_xml(text.encode())
    sections = dict.fromkeys(FIELDS, "")
    body: list[str] = []
    for field, block in _blocks(text.replace("\r\n", "\n").replace("\r", "\n")):
        paragraphs, foot = _without_footer(block)
        if field in {"indication", "comparison", "technique"}:
            body += paragraphs[1:]
            paragraphs = paragraphs[:1]
        if field in {"", "title"}:
            body += paragraphs
        elif joined := " ".join(map(_sentences, paragraphs)).strip():
            sections[field] = f"{sections[field]} {joined}".strip() if field == "other" else joined
        sections["other"] = f"{sections['other']} {foot}".strip()
    _place(sections, [paragraph for paragraph in map(_sentences, body) if paragraph])
    return sections


def parse_xml(data: bytes) -> dict[str, str]:
    """The sections of a report as the Indiana collection publishes it: `AbstractText` elements with a `Label`.

    Raises ValueError if it is no well-formed XML or tries to reach beyond itself.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        root = fromstring(data)
    except (ParseError, DefusedXmlException, UnicodeError, LookupError) as error:
        raise ValueError("not readable XML") from error
    sections = dict.fromkeys(FIELDS, "")
    for element in root.iter("AbstractText"):
        label = _ON_LINE.match(f"{(element.get('Label') or '').strip()}:")
        field = _field(label) if label else "other"
        text = " ".join(_sentences(paragraph) for paragraph in _paragraphs("".join(element.itertext())))
        if text:
            sections[field] = f"{sections[field]} {text}".strip() if field == "other" else text
    return sections


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """The text between headings with the field it belongs to; "" before the first."""
    on_lines = (match for match in _ON_LINE.finditer(text) if not _is_wrapped(text, match))
    matches = [(match.start(), match.end(), _field(match)) for match in on_lines]
    for match in _IN_LINE.finditer(text):
        if re.search(r"(?i)\bsee\s*$", text[: match.start()]):  # points to a section, and begins none
            continue
        if not any(start < match.end() and match.start() < end for start, end, _ in matches):
            matches.append((match.start(), match.end(), _field(match)))
    at, field = 0, ""
    for start, end, following in sorted(matches):
        yield field, text[at:start]
        at, field = end, following
    yield field, text[at:]


def _is_wrapped(text: str, match: re.Match) -> bool:
    """Whether a line that looks like a heading goes on with the sentence of the line above it, in lower case."""
    before, _, _ = text[: match.start()].rpartition("\n")
    above = before.rpartition("\n")[2].rstrip()
    word = re.search(r"[^\W\d_]", match.group())
    return bool(above) and above[-1] not in ".:;!?" and bool(word) and word.group().islower()


def _field(match: re.Match) -> str:
    return next(name.removeprefix("in_") for name, value in match.groupdict().items() if value is not None)


def _without_footer(block: str) -> tuple[list[str], str]:
    """The paragraphs of a block, and its lines that tell who wrote the report or whose it is."""
    lines = block.split("\n")
    foot = [line for line in lines if _FOOTER.match(line)]
    kept = "\n".join("" if _FOOTER.match(line) else line for line in lines)
    return _paragraphs(kept), " ".join(" ".join(foot).split())


def _paragraphs(text: str) -> list[str]:
    return [part for part in re.split(r"\n[ \t]*\n\s*", text.strip()) if re.search(r"\w", part)]


def _place(sections: dict[str, str], body: list[str]) -> None:
    """Put text without a heading where it belongs."""
    prose = [
        paragraph
        for paragraph in body
        if len(paragraph.split()) >= 3 and re.search(r"[a-z]{3}|[A-Z]{3} [A-Z]{3}", paragraph)
    ]
    if sections["findings"] or not prose:
        sections["other"] = " ".join([*body, sections["other"]]).strip()
        return
    aside = [paragraph for paragraph in body if paragraph not in prose]
    if not sections["impression"] and len(prose) > 1:
        sections["impression"] = prose.pop()
    sections["findings"] = " ".join(prose)
    sections["other"] = " ".join([*aside, sections["other"]]).strip()


def _sentences(paragraph: str) -> str:
    """A paragraph in one line: list items as sentences without their numbers, wrapped lines joined."""
    parts: list[tuple[int, str]] = [(0, "")]  # the number of the item (0 where it has none), its text
    for line in paragraph.split("\n"):
        item = _ITEM.match(line)
        words = (line[item.end() :] if item else line).replace("**", "").strip()
        if item:
            parts.append((int(re.sub(r"\D", "", item.group()) or 0), words))
        else:
            parts[-1] = (parts[-1][0], f"{parts[-1][1]} {words}".strip())
    items = [text for number, part in parts for text in _items(part, number) if text]
    return " ".join(" ".join([_closed(text) for text in items[:-1]] + items[-1:]).split())


def _items(text: str, last: int) -> list[str]:
    """The items of a list that runs on in one line: a number begins one if it follows the `last` one."""
    parts, at = [], 0
    for match in _NUMBER.finditer(text):
        number, before = int(match.group(1)), text[at : match.start()].rstrip()
        if number == last + 1 and (last or not before or before[-1] in ".:;!?"):
            parts.append(before)
            at, last = match.end(), number
    return [*parts, text[at:].strip()]


def _closed(item: str) -> str:
    """An item that ends like a sentence."""
    item = item.rstrip(" ;,")
    return item if not item or item[-1] in ".!?:" else f"{item}."
