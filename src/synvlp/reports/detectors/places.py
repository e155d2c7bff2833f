"""Hospitals and addresses: found by the words that end them and by the words that lead to them."""

import re
from collections.abc import Iterator

from synvlp.reports import spans
from synvlp.reports.lexicons import words
from synvlp.reports.spans import Span


def _alternatives(entries: tuple[str, ...]) -> str:
    ordered = sorted(entries, key=len, reverse=True)
    return "|".join(re.escape(entry).replace(r"\ ", r"[ \t]+").replace("'", "['’]") for entry in ordered)


_KIND = re.compile(
    rf"\b(?:{_alternatives(words.entries('hospital_words'))})\b(?!['’]|[ \t]+(?:rec|number|no\b|#|id\b|history))",
    re.IGNORECASE,
)
_SUFFIX = _alternatives(words.entries("street_suffixes"))
_STATE = _alternatives((*words.entries("states"), *(state.upper() for state in words.entries("states"))))
_CITY = _alternatives(words.entries("cities"))
_NAME = r"[A-Z][^\W\d_]*(?:['’.-][^\W\d_]+)*\.?"

# Kinds that are hospitals only after a name: "Health", "Imaging", "Medical", "Institute" are everyday words.
_WEAK = frozenset(
    ["health", "imaging", "medical", "institute", "memorial", "regional", "healthcare", "clinic", "clinics", "hospice"]
)
_LABEL = re.compile(
    r"\b(?:facility|institution|hospital|site|location|performed[ \t]+at|department|clinic|medical[ \t]+center|"
    r"center|"
    r"organization|organisation|practice|campus|exam[ \t]+location|service[ \t]+location|entity)"
    r"(?:[ \t]+name)?[ \t]*[:|=][ \t]*",
    re.IGNORECASE,
)
_LEADS = re.compile(
    r"\b(?:transfer(?:red)?(?:[ \t\n]+(?:here|in|over))?[ \t\n]+(?:from|to)|(?:admitted|referred|discharged|"
    r"presented|sent|transported|brought)[ \t\n]+(?:to|from|at)|"
    r"(?:performed|obtained|acquired|done|taken|imaged|seen|treated|hospitalized|evaluated|followed|study|studies|"
    r"radiographs?|exam|examination|films?|ct|cxr|imaging|images|interpreted|read|available)[ \t\n]+(?:at|from)|"
    r"outside[ \t]+(?:study|films?|images|imaging|radiographs?|ct|hospital)[ \t,:(]+(?:from|at)?|"
    r"on[ \t]+file[ \t]+at|care[ \t]+at|follow-?up[ \t]+at|physician[ \t]+at|clinic[ \t]+at|icu[ \t]+at|ed[ \t]+at|"
    r"team[ \t]+at)[ \t\n]+(?:the[ \t]+)?",
    re.IGNORECASE,
)
_SAINT = re.compile(r"\b(?:St|Saint|SAINT|ST|Mt|Mount)\b\.?[ \t]+[A-Z][^\W\d_]+(?:['’]s|['’]S)?\b")

