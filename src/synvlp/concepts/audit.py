"""Turn written reports into texts and prompts, and say how they came about and how they compare with real ones.

The table of texts and prompts has the format of a corpus's: text and prompt are made of the sections as those of real
reports are. Every report is a patient of its own; its id decides whether it trains or validates.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from synvlp import job
from synvlp.concepts.observed import ANATOMY
from synvlp.concepts.vocabulary import load
from synvlp.concepts.writing import Checker
from synvlp.store import files, prompting, seeds, tables


class Settings(job.Settings):
    val_share: float = job.setting(0.1, "share of the reports that encoders are validated on", ge=0, lt=1)
    prompt_words: int = job.setting(40, "longest prompt: the impression, and what fits", unit="words", ge=5, le=400)
    cap: int | None = job.setting(
        None, "most sets that a concept may be in, as the sets were drawn; left out: any", unit="reports", ge=1
    )
    common: int = job.setting(10, "most frequent words without a real example that the audit lists", ge=0)


class Inputs(job.Files):
    reports: Path = job.file("written reports (Parquet)")
    sets: Path = job.file("sets of concepts that they were asked for (Parquet)")
    rejected: Path = job.file("sets that were rejected (CSV)")
    vocabulary: Path = job.file("vocabulary of concepts (Parquet)")
    real: Path = job.file("texts and prompts of the corpus that they are compared with (Parquet)")


class Outputs(job.Files):
    prompts: Path = job.file("texts and prompts (Parquet)")
    table: Path = job.file("the same, for people (CSV)")
    audit: Path = job.file("caps, coverage, rewrites, rejections, lost findings, repetitions, vocabulary (JSON)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Write texts, prompts and the audit."""
    reports = tables.read(inputs.reports, tables.WRITTEN)
    prompts = prompts_of(reports, settings)
    tables.write(prompts, outputs.prompts, tables.PROMPTS)
    tables.write_csv(prompts, outputs.table)
    real = tables.read(inputs.real, tables.PROMPTS, ["split", "text", "origin"])
    real = real.loc[(real["split"] == "train") & (real["origin"] != "caption"), "text"]
    sets = tables.read(inputs.sets, tables.SETS)
    rejected = pd.read_csv(inputs.rejected, dtype=str, keep_default_na=False)
    files.write_json(
        outputs.audit,
        {
            "reports": counted(reports, len(sets), rejected),
            "concepts": covered(reports, sets, inputs.vocabulary),
            "cap": capped(sets, settings.cap),
            "prompts": prompted(prompts["prompt"], reports["concepts"], inputs.vocabulary),
            "texts": repeated(prompts["text"]),
            "vocabulary": compared(prompts["text"], real, settings.common),
        },
    )
    job.log.info("%d texts and prompts, %d for validation", len(prompts), (prompts["split"] == "val").sum())


