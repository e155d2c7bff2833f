"""What a sentence says of the phrases in it: present, absent, uncertain, or nothing about this image.

Rules in the manner of NegEx (Chapman et al. 2001) and ConText (Harkema et al. 2009): words such as "no" or "possible"
reach over what follows them in their part of the sentence, words such as "has resolved" over what comes before. The
words are in the lists beside this module; the reach over commas and "and" is decided here.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from synvlp.concepts import text
from synvlp.concepts.text import Found, Token

_BEFORE = ("negation_before", "uncertainty_before", "history", "comparison")
_LISTS = (*_BEFORE, "negation_after", "uncertainty_after", "pseudo", "scope_ends")
_JOINS = frozenset({"or", "nor", "/", "&"})
_BREAKS = frozenset({":", "(", ";", "-", "–", "—"})
_SIGHTED = frozenset(
    map(text.normal, ("seen", "identified", "noted", "present", "evident", "demonstrated", "detected"))
)
_WITH = frozenset({"consistent", "compatible", "associated", "along", "keeping", "concordant"})  # "consistent with"
_ADVERBS = frozenset({"now", "also", "completely", "essentially", "definitely", "subsequently", "since", "clearly"})
_BETWEEN = frozenset({"versus", "vs"})
_PLACES = frozenset({"and", "in", "on", "at", "since", "from", "with"})  # "effusion resolved since …"
# After these, commas part the items of a list even where no "or" follows.
_LISTING = frozenset({"no", "without", "negative", "free", "absence", "lack", "neither", "nor"})
# An earlier finding stands right after these words, but for a few that describe it; it is none after others.
_NEAR = 4
_ELSEWHERE = frozenset(
    map(text.normal, ("study", "exam", "radiograph", "film", "ct", "x-ray", "of", "to", "there", "from", "with", "on"))
)


@functools.cache
def _triggers() -> text.Phrases[str]:
    return text.Phrases((phrase, name) for name in _LISTS for phrase in text.listed(name))


@dataclass(frozen=True)
class Reach:
    """A word of the lists, and the tokens `start` to `end` that it reaches over."""

    lists: tuple[str, ...]
    place: Found
    start: int
    end: int


class Sentence:
    """The tokens of one sentence with the reach of its words.

    Args:
        tokens: of the sentence.
        named: the tokens that concepts are made of; words of the lists that are wholly among them do not count.
    """

    def __init__(self, tokens: Sequence[Token], named: set[int] = frozenset()) -> None:
        self._tokens = tokens
        self._norms = [token.norm for token in tokens]
        found = [each for each in _triggers().longest(tokens) if not named >= set(each.places)]
        self._ends = {each.start for each in found if "scope_ends" in each.value}
        self._starts = {each.start for each in found if set(each.value) & set(_BEFORE)}
        self._pseudo = {place for each in found if "pseudo" in each.value for place in each.places}
        self._reaches = [reach for each in found for reach in self._reaches_of(each)]

    def status(self, start: int, end: int, gaps: Sequence[int] = ()) -> str | None:
        """What is said of the tokens from `start` to `end`; None if they say nothing about this image.

        `gaps` are tokens among them that are none of the phrase's own words: "not" in "heart is not enlarged".
        """
        if self._reached("history", start, end):
            return None
        if (
            self._denied(gaps)
            or self._reached("negation_before", start, end)
            or self._reached("negation_after", start, end)
        ):
            return "absent"
        if self._reached("uncertainty_before", start, end) or self._reached("uncertainty_after", start, end):
            return "uncertain"
        if self._reached("comparison", start, end):
            left = self._norms[end:] + [self._norms[place] for place in gaps]
            return "present" if set(left) & text.words("still_there") else None
        return "present"

    def denied_nearby(self, start: int, gaps: Sequence[int] = ()) -> bool:
        """Whether "no" or "not" stands right before the token `start`, or in the gaps of its phrase."""
        near = range(max(0, start - 2), start)
        return self._denied(gaps) or any(self._norms[place] in ("no", "not", "without") for place in near)

    def _denied(self, gaps: Sequence[int]) -> bool:
        return any(self._norms[place] in ("not", "never", "neither") and place not in self._pseudo for place in gaps)

    def _reached(self, name: str, start: int, end: int) -> bool:
        return any(name in reach.lists and reach.start <= start and end <= reach.end for reach in self._reaches)

    def _reaches_of(self, found: Found) -> list[Reach]:
        lists = self._directed(found)
        made = []
        if "comparison" in lists:
            made.append(Reach(("comparison",), found, found.end, self._nearby(found.end)))
        if forward := tuple(name for name in lists if name in _BEFORE and name != "comparison"):
            listing = self._norms[found.start] in _LISTING
            made.append(Reach(forward, found, found.end, self._forward(found.end, listing)))
        if backward := tuple(name for name in lists if name.endswith("_after")):
            made.append(Reach(backward, found, self._backward(found.start), found.start))
        return made

    def _directed(self, found: Found) -> tuple[str, ...]:
        """The lists of a word; of one that may stand before or after a finding, those on its side ("versus": both)."""
        before = [name for name in found.value if name in _BEFORE]
        after = [name for name in found.value if name.endswith("_after")]
        if not (before and after) or self._norms[found.start] in _BETWEEN:
            return tuple(found.value)
        said = found.start and self._norms[found.start - 1] in text.words("verbs") | _ADVERBS
        last = found.end == len(self._tokens) or not self._tokens[found.end].is_word
        return tuple(after if said or last or self._norms[found.end] in _PLACES else before)

    def _nearby(self, at: int) -> int:
        """How far "previously seen" reaches: over the noun phrase that follows."""
        end = at
        while end < len(self._tokens) and self._tokens[end].is_word and self._norms[end] not in _ELSEWHERE:
            if self._norms[end] in text.words("verbs") or end in self._ends:
                break
            end += 1
        return min(end, at + _NEAR + 3)

    def _forward(self, at: int, listing: bool) -> int:
        """Where the reach of a word before `at` ends."""
        for place in range(at, len(self._tokens)):
            norm = self._norms[place]
            if place in self._ends or norm in _BREAKS:
                return place
            if norm == "with" and self._norms[place - 1] not in _WITH:
                return place
            if norm == "," and not self._goes_on(place + 1, listing):
                return place
            if norm == "and" and not self._joins(place + 1):
                return place
        return len(self._tokens)

    def _goes_on(self, at: int, listing: bool) -> bool:
        """Whether what follows a comma is one more item of a list that a word before it reaches over."""
        norms = self._norms
        if at >= len(norms) or at in self._starts or at in self._ends:
            return False
        if norms[at] in _JOINS:
            return at + 1 not in self._starts
        if norms[at] == "and":
            return self._joins(at + 1)
        if self._or_follows(at):
            return True
        end = next((place for place in range(at, len(norms)) if norms[place] in {","} | _BREAKS), len(norms))
        return listing and norms[at] not in text.words("item_starts") and not self._clause(at, end)

    def _or_follows(self, at: int) -> bool:
        """Whether an "or" comes before the next verb, word of the lists, or end of the part."""
        for place in range(at, len(self._norms)):
            if self._norms[place] in _JOINS:
                return True
            if place in self._starts or place in self._ends or self._norms[place] in text.words("verbs") | _BREAKS:
                return False
        return False

    def _joins(self, at: int) -> bool:
        """Whether what follows "and" belongs to the same statement."""
        norms = self._norms
        if at >= len(norms) or at in self._starts or at in self._ends or norms[at] in text.words("item_starts"):
            return False
        end = next((place for place in range(at, len(norms)) if norms[place] in {","} | _BREAKS), len(norms))
        return not self._clause(at, end)

    def _clause(self, start: int, end: int) -> bool:
        """Whether the tokens make a statement of their own; "… is seen" after a list does not."""
        verbs = [place for place in range(start, end) if self._norms[place] in text.words("verbs")]
        return bool(verbs) and not (verbs[0] + 1 < end and self._norms[verbs[0] + 1] in _SIGHTED)

    def _backward(self, at: int) -> int:
        """Where the reach of a word that begins at `at` starts."""
        norms, verbs = self._norms, text.words("verbs")
        start = at
        while start and (norms[start - 1] in verbs or norms[start - 1] in _ADVERBS or norms[start - 1] == ":"):
            start -= 1
        last = start
        while start:
            norm = norms[start - 1]
            if norm in verbs or norm in _BREAKS - {"("} or start - 1 in self._ends:
                break
            if norm == "," and not {"or", "and", "nor"} & set(norms[start:last]):
                break
            if norm == "and" and any(place in verbs for place in self._part(start - 1)):
                break
            start -= 1
        return start

    def _part(self, at: int) -> list[str]:
        """The words from the last comma or break to `at`."""
        start = at
        while start and self._norms[start - 1] not in {","} | _BREAKS:
            start -= 1
        return self._norms[start:at]
