"""Numbers that identify: records, accessions, phones (with e-mail and web addresses) and devices' serials."""

import re
from collections.abc import Iterator

from synvlp.reports.spans import Span

_OF = r"(?:[ \t]*(?:numbers?|nos?\b\.?|num\b\.?|nbr|id(?:entifier)?|#))*"
_IS = r"[ \t]*(?:\([^)\n\d]{1,12}\))?[ \t]*(?:(?:is|was|=|:|#|-|–|\|)[ \t]*)*#?[ \t]*"
_VALUE = r"(?P<value>(?=[\w./-]*\d)[A-Za-z0-9](?:[\w]|[./-](?=\w))*)"

_RECORD = (
    r"mrn|m\.r\.n\.|mr[ \t]?(?:#|no\.?|number)|med(?:ical)?[ \t.]*rec(?:ord)?s?|hospital[ \t]+(?:record|number|no\.?|"
    r"id|#)|"
    r"(?:patient|pt|unit|chart|record|case|file|folder|registration|account|acct|encounter|visit|episode|csn|fin|"
    r"member|policy|insurance|subscriber|beneficiary|health[ \t]+(?:plan|card)|medicare|medicaid|license|licence|"
    r"certificate|claim|group|employee|badge|npi|dea|upin|passport|nhs|hic|empi|cpi)[ \t]*(?:record[ \t]*)?"
    r"(?:numbers?|nos?\b\.?|num\b|id(?:entifier)?\b|#)|"
    r"record|acct|account|ssn|ss#|social[ \t]+security|patient[ \t]+identifier|(?<![\w-])id"
)
_ACCESSION = (
    r"accession|acc(?:n)?\b|a/n|(?:exam(?:ination)?|study|order|requisition|req|report|document|doc|dictation|job|"
    r"procedure|"
    r"image|series|film|imaging|event|transaction|confirmation|placer|filler|ris|radiology|rad|x-?ray|specimen|"
    r"lab)[ \t]*(?:accession[ \t]*)?(?:numbers?|nos?\b\.?|num\b|id(?:entifier)?\b|#)|requisition|order|"
    r"reference[ \t]+(?:number|no\.?)|ref[ \t]*(?:#|no\.?)"
)
_DEVICE = (
    r"serial|s/n|sn\b|ser\b\.?|(?:device|implant|generator|pacemaker|icd|lead|pump|unit|asset|valve|port|stent|lot|"
    r"batch|"
    r"udi|imei|equipment|machine|detector|cassette|scanner)[ \t]*(?:serial[ \t]*)?(?:numbers?|nos?\b\.?|num\b|"
    r"id(?:entifier)?\b|#|s/n|sn\b|tag)|lot|udi"
)
_LABELLED = tuple(
    (category, re.compile(rf"(?<![^\W_])(?:{labels}){_OF}{_IS}{_VALUE}", re.IGNORECASE))
    for category, labels in (("device", _DEVICE), ("accession", _ACCESSION), ("record", _RECORD))
)
_SSN = re.compile(r"(?<![\w-])\d{3}[- ]\d{2}[- ]\d{4}(?![\w-])")
_UID = re.compile(r"(?<![\w.])\d+(?:\.\d+){5,}(?!\w)")
_MIXED = re.compile(
    r"(?<![\w./-])(?=[A-Za-z0-9-]*[A-Za-z])(?=(?:[A-Za-z-]*\d){4})[A-Za-z0-9]+(?:[-/][A-Za-z0-9]+)*(?![\w])"
)
_LONG = re.compile(
    r"(?<![\w.,/+-])#?(?P<value>\d(?:[-]?\d){5,})(?![\w]|[.,/-]\d)(?![ \t]*(?:mm|cm|ml|mg|mcg|units?|cells?|copies|/|"
    r"%|x\s?\d|mgy|gy|hu)\b)"
)
_HASH = re.compile(r"#[ \t]?(?P<value>\d{4,})(?!\w)")
_ORDINARY = re.compile(
    r"(?i)(?:covid-?19|sars-cov-?2|[a-z]+-(?:19|20)\d\d|\d+(?:mm|cm|ml|mg|mcg|kvp?|mas|ma|x\d+\w*|-?years?-?old|yo|"
    r"hrs?|h|fr)|"
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)\w*-?\d+|\d+-?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|"
    r"nov|dec)\w*-?\d+|"
    r"[cltsCLTS]\d{1,2}(?:-[cltsCLTS]?\d{1,2})+|\d{1,2}:\d{2}\w*|\d{4}hrs?)$"
)
_RANGE = re.compile(r"\d{1,4}-\d{1,4}")  # beats or millilitres from … to …
_CUES = (
    (
        "device",
        re.compile(
            r"\b(?:serial|s/n|sn|device|pacemaker|pacer|generator|icd|defibrillator|implant\w*|pump|lead|leads|valve|"
            r"port|stimulator|recorder|model|lot)\b",
            re.IGNORECASE,
        ),
    ),
    (
        "accession",
        re.compile(
            r"\b(?:acc|accession|order|exam|examination|study|requisition|dictation|job|report)\b", re.IGNORECASE
        ),
    ),
    ("record", re.compile(r"\b(?:mrn|record|chart|patient|account|id)\b", re.IGNORECASE)),
)

