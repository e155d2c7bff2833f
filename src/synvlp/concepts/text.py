"""Reports as sentences and tokens, and phrases found in them.

Tokens are compared in lower case, in the singular and in American spelling. An article in a report never stands in
the way of a phrase, and a hyphen is as good as a blank.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

FOLDER = Path(__file__).parent / "phrases"
GAP = 4  # words that a `*` in a phrase may stand for

T = TypeVar("T")

_TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+(?:\.\d+)?|[^\w\s]|_+")
_END = re.compile(
    r"[.!?]+[\"')]*(?=\s|$)|(?<=[a-z])\.(?=[A-Z][a-z])|;|\n[ \t]*\n|\n(?=[ \t]*(?:\d{1,2}[.)]|[-*•])[ \t])"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:dr|drs|mr|mrs|ms|st|vs|fig|approx|e\.g|i\.e|etc|dept|prof|cf|[A-Z])\.$", re.IGNORECASE
)
_ARTICLES = frozenset({"the", "a", "an"})
_IRREGULAR = {
    "pneumothoraces": "pneumothorax", "hydropneumothoraces": "hydropneumothorax", "apices": "apex", "hila": "hilum",
    "bullae": "bulla", "vertebrae": "vertebra", "granulomata": "granuloma", "bronchi": "bronchus",
    "bases": "base", "sulci": "sulcus", "emboli": "embolus", "thrombi": "thrombus", "pleurae": "pleura",
    "diaphragms": "diaphragm", "biapical": "apical", "cavities": "cavity", "lies": "lies", "series": "series",
    "lucencies": "lucency", "scapulae": "scapula", "atria": "atrium", "foci": "focus", "septa": "septum",
}  # fmt: skip
_BRITISH = (
    ("oedema", "edema"), ("haem", "hem"), ("oesoph", "esoph"), ("tumour", "tumor"), ("aemia", "emia"),
    ("paediatric", "pediatric"), ("calibre", "caliber"), ("visualis", "visualiz"), ("grey", "gray"),
)  # fmt: skip


@dataclass(frozen=True)
class Token:
    """A word, a number or a sign of a text: how it is compared, and where it stands."""

    norm: str
    start: int
    end: int

    @property
    def is_word(self) -> bool:
        return self.norm[0].isalnum()


@dataclass(frozen=True)
class Found(Generic[T]):
    """A phrase in a list of tokens."""

    places: tuple[int, ...]  # the tokens that the phrase names, without those in its gaps
    value: T

    @property
    def start(self) -> int:
        return self.places[0]

    @property
    def end(self) -> int:
        return self.places[-1] + 1

    @property
    def head(self) -> frozenset[int]:
        """Its tokens before its first gap, if it has one: what it speaks of ("lungs" in "lungs are clear")."""
        run = frozenset(place for number, place in enumerate(self.places) if place == self.start + number)
        return run if len(run) < len(self.places) else frozenset()

    @property
    def tail(self) -> frozenset[int]:
        """Its tokens after its last gap, if it has one: what it says of it."""
        turned = enumerate(reversed(self.places), 1)
        run = frozenset(place for number, place in turned if place == self.end - number)
        return run if len(run) < len(self.places) else frozenset()

    @property
    def gaps(self) -> list[int]:
        """The tokens between its own."""
        own = set(self.places)
        return [place for place in range(self.start, self.end) if place not in own]


@functools.lru_cache(maxsize=65536)
def normal(word: str) -> str:
    """A word in lower case, singular and American spelling."""
    low = word.lower().removesuffix("'s")
    for british, american in _BRITISH:
        low = low.replace(british, american)
    if low in _IRREGULAR:
        return _IRREGULAR[low]
    if len(low) < 4 or not low.endswith("s") or low.endswith(("ss", "us", "is")):
        return low
    if low.endswith("ies"):
        return f"{low[:-3]}y"
    if low.endswith(("tases", "oses", "theses")) and len(low) > 7:  # metastases, fibroses, prostheses
        return f"{low[:-2]}is"
    if low.endswith(("sses", "shes", "ches", "xes", "zes")):
        return low[:-2]
    return low[:-1]


def tokens(text: str, start: int = 0, end: int | None = None) -> list[Token]:
    """The tokens of `text[start:end]`; hyphens inside words are left out, so that both parts are words."""
    found = []
    for match in _TOKEN.finditer(text, start, len(text) if end is None else end):
        inner = match.group() in "-‐‑" and text[match.start() - 1 : match.start()].isalnum()
        if not (inner and text[match.end() : match.end() + 1].isalnum()):
            found.append(Token(normal(match.group()), *match.span()))
    return found


def sentences(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a text start and end. A semicolon and an item of a list end one, too."""
    found, start = [], 0
    for match in _END.finditer(text):
        head = text[start : match.end()]
        if match.group() == "." and _ABBREVIATION.search(head.rstrip("\n")) and not re.search(r"\d\.$", head):
            continue
        found.append((start, match.end()))
        start = match.end()
    found.append((start, len(text)))
    return [(start, end) for start, end in found if re.search(r"\w", text[start:end])]