_PLACE_WORD = re.compile(r"[^\W\d_]+(?:['’.-][^\W\d_]+)*")
_NUMBER = r"\d{1,6}(?:[-/]\d{1,5})?[A-Za-z]?"
_DIRECTION = r"(?:(?:N|S|E|W|NE|NW|SE|SW|North|South|East|West|Northeast|Northwest|Southeast|Southwest)\b\.?[ \t]+)?"
_UNIT = (
    r"(?:[ \t]*,?[ \t]*(?:(?:Apartment|Apt|Suite|Ste|Unit|Room|Rm|Floor|Fl|Building|Bldg|Lot)\b\.?[ \t]*#?"
    r"[ \t]*[\w-]{1,6}|#[ \t]?[\w-]{1,6}|\d{1,2}(?:st|nd|rd|th)[ \t]+Floor))?"
)
_ZIP = r"\d{5}(?:-\d{4})?"
# British, and no "L4 5TH" of a line of capitals.
_POSTCODE = r"\b[A-PR-UWYZ][A-HK-Y]?\d[A-Z\d]?[ \t]\d(?!ST|ND|RD|TH)[ABD-HJLNP-UW-Z]{2}\b"
_TOWN = r"[A-Z][^\W\d_]+(?:['’.-][^\W\d_]+)*(?:[ \t]+[A-Z][^\W\d_]+(?:['’.-][^\W\d_]+)*){0,3}"
_PLACE = (  # what follows a street: town with state, town with ZIP code, or a large city
    rf"(?:[ \t]*(?:,|\n|-)?[ \t]*{_TOWN}[ \t]*,?[ \t]+(?:{_STATE})\b\.?(?:[ \t]*,?[ \t]*{_ZIP})?|"
    rf"[ \t]*,[ \t]*{_TOWN}(?:[ \t]*,?[ \t]*(?:{_ZIP}|{_POSTCODE}))|[ \t]*,?[ \t]*(?:in[ \t]+)?(?:{_CITY})\b)?"
)
_STREETS = tuple(
    re.compile(rule)
    for rule in (
        rf"(?<![\w./:-]){_NUMBER}[ \t]+{_DIRECTION}(?:{_NAME}[ \t]+|\d{{1,3}}(?:st|nd|rd|th|ST|ND|RD|TH)"
        rf"[ \t]+){{1,4}}(?i:{_SUFFIX})\b\.?(?:[ \t]+(?:N|S|E|W|NE|NW|SE|SW)\b)?{_UNIT}{_PLACE}",
        rf"(?i:\bP\.?[ \t]?O\.?[ \t]*Box)[ \t]*\d+{_PLACE}",
        rf"\b{_TOWN}[ \t]*,[ \t]*(?:{_STATE})\b\.?[ \t]+{_ZIP}\b",
        rf"\b(?:{_CITY})[ \t]*,[ \t]*(?:{_STATE})\b",
        _POSTCODE,
    )
)
_LOWER_STREET = re.compile(
    rf"(?<![\w./:-])\d{{1,6}}[ \t]+{_DIRECTION}(?:[^\W\d_]+[ \t]+){{1,3}}(?:{_SUFFIX})\b\.?{_UNIT}", re.IGNORECASE
)
_ADDRESS_LABEL = re.compile(
    r"\b(?:(?:home|mailing|street|patient|current|permanent|residential)?[ \t]*address|addr|residence|city|town|home)"
    r"[ \t]*(?:of[ \t]+record)?[ \t]*[:|=][ \t]*(?P<value>[^\n;|]+)",
    re.IGNORECASE,
)
_LIVES = re.compile(
    rf"\b(?i:lives|living|resides|residing|resident|residence|home|native|relocated|moved|moving|travel(?:l?ed|"
    rf"l?ing)?|from|visiting)[ \t\n]+(?i:(?:alone|independently|currently|recently|now)[ \t\n]+)?(?i:in|at|of|from|"
    rf"to|near)[ \t\n]+(?i:the[ \t]+(?:city|town)[ \t]+of[ \t]+)?(?P<value>{_TOWN}(?:[ \t]*,[ \t]*(?:{_STATE})"
    rf"\b)?|{_NUMBER}[ \t][^\n,.]+)"
)
_ZIPPED = re.compile(rf"\b(?i:zip(?:[ \t]+code)?)[ \t]*[:#]?[ \t]*(?P<value>{_ZIP})\b")


def find(text: str) -> Iterator[Span]:
    """The spans of hospitals and addresses, by all rules; overlaps are left to the caller."""
    yield from _hospitals(text)
    yield from _led_to(text)
    yield from _addresses(text)


def _hospitals(text: str) -> Iterator[Span]:
    for kind in _KIND.finditer(text):
        start = _read_back(text, kind.start())
        name = text[start : kind.start()]
        tail = re.compile(rf"(?:[ \t]+(?:of|at|for)[ \t]+(?:the[ \t]+)?{_NAME}(?:[ \t]+{_NAME})?)").match(
            text, kind.end()
        )
        loud = spans.shouting(spans.line_of(text, kind.start()))
        if _names_one(name, kind.group(), loud):
            end = tail.end() if tail and _proper(tail.group(), loud) else kind.end()
            yield Span(start, end, "hospital", "kind", True)
        elif (
            tail
            and kind.group()[0].isupper()
            and kind.group().lower() not in _WEAK
            and _proper(tail.group(), loud)
            and not loud
        ):
            yield Span(kind.start(), tail.end(), "hospital", "kind", True)


def _read_back(text: str, end: int) -> int:
    """Where the capitalised words that lead up to `end` begin; "of", "the" and "&" may stand between them."""
    line_start = text.rfind("\n", 0, end) + 1
    loud = spans.shouting(spans.line_of(text, end))
    start = end
    pieces = list(re.finditer(r"[^\s,;:()]+", text[line_start:end]))
    taken = 0
    for piece in reversed(pieces):
        token = piece.group()
        gap = text[line_start + piece.end() : start]
        if (
            gap.strip()
            or (token.endswith(".") and token.rstrip(".").lower() not in {"st", "mt", "ft"} and len(token) > 2)
            or taken >= 6
        ):
            break
        low = token.lower().strip(".")
        if (low in {"of", "the", "and", "&", "at"} and not loud) or low in {"of", "&"}:
            taken += 1
            start = line_start + piece.start()
            continue
        if not token[0].isupper() or (loud and not _loud_name(low)):
            break
        taken += 1
        start = line_start + piece.start()
    lead = re.match(
        r"(?:(?:of|the|and|&|at|from|to|in|by|with|transferred|admitted|outside|dr\.?|department)[ \t]+)+",
        text[start:end],
        re.IGNORECASE,
    )
    return start + (lead.end() if lead else 0)


