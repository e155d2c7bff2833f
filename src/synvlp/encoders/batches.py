"""Batches of pairs: which pairs a step sees follows from the seed and the step alone."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.models import texts
from synvlp.store import images, seeds, tables


@dataclass(frozen=True)
class Batch:
    """Pairs as arrays: pixels uint8 (B, S, S), ids and word_of (B, T), lengths (B,).

    Of a batch that several processes share, B is one's own part, but T and `words` are the longest text's in all of it.
    """

    pixels: np.ndarray
    ids: np.ndarray
    word_of: np.ndarray
    lengths: np.ndarray
    words: int


@dataclass(frozen=True)
class PairSets:
    """One or more sets of pairs, read as one: pair i of set k is row `offsets[k] + i`.

    Attributes:
        pixels: each set's memory map, uint8 (n, S, S).
        texts: the tokenised texts of all rows.
        offsets: first row of each set.
        training, validation: each set's rows in the two splits.
        weights: how often each set is drawn; they sum to 1.
        drawn: which set the g-th pair of the training comes from, and the how-manieth of that set it is.
        seed: seeds the order.
    """

    pixels: list[np.ndarray]
    texts: texts.Texts
    offsets: np.ndarray
    training: list[np.ndarray]
    validation: list[np.ndarray]
    weights: np.ndarray
    drawn: tuple[np.ndarray, np.ndarray]
    seed: int

    def train(self, index: int, size: int, part: slice = slice(None)) -> Batch:
        """A part of the batch with this index, `size` pairs; the same batch for equal seed, index and size.

        Each set goes through its pairs in one random order after the other.
        """
        places = slice(index * size, (index + 1) * size)
        chosen, count = self.drawn[0][places], self.drawn[1][places]
        rows = np.array([self._row(int(k), int(place)) for k, place in zip(chosen, count, strict=True)])
        choice = np.random.default_rng(seeds.seed_of(self.seed, "sentence", index)).random(size)
        return self.batch(rows, choice, part)

    def validate(self, size: int) -> list[tuple[float, Batch]]:
        """All validation pairs in batches of about `size`, each with its weight; the weights sum to 1.

        No pair is left out, and no batch is much smaller than the others, since the loss grows with its size.
        """
        made = []
        total = sum(weight for weight, rows in zip(self.weights, self.validation, strict=True) if len(rows))
        for number, (weight, rows) in enumerate(zip(self.weights, self.validation, strict=True)):
            choice = np.random.default_rng(seeds.seed_of(self.seed, "validation", number)).random(len(rows))
            parts = np.array_split(np.arange(len(rows)), max(1, round(len(rows) / size)))
            made += [
                (weight / total * len(part) / len(rows), self.batch(rows[part], choice[part]))
                for part in parts
                if len(part)
            ]
        return made

    def batch(self, rows: np.ndarray, choice: np.ndarray, part: slice = slice(None)) -> Batch:
        """A part of the pairs in `rows`; `choice`, numbers in [0, 1), picks among a study's sentences."""
        sets = np.searchsorted(self.offsets, rows, side="right") - 1
        own = zip(sets[part], rows[part], strict=True)
        pixels = np.stack([self.pixels[k][row - self.offsets[k]] for k, row in own])
        ids, word_of, lengths = self.texts.take(rows, choice)
        return Batch(pixels, ids[part], word_of[part], lengths[part], max(int(word_of.max()) + 1, 1))

    def describe(self, pairs_seen: int) -> list[dict]:
        """Each set's pairs, its weight, and how many of its pairs the training drew."""
        drawn = np.bincount(self.drawn[0][:pairs_seen], minlength=len(self.weights))
        return [
            {"training": len(one), "validation": len(other), "weight": float(weight), "drawn": int(count)}
            for one, other, weight, count in zip(self.training, self.validation, self.weights, drawn, strict=True)
        ]

    def _row(self, number: int, place: int) -> int:
        rows = self.training[number]
        epoch, place = divmod(place, len(rows))
        return int(rows[_order(self.seed, number, epoch, len(rows))[place]])