_EXTENSION = r"(?:[ \t]*(?:,|;)?[ \t]*(?:ext(?:ension|n)?\.?|x)[ \t]*[:#]?[ \t]*\d{2,6}\b)?"
_PHONES = (
    re.compile(
        rf"(?<![\w.+-])(?:\+?1[-. \t]?)?(?:\(\d{{3}}\)[ \t-]?|\d{{3}}[-. \t/]{{1,2}})"
        rf"\d{{3}}[-. \t]\d{{4}}{_EXTENSION}(?![\w]|-\d)"
    ),
    re.compile(rf"(?<![\w])\+\d{{1,3}}(?:[ \t.-]?\(?\d{{1,4}}\)?){{2,5}}{_EXTENSION}(?!\w)"),
    re.compile(rf"(?<![\w./+-])[2-9]\d{{2}}[-.]\d{{4}}{_EXTENSION}(?![\w]|[-./]\d)(?![ \t]*(?:mm|cm|ml|mg|hu)\b)"),
)
_PHONES += tuple(  # British: 020 7946 0958, 0161 496 0000, (01223) 245151, 07700 900123
    re.compile(rf"(?<![\w.+-])(?:\({area}\)|{area})[ \t-]{rest}{_EXTENSION}(?![\w]|-\d)")
    for area, rest in (
        (r"0\d{2}", r"\d{4}[ \t-]?\d{4}"),
        (r"0\d{3}", r"\d{3}[ \t-]?\d{4}"),
        (r"0\d{4}", r"\d{3}[ \t-]?\d{3}"),
    )
)
_CALLED = re.compile(
    r"\b(?:tele)?(?:phone|tel|ph|cell|mobile|pager|beeper|bleep|fax|ext(?:ension|n)?|call[ \t]?back|hotline|"
    r"reading[ \t]+room|voalte|vocera|spectralink|x(?=[ \t]?\d{4}))"
    r"\b\.?(?:[ \t]*(?:numbers?|nos?\b\.?|num\b|id|#|at|is|on|line))*[ \t]*[:#=]?[ \t]*"
    r"(?P<value>\+?\(?\d[\d()./ \t-]{2,18}\d)(?![\w:]|[ \t]*(?:hours|hrs|h\b|am\b|pm\b|a\.m|p\.m))",
    re.IGNORECASE,
)
_X = re.compile(r"(?<![\w.])x[ \t]?(?P<value>\d{4,6})(?![\w.]|[ \t]*(?:mm|cm|x\b))")
_AT = re.compile(
    r"\b(?:call(?:ed)?|paged?|reached|contacted|dial|phoned|telephoned|text(?:ed)?|reachable|pager)"
    r"\b[^.\n]{0,40}?[ \t](?:at|on|to)[ \t]+#?(?P<value>\d{4,5}|\d{3}[- ]\d{4})(?![\w:/]|[.,]\d|[ \t]*(?:hours|hrs|"
    r"h\b|am\b|pm\b|a\.m|p\.m|on\b))",
    re.IGNORECASE,
)
# Who was called or paged "at 1430" was so at that time; who "can be reached at 1430" has that extension.
_TIME = re.compile(
    r"(?:called|paged|contacted|phoned|telephoned|texted)\b(?![^\n]*\b(?:ext|extension|pager|x)\b)[^\n]*[ \t]at[ \t]+"
    r"(?:[01]\d|2[0-3])[0-5]\d",
    re.IGNORECASE,
)
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_WEB = re.compile(r"(?:https?://|www\.)[^\s<>\"')\]]*[^\s<>\"')\].,;:]")
_IP = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)")


