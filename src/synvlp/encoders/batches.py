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
        weights: how often each set is drawn in each phase of the training, (phases, sets); a phase's sum to 1.
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

        They are those of the sets that the last phase draws from, by its weights. No pair is left out, and no batch is
        much smaller than the others, since the loss grows with its size.
        """
        made = []
        weights = self.weights[-1]
        total = sum(weight for weight, rows in zip(weights, self.validation, strict=True) if len(rows))
        for number, (weight, rows) in enumerate(zip(weights, self.validation, strict=True)):
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
        """Each set's pairs, its weight (of several phases, in each), and how many of its pairs the training drew."""
        drawn = np.bincount(self.drawn[0][:pairs_seen], minlength=len(self.training))
        weights = [own[0] if len(own) == 1 else own for own in self.weights.T.tolist()]
        return [
            {"training": len(one), "validation": len(other), "weight": weight, "drawn": int(count)}
            for one, other, weight, count in zip(self.training, self.validation, weights, drawn, strict=True)
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
    weights = _relative(settings.weights, len(pairs), len(settings.phases or [1]))
    if len(pairs) != len(pixels) or not pairs:
        raise job.JobError(f"{len(pairs)} sets of pairs, but {len(pixels)} files of pixels; one belongs to each")
    frames = [tables.read(path, tables.PAIRS, ["study_id", "split", "text"]) for path in pairs]
    arrays = [_open_pixels(path, len(frame)) for path, frame in zip(pixels, frames, strict=True)]
    if len({array.shape[1:] for array in arrays}) > 1:
        sizes = ", ".join(f"{path}: {array.shape[1]} px" for path, array in zip(pixels, arrays, strict=True))
        raise job.JobError(f"the sets of pairs must be of one image size ({sizes})")
    offsets = np.cumsum([0, *(len(frame) for frame in frames)])[:-1]
    training, validation = (_rows_of(frames, offsets, split) for split in ("train", "val"))
    for path, rows, weight in zip(pairs, training, weights.max(axis=0), strict=True):
        if weight and not len(rows):
            raise job.JobError(f"{path}: has no pairs of the split train, but the weight {weight:g}")
    validation = [_at_most(rows, settings.validation_pairs, settings.seed) for rows in validation]
    chosen_on = [path for path, weight in zip(pairs, weights[-1], strict=True) if weight]
    validation = [rows if weight else rows[:0] for rows, weight in zip(validation, weights[-1], strict=True)]
    if not any(len(rows) > 1 for rows in validation):
        raise job.JobError(f"{chosen_on[0]}: at least two pairs of the split val are needed to choose the best step")
    all_texts = [text for frame in frames for text in frame.text]
    tokenized = texts.tokenize(tokenizer, all_texts, settings.length, settings.sentences)
    ends = [end * settings.batch * settings.accumulate for end in phase_ends(settings)]
    drawn = draw_sets(weights, ends, settings.seed)
    for number, path in enumerate(pairs):
        told = ", then ".join(f"{weight:.3g}" for weight in weights[:, number])
        counts = (len(training[number]), len(validation[number]), told)
        job.log.info("read %s: %d training and %d validation pairs, weight %s", path, *counts)
    return PairSets(arrays, tokenized, offsets, training, validation, weights, drawn, settings.seed)


def phase_ends(settings: job.Settings) -> list[int]:
    """After how many updates each phase of a training ends; the last one with the training.

    Phases divide the steps by their lengths. Raises JobError if one would be without a step.
    """
    lengths = settings.phases or [1.0]
    if min(lengths) <= 0:
        raise job.JobError(f"phases = {lengths}: the length of a phase is more than 0")
    ends = [round(settings.steps * share) for share in np.cumsum(lengths) / sum(lengths)]
    if any(end <= start for start, end in zip([0, *ends], ends, strict=False)):
        raise job.JobError(f"phases = {lengths}: of {settings.steps} steps, one of them would get none")
    return ends


def draw_sets(weights: np.ndarray, ends: Sequence[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """For each draw: the set, by the weights of its phase, and how many draws of that set came before.

    Args:
        weights: (phases, sets); a phase's sum to 1.
        ends: after how many draws each phase ends.
        seed: seeds the draws.

    A shorter sequence is the beginning of a longer one, as far as both are in the same phase.
    """
    uniform = np.random.default_rng(seeds.seed_of(seed, "sets")).random(ends[-1])
    chosen = np.empty(ends[-1], dtype=np.int16)
    for own, start, end in zip(weights, [0, *ends], ends, strict=False):
        drawn = np.searchsorted(np.cumsum(own), uniform[start:end], side="right")
        chosen[start:end] = np.minimum(drawn, np.flatnonzero(own)[-1])
    before = np.empty(ends[-1], dtype=np.int64)
    for number in range(weights.shape[1]):
        own = chosen == number
        before[own] = np.arange(np.count_nonzero(own))
    return chosen, before


@functools.lru_cache(maxsize=64)
def _order(seed: int, number: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng(seeds.seed_of(seed, "order", number, epoch)).permutation(count)


def _relative(weights: Sequence[float], sets: int, phases: int) -> np.ndarray:
    given = list(weights) or [1.0] * sets * phases
    parts = [given[start : start + sets] for start in range(0, len(given), max(sets, 1))]
    if len(given) != sets * phases or min(given, default=-1) < 0 or not all(map(sum, parts)):
        each = f"{sets} sets" + (f" in each of {phases} phases" if phases > 1 else "")
        raise job.JobError(f"weights = {given}: one number from 0 up is needed for each of {each}, not all 0")
    return np.array([np.array(part) / sum(part) for part in parts])


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