def prompts_of(reports: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """The rows of tables.PROMPTS for written reports."""
    rows = [
        (
            row.study_id,
            row.study_id,
            "val" if seeds.seed_of("written split", row.study_id) / 2**63 < settings.val_share else "train",
            prompting.write_text(row.impression, row.findings),
            prompting.write_prompt(row.impression, row.findings, lambda text: _fits(text, settings)),
            "written",
        )
        for row in reports.itertuples()
    ]
    return pd.DataFrame(rows, columns=list(tables.PROMPTS.columns))


def _fits(text: str, settings: Settings) -> bool:
    return len(text.split()) <= settings.prompt_words


def counted(reports: pd.DataFrame, asked: int, rejected: pd.DataFrame) -> dict[str, object]:
    """How many reports were asked for, written and rejected, and after how many rewrites."""
    parts = [re.split("[:,]", part)[0] for reason in rejected["reason"] for part in reason.split("; ")]
    return {
        "asked for": asked,
        "written": len(reports),
        "rejected": len(rejected),
        "by number of rewrites": {
            str(count): number for count, number in sorted(Counter(reports["rewrites"].tolist()).items())
        },
        "reasons of rejections": dict(sorted(Counter(parts).items())),
    }


def covered(reports: pd.DataFrame, sets: pd.DataFrame, vocabulary: Path) -> dict[str, object]:
    """How often the concepts of each kind are in the sets, and whether each is in a report."""
    drawn = Counter(name for names in sets["concepts"] for name in names)
    written = Counter(name for names in reports["concepts"] for name in names)
    kinds: dict[str, list[str]] = {}
    for name, concept in sorted(load(vocabulary).items()):
        kinds.setdefault(concept.kind, []).append(name)
    return {
        kind: {
            "in the vocabulary": len(names),
            "in a set": sum(drawn[name] > 0 for name in names),
            "in a report": sum(written[name] > 0 for name in names),
            "fewest sets of a concept": min(drawn[name] for name in names),
            "most sets of a concept": max(drawn[name] for name in names),
            "fewest reports of a concept": min(written[name] for name in names),
        }
        for kind, names in sorted(kinds.items())
    }


def capped(sets: pd.DataFrame, cap: int | None) -> dict[str, object]:
    """The cap, and how many concepts reach it or, which must not be, are above it."""
    if cap is None:
        return {"cap": "none"}
    drawn = Counter(name for names in sets["concepts"] for name in names)
    return {
        "cap": cap,
        "concepts at the cap": sum(count == cap for count in drawn.values()),
        "concepts above it": sum(count > cap for count in drawn.values()),
    }


def prompted(prompts: Iterable[str], sets: Iterable[Iterable[str]], vocabulary: Path) -> dict[str, int]:
    """How many findings of the reports their prompts do not name as present: an image need not show those.

    A prompt begins with the impression, which need not name every finding, and ends with its limit of words.
    """
    check = Checker(load(vocabulary))
    wanted = [{name for name in names if check.vocabulary[name].kind != ANATOMY} for names in sets]
    lost = [names - check.named(prompt) for names, prompt in zip(wanted, prompts, strict=True)]
    return {
        "findings of the reports": sum(map(len, wanted)),
        "findings that their prompts lack": sum(map(len, lost)),
        "prompts that lack a finding": sum(map(bool, lost)),
    }


def repeated(texts: Sequence[str]) -> dict[str, object]:
    """How many texts are equal to another one, and the share of sequences of words that are different (distinct-n).

    Distinct-n is the number of different n-grams over that of all (Li et al. 2016); it falls with the number of texts.
    """
    counts = Counter(text.lower() for text in texts)
    return {
        "different": len(counts),
        "with a twin": sum(number for number in counts.values() if number > 1),
        "most frequent": max(counts.values(), default=0),
        **{f"distinct {size}-grams": distinct(texts, size) for size in (1, 2, 3)},
    }


def distinct(texts: Iterable[str], size: int) -> float:
    """Different n-grams of words over all n-grams, within texts; 0 if there is none."""
    grams = []
    for words in map(words_of, texts):
        grams += zip(*(words[start:] for start in range(size)), strict=False)
    return round(len(set(grams)) / len(grams), 6) if grams else 0.0


def compared(texts: Sequence[str], real: Sequence[str], listed: int) -> dict[str, object]:
    """Words of written texts against those of the corpus's train split.

    Distinct n-grams of both are counted on equally many texts, since they fall with their number.
    """
    own = Counter(word for text in texts for word in words_of(text))
    known = Counter(word for text in real for word in words_of(text))
    total = sum(own.values())
    alien = Counter({word: number for word, number in own.items() if word not in known})
    same = min(len(texts), len(real))
    return {
        "different words": len(own),
        "different words, real": len(known),
        "share of words that real texts have": round(1 - sum(alien.values()) / total, 6) if total else 0.0,
        "share of the real texts' different words": round(len(own.keys() & known.keys()) / max(len(known), 1), 6),
        "frequent words without a real example": [
            word for word, _ in sorted(alien.items(), key=lambda item: (-item[1], item[0]))[:listed]
        ],
        "words a text": round(total / max(len(texts), 1), 3),
        "words a text, real": round(sum(known.values()) / max(len(real), 1), 3),
        "texts compared": same,
        **{f"distinct {size}-grams": distinct(list(texts)[:same], size) for size in (1, 2, 3)},
        **{f"distinct {size}-grams, real": distinct(list(real)[:same], size) for size in (1, 2, 3)},
    }


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; numbers are none."""
    return [word for word in prompting.WORD.findall(text.lower()) if not word.isdigit()]
