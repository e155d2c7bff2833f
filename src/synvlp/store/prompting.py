"""How a report becomes the text that encoders read and the prompt that a generator is asked for.

The text is impression and findings, cleaned as in MGCA: no enumerations, one space between words, ASCII, no sentence
of one word. The prompt is the impression, then sentences of the findings while they fit.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator

_ABBREVIATIONS = frozenset(
    [
        "dr",
        "drs",
        "mr",
        "mrs",
        "ms",
        "st",
        "vs",
        "no",
        "fig",
        "figs",
        "approx",
        "e.g",
        "i.e",
        "etc",
        "dept",
        "ext",
        "jr",
        "sr",
        "prof",
        "resp",
        "a.m",
        "p.m",
    ]
)
_END = re.compile(r"(?<=[.!?;])\s+(?=[\"'(]?[A-Z0-9])")
WORD = re.compile(r"\w+")
_SIGNS = {
    "‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‐": "-", "‑": "-", "−": "-", "…": "...",
    "µ": "u", "μ": "u", "×": "x", "≥": ">=", "≤": "<=", "±": "+/-", "°": " degrees ", "½": "1/2", "¼": "1/4",
    "\u00a0": " ",
}  # fmt: skip
_COMPARES = re.compile(
    r"\b(?:un(?:changed|altered)|no\s+(?:significant\s+|interval\s+|appreciable\s+)*change|stable|compar(?:ed|ison|"
    r"able)|prior|previous(?:ly)?|"
    r"interval|since|earlier|again\s+(?:seen|noted|demonstrated))\b",
    re.IGNORECASE,
)
_TELLS = re.compile(  # that someone was told, or who looked: nothing that an image could show
    r"\b(?:discussed\s+with|communicated|notified|telephoned?|by\s+phone|paged|was\s+informed|were\s+(?:called|"
    r"relayed|conveyed)|"
    r"d/w|drs?\b\.?\s+[a-z]+\s+(?:is|was|made)?\s*aware|(?:called|relayed|conveyed|reported)\s+to\s+(?:drs?\b|[a-z]+\s+[a-z]+,\s*"
    r"(?:r\.?n|m\.?d|n\.?p|p\.?a)\b)|"
    r"reviewed\s+the\s+images?|dictated|electronically\s+signed|read\s*back|attending\s+physician|please\s+(?:call|"
    r"contact)|"
    r"can\s+be\s+reached|with\s+questions)\b|(?<!\d)\d{3}\)?[-. ]\d{3}[-. ]\d{4}(?!\d)|\b\d{5}\b",
    re.IGNORECASE,
)
_CODES = re.compile(  # numbers of devices, and when they were put in: not visible either
    r",?\s*\(?(?:serial|s/n|sn|lot)\b\s*(?:(?:number|no)\b\.?|"
    r"#)?\s*[:#]?\s*[\w./-]*\d[\w/-]*\)?(?:,\s*implanted\s+[^,.;]*)?",
    re.IGNORECASE,
)
FINDING = re.compile(
    r"\b(?:effusions?|opacit\w+|consolidations?|pneumonia|pneumothora\w+|nodul\w+|mass(?:es)?|cardiomegaly|"
    r"enlarge\w*|edema|atelecta\w+|"
    r"infiltrates?|fractures?|congestion|lesions?|heart|silhouette|normal|clear|hernia|emphysema\w*|fibro\w+|scar\w*|"
    r"density|densities|thickening)\b",
    re.IGNORECASE,
)
_STORY = re.compile(  # of a case: why somebody came, what the laboratory said, how it was treated
    r"\b(?:presented|histor(?:y|ies)\s+of|blood|serolog\w+|laborator\w+|symptoms?|physical\s+examination|"
    r"was\s+(?:admitted|started|treated|suspected|referred)|treatment)\b",
    re.IGNORECASE,
)


def write_text(impression: str, findings: str) -> str:
    """Impression and findings as one cleaned text."""
    return " ".join(_finished(sentence) for sentence in [*_clean(impression), *_clean(findings)])


def write_prompt(impression: str, findings: str, fits: Callable[[str], bool], drop_comparisons: bool = True) -> str:
    """The impression, then sentences of the findings that it does not have, as long as `fits` holds.

    Sentences that tell who was told or who looked are left out; with `drop_comparisons` also those that only
    compare with an earlier study; without an impression also those that name nothing that could be seen (the
    history at the beginning of a case note). A sentence is cut only if nothing else would be left of the prompt, and a
    finding that is a sentence of one word is taken only then. "" if nothing is said that an image could show.
    """
    chosen: list[str] = []
    candidates = [_CODES.sub("", sentence) for sentence in [*_clean(impression), *_clean(findings)]]
    shown = [sentence for sentence in candidates if not _TELLS.search(sentence)]
    plain = [sentence for sentence in shown if not (drop_comparisons and _only_compares(sentence))]
    if not impression:
        seen = [sentence for sentence in plain if FINDING.search(sentence)]
        plain = [sentence for sentence in seen if not _STORY.search(sentence)] or seen or plain
    shown = shown or _single_findings(f"{impression} {findings}")
    for sentence in map(_finished, plain or shown):
        if sentence.lower() in {other.lower() for other in chosen}:
            continue
        if not fits(" ".join([*chosen, sentence])):
            break
        chosen.append(sentence)
    if not chosen and shown:
        return _cut((plain or shown)[0], fits)
    return " ".join(chosen)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text; abbreviations and decimal points end none."""
    held = ""
    for part in _END.split(text):
        held = f"{held} {part}".strip()
        last = held.rstrip(".").rpartition(" ")[2].lower()
        if not (held.endswith(".") and (last in _ABBREVIATIONS or re.fullmatch(r"[a-z]", last))):
            yield held
            held = ""
    if held:
        yield held


def _clean(section: str) -> list[str]:
    """The sentences of a section in ASCII, without enumerations and without those of fewer than two words."""
    for sign, plain in _SIGNS.items():
        section = section.replace(sign, plain)
    section = unicodedata.normalize("NFKD", section).encode("ascii", "ignore").decode()
    section = re.sub(r"(?:^|(?<=[.;:!?]\s))\s*\(?\d{1,2}[.)]\s+(?=[A-Z])", " ", " ".join(section.split()))
    section = re.sub(r"([.!?])(?:\s*\.)+(?=\s|$)", r"\1", section)
    found = [sentence.strip(" -*") for sentence in sentences(section)]
    return [sentence for sentence in found if len(WORD.findall(sentence)) > 1]


def _single_findings(section: str) -> list[str]:
    """The sentences of one word that name a finding: Pneumothorax."""
    found = [sentence.strip(" -*") for sentence in sentences(" ".join(section.split()))]
    return [sentence for sentence in found if len(WORD.findall(sentence)) == 1 and FINDING.search(sentence)]


def _finished(sentence: str) -> str:
    sentence = sentence.rstrip(" ,;:")
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def _only_compares(sentence: str) -> bool:
    """Whether a sentence compares with an earlier study and names nothing that could be seen in this one."""
    return bool(_COMPARES.search(sentence)) and not FINDING.search(sentence)


def _cut(sentence: str, fits: Callable[[str], bool]) -> str:
    """As many of a sentence's words as fit, up to the last comma among them if there is one past its middle."""
    words = sentence.split()
    while words and not fits(_finished(" ".join(words))):
        words.pop()
    commas = [place for place, word in enumerate(words) if word.endswith((",", ";")) and 2 * place > len(words)]
    kept = words[: commas[-1] + 1] if commas else words
    return _finished(" ".join(kept)) if kept else ""
