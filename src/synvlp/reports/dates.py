"""Dates in running text: found, read, shifted, and written again in the form in which they stood.

A date is a day (03/14/2019, 14-MAR-19, 2019-03-14, 20190314), a day without a year (3/14, March 14th) or a
month of a year (March 2019, 03/2019). A year alone is none (45 CFR 164.514(b)(2)(i)(C) lets years stand).
Where day and month cannot be told apart, the month comes first, as is the custom in the United States, unless another
date of the text can only be read the other way round.
"""

import calendar
import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass

MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_name) if name}
MONTHS |= {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name} | {"sept": 9}
WEEKDAYS = {name.lower(): number for number, name in enumerate(calendar.day_name)}
WEEKDAYS |= {name.lower(): number for number, name in enumerate(calendar.day_abbr)}
WEEKDAYS |= {"tues": 1, "thur": 3, "thurs": 3}

_MONTH = "(?P<month>" + "|".join(sorted(MONTHS, key=len, reverse=True)) + r")(?![^\W\d_])\.?"
_WEEKDAY = r"(?:(?P<weekday>" + "|".join(sorted(WEEKDAYS, key=len, reverse=True)) + r")\b\.?,?\s+(?:the\s+)?)?"
_DAY = r"(?P<day>[12]\d|3[01]|0?[1-9])(?!\d)(?P<ordinal>st|nd|rd|th)?"
_LAST = r"(?:\s?[-–]\s?(?P<last>[12]\d|3[01]|0?[1-9])(?!\d))?"  # March 14-16
_YEAR = r"(?P<year>(?:1[89]|2[0-2])\d\d)"
_SHORT = r"['’]?(?P<short>\d\d)"
_AFTER = r"(?![\d/]|[.,:-]\d|[^\W\d_])"
# Where a date may begin: behind a label's colon (DOB:3/4/1932) and a comma, but in no number (1,3/4) and no time.
_FREE = r"(?<![\w./-])(?<!\d[:,])"
# Full dates also behind each other: 3/4/19-3/6/19, 3/4/19,3/6/19.
_LISTED = r"(?<![\w./])(?<!\d:)(?<!(?<!/\d\d)(?<!\d{4})-)(?<!(?<!/\d\d)(?<!\d{4})(?<=\d),)"
_NOT_ON = r"(?!\d|_|(?!at\b)[^\W\d_]|[./]\d|-\d(?!\d?/\d{1,2}/\d\d))"
_UNIT = (
    r"(?!\s*(?:mm\b|cm\b|ml\b|mg\b|%|x\s?\d|views?\b|images?\b|hours?\b|hrs?\b|days?\b|weeks?\b|months?\b|years?\b|"
    r"lead\b|ribs?\b))"
)

# Words before a number pair such as 3/14 that make it a date, and words around it that make it a fraction or a score.
_CALLS = re.compile(
    r"(?:\b(?:on|dated?|from|of|since|until|till|through|thru|prior|to|with|and|vs|versus|by|exams?|examinations?|"
    r"study|"
    r"studies|films?|radiographs?|x-?rays?|cxrs?|ct|mri|comparison|compared|comparisons|performed|for|previous|dob|"
    r"before|after|between|last|seen|visit|image|images|imaging|this|at|in|is|was)|\d{1,2}/\d{1,2}\s*(?:,|-|–))"
    r"[\s:,(/]*$",
    re.IGNORECASE,
)
_FRACTION_BEFORE = re.compile(
    r"\b(?:grade|score|scores|strength|scale|pain|stage|about|approximately|roughly|lower|upper|medial|distal|"
    r"proximal|"
    r"only|nearly|almost|least|most|bp|pressure|vision|systolic|murmur|gcs|motor|reflexes|pulses|rated|position|"
    r"image|series|slice|level|levels|disc|disk|space|ribs?|[ctls])\s*(?:of|is|at|was|:)?\s*$|"
    r"\bfractures?\s+at\s*$",
    re.IGNORECASE,
)
_FRACTION_AFTER = re.compile(
    r"\s*(?:-\s*)?(?:of\s+(?:the|a|an|his|her|its)|pain|murmur|ribs?|thirds?|lungs?|chest|strength|scale|full|upper|"
    r"lower|"
    r"cm|mm|inch|way|vertebra|levels?|lead|mg|ml|mmhg|dis[ck]s?|score|criteria|of\b|width|height|normal|systolic|"
    r"intercostal|interspace|views?|images?|sirs|%|bottles|cultures|lobes?|compression|and one|original|vertebral|"
    r"hemithora\w+|inspiratory|sets|slices)\b",
    re.IGNORECASE,
)
# Pairs that are fractions first, and words that make dates even of them.
_FRACTIONS = frozenset({"1/2", "1/3", "2/3", "1/4", "3/4"})
_STUDIES = (
    r"(?:dated?|exams?|examinations?|study|studies|films?|radiographs?|x-?rays?|cxrs?|ct|mri|priors?|previous|"
    r"comparisons?|performed|scans?|images?|visit)"
)
_CALLS_STRICTLY = re.compile(
    rf"\b(?:on|since|until|till|through|thru|from|dob|before|after|last|compar\w+(?:\s+(?:to|with))?|{_STUDIES}"
    rf"(?:\s+(?:of|from|on|at|to|with))?)[\s:,(/]*$",
    re.IGNORECASE,
)
_STUDY_AFTER = re.compile(rf"\s+(?:chest\s+)?{_STUDIES}\b", re.IGNORECASE)


