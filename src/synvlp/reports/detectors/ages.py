"""Ages over 89 years, in digits and in words; no other age identifies (45 CFR 164.514(b)(2)(i)(C))."""

import re
from collections.abc import Iterator

from synvlp.reports.spans import Span

_ONES = "one|two|three|four|five|six|seven|eight|nine"
_SPELLED = rf"ninety(?:[ -]?(?:{_ONES}))?|(?:(?:one|a)[ -])?hundred(?:[ -](?:and[ -])?(?:{_ONES}|ten|eleven|twelve))?"
_NUMBER = rf"(?P<age>9\d|1[0-2]\d|{_SPELLED})"
_OLD = r"[\s-]*(?:years?|yrs?\.?|y\.?)[\s/.-]*(?:olds?|o\.?|of[ \t]+age)(?![^\W_])"
_RULES = tuple(
    re.compile(rule, re.IGNORECASE)
    for rule in (
        rf"(?<![\w.,/-]){_NUMBER}{_OLD}",  # 94-year-old, 94 y/o, ninety-four years of age
        rf"(?<![\w.,/-]){_NUMBER}[ \t-]?(?:yo|yof|yom|y/o|y\.o\.?)(?!\w)",  # 94yo
        rf"(?<![\w.,/-]){_NUMBER}[ \t]?(?-i:[FM])(?!\w)(?![ \t]*(?:\d|/))",  # 94F
        rf"(?<![\w.,/-]){_NUMBER}[ \t-]?(?:years?|yrs?|y)?[ \t-]*(?:old)?[ \t,]+(?:female|male|woman|man|lady|"
        rf"gentleman|patient|veteran)\b",
        rf"\b(?:aged?|age[ \t]+is|years[ \t]+old|old[ \t]+age[ \t]+of|age[ \t]+of|at[ \t]+age|turned|turning|turns|"
        rf"now)[ \t]*[:=(]?[ \t]*{_NUMBER}(?![\w%]|[.,/:-]\d|[ \t]*(?:%|mm|cm|ml|mg|days?|hours?|hrs?|min|weeks?|"
        rf"months?|percent|bpm|kg|lbs?|pack))",
        rf"(?<![\w.,/-]){_NUMBER}[ \t]+(?:years?|yrs?)(?:[ \t]*(?:/|,)|[ \t]*\n|[ \t]*$|[ \t]*[,;]?[ \t]*(?:female|"
        rf"male|[FM]\b))",
        rf"(?m)^[ \t]*(?:patient[ \t]+)?(?:age|age/sex|sex/age)[ \t]*[:|=][ \t]*(?:[FM][ \t]*/[ \t]*)?{_NUMBER}\b",
        rf"(?<![\w.,/-]){_NUMBER}[ \t]*/[ \t]*(?-i:[FM])\b",  # 94/F
        rf"(?<![\w.,/-]){_NUMBER}[ \t]?y(?:rs?)?[ \t]+(?-i:[FM])\b",  # 94 y F
        rf"(?<![\w.,/-])(?-i:[FM])/?{_NUMBER}(?![\w/-]|[.,]\d)",  # F/94, F94
        rf"(?<!\w)0{_NUMBER}(?-i:Y)\b",  # 094Y, as DICOM has it
        rf"\bage[ \t]*(?:\(years?\)|in[ \t]+years)?[ \t]*[:=]?[ \t]*0?{_NUMBER}[ \t]?(?:y|yrs?|years?)\b",  # Age: 94y
        rf"\bage[ \t]*(?:\(years?\)|in[ \t]+years)[ \t]*[:=][ \t]*{_NUMBER}\b",  # Age (years): 94
        r"\b(?P<age>centenarian)s?\b",
    )
)


def find(text: str) -> Iterator[Span]:
    """The spans of the numbers (not of the words around them)."""
    for rule in _RULES:
        for match in rule.finditer(text):
            yield Span(*match.span("age"), "age", "pattern", True)