@functools.cache
def listed(name: str) -> tuple[str, ...]:
    """The entries of a list of this package (`negation_before`, …), without its comments."""
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


@functools.cache
def words(name: str) -> frozenset[str]:
    """The entries of a list of single words, as they are compared."""
    return frozenset(map(normal, listed(name)))


def variants(phrase: str) -> Iterator[list[str]]:
    """A phrase as the normal words that it is compared by: `*` is a gap, `word*` any word that begins so.

    A hyphen stands for a hyphen, a blank or nothing: "air-space" is also "airspace".
    """
    plain = " ".join(phrase.split())
    for form in dict.fromkeys((plain, re.sub(r"(?<=\w)-(?=\w)", "", plain))):
        parts = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?\*?|\d+(?:\.\d+)?|\*", form)
        words = [part if part.endswith("*") else normal(part) for part in parts if part.lower() not in _ARTICLES]
        if words and words[0] != "*" and words[-1] != "*":
            yield [word.lower() for word in words]


@dataclass
class _Node(Generic[T]):
    values: list[T] = field(default_factory=list)
    words: dict[str, "_Node[T]"] = field(default_factory=dict)
    stems: dict[str, "_Node[T]"] = field(default_factory=dict)
    gap: "_Node[T] | None" = None


class Phrases(Generic[T]):
    """Many phrases, each with a value, that are looked for at once."""

    def __init__(self, phrases: Iterable[tuple[str, T]]) -> None:
        self._root: _Node[T] = _Node()
        for phrase, value in phrases:
            for words in variants(phrase):
                self._add(words, value)

    def _add(self, words: Sequence[str], value: T) -> None:
        node = self._root
        for word in words:
            if word == "*":
                node.gap = node.gap or _Node()
                node = node.gap
            elif word.endswith("*"):
                node = node.stems.setdefault(word[:-1], _Node())
            else:
                node = node.words.setdefault(word, _Node())
        if value not in node.values:
            node.values.append(value)

    def all(self, tokens: Sequence[Token]) -> list[Found[list[T]]]:
        """Every place where a phrase stands, with the values of all phrases that are the same words."""
        return [
            Found(places, values)
            for start in range(len(tokens))
            for places, values in self._from(self._root, tokens, start, ())
        ]

    def longest(
        self, tokens: Sequence[Token], gives_way: Callable[[list[T]], bool] = lambda values: False
    ) -> list[Found[list[T]]]:
        """The phrases that share no word: of those that would, the one with more words, then more letters.

        Phrases with gaps may share what they speak of ("lungs are expanded and clear") or what they say ("heart and
        mediastinum are normal"). A phrase whose values give way does so to one with a gap, and to one as long.
        """

        def order(found: Found) -> tuple:
            letters = sum(tokens[place].end - tokens[place].start for place in found.places)
            minor = gives_way(found.value)
            first = bool(found.head) and not minor
            return not first, -len(found.places), minor, -letters, found.end - found.start, found.start

        taken: set[int] = set()
        heads: set[int] = set()
        tails: set[int] = set()
        chosen = []
        for found in sorted(_coherent(self.all(tokens), tokens), key=order):
            shared = taken & set(found.places)
            if shared <= heads & found.head or shared <= tails & found.tail:
                taken |= set(found.places)
                heads |= found.head
                tails |= found.tail
                chosen.append(found)
        return sorted(chosen, key=lambda found: found.places)

    def _from(
        self, node: _Node[T], tokens: Sequence[Token], at: int, places: tuple[int, ...]
    ) -> Iterator[tuple[tuple[int, ...], list[T]]]:
        if node.values:
            yield places, node.values
        if node.gap:
            for skipped in range(GAP + 1):
                if skipped and not (at + skipped <= len(tokens) and tokens[at + skipped - 1].is_word):
                    break
                yield from self._step(node.gap, tokens, at + skipped, places)
        yield from self._step(node, tokens, at, places)

    def _step(
        self, node: _Node[T], tokens: Sequence[Token], at: int, places: tuple[int, ...]
    ) -> Iterator[tuple[tuple[int, ...], list[T]]]:
        if at >= len(tokens):
            return
        norm = tokens[at].norm
        if places and norm in _ARTICLES:
            yield from self._step(node, tokens, at + 1, places)
        following = [node.words[norm]] if norm in node.words else []
        following += [child for stem, child in node.stems.items() if norm.startswith(stem)]
        for child in following:
            yield from self._from(child, tokens, at + 1, (*places, at))


def _coherent(found: list[Found[T]], tokens: Sequence[Token]) -> list[Found[T]]:
    """The phrases whose gaps hold no subject of another statement: "heart * enlarged" not in "heart normal, aorta
    enlarged", but "heart * normal" in "heart and aorta are normal".
    """
    subjects = [each.head or frozenset(each.places) for each in found]

    def runs_on(each: Found) -> bool:
        gaps = set(each.gaps)
        joined = gaps and tokens[each.start + len(each.head)].norm in ("and", "or", "/", "&")
        return not each.head or joined or not any(subject <= gaps for subject in subjects)

    return [each for each in found if runs_on(each)]