@dataclass(frozen=True)
class Date:
    """A date as it stands at [start, end) of a text. A part that it does not name is None."""

    start: int
    end: int
    year: int | None
    month: int
    day: int | None
    pieces: tuple[tuple[str, int, int], ...]  # which part stands where, in characters of the text

    @property
    def valid(self) -> bool:
        """Whether the calendar has this date (29 February counts where no year is named)."""
        try:
            datetime.date(self.year or 2020, self.month, self.day or 1)
        except ValueError:
            return False
        return True


_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"\b{_WEEKDAY}{_MONTH}\s*{_DAY}{_LAST}(?:\s*,\s*|\s+(?:of\s+)?){_YEAR}{_AFTER}",  # March 14th, 2019
        rf"\b{_WEEKDAY}{_MONTH}\s*{_DAY}(?:,?\s*['’]|,\s*){_SHORT[5:]}{_AFTER}{_UNIT}",  # Mar 14, '19
        rf"{_FREE}\b{_WEEKDAY}{_DAY}(?:\s+of)?[\s./-]*{_MONTH}[\s,./-]*{_YEAR}{_AFTER}",  # 14-MAR-2019
        rf"{_FREE}\b{_WEEKDAY}{_DAY}(?:\s+of\s+|[\s./-]){_MONTH}[\s,./-]+{_SHORT}{_AFTER}{_UNIT}",  # 14-MAR-19
        rf"{_FREE}(?P<day>0[1-9]|[12]\d|3[01]){_MONTH}(?P<short>\d\d)(?!\w)",  # 14MAR19
        rf"{_FREE}{_YEAR}(?P<sep>[-/ ]){_MONTH}(?P=sep){_DAY}{_AFTER}",  # 2019-MAR-14, 2019 March 14
        rf"{_FREE}{_MONTH}(?P<sep>[-/]){_DAY}(?P=sep)(?:{_YEAR}|{_SHORT}){_AFTER}",  # MAR-14-2019
        rf"{_LISTED}{_YEAR}(?P<sep>[-/.])(?P<mm>\d{{1,2}})(?P=sep)(?P<dd>\d{{1,2}})(?![\d]|[/-]\d)",  # 2019-03-14
        rf"{_LISTED}{_WEEKDAY}(?P<a>\d{{1,2}})(?P<sep>\s?[/.-]\s?)(?P<b>\d{{1,2}})(?P=sep){_YEAR}"
        rf"(?!\d|/\d|-\d(?!\d?/\d{{1,2}}/\d\d))",  # 03/14/2019
        rf"{_LISTED}{_WEEKDAY}(?P<a>\d{{1,2}})(?P<sep>[/.-])(?P<b>\d{{1,2}})(?P=sep){_SHORT}{_NOT_ON}{_UNIT}",
        rf"{_FREE}(?P<year>(?:19|20)\d\d)(?P<mm>0[1-9]|1[0-2])(?P<dd>0[1-9]|[12]\d|3[01])(?![\w]|[.,/-]\d)",
        rf"\b{_MONTH}(?:\s*,\s*|\s+(?:of\s+)?|\s?[-/]\s?){_YEAR}{_AFTER}",  # March 2019
        rf"\b{_MONTH}(?:\s+['’]|-)(?P<short>\d\d){_AFTER}{_UNIT}",  # Mar '19
        rf"{_FREE}(?P<mm>0?[1-9]|1[0-2])(?P<sep>[/-])(?P<year>(?:19|20|21)\d\d)(?![\w]|[./-]\d)",  # 3/2019
        rf"{_FREE}(?P<year>(?:19|20|21)\d\d)(?P<sep>[/-])(?P<mm>0[1-9]|1[0-2])(?![\w]|[./-]\d)",  # 2019-03
        rf"\b{_WEEKDAY}{_MONTH}\s+{_DAY}{_LAST}{_AFTER}{_UNIT}",  # March 14
        rf"{_FREE}\b{_WEEKDAY}{_DAY}(?:\s+of\s+|\s|-){_MONTH}(?![\w-])",  # 14 March
        rf"(?<![\w./])(?<!\d[:,]){_WEEKDAY}(?P<mm>\d{{1,2}})/(?P<dd>\d{{1,2}})(?![\w]|[./]\d|-[^\W\d]|-\d+(?![\d/]))",
    )
)
_NUMERIC = tuple(form for form in _FORMS if "a" in form.groupindex)  # of which the order of day and month is open
_BARE_PAIR, _BARE_MONTHS = len(_FORMS) - 1, {len(_FORMS) - 3, len(_FORMS) - 2}


