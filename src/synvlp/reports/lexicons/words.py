"""The word lists that detection and surrogates rest on, and the questions asked of them.

The lists are plain text beside this module: one entry a line, lines that begin with # are comments. They
hold common entries only; names that are in none of them are detected from context, shape and the lack of
any other meaning.
"""

import functools
import re
from pathlib import Path

FOLDER = Path(__file__).parent

# Endings of medical and general English words that hardly any name has (from eight letters on).
_ENDINGS = re.compile(
    r"(?:itis|oses|osis|otic|omas|ectom(?:y|ies)|ostomy|otomy|oscop(?:y|ic)|graph(?:s|y|ic|ically)?|grams?|"
    r"plast(?:y|ic)|emia|emic|path(?:y|ic)|megaly|troph(?:y|ic)|plas(?:ia|tic)|ectas(?:is|es)|genic|ular|"
    r"thorax|thoracic|cardial|cardiac|pleural|phrenic|hilar|basilar|lateral|vertebral|spinal|costal|vascular|"
    r"[ts]ions?|ments?|ness|ities|ously|ous|tive|sive|able|ible|ably|ibly|ally|ically|ized|ised|izing|ization|"
    r"logy|logic|logical|logist|logists|metry|metric|therapy|lysis|lytic|stasis|static|penia|penic|uria|pnea|"
    r"cillin|mycin|floxacin|statin|azole|parin|sartan|olol|pril|mab|cytosis|cytic|sclerosis|sclerotic|oid)$"
)
# (ending, what stands in its place in the base form)
_INFLECTIONS = (
    ("'s", ("",)),
    ("’s", ("",)),
    ("ies", ("y",)),
    ("es", ("", "e", "is")),
    ("s", ("",)),
    ("ied", ("y",)),
    ("ed", ("", "e")),
    ("ing", ("", "e")),
    ("ings", ("", "e")),
    ("ly", ("", "le")),
    ("y", ("ic",)),
    ("er", ("", "e")),
    ("est", ("", "e")),
    ("ally", ("",)),
    ("ors", ("e",)),
    ("or", ("e",)),
)
_PREFIXES = (
    "non",
    "un",
    "re",
    "pre",
    "post",
    "sub",
    "supra",
    "infra",
    "inter",
    "intra",
    "hyper",
    "hypo",
    "bi",
    "pan",
    "peri",
    "para",
)


@functools.cache
def entries(name: str) -> tuple[str, ...]:
    """The entries of one list (`surnames`, `vocabulary`, …) as they are written in its file, in its order."""
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


@functools.cache
def lowered(name: str) -> frozenset[str]:
    """The entries of one list in lower case."""
    return frozenset(entry.lower() for entry in entries(name))


@functools.cache
def single_words(name: str) -> frozenset[str]:
    """The single words, in lower case, that occur in the entries of one list."""
    return frozenset(word for entry in entries(name) for word in re.findall(r"[^\W\d_]+", entry.lower()))


@functools.lru_cache(maxsize=65536)
def is_vocabulary(word: str) -> bool:
    """Whether a word, in any case, is an English or clinical word (also inflected, prefixed or compound)."""
    low = word.lower().replace("’", "'")
    if _is_base(low) or (len(low) >= 8 and not is_listed_name(low) and _ENDINGS.search(low)):
        return True
    if "-" in low or "/" in low:
        return all(part == "" or part.isdigit() or is_vocabulary(part) for part in re.split("[-/]", low))
    return any(
        low.startswith(prefix) and len(low) - len(prefix) >= 4 and _is_base(low[len(prefix) :]) for prefix in _PREFIXES
    )


def is_first_name(word: str) -> bool:
    """Whether a word is a common first name."""
    return word.lower() in lowered("first_names_female") or word.lower() in lowered("first_names_male")


def is_listed_name(word: str) -> bool:
    """Whether a word is a common first name or surname."""
    return is_first_name(word) or word.lower() in lowered("surnames")


def is_eponym(word: str) -> bool:
    """Whether a word is a person's name that stands for a sign, a disease or a device, or a maker's name."""
    low = re.sub(r"['’]s$", "", word.lower())
    return any(part in lowered("eponyms") or part in single_words("devices") for part in (low, *low.split("-")))


def sex_of(name: str) -> str:
    """F or M for a common first name of one sex, "" for any other word."""
    female, male = (name.lower() in lowered(f"first_names_{sex}") for sex in ("female", "male"))
    return "" if female == male else "F" if female else "M"


def _is_base(low: str) -> bool:
    known = lowered("vocabulary")
    if low in known:
        return True
    for ending, bases in _INFLECTIONS:
        stem = low[: -len(ending)]
        if not low.endswith(ending) or len(stem) < 2:
            continue
        if any(stem + base in known for base in bases):
            return True
        if len(stem) >= 4 and stem[-1] == stem[-2] and ending in {"ed", "ing", "er"} and stem[:-1] in known:
            return True
    return False
