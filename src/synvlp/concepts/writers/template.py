"""Write reports by a grammar of our own: offline, and the same words for the same seed and report.

Each concept is named once in FINDINGS, by its name or a synonym, in one of several frames; anatomy is joined to a
finding or stands in a sentence of its own. IMPRESSION names what is abnormal again, diseases first.
"""

import random
import re
from collections.abc import Sequence

from synvlp.concepts.vocabulary import Concept

from synvlp.concepts import writing
from synvlp.store import seeds

_CLAUSE = re.compile(r"\b(?:is|are|was|were|has|have|appears?|remains?)\b")
_MASS = re.compile(r"(?:ss|us|is|as)$")
_ABNORMAL = ("disease", "abnormality")
_ALONE = ("{phrase}.", "There {be} {phrase}.", "{phrase} {be} seen.", "{phrase} {be} noted.", "{phrase} {be} present.")
_TOGETHER = ("There {be} {phrases}.", "{phrases} are seen.", "{phrases} are present.", "{phrases}.")
_PLACED = (
    "{phrase} {be} seen, in a view that includes the {place}.",
    "There {be} {phrase}; the {place} {also} in the field of view.",
)
_PLACES = (
    "The {place} {be} included in the image.",
    "The {place} {be} in the field of view.",
    "The image shows the {place}.",
    "The {place} {be} imaged in full.",
)
_SUMMARY = ("{phrases}.", "{phrases}.", "Chest radiograph with {phrases}.", "Findings of {phrases}.")


class Settings(writing.Settings):
    join: float = writing.job.setting(0.3, "share of the findings that share a sentence with the next one", ge=0, le=1)
    summarized: int = writing.job.setting(
        6, "most concepts of an IMPRESSION; abnormal ones go first", unit="concepts", ge=1
    )


Inputs = writing.Inputs
Outputs = writing.Outputs


def run(settings: Settings, inputs: writing.Inputs, outputs: writing.Outputs) -> None:
    """Write a report for every set of concepts."""
    writing.run(__name__, settings, inputs, outputs, lambda requests: [text(one, settings) for one in requests], 1000)


def text(request: writing.Request, settings: Settings) -> str:
    """The report of one request. Its words follow from the seed, the report's id and the attempt alone."""
    chance = random.Random(seeds.seed_of(settings.seed, "template", request.study_id, request.attempt))
    findings = [concept for concept in request.concepts if concept.kind != writing.ANATOMY]
    places = [concept for concept in request.concepts if concept.kind == writing.ANATOMY]
    chance.shuffle(findings)
    chance.shuffle(places)
    sentences = [_sentence(group, places, chance) for group in _groups(findings, settings.join, chance)]
    sentences += [_about(place, chance) for place in places]
    return writing.joined(writing.Report(" ".join(sentences), _impression(findings, settings.summarized, chance)))


def _groups(findings: Sequence[Concept], join: float, chance: random.Random) -> list[list[Concept]]:
    """Findings that share a sentence: at most three, one after the other."""
    groups: list[list[Concept]] = []
    for concept in findings:
        if groups and len(groups[-1]) < 3 and chance.random() < join:
            groups[-1].append(concept)
        else:
            groups.append([concept])
    return groups


def _sentence(group: Sequence[Concept], places: list[Concept], chance: random.Random) -> str:
    """One sentence about one to three findings; it may take a place from `places`."""
    phrases = [_phrase(concept, chance) for concept in group]
    clauses = [phrase for phrase in phrases if _CLAUSE.search(phrase)]
    nouns = [phrase for phrase in phrases if phrase not in clauses]
    sentences = [f"{_capital(phrase)}." for phrase in clauses]
    if len(nouns) > 1:
        sentences.append(_filled(chance.choice(_TOGETHER), phrases=_listed(nouns), be="are"))
    elif nouns and places and chance.random() < 0.3:
        place = _noun(places.pop(), chance)
        be, also = _be(nouns[0]), f"{_be(place)} also"
        sentences.append(_filled(chance.choice(_PLACED), phrase=nouns[0], be=be, place=place, also=also))
    elif nouns:
        sentences.append(_filled(chance.choice(_ALONE), phrase=nouns[0], be=_be(nouns[0])))
    return " ".join(sentences)


def _about(place: Concept, chance: random.Random) -> str:
    noun = _noun(place, chance)
    return _filled(chance.choice(_PLACES), place=noun, be=_be(noun))


def _impression(findings: Sequence[Concept], most: int, chance: random.Random) -> str:
    """Names what is abnormal, diseases first; what is normal only where nothing is abnormal."""
    abnormal = [concept for kind in _ABNORMAL for concept in findings if concept.kind == kind]
    phrases = [_phrase(concept, chance) for concept in (abnormal or findings)[:most]]
    nouns = [phrase for phrase in phrases if not _CLAUSE.search(phrase)]
    clauses = [f"{_capital(phrase)}." for phrase in phrases if phrase not in nouns]
    return " ".join([*([_filled(chance.choice(_SUMMARY), phrases=_listed(nouns))] if nouns else []), *clauses])


def _phrase(concept: Concept, chance: random.Random) -> str:
    """The concept's name, in half of the cases one of its synonyms."""
    return chance.choice(concept.synonyms) if concept.synonyms and chance.random() < 0.5 else concept.name


def _noun(place: Concept, chance: random.Random) -> str:
    return _phrase(place, chance).removeprefix("the ")


def _be(phrase: str) -> str:
    """is or are: a plural ends in s, but stenosis, atelectasis and thymus are none."""
    head = re.split(r"\s+(?:of|in|at|with|from|to)\s+", phrase)[0]
    return "are" if head.endswith("s") and not _MASS.search(head) else "is"


def _listed(phrases: Sequence[str]) -> str:
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}" if len(phrases) > 1 else phrases[0]


def _filled(frame: str, **words: str) -> str:
    return _capital(frame.format(**words))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
