"""Find an image's text among all test texts, and a text's image among all test images.

Texts that are equal but for case, punctuation and space are one text: as an answer it is right for each of its images,
as a question it is asked once, and its images together count as one question, so that the many reports without a
finding cannot carry the result. A tie counts against the encoder: one that tells nothing apart finds nothing.

Recall at k is the share of questions whose own answer is among the first k. Precision at k is the share of the first k
answers that carry the question's labels; as in ConVIRT and GLoRIA, whose sets hold studies of one label each; here a
set of labels counts as a whole, unless sharing one is asked for. Answers are the different texts, or all images. Where
studies with one text have different labels, the text answers with the share of them that carry the question's, and asks
as the mean of them. Precision is the mean over the orders in which equal scores can stand, so that it is chance for an
encoder that tells nothing apart. The gallery stays whole when patients are resampled; only the questions are weighted.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from synvlp import job
from synvlp.models import retrieval
from synvlp.store import tables
from synvlp.tasks import untrained

TASK = {"name": "retrieval", "of": [], "given": []}
TO_TEXT, TO_IMAGE = "image_to_text", "text_to_image"


class Settings(job.Compute):
    recall_at: list[Annotated[int, Field(ge=1)]] = job.setting([1, 5, 10], "k of recall at k", min_length=1)
    precision_at: list[Annotated[int, Field(ge=1)]] = job.setting([5, 10], "k of precision at k, by label")
    relevant: Literal["same", "shared"] = job.setting(
        "same", "what precision counts: answers with the same set of labels, or with one in common"
    )
    batch: int = job.setting(64, "images or texts at a time", unit="samples", ge=1)


Inputs = untrained.Inputs
Outputs = untrained.Outputs


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Embed, rank and write; see the module. Raises JobError for a k that is larger than the gallery."""
    from synvlp.models import alignment

    description = untrained.read_description(inputs.description, ["retrieval"])
    samples, pixels = untrained.open_samples(inputs)
    pairs = tables.read(inputs.texts, tables.PAIRS) if inputs.texts else None
    if pairs is None or list(pairs["study_id"]) != list(samples["study_id"]):
        raise job.JobError(f"{inputs.samples}: its texts are needed, those of the same samples in the same order")
    check(settings, len(samples))
    encoder = alignment.open_encoder(inputs, settings)
    texts, group = retrieval.distinct(list(pairs["text"]))
    job.log.info("%d pairs with %d different texts", len(group), len(texts))
    similarity = encoder.images(pixels, settings.batch) @ encoder.texts(texts, settings.batch).T
    frames = [recalls(samples, similarity, group, settings.recall_at)]
    if description["labels"] and description["labelled"]:
        frames += precisions(samples, similarity, group, settings)
    else:
        job.log.info("no precision: not every sample is labelled")
    rows = pd.concat(frames, ignore_index=True)
    metrics, chance = untrained.summarized(rows), untrained.summarized(rows, "chance")
    counts = {"pairs": len(samples), "texts": len(texts)}
    untrained.write(
        outputs, "retrieval", description, settings, metrics, chance, (rows, tables.MEASURED), samples, **counts
    )


def check(settings: Settings, pairs: int) -> None:
    """Raise JobError for a k above the number of pairs."""
    for name in ("recall_at", "precision_at"):
        wrong = [k for k in getattr(settings, name) if k > pairs]
        if wrong:
            raise job.JobError(f"{name}: k = {wrong[0]} is above {pairs}, the number of pairs")


def recalls(samples: pd.DataFrame, similarity: np.ndarray, group: np.ndarray, counts: Sequence[int]) -> pd.DataFrame:
    """Rows of MEASURED with recall at k both ways.

    Args:
        similarity: (n images, m different texts).
        group: the text of each image, int64 (n,).
    """
    texts, size = similarity.shape[1], np.bincount(group)
    ranks = {TO_TEXT: retrieval.text_ranks(similarity, group), TO_IMAGE: image_ranks(similarity, group)[group]}
    frames = []
    for way, rank in ranks.items():
        for k in counts:
            chance = (
                np.full(len(group), min(k, texts) / texts)
                if way == TO_TEXT
                else np.array([hit_by_chance(len(group), number, k) for number in size])[group]
            )
            more = {"weight": retrieval.shares(group), "chance": chance}
            frames.append(untrained.measured(samples, f"recall_{k}_{way}", "", rank <= k, **more))
    return pd.concat(frames, ignore_index=True)


def image_ranks(similarity: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The place of each text's best own image, its others left out: int64 (m,). Arguments as of `recalls`."""
    ranks = np.empty(similarity.shape[1], np.int64)
    for text, column in enumerate(similarity.T):
        own = group == text
        ranks[text] = 1 + (column[~own] >= column[own].max()).sum()
    return ranks


def hit_by_chance(count: int, right: int, k: int) -> float:
    """The probability that k of `count` items, drawn without putting back, hold one of the `right` ones."""
    missed = 1.0
    for place in range(k):
        missed *= max(count - right - place, 0) / (count - place)
    return 1 - missed


def precisions(
    samples: pd.DataFrame, similarity: np.ndarray, group: np.ndarray, settings: Settings
) -> list[pd.DataFrame]:
    """Rows of MEASURED with precision at k both ways; every sample asks, with its share of its text's weight.

    Arguments as of `recalls`. A k above the number of different texts is left out where texts are the answers.
    """
    relevant = relevance(list(samples["labels"]), settings.relevant)
    ways = {
        TO_TEXT: (similarity, by_text(relevant, group)),
        TO_IMAGE: (similarity.T[group], relevant.astype(np.float64)),
    }
    frames = []
    for way, (scores, right) in ways.items():
        for k in settings.precision_at:
            if k > scores.shape[1]:
                job.log.warning("no precision_%d_%s: there are only %d different texts", k, way, scores.shape[1])
                continue
            more = {"weight": retrieval.shares(group), "chance": right.mean(axis=1)}
            value = precision_at(scores, right, k)
            frames.append(untrained.measured(samples, f"precision_{k}_{way}", "", value, **more))
    return frames


def by_text(relevant: np.ndarray, group: np.ndarray) -> np.ndarray:
    """How far each text answers each sample: the share of its samples that do, float64 (n, m).

    Args:
        relevant: which samples answer which, bool (n, n).
        group: the text of each sample, int64 (n,).
    """
    member = group[:, None] == np.arange(group.max() + 1)
    return relevant @ (member / member.sum(axis=0))


def relevance(labels: Sequence[Sequence[str]], rule: str) -> np.ndarray:
    """Which samples answer which: bool (n, n). Samples without a label answer each other, whatever the rule."""
    if rule == "same":
        kind = pd.factorize(pd.Series(["\n".join(sorted(own)) for own in labels]))[0]
        return kind[:, None] == kind[None]
    names = sorted({label for own in labels for label in own})
    marked = np.array([[name in own for name in names] for own in labels], dtype=np.int64).reshape(len(labels), -1)
    none = marked.sum(axis=1) == 0
    return (marked @ marked.T > 0) | (none[:, None] & none[None])


def precision_at(scores: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """The share of relevant items among the k with the highest scores, row by row: float64 (n,).

    Of items with the score at which k are reached, each counts as much as there is room for. `relevant` may hold parts.
    """
    found = np.empty(len(scores))
    for row, (score, right) in enumerate(zip(scores, relevant, strict=True)):
        edge = np.partition(score, -k)[-k]
        above, at = score > edge, score == edge
        room = (k - above.sum()) / at.sum()
        found[row] = (right[above].sum() + room * right[at].sum()) / k
    return found
