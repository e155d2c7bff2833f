"""Finding an image's own text among others, as the task does it and as images are measured by it.

Texts that are equal but for case, punctuation and space are one text. A tie counts against the encoder: one that tells
nothing apart finds nothing.
"""

import re
from collections.abc import Sequence

import numpy as np


def plain(text: str) -> str:
    """A text's words in lower case: what two texts that count as one have in common."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def distinct(texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The different texts in order of appearance, each as it stands first, and the place of each given one: (n,)."""
    first: dict[str, int] = {}
    found: list[str] = []
    for text in texts:
        if first.setdefault(plain(text), len(found)) == len(found):
            found.append(text)
    return found, np.array([first[plain(text)] for text in texts], np.int64)


def text_ranks(similarity: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The place of each image's own text, from 1, below all that are as similar: int64 (n,).

    Args:
        similarity: (n images, m different texts).
        own: the text of each image, int64 (n,).
    """
    mine = similarity[np.arange(len(own)), own]
    return (similarity >= mine[:, None]).sum(axis=1)


def shares(own: np.ndarray) -> np.ndarray:
    """The weight of each image, one over the number of images with its text, so that each text weighs 1: (n,)."""
    return 1 / np.bincount(own)[own]
