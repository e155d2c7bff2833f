"""Markers that an earlier de-identification left in a text: found, filled or removed, so that none survives.

Generators memorize texts with such markers more than any others (arXiv 2502.07516), and most of them hide
ordinary words (in the Indiana reports, `XXXX` stands in 43 % of the findings). Where the words around a
marker say what kind of word is missing, a neutral one is put in ("no XXXX of" becomes "no evidence of");
otherwise the marker goes with the words that hang on it, and a sentence of which nothing is left goes as a whole.
"""

import re

MARKER = re.compile(
    r"\[\*\*.*?\*\*\]|\[\*\*|\*\*\]"  # MIMIC-II and -III: [**Hospital 12**]
    r"|_{2,}"  # MIMIC-CXR and -IV: ___
    r"|X{4,}|x{4,}|(?<![^\W_])[Xx]{3}(?![^\W_])"  # Indiana: XXXX
    r"|<{1,2}[A-Z][A-Z0-9 _/-]*>{1,2}"  # <NAME>
    r"|\[[A-Z][A-Z0-9 _/#-]*\]"  # [REDACTED]
    r"|\{\{?[A-Z][A-Z0-9 _/-]*\}?\}"  # {{NAME}}
    r"|\*{3,}|\ufffd+|[█■]+",
    re.DOTALL,
)

_HOLE = "\x00"  # stands for a marker while its sentence is mended; cannot occur in a text before that
_NOUNS = (
    r"pulmonary|osseous|bony|mediastinal|hilar|cardiac|vascular|visualized|remaining|soft|thoracic|pleural|upper|"
    r"lower|central|other|abdominal"
)
_PLURAL = r"(?:are|were|appear|have|remain|demonstrate)\b"
_SINGULAR = r"(?:is|was|appears|has|remains|demonstrates)\b"
_FILLS = tuple(
    (re.compile(pattern, re.IGNORECASE), fill)
    for pattern, fill in (
        (rf"\b(Dr|Drs|Doctor)\b\.?(?:\s*{_HOLE})+(?:\s*,?\s*(?:M\.?D|D\.?O)\b\.?)?", "the physician"),
        (rf"\b(?:Mr|Mrs|Ms|Miss)\b\.?(?:\s*{_HOLE})+", "the patient"),
        (rf"(\ban?\s+)?{_HOLE}[\s-]*(?:years?|yrs?|y)[\s/.-]*(?:olds?|o)\b[\s,]*", r"\1"),
        (rf"(\ban?\s+)?{_HOLE}[\s-]*(?:yof|yom|yo)\b", r"\1"),
        (rf"\bx-\s*{_HOLE}", "x-ray"),
        (rf"\bmost(?:\s+{_HOLE})+\s+(represent\w*|reflect\w*|related|due|secondary|consistent)\b", r"most likely \1"),
        (rf"\b(has|have) not(?:\s+{_HOLE})+\s+since\b", r"\1 not changed since"),
        (rf"\b(the)(?:\s+{_HOLE})+\s+({_PLURAL})", r"\1 structures \2"),
        (rf"\b(no|without)(?:\s+{_HOLE})+\s+(of|for)\b", r"\1 evidence \2"),
        (rf"\b({_NOUNS})(?:\s+{_HOLE})+\s+({_PLURAL})", r"\1 structures \2"),
        (rf"\b({_NOUNS})(?:\s+{_HOLE})+\s+({_SINGULAR})", r"\1 region \2"),
        (
            rf"\b(compared (?:to|with)|comparison (?:to|with|is made (?:to|with)))(?:[\s,/:-]*(?:(?:at|on|and|dated|"
            rf"from)\s+)*{_HOLE})+",
            r"\1 prior",
        ),
    )
)
_HANGING = (
    r"on|at|by|to|from|with|of|for|in|dated|per|and|or|the|an?|is|are|was|were|has|have|had|be|been|appears?|between|"
    r"as|than|about|approximately|since|until|via|through|over|under|into|status|post|versus|vs|that|which"
)
_NEGATIONS = "no|not|without|nor"  # hang only at the end of a sentence: before "or effusion" they must stay
# What may follow a hole so that the word before it hangs in the air.
_STOP = r"(?=\s*(?:[.,;:!?)]|$|(?:and|or|but|by|at|on|is|are|was|were|as|to|from|with|in|for|of|the|which|that)\b))"
_HANGS = re.compile(rf"(?:\b(?:{_HANGING})\s+)+(?:(?:,|/|-|:|\s)*{_HOLE})+{_STOP}", re.IGNORECASE)
_EDGES = re.compile(
    rf"^(?:\s|[,;:/-]|\b(?:and|or)\b)+|(?:\s|[,:/(-]|\b(?:{_HANGING}|{_NEGATIONS})\b)+(?=[.!?;]*$)", re.IGNORECASE
)
_COPULA = re.compile(r"\b(?:is|are|was|were|has|have|had|be|been|appears?)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?;\n]*(?:[.!?;](?=\d|\w\.)[^.!?;\n]*)*[.!?;]*[ \t]*\n?")
_HEADING = re.compile(r"^\s*(?:#+\s*|\*\*)?(?:[A-Z][A-Za-z/ &]{2,40}):(?:\*\*)?\s*")
_ABOUT_THE_STUDY = re.compile(
    r"[\W_]*(?:clinical|relevant|brief|patient|medical|reason|indications?|history|comparisons?|prior|previous|techniques?|"
    r"exam|examination|procedure|study|views?|protocol)\b",
    re.IGNORECASE,
)
_EMPTY = re.compile(
    rf"^(?:{_HANGING}|{_NEGATIONS}|there|it|this|these|those|patient|year|old|evidence|he|she|\d+|mr|mrs|ms|dr)$",
    re.IGNORECASE,
)