def read(pairs: Sequence[Path], pixels: Sequence[Path], tokenizer: Path, settings: job.Settings) -> PairSets:
    """Read sets of pairs, tokenise their texts, and fix the order in which they are drawn.

    Raises JobError if lists differ in length, rows and pixels do not belong together, image sizes differ, or a set
    lacks pairs to train on.
    """
    weights = _relative(settings.weights, len(pairs))
    if len(pairs) != len(pixels) or not pairs:
        raise job.JobError(f"{len(pairs)} sets of pairs, but {len(pixels)} files of pixels; one belongs to each")
    frames = [tables.read(path, tables.PAIRS, ["study_id", "split", "text"]) for path in pairs]
    arrays = [_open_pixels(path, len(frame)) for path, frame in zip(pixels, frames, strict=True)]
    if len({array.shape[1:] for array in arrays}) > 1:
        sizes = ", ".join(f"{path}: {array.shape[1]} px" for path, array in zip(pixels, arrays, strict=True))
        raise job.JobError(f"the sets of pairs must be of one image size ({sizes})")
    offsets = np.cumsum([0, *(len(frame) for frame in frames)])[:-1]
    training, validation = (_rows_of(frames, offsets, split) for split in ("train", "val"))
    for path, rows, weight in zip(pairs, training, weights, strict=True):
        if weight and not len(rows):
            raise job.JobError(f"{path}: has no pairs of the split train, but the weight {weight:g}")
    validation = [_at_most(rows, settings.validation_pairs, settings.seed) for rows in validation]
    if not any(len(rows) > 1 and weight for rows, weight in zip(validation, weights, strict=True)):
        raise job.JobError(f"{pairs[0]}: at least two pairs of the split val are needed to choose the best step")
    validation = [rows if weight else rows[:0] for rows, weight in zip(validation, weights, strict=True)]
    all_texts = [text for frame in frames for text in frame.text]
    tokenized = texts.tokenize(tokenizer, all_texts, settings.length, settings.sentences)
    drawn = draw_sets(weights, settings.steps * settings.batch * settings.accumulate, settings.seed)
    for number, path in enumerate(pairs):
        counts = (len(training[number]), len(validation[number]), weights[number])
        job.log.info("read %s: %d training and %d validation pairs, weight %.3g", path, *counts)
    return PairSets(arrays, tokenized, offsets, training, validation, weights, drawn, settings.seed)


def draw_sets(weights: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of `count` draws: the set, by weight, and how many draws of that set came before.

    A shorter sequence is the beginning of a longer one.
    """
    uniform = np.random.default_rng(seeds.seed_of(seed, "sets")).random(count)
    chosen = np.minimum(np.searchsorted(np.cumsum(weights), uniform, side="right"), np.flatnonzero(weights)[-1])
    chosen = chosen.astype(np.int16)
    before = np.empty(count, dtype=np.int64)
    for number in range(len(weights)):
        own = chosen == number
        before[own] = np.arange(np.count_nonzero(own))
    return chosen, before


@functools.lru_cache(maxsize=64)
def _order(seed: int, number: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng(seeds.seed_of(seed, "order", number, epoch)).permutation(count)


def _relative(weights: Sequence[float], sets: int) -> np.ndarray:
    given = list(weights) or [1.0] * sets
    if len(given) != sets or min(given) < 0 or not sum(given):
        raise job.JobError(f"weights = {given}: one number from 0 up is needed for each of {sets} sets, not all 0")
    return np.array(given) / sum(given)


def _open_pixels(path: Path, count: int) -> np.ndarray:
    try:
        array = images.read_pixels(path)
    except ValueError as error:
        raise job.JobError(f"{path}: not a NumPy array of pixels") from error
    if array.ndim != 3 or array.dtype != np.uint8 or len(array) != count:
        raise job.JobError(f"{path}: {array.dtype} {array.shape} does not belong to {count} pairs")
    return array


def _rows_of(frames: Sequence[pd.DataFrame], offsets: np.ndarray, split: str) -> list[np.ndarray]:
    return [
        offset + np.flatnonzero((frame.split == split).to_numpy())
        for frame, offset in zip(frames, offsets, strict=True)
    ]


def _at_most(rows: np.ndarray, limit: int, seed: int) -> np.ndarray:
    if len(rows) <= limit:
        return rows
    return np.sort(np.random.default_rng(seeds.seed_of(seed, "validation pairs")).choice(rows, limit, replace=False))