def find(text: str) -> Iterator[Span]:
    """The spans of identifying numbers, by all rules; overlaps are left to the caller."""
    for rule, category in ((_MAIL, "phone"), (_WEB, "phone"), (_SSN, "record"), (_UID, "accession"), (_IP, "record")):
        for match in rule.finditer(text):
            yield Span(*match.span(), category, "pattern", True)
    yield from _labelled(text)
    yield from _phones(text)
    yield from _unlabelled(text)


def known(text: str, value: str, category: str) -> Iterator[Span]:
    """Mentions of an identifier that a table names, such as the patient's number."""
    if len(value) >= 4 and any(letter.isdigit() for letter in value):
        for match in re.finditer(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE):
            yield Span(*match.span(), category, "table", True)


def _labelled(text: str) -> Iterator[Span]:
    for category, rule in _LABELLED:
        for match in rule.finditer(text):
            value = match.group("value")
            digits = sum(letter.isdigit() for letter in value)
            label = text[match.start() : match.start("value")]
            certain = bool(re.search(r"[:#=]|number|\bno\b|\bid\b|mrn|s/n|\bsn\b", label, re.IGNORECASE))
            if (
                digits >= (3 if certain else 5)
                and not _ORDINARY.fullmatch(value)
                and not re.fullmatch(r"\d{1,2}[/.-]\d{1,2}(?:[/.-]\d{2,4})?", value)
            ):
                yield Span(match.start("value"), match.end("value"), category, "label", certain)


def _phones(text: str) -> Iterator[Span]:
    for rule in _PHONES:
        for match in rule.finditer(text):
            yield Span(*match.span(), "phone", "pattern", True)
    for rule in (_CALLED, _X, _AT):
        for match in rule.finditer(text):
            value = match.group("value")
            digits = sum(letter.isdigit() for letter in value)
            if rule is _AT and _TIME.fullmatch(match.group()):
                continue
            if 3 <= digits <= 15 and not re.match(r"\d{1,2}[/.]\d{1,2}[/.]\d{2}|(?:19|20)\d\d-\d\d-", value):
                yield Span(match.start("value"), match.end("value"), "phone", "label", True)


def _unlabelled(text: str) -> Iterator[Span]:
    for rule in (_MIXED, _LONG, _HASH):
        for match in rule.finditer(text):
            name = "value" if "value" in match.groupdict() else 0
            if not _ORDINARY.fullmatch(match.group(name)) and not _RANGE.fullmatch(match.group(name)):
                yield Span(match.start(name), match.end(name), _cue(text, match.start()), "shape")


def _cue(text: str, at: int) -> str:
    """The category that the nearest word before a number speaks for."""
    before = text[max(0, at - 60) : at]
    before = before[before.rfind("\n") + 1 :]
    nearest = [
        (max((match.end() for match in rule.finditer(before)), default=-1), category) for category, rule in _CUES
    ]
    place, category = max(nearest)
    return category if place >= 0 else "record"