def _loud_name(low: str) -> bool:
    """Whether a word in a line of capitals can belong to a hospital's name."""
    return not words.is_vocabulary(low) or low in words.lowered("place_words")


def _names_one(name: str, kind: str, loud: bool) -> bool:
    generic = words.lowered("generic_places")
    own = [word for word in _PLACE_WORD.findall(name) if word.lower() not in generic and not _clinical(word)]
    if not own or not kind[0].isupper():
        return False
    if kind.lower() in _WEAK:
        return (
            any(not words.is_vocabulary(word) for word in own)
            or (len(own) > 1 and not loud)
            or kind.lower() in {"clinic", "memorial", "healthcare"}
        )
    return True


def _clinical(word: str) -> bool:
    """Whether a word tells of medicine rather than of a place: adjectives and specialties."""
    return word.lower().endswith(
        ("logy", "iatric", "iatrics", "ectomy", "graphy", "ive", "ary", "nal", "ular")
    ) and words.is_vocabulary(word)


def _proper(tail: str, loud: bool) -> bool:
    named = re.findall(r"[A-Z][^\W\d_]+", tail)
    return bool(named) and any(not words.is_vocabulary(word) for word in named)


def _led_to(text: str) -> Iterator[Span]:
    for rule, detector in ((_LABEL, "label"), (_LEADS, "lead")):
        for match in rule.finditer(text):
            name = re.compile(rf"{_NAME}(?:[ \t]+(?:(?:of|the|and|&|de|la)[ \t]+)*{_NAME}){{0,5}}").match(
                text, match.end()
            )
            if name is None or name.group().rstrip(".").lower() in {"outside", "home", "ed", "er", "osh", "icu"}:
                continue
            value = (
                re.split(r"\.\s", name.group())[0] if not re.match(r"(?:St|Mt|Ft)\.", name.group()) else name.group()
            )
            own = [word for word in spans.WORD.findall(value) if word.lower() not in words.lowered("generic_places")]
            unknown = [word for word in own if not words.is_vocabulary(word) and not words.is_eponym(word)]
            if unknown and not (unknown[0] == value and value.isupper() and len(value) <= 3 and detector == "lead"):
                yield Span(match.end(), match.end() + len(value.rstrip(". ")), "hospital", detector, True)
    for match in _SAINT.finditer(text):
        after = text[match.end() : match.end() + 12]
        last = spans.WORD.findall(match.group())[-1]
        if (
            not re.match(r"[ \t]+(?:valve|Medical,?[ \t]+(?:Inc|valve)|pacemaker)", after)
            and last.lower() not in {"jude", "louis", "segment", "depression"}
            and not words.is_vocabulary(last)
        ):
            yield Span(*match.span(), "hospital", "saint")


def _addresses(text: str) -> Iterator[Span]:
    for rule in _STREETS:
        for match in rule.finditer(text):
            yield Span(*match.span(), "address", "street", True)
    for match in _LOWER_STREET.finditer(text):
        middle = spans.WORD.findall(match.group())[:-1]
        if not words.lowered("not_names") & {word.lower() for word in middle} and any(
            not words.is_vocabulary(word) for word in middle
        ):
            yield Span(*match.span(), "address", "street", True)
    for match in _ADDRESS_LABEL.finditer(text):
        value = match.group("value").rstrip(" .")
        if any(letter.isdigit() for letter in value) or any(
            not words.is_vocabulary(word) for word in spans.WORD.findall(value)
        ):
            yield Span(match.start("value"), match.start("value") + len(value), "address", "label", True)
    for match in _LIVES.finditer(text):
        town = spans.WORD.findall(match.group("value"))
        if (
            town
            and not all(words.is_vocabulary(word) or words.is_eponym(word) for word in town)
            and not _KIND.search(match.group("value"))
            and town[0].lower() not in words.lowered("states")
        ):
            yield Span(*match.span("value"), "address", "lives")
    for match in _ZIPPED.finditer(text):
        yield Span(*match.span("value"), "address", "label", True)
