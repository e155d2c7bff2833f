"""Texts as subwords: tokenised once, then drawn from as arrays."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synvlp.job import JobError

# The end of a sentence: not inside a number such as 2.5, not after a list's number such as 1.
SENTENCE_END = re.compile(r"(?<=[^\W\d]{2}[.?!])\s+|(?<=\d[.?!])\s+(?=[A-Z])|(?<=\))[.]\s+|\n+")


@dataclass(frozen=True)
class Texts:
    """Tokenised texts; study i has the `count[i]` texts that begin at row `first[i]`.

    Attributes:
        ids: int32 (n, T) subwords with [CLS] and [SEP], 0 past the length.
        word_of: int16 (n, T) index of each subword's word; -1 for [CLS], [SEP] and padding.
        lengths: int32 (n,) tokens.
        first, count: int64 (studies,).
    """

    ids: np.ndarray
    word_of: np.ndarray
    lengths: np.ndarray
    first: np.ndarray
    count: np.ndarray

    def take(self, studies: np.ndarray, choice: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One text of each study: ids and word_of (B, T), lengths (B,), T being the longest of them.

        Args:
            studies: (B,) indices.
            choice: (B,) numbers in [0, 1) that choose among a study's texts.
        """
        rows = self.first[studies] + (choice * self.count[studies]).astype(np.int64)
        lengths = self.lengths[rows]
        longest = int(lengths.max())
        return self.ids[rows, :longest], self.word_of[rows, :longest], lengths


def sentences_of(text: str) -> list[str]:
    """A text's sentences that have at least two words; the text itself if there is none."""
    found = [part.strip() for part in SENTENCE_END.split(text)]
    return [part for part in found if len(part.split()) > 1] or [text]


def tokenize(tokenizer: Path, texts: Sequence[str], length: int, sentences: bool) -> Texts:
    """Tokenise each study's text, whole or (with `sentences`) sentence by sentence, cut to `length` tokens.

    Raises JobError if the tokenizer cannot be read or lacks [CLS], [SEP] and [PAD] at 0.
    """
    reader = open_tokenizer(tokenizer)
    reader.enable_truncation(length)
    parts = [sentences_of(text) if sentences else [text] for text in texts]
    count = np.array([len(part) for part in parts], dtype=np.int64)
    ids, word_of, lengths = padded(reader, [text for part in parts for text in part])
    return Texts(ids, word_of, lengths, np.cumsum(count) - count, count)


def padded(reader: Any, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Texts as subwords: ids, word_of and lengths, as in `Texts`."""
    encoded = reader.encode_batch(list(texts))
    longest = max((len(one.ids) for one in encoded), default=1)
    ids = np.zeros((len(encoded), longest), dtype=np.int32)
    word_of = np.full(ids.shape, -1, dtype=np.int16)
    lengths = np.array([len(one.ids) for one in encoded], dtype=np.int32)
    for row, one in enumerate(encoded):
        ids[row, : lengths[row]] = one.ids
        word_of[row, : lengths[row]] = [-1 if word is None else word for word in one.word_ids]
    return ids, word_of, lengths


def open_tokenizer(path: Path):
    """The tokenizer in a tokenizer.json, without padding. Raises JobError if it is none of BERT's kind."""
    from tokenizers import Tokenizer

    try:
        reader = Tokenizer.from_file(str(path))
    except Exception as error:
        raise JobError(f"{path}: not a readable tokenizer ({error})") from error
    if reader.token_to_id("[PAD]") != 0 or None in (reader.token_to_id("[CLS]"), reader.token_to_id("[SEP]")):
        raise JobError(f"{path}: a tokenizer of BERT's kind has [PAD] as subword 0, [CLS] and [SEP]")
    reader.no_padding()
    return reader