def count(text: str) -> int:
    """How many markers stand in a text."""
    return len(MARKER.findall(text))


def clean(text: str) -> tuple[str, int]:
    """A text without markers, and how many it had. A text without any comes back as it is.

    Running it again changes nothing.
    """
    removed = 0
    while found := count(text):
        removed += found
        holed = re.sub(r"\[\*\*[^\]]*(?:over|greater|above)[^\]]*9\d?[^\]]*\*\*\]", "90", text.replace(_HOLE, " "))
        holed = MARKER.sub(f" {_HOLE} ", holed)
        for pattern, fill in _FILLS:
            holed = pattern.sub(lambda match, fill=fill: _filled(match, fill), holed)
        text = "".join(_mended(part) for part in _SENTENCE.findall(holed))
        text = re.sub(r"\n{3,}", "\n\n", text).replace(_HOLE, "")
        text = re.sub(r" +(?=[,.;:!?)\n])", "", re.sub(r"(?<=\S) {2,}", " ", text))
    return text, removed


def _mended(sentence: str) -> str:
    """One sentence (with its line end) without holes; "" or its line end alone if nothing of it is left."""
    if _HOLE not in sentence:
        return sentence
    ending = re.search(r"\s*\Z", sentence).group()
    body = sentence.rstrip()
    lead = _HEADING.match(body)
    heading = lead.group() if lead and _HOLE not in lead.group() else ""
    body = _without_holes(body[len(heading) :])
    words = re.findall(r"\w+", body)
    lost_verb = _COPULA.search(sentence) and not _COPULA.search(body)
    no_subject = words and _COPULA.fullmatch(words[0])
    if no_subject or all(_EMPTY.match(word) for word in words) or (lost_verb and _is_torn(words)):
        body = ""
    elif body[0].islower() and not heading.strip() and sentence.lstrip()[:1] == _HOLE:
        body = body[0].upper() + body[1:]
    if not body:
        return f"{heading.rstrip()}{_stand_in(heading)}{ending}" if heading else "\n" * ("\n" in ending)
    return heading + body + ending


def _stand_in(heading: str) -> str:
    """What stands under a heading of which a marker was all: else the next paragraph would be read as its text."""
    return " Not stated." if _ABOUT_THE_STUDY.match(heading) else ""


def _filled(match: re.Match, fill: str) -> str:
    text = match.expand(fill)
    starts = re.search(r"(?:^|[.!?]\s|\n)\s*$", match.string[: match.start()])
    return text[:1].upper() + text[1:] if starts else text


def _is_torn(words: list[str]) -> bool:
    """Whether a sentence that lost its verb says too little to be kept."""
    return len(words) <= 3 or (len(words) <= 8 and not {"with", "without", "no"} & {word.lower() for word in words})


def _without_holes(body: str) -> str:
    body = _HANGS.sub(" ", body).replace(_HOLE, " ")
    body = re.sub(r"\b(of|with|the|an?)\s+(?:and|or)\b", r"\1", body)
    body = re.sub(r"\b(no|without|and|or)\s+(?:and|or)\b", r"\1", body, flags=re.IGNORECASE)
    body = re.sub(r"\(\s*[,;-]*\s*\)", " ", body)
    body = re.sub(r"([,;:])(?:\s*[,;:])+", r"\1", body)
    body = re.sub(r"\s+", " ", re.sub(r"\s+([.,;:!?)])", r"\1", body)).strip()
    return _EDGES.sub("", body)
