"""Concepts in a text: where each is spoken of, and whether it is said to be present, absent or uncertain."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from synvlp.concepts import text as texts
from synvlp.concepts.scope import Sentence
from synvlp.concepts.text import Found, Phrases, Token
from synvlp.concepts.vocabulary import Concept, negated

STATUSES = ("present", "uncertain", "absent")  # the first that a report says of a concept is the report's
_TURNED = {"present": "absent", "absent": "present", "uncertain": "uncertain"}


@dataclass(frozen=True)
class Mention:
    """A place where a text speaks of a concept: `text[start:end]`."""

    concept: str
    start: int
    end: int
    status: str  # present, absent, uncertain


class Extractor:
    """Finds the concepts of a vocabulary by their names and synonyms.

    The longest phrase wins, and places give way to what is found there. A phrase that is told of the patient's history
    is no mention. Anatomy is always present: it is named, and no "no" takes it away. What is normal is denied only by a
    "no" or "not" right before or inside it.
    """

    def __init__(self, vocabulary: Mapping[str, Concept]) -> None:
        self._kinds = {concept.name: concept.kind for concept in vocabulary.values()}
        self._phrases: Phrases[tuple[str, bool]] = Phrases(
            (phrase[3:] if negated(phrase) else phrase, (concept.name, negated(phrase)))
            for concept in vocabulary.values()
            for phrase in concept.phrases
        )

    def __call__(self, text: str) -> list[Mention]:
        """The mentions in a text, in the order in which they stand there."""
        return [mention for _, mention in self.numbered(text)]

    def numbered(self, text: str) -> list[tuple[int, Mention]]:
        """The mentions with the number of their sentence, counted from 0."""
        return [
            (number, mention)
            for number, (start, end) in enumerate(texts.sentences(text))
            for mention in self._sentence(texts.tokens(text, start, end))
        ]

    def _sentence(self, tokens: list[Token]) -> Iterable[Mention]:
        found = self._phrases.longest(tokens, gives_way=self._is_place)
        sentence = Sentence(tokens, {place for each in found for place in each.places})
        mentions = [
            Mention(concept, tokens[each.start].start, tokens[each.end - 1].end, status)
            for each in found
            for concept, turned in each.value
            if (status := self._status(sentence, each, concept, turned))
        ]
        return sorted(mentions, key=lambda mention: (mention.start, mention.end, mention.concept))

    def _is_place(self, values: list[tuple[str, bool]]) -> bool:
        """Whether a phrase is anatomy alone, so that "descending aorta" gives way to "aorta is tortuous"."""
        return all(self._kinds[concept] == "anatomy" for concept, _ in values)

    def _status(self, sentence: Sentence, found: Found, concept: str, turned: bool) -> str | None:
        kind = self._kinds[concept]
        if kind == "anatomy":
            return "present"
        if kind.startswith("non-") and not turned:
            said = sentence.status(found.start, found.end)
            denied = sentence.denied_nearby(found.start, found.gaps)
            return "absent" if denied else said and {"absent": "present"}.get(said, said)
        said = sentence.status(found.start, found.end, found.gaps)
        return _TURNED[said] if turned and said else said


def summary(mentions: Iterable[Mention]) -> dict[str, str]:
    """What a whole text says of each concept that it mentions: present before uncertain before absent."""
    said: dict[str, str] = {}
    for mention in mentions:
        best = said.get(mention.concept, mention.status)
        said[mention.concept] = min(best, mention.status, key=STATUSES.index)
    return said
