"""Finding an image's own text among others by cosine similarity; texts that are the same count as one."""

from collections.abc import Sequence

import numpy as np


def ranks(images: np.ndarray, texts: np.ndarray, own: Sequence[int]) -> np.ndarray:
    """The rank of each image's own text, 1 the first: float64 (n,). Equal similarities share the mean of their ranks.

    Args:
        images: (n, d) of length 1.
        texts: (m, d) of length 1, all of different texts.
        own: the place of each image's own text.
    """
    similar = images @ texts.T
    mine = similar[np.arange(len(images)), own][:, None]
    return 1 + (similar > mine).sum(axis=1) + ((similar == mine).sum(axis=1) - 1) / 2


def distinct(texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The different texts, in order, and the place of each given one among them. Case and spaces make no difference."""
    plain = [" ".join(text.lower().split()) for text in texts]
    places = {text: place for place, text in enumerate(dict.fromkeys(plain))}
    first = dict(zip(reversed(plain), reversed(texts), strict=True))
    return [first[text] for text in places], np.array([places[text] for text in plain])
