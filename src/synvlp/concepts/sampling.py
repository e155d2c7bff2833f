"""Draw the sets of concepts that reports are written from: balanced under a cap, or as in a corpus.

Balanced: each set has `findings` concepts that are no anatomy and `anatomy` that are, no concept is in more than `cap`
sets, and none stands beside one that it excludes. Natural: whole sets of the real reports of a corpus's train split,
drawn with replacement, so that frequencies, sizes and co-occurrence are the corpus's.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.concepts import observed, urn
from synvlp.concepts.vocabulary import Concept, load
from synvlp.store import seeds, tables

Kind = Literal["abnormality", "non-abnormality", "disease", "non-disease"]


class Settings(job.Settings):
    method: Literal["balanced", "natural"] = job.setting(
        "balanced", "balanced: under a cap; natural: sets of the corpus's real reports"
    )
    count: int = job.setting(1000, "reports", unit="reports", ge=1, le=999_999)
    findings: int = job.setting(3, "balanced: concepts of a report that are no anatomy", unit="concepts", ge=1)
    anatomy: int = job.setting(1, "balanced: anatomy concepts of a report", unit="concepts", ge=0)
    cap: int = job.setting(200, "balanced: most reports that a concept is in", unit="reports", ge=1)
    min_real: int = job.setting(
        0,
        "balanced: only concepts that so many real reports of the train split have; a generator that never saw a "
        "concept cannot draw it",
        unit="reports",
        ge=0,
    )
    kinds: list[Kind] = job.setting(
        ["abnormality", "non-abnormality", "disease", "non-disease"],
        "kinds of concepts that findings are drawn from",
        min_length=1,
    )
    seed: int = job.setting(0, "seeds all sets", ge=0)


class Inputs(job.Files):
    vocabulary: Path = job.file("vocabulary of concepts (Parquet)")
    mentions: Path = job.file("concepts of the corpus's reports (Parquet)")
    studies: Path = job.file("studies of the corpus (Parquet)")


class Outputs(job.Files):
    sets: Path = job.file("sets of concepts (Parquet)")
    counts: Path = job.file("how many sets each concept is in (CSV)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Draw `count` sets. Raises JobError if they cannot be drawn, and says how many can."""
    vocabulary = load(inputs.vocabulary)
    real = list(observed.sets(inputs.mentions, inputs.studies).values())
    if settings.method == "balanced":
        seen = Counter(name for names in real for name in names)
        known = {name: concept for name, concept in vocabulary.items() if seen[name] >= settings.min_real}
        job.log.info("%d of %d concepts are in %d real reports or more", len(known), len(vocabulary), settings.min_real)
        sets = balanced(settings, known)
    else:
        sets = natural(settings, vocabulary, real)
    frame = pd.DataFrame(
        {
            "study_id": [f"written-{number:06d}" for number in range(1, len(sets) + 1)],
            "concepts": sets,
        }
    )
    tables.write(frame, outputs.sets, tables.SETS)
    counts = Counter(name for chosen in sets for name in chosen)
    table = pd.DataFrame(
        [(name, concept.kind, counts[name], counts[name] / len(sets)) for name, concept in sorted(vocabulary.items())],
        columns=["concept", "kind", "sets", "share"],
    )
    tables.write_csv(table, outputs.counts)
    most = max(counts.values())
    job.log.info("%d sets of %d concepts; the most frequent one is in %d", len(sets), len(counts), most)


def balanced(settings: Settings, vocabulary: Mapping[str, Concept]) -> list[list[str]]:
    """Sets under the cap, findings first.

    Raises JobError if the caps do not allow so many, with the most that they allow, or if no such sets were found
    because concepts exclude each other.
    """
    chosen = {
        "findings": [name for name, concept in sorted(vocabulary.items()) if concept.kind in settings.kinds],
        "anatomy": [name for name, concept in sorted(vocabulary.items()) if concept.kind == observed.ANATOMY],
    }
    pools = {name: urn.Pool(names, getattr(settings, name), settings.cap) for name, names in chosen.items()}
    most = urn.largest(list(pools.values()))
    if most is not None and settings.count > most:
        raise job.JobError(_impossible(settings, pools, most))
    rng = np.random.default_rng(seeds.seed_of(settings.seed, "sets"))
    excludes = {name: concept.excludes for name, concept in vocabulary.items()}
    try:
        # A cap beyond the number of reports is none; the urn then need not hold more balls than can be drawn.
        urns = [replace(pool, cap=min(pool.cap, settings.count)) for pool in pools.values()]
        return urn.draw(urns, excludes, settings.count, rng)
    except urn.DeadEnd as end:
        raise job.JobError(
            f"count = {settings.count}: the caps alone allow {most} reports, but concepts exclude each other, and only "
            f"{end.sets} sets without a contradiction were found in {urn.RESTARTS} attempts; a smaller count or "
            f"findings, or a larger cap, helps"
        ) from None


def _impossible(settings: Settings, pools: Mapping[str, urn.Pool], most: int) -> str:
    """Why the pools cannot give so many sets, and the most that all of them can give."""
    name, pool = next((name, pool) for name, pool in pools.items() if urn.largest([pool]) == most)
    if most == 0:
        return (
            f"{name} = {pool.size}: there are only {len(pool.names)} concepts to draw them from (kinds and min_real "
            "may leave some out), so that the largest possible number of reports is 0"
        )
    need = max(-(-settings.count * pool.size // len(pool.names)) for pool in pools.values() if pool.size)
    return (
        f"count = {settings.count}: {len(pool.names)} concepts, each in at most cap = {settings.cap} reports, with "
        f"{name} = {pool.size} in each report, allow at most {most} reports (by the caps alone; concepts that exclude "
        f"each other may allow fewer); for {settings.count} reports cap must be {need} or more"
    )


def natural(settings: Settings, vocabulary: Mapping[str, Concept], real: list[list[str]]) -> list[list[str]]:
    """Sets of real reports, with replacement; a report's draw depends on its number alone.

    Findings of other kinds than `kinds` are left out of the sets. Reports that contradict themselves and those that
    name no finding as present are not drawn.
    """
    kinds = {*settings.kinds, observed.ANATOMY}
    known = [[name for name in names if name in vocabulary and vocabulary[name].kind in kinds] for names in real]
    usable = [names for names in known if _consistent(names, vocabulary) and _has_finding(names, vocabulary)]
    job.log.info("%d of %d reports with concepts of the train split can be drawn", len(usable), len(real))
    if not usable:
        raise job.JobError("no report of the corpus's train split names a concept as present: nothing can be drawn")
    return [
        usable[seeds.seed_of(settings.seed, "natural set", number) % len(usable)] for number in range(settings.count)
    ]


def _consistent(names: list[str], vocabulary: Mapping[str, Concept]) -> bool:
    return all(set(vocabulary[name].excludes).isdisjoint(names) for name in names)


def _has_finding(names: list[str], vocabulary: Mapping[str, Concept]) -> bool:
    return any(vocabulary[name].kind != observed.ANATOMY for name in names)