def find(text: str) -> Iterator[Date]:
    """The dates of a text in order; where forms overlap, the one listed first (the fuller one) wins."""
    taken: list[tuple[int, int]] = []
    found, day_first = [], _day_first(text)
    for number, form in enumerate(_FORMS):
        for match in form.finditer(text):
            if any(match.start() < end and start < match.end() for start, end in taken):
                continue
            date = _read(match, day_first)
            if date is None or not _is_date(text, match, date, number):
                continue
            taken.append(match.span())
            found.append(date)
    yield from sorted(found, key=lambda date: date.start)


def shift(text: str, date: Date, days: int, year: int) -> str:
    """The date's text, moved by `days`, in the form in which it stands in `text`.

    Args:
        days: by how much; not 0.
        year: the year to reckon with where the date names none.

    A month of a year is moved as its 15th day, and by one month at least. A date that the calendar does not
    have becomes the nearest one that it has before it is moved. The weekday that is named becomes the right one.
    """
    moved = _nearest(date, year) + datetime.timedelta(days=days)
    if (moved.month, moved.day) == (date.month, date.day) and date.year is None:
        moved += datetime.timedelta(days=1 if days > 0 else -1)
    if date.day is None and (moved.year, moved.month) == (date.year, date.month):
        moved += datetime.timedelta(days=30 if days > 0 else -30)
    padded, dashed = _padded(text, date), "-" in text[date.start : date.end]
    out, at = [], date.start
    for part, start, end in date.pieces:
        when = moved + datetime.timedelta(days=int(text[start:end]) - date.day) if part == "last" else moved
        out += [text[at:start], _written(part, text[start:end], when, padded, dashed)]
        at = end
    return "".join([*out, text[at : date.end]])


def _day_first(text: str) -> bool:
    """Whether a text writes the day before the month: a date of it can be read so only, and none the other way only."""
    pairs = [(int(match["a"]), int(match["b"])) for form in _NUMERIC for match in form.finditer(text)]
    only_day_first = any(first > 12 >= second for first, second in pairs)
    return only_day_first and not any(second > 12 >= first for first, second in pairs)


def _read(match: re.Match, day_first: bool) -> Date | None:
    groups = match.groupdict()
    year = int(groups["year"]) if groups.get("year") else _full_year(groups.get("short"))
    if groups.get("a"):
        first, second = int(groups["a"]), int(groups["b"])
        swapped = second <= 12 and (first > 12 or day_first)
        order = {"a": "day", "b": "month"} if swapped else {"a": "month", "b": "day"}
        month, day = (first, second) if order["a"] == "month" else (second, first)
    else:
        order = {"mm": "month", "dd": "day"}
        name = groups.get("month")
        month = MONTHS[name.lower()] if name else int(groups["mm"])
        day = next((int(groups[name]) for name in ("day", "dd") if groups.get(name)), None)
    if groups.get("dd") and not groups.get("year") and month > 12 >= day:
        month, day, order = day, month, {"mm": "day", "dd": "month"}
    pieces = sorted(
        (match.start(name), match.end(name), order.get(name, name))
        for name in groups
        if groups[name] is not None and name != "sep"
    )
    pieces = tuple((part, start, end) for start, end, part in pieces)
    return Date(match.start(), match.end(), year, month, day, pieces)


