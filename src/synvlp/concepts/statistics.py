"""What the reports of a corpus speak of: counts by status, long tail, co-occurrence, and what their texts are like.

A study counts once for a concept, with the first of present, uncertain and absent that its text says.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from synvlp.concepts import text as texts_
from synvlp.concepts.extraction import STATUSES
from synvlp.concepts.vocabulary import Concept
from synvlp.models import retrieval

GROUPS = {"findings": ("abnormality", "disease"), "normal": ("non-abnormality", "non-disease"), "anatomy": ("anatomy",)}
TOP = (1, 5, 10, 20, 50)


def by_study(mentions: pd.DataFrame) -> pd.DataFrame:
    """One row per study and concept that it mentions: study_id, concept, kind, status."""
    ordered = mentions.assign(rank=mentions["status"].map(STATUSES.index).astype(int))
    first = ordered.sort_values(["study_id", "concept", "rank"], kind="stable").drop_duplicates(["study_id", "concept"])
    return first[["study_id", "concept", "kind", "status"]].reset_index(drop=True)


def counts(mentions: pd.DataFrame, concepts: Mapping[str, Concept]) -> pd.DataFrame:
    """Per concept of the vocabulary: studies that say present, uncertain, absent, and mentions; frequent ones first."""
    studies = by_study(mentions)
    table = pd.crosstab(studies["concept"], studies["status"]) if len(studies) else pd.DataFrame()
    table = table.reindex(index=sorted(concepts), columns=list(STATUSES), fill_value=0)
    table["mentions"] = mentions["concept"].value_counts().reindex(table.index, fill_value=0)
    table.insert(0, "kind", [concepts[name].kind for name in table.index])
    table = table.rename_axis("concept").rename_axis(None, axis=1).reset_index()
    order = ["present", "uncertain", "absent", "concept"]
    return table.sort_values(order, ascending=[False, False, False, True], ignore_index=True)


def pairs(mentions: pd.DataFrame, studies: int, *groups: str) -> pd.DataFrame:
    """The pairs of concepts of some groups that are present in the same study, frequent ones first.

    Columns: one, other, studies, expected (if both were independent), lift (studies over expected).
    """
    together = presence(mentions, *groups)
    alone = together.sum(0).to_numpy()
    both = together.T.to_numpy(dtype=np.int64) @ together.to_numpy(dtype=np.int64)
    first, second = np.nonzero(np.triu(both, 1))
    expected = alone[first] * alone[second] / max(studies, 1)
    names = together.columns.to_numpy()
    found = pd.DataFrame(
        {
            "one": names[first],
            "other": names[second],
            "studies": both[first, second],
            "expected": expected,
            "lift": both[first, second] / expected,
        }
    )
    return found.sort_values(["studies", "one", "other"], ascending=[False, True, True], ignore_index=True)


def presence(mentions: pd.DataFrame, *groups: str) -> pd.DataFrame:
    """bool, a row per study and a column per concept of some `GROUPS`, as far as they are present anywhere."""
    studies = by_study(mentions)
    kinds = [kind for group in groups for kind in GROUPS[group]]
    chosen = studies[(studies["status"] == "present") & studies["kind"].isin(kinds)]
    return pd.crosstab(chosen["study_id"], chosen["concept"]).astype(bool)


def describe(mentions: pd.DataFrame, texts: Mapping[str, str], concepts: Mapping[str, Concept]) -> dict:
    """All numbers of a corpus but its pairs.

    Args:
        mentions: rows of the table MENTIONS.
        texts: text of each study.
        concepts: the vocabulary by name.
    """
    table = counts(mentions, concepts)
    return {
        "studies": len(texts),
        "studies_with_mentions": int(mentions["study_id"].nunique()),
        "mentions": len(mentions),
        "mentions_by_status": {status: int((mentions["status"] == status).sum()) for status in STATUSES},
        "texts": described_texts(list(texts.values()), mentions),
        "concepts": {
            row.concept: {
                "kind": row.kind,
                "present": row.present,
                "uncertain": row.uncertain,
                "absent": row.absent,
                "mentions": row.mentions,
            }
            for row in table.itertuples()
        },
        "long_tail": {
            group: long_tail(table.loc[table["kind"].isin(kinds), "present"].tolist())
            for group, kinds in GROUPS.items()
        },
    }


def long_tail(counts: Sequence[int]) -> dict:
    """How unevenly studies fall on concepts.

    Args:
        counts: studies in which each concept of the vocabulary is present.

    `gini` is the Gini coefficient over the concepts that occur: 0 if all are equally frequent, near 1 if one has all.
    `share_of_top` is the share of all (study, concept) that the most frequent 1, 5, … concepts make up.
    """
    present = sorted((count for count in counts if count), reverse=True)
    total, number = sum(present), len(present)
    rank = np.arange(1, number + 1)
    gini = float((2 * rank @ np.array(present[::-1]) / (number * total)) - (number + 1) / number) if present else 0.0
    return {
        "in_vocabulary": len(counts),
        "present": number,
        "singletons": sum(count == 1 for count in present),
        "occurrences": total,
        "gini": gini,
        "share_of_top": {str(top): sum(present[:top]) / total for top in TOP if top <= number},
    }


def described_texts(texts: Sequence[str], mentions: pd.DataFrame) -> dict:
    """What the texts are like: sentences, words, repetitions, and how much the vocabulary covers."""
    sentences = [len(texts_.sentences(text)) for text in texts]
    words = [re.findall(r"[^\W\d_]+", text.lower()) for text in texts]
    known = mentions[["study_id", "sentence"]].drop_duplicates()
    repeated = Counter(map(retrieval.plain, texts))
    return {
        "sentences": sum(sentences),
        "sentences_per_text": float(np.mean(sentences)),
        "sentences_with_mentions": len(known),
        "words_per_text": float(np.mean([len(each) for each in words])),
        "words_per_text_median": float(np.median([len(each) for each in words])),
        "different_words": len({word for each in words for word in each}),
        "different_texts": len(repeated),
        "texts_that_repeat_another": len(texts) - sum(count == 1 for count in repeated.values()),
    }
