"""Write reports by a grammar of our own: offline, and the same words for the same seed and report.

Each concept is named once in FINDINGS, by its name or a synonym, in one of several frames; anatomy is joined to a
finding or stands in a sentence of its own. IMPRESSION names what is abnormal again, diseases first.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from synvlp import job
from synvlp.concepts import writing
from synvlp.concepts.vocabulary import Concept
from synvlp.store import prompting, seeds

_ABNORMAL = ("disease", "abnormality")
_ALONE = ("{Phrase}.", "{Phrase} {be} seen.", "{Phrase} {be} noted.", "{Phrase} {be} present.", "{Phrase} {be} shown.")
_TOGETHER = (
    "{Phrases}.",
    "{Phrases} are seen.",
    "{Phrases} are present.",
    "There are {phrases}.",
    "Seen are {phrases}.",
)
_PLACED = ("{Phrase}, imaged together with the {place}.", "{Phrase} {be} seen in an image that shows the {place}.")
_PLACES = (
    "The {place} {be} included in the image.",
    "The {place} {be} in the field of view.",
    "The image shows the {place}.",
    "The {place} {be} imaged in full.",
)
_SUMMARY = ("{Phrases}.", "{Phrases}.", "Chest radiograph with {phrases}.", "Findings of {phrases}.")
_BARE = frozenset(["{Phrase}.", "{Phrases}."])

_STATES = frozenset(
    [
        "normal",
        "clear",
        "large",
        "low",
        "sharp",
        "intact",
        "midline",
        "prominent",
        "tortuous",
        "unremarkable",
        "adequate",
    ]
)
_MANY = frozenset(
    ["lung", "field", "zone", "bone", "rib", "marking", "angle", "volume", "space", "surface", "structure", "contour"]
)
_PREPOSITION = re.compile(r"\s+(?:of|in|at|with|from|to|under|on)\s+")
_SINGULAR = re.compile(r"(?:ss|us|is|as)$")


class Settings(writing.Settings):
    join: float = job.setting(0.3, "share of the findings that share a sentence with the one before", ge=0, le=1)
    synonyms: float = job.setting(0.6, "share of the concepts that are named by a synonym", ge=0, le=1)
    summarized: int = job.setting(
        6, "most concepts of an IMPRESSION: what is abnormal, or else what is normal", unit="concepts", ge=1
    )


Inputs = writing.Inputs
Outputs = writing.Outputs


@dataclass(frozen=True)
class Phrase:
    """Words for a concept: a noun ("cardiomegaly"), or a sentence without its full stop ("the heart is enlarged")."""

    words: str
    sentence: bool = False


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
    parts = []
    for group in _groups(findings, settings.join, chance):
        phrases = [_phrase(concept, settings.synonyms, chance) for concept in group]
        parts += [_sentence(phrase.words) for phrase in phrases if phrase.sentence]
        parts += _naming([phrase.words for phrase in phrases if not phrase.sentence], places, settings, chance)
    parts += [_placing(places.pop(), settings, chance) for _ in list(places)]
    return writing.joined(writing.Report(" ".join(parts), _impression(findings, settings, chance)))


def phrases_of(concept: Concept) -> list[Phrase]:
    """The words for a concept that can be written, its name first.

    A synonym with a gap is written where a verb fills it ("heart * enlarged"), else it is left out; so are short
    synonyms, which are abbreviations.
    """
    found = [Phrase(concept.name, concept.name.startswith("no "))]
    for synonym in concept.synonyms:
        if "*" in synonym:
            head, gap, state = synonym.partition(" * ")
            if gap and "*" not in state and (state.endswith("ed") or state.rpartition(" ")[2] in _STATES):
                found.append(Phrase(_state(head, state), True))
        elif len(synonym) > 4:
            found.append(Phrase(synonym, synonym.startswith("no ")))
    return found


def _state(head: str, state: str) -> str:
    many = head.rpartition(" ")[2] in _MANY
    return f"the {head}s are {state}" if many else f"the {head} is {state}"


def _phrase(concept: Concept, synonyms: float, chance: random.Random) -> Phrase:
    known = phrases_of(concept)
    return chance.choice(known[1:]) if known[1:] and chance.random() < synonyms else known[0]


def _groups(findings: Sequence[Concept], join: float, chance: random.Random) -> list[list[Concept]]:
    """Findings that share a sentence: at most three, one after the other."""
    groups: list[list[Concept]] = []
    for concept in findings:
        if groups and len(groups[-1]) < 3 and chance.random() < join:
            groups[-1].append(concept)
        else:
            groups.append([concept])
    return groups


def _naming(nouns: Sequence[str], places: list[Concept], settings: Settings, chance: random.Random) -> list[str]:
    """A sentence that names up to three findings; one finding may take a place from `places`."""
    if len(nouns) > 1:
        return [_filled(chance.choice(_TOGETHER), phrases=_listed(nouns))]
    if not nouns:
        return []
    be = _be(nouns[0])
    if places and chance.random() < 0.3:
        place = _noun(places.pop(), settings, chance)
        return [_filled(chance.choice(_PLACED), phrase=nouns[0], be=be, place=place)]
    return [_filled(_frame(_ALONE, nouns[0], chance), phrase=nouns[0], be=be)]


def _placing(place: Concept, settings: Settings, chance: random.Random) -> str:
    noun = _noun(place, settings, chance)
    return _filled(chance.choice(_PLACES), place=noun, be=_be(noun))


def _impression(findings: Sequence[Concept], settings: Settings, chance: random.Random) -> str:
    """Names what is abnormal, diseases first; what is normal only where nothing is abnormal."""
    abnormal = [concept for kind in _ABNORMAL for concept in findings if concept.kind == kind]
    chosen = (abnormal or findings)[: settings.summarized]
    phrases = [_phrase(concept, settings.synonyms, chance) for concept in chosen]
    nouns = [phrase.words for phrase in phrases if not phrase.sentence]
    named = _listed(nouns) if nouns else ""
    parts = [_filled(_frame(_SUMMARY, named, chance), phrases=named)] if nouns else []
    return " ".join([*parts, *(_sentence(phrase.words) for phrase in phrases if phrase.sentence)])


def _noun(place: Concept, settings: Settings, chance: random.Random) -> str:
    return _phrase(place, settings.synonyms, chance).words.removeprefix("the ")


def _be(noun: str) -> str:
    """is or are: a plural ends in s, but stenosis, atelectasis and thymus are none."""
    head = _PREPOSITION.split(noun)[0]
    return "are" if head.endswith("hila") or (head.endswith("s") and not _SINGULAR.search(head)) else "is"


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


def _frame(frames: Sequence[str], words: str, chance: random.Random) -> str:
    """A frame for words; a single one does not stand alone, since a sentence of one word is dropped from texts."""
    alone = len(prompting.WORD.findall(words)) < 2
    return chance.choice([frame for frame in frames if not (alone and frame in _BARE)])


def _filled(frame: str, **words: str) -> str:
    """A frame with its words; a name that begins with a capital stands for words that do."""
    return frame.format(**words, **{name.capitalize(): _capital(value) for name, value in words.items()})


def _sentence(words: str) -> str:
    return f"{_capital(words)}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