def _full_year(short: str | None) -> int | None:
    """Two digits: 2000 to 2049, 1950 to 1999."""
    return None if short is None else int(short) + (2000 if int(short) < 50 else 1900)


def _is_date(text: str, match: re.Match, date: Date, number: int) -> bool:
    named = match.groupdict().get("month")
    if named and named.lower() in {"may", "march", "mar", "dec"} and not named[0].isupper():
        return bool(match.groupdict().get("year"))
    if number in _BARE_MONTHS and named.lower() == "may":
        return bool(_CALLS.search(text[: match.start()]) or match.group("ordinal"))
    if number == _BARE_PAIR:
        return date.valid and _is_pair(text, match)
    if match.groupdict().get("short") and not named:
        sane = date.valid and (
            match.group("sep") == "/" or bool(_CALLS.search(text[: match.start()])) or len(match.group()) == 8
        )
        return sane and not (match.group("sep") == "." and "0" not in match.group())
    if match.groupdict().get("sep") == ".":
        return date.valid
    return True


def _is_pair(text: str, match: re.Match) -> bool:
    before, after = text[: match.start()], text[match.end() : match.end() + 30]
    if _FRACTION_BEFORE.search(before) or _FRACTION_AFTER.match(after):
        return False
    if match.group() in _FRACTIONS:
        return bool(_CALLS_STRICTLY.search(before) or _STUDY_AFTER.match(after))
    return bool(match.group("weekday") or _CALLS.search(before))


def _nearest(date: Date, year: int) -> datetime.date:
    month = min(max(date.month, 1), 12)
    year = max(date.year or year, datetime.MINYEAR + 100)
    if date.day is None:
        return datetime.date(year, month, 15)
    if date.year is None and (month, date.day) == (2, 29) and not calendar.isleap(year):
        return datetime.date(year, 3, 1)
    return datetime.date(year, month, min(max(date.day, 1), calendar.monthrange(year, month)[1]))


def _padded(text: str, date: Date) -> bool:
    """Whether one-digit days and months are to be written with a zero: no part of the original does without."""
    digits = [text[start:end] for part, start, end in date.pieces if part in {"day", "month"} and text[start].isdigit()]
    named = len(digits) == 1 and any(part == "month" and not text[start].isdigit() for part, start, _ in date.pieces)
    if named or date.day is None:
        alone = len(digits) == 1 and len(digits[0]) == 2 and " " not in text[date.start : date.end]  # 14-MAR-2019
        return alone or any(part.startswith("0") for part in digits)
    return all(len(part) == 2 for part in digits)


def _written(part: str, old: str, moved: datetime.date, padded: bool, dashed: bool) -> str:
    if part == "year":
        return f"{moved.year:04d}"
    if part == "short":
        return f"{moved.year % 100:02d}"
    if part == "weekday":
        return _like(old, _named(old, calendar.day_name, calendar.day_abbr, moved.weekday(), False))
    if part == "month" and not old[0].isdigit():
        return _like(old, _named(old, calendar.month_name, calendar.month_abbr, moved.month, dashed))
    if part == "ordinal":
        return _like(old, _ending(moved.day))
    value = getattr(moved, "day" if part == "last" else part)
    return f"{value:02d}" if padded else str(value)


def _named(old: str, names: list[str], short: list[str], number: int, dashed: bool) -> str:
    """A month's or a weekday's name, whole or short as the old one. May is both: short beside dashes."""
    whole = old.lower() in {name.lower() for name in names} and not (dashed and old.lower() == "may")
    return names[number] if whole else short[number]


def _ending(day: int) -> str:
    return "th" if 10 <= day % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _like(old: str, new: str) -> str:
    if old.isupper():
        return new.upper()
    return new.lower() if old.islower() else new
