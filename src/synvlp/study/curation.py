"""What a study curates: which corpora, raw or corrupted, are judged, and the files that sets of pairs take from it."""

from collections.abc import Mapping
from typing import Any

RAW, CORRUPTED = "raw", "corrupted"


class Curation:
    """Answers for the rules, from the sets of pairs that the study's sources use."""

    def __init__(self, pair_sets: Mapping[str, Any], used: set[str]) -> None:
        """`pair_sets`: the config's section; `used`: the names of those that a source draws from."""
        self.pair_sets = pair_sets
        self.used = [pair_sets[name] for name in sorted(used)]

    def curated(self) -> list[tuple[str, str]]:
        """Corpus and version of what is curated: raw, or corrupted."""
        return sorted({(part.corpus, _version(part)) for part in self.used if part.curated})

    def corrupted(self) -> list[str]:
        """The corpora of which a corrupted copy is used, and measured."""
        return sorted({part.corpus for part in self.used if part.corrupted})

    def judged(self, corpus: str, version: str, name: str) -> str:
        """The table "images" or "prompts" that a version's judges look at."""
        if version == CORRUPTED:
            return f"{_folder(corpus, version)}/{name}.parquet"
        return f"<results>/{'reports' if name == 'prompts' else 'corpora'}/{corpus}/{name}.parquet"

    def decision(self, pair_set: str) -> str | list:
        """Which studies a set of pairs keeps; nothing if it is not curated."""
        part = self.pair_sets[pair_set]
        return f"{_folder(part.corpus, _version(part))}/curated.parquet" if part.curated else []

    def results(self) -> list[str]:
        """What a user looks at."""
        return [*self.pictures().values(), *self.rejected().values()]

    def pictures(self) -> dict[str, str]:
        """Pictures by title: rejected images, and what the judges found of what was corrupted."""
        return {
            **{f"Left out by curation: {_title(*key)}": f"{_folder(*key)}/sheet.png" for key in self.curated()},
            **{
                f"What curation finds in {corpus}, corrupted": f"{_folder(corpus, CORRUPTED)}/recall.png"
                for corpus in self.corrupted()
            },
        }

    def rejected(self) -> dict[str, str]:
        """Lists of rejected studies by title."""
        return {f"Pairs of {_title(*key)}, curation": f"{_folder(*key)}/rejected.csv" for key in self.curated()}

    def problems(self) -> list[str]:
        """Sets of pairs that cannot be curated or corrupted."""
        return [
            f"pair_sets.{name}: curated and corrupted are for a corpus's own images, not for a generator's, which are "
            "screened as they are drawn; set generator to null, or leave both out"
            for name, part in self.pair_sets.items()
            if part.generator and (part.curated or part.corrupted)
        ]


def _version(part: Any) -> str:
    return CORRUPTED if part.corrupted else RAW


def _folder(corpus: str, version: str) -> str:
    return f"<results>/encoders/curation/{corpus}/{version}"


def _title(corpus: str, version: str) -> str:
    return corpus if version == RAW else f"{corpus}, corrupted"
