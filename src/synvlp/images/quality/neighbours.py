"""Nearest neighbours of images among training and held-out images, made comparable for sets of unequal size."""

from dataclasses import dataclass

import numpy as np

from synvlp.images.quality import sets
from synvlp.store.images import batches

BLOCK = 512


@dataclass(frozen=True)
class Found:
    """What an image's nearest neighbours say; all (n,), float64 but for the places.

    Attributes:
        nearest: place of the nearest training image.
        distance: to it.
        second: to the nearest training image of another patient than the nearest one's.
        heldout: to the nearest held-out image of another patient than its own.
        nearer: the probability that the nearest training image is nearer than the nearest held-out one, if as many of
            both are drawn; see `probability_nearer`.
        own: the share of other patients' images, of the set that its own patient is in, that are farther away than
            the image of its own study, ties counted half; NaN if its study has no image.
    """

    nearest: np.ndarray
    distance: np.ndarray
    second: np.ndarray
    heldout: np.ndarray
    nearer: np.ndarray
    own: np.ndarray


def search(asked: sets.ImageSet, train: sets.ImageSet, heldout: sets.ImageSet) -> Found:
    """Neighbours of each image that is asked for. Held-out images of its own patient do not count as near."""
    kept = {name: [] for name in Found.__dataclass_fields__}
    for part in batches(len(asked), BLOCK):
        block = asked.of(np.arange(part.start, part.stop))
        to_train = sets.distances(block.features, train.features)
        to_heldout = sets.distances(block.features, heldout.features)
        mine = block.patients[:, None] == heldout.patients
        for place in range(len(block)):
            rows = to_train[place], to_heldout[place][~mine[place]]
            nearest = int(rows[0].argmin())
            others = train.patients != train.patients[nearest]
            kept["nearest"].append(nearest)
            kept["distance"].append(rows[0][nearest])
            kept["second"].append(rows[0][others].min(initial=np.inf))
            kept["heldout"].append(rows[1].min(initial=np.inf))
            kept["nearer"].append(probability_nearer(*rows))
            study, patient = block.studies[place], block.patients[place]
            own = [
                own_rank(to_train[place], train, study, patient),
                own_rank(to_heldout[place], heldout, study, patient),
            ]
            kept["own"].append(next((rank for rank in own if not np.isnan(rank)), np.nan))
    return Found(**{name: np.array(values) for name, values in kept.items()})


def probability_nearer(train: np.ndarray, heldout: np.ndarray) -> float:
    """The probability that the nearest of m training images is nearer than the nearest of m held-out images.

    m is the size of the smaller set; the larger one is drawn from at random, without replacement. The mean over all
    such draws is found exactly: of N distances of which r lie below a limit, m drawn ones all miss these with the
    probability C(N - r, m) / C(N, m). Ties count half. A half is what an image gets that knows neither set.

    Args:
        train, heldout: the image's distances to all training and all held-out images, (N,) and (M,).
    """
    if not len(train) or not len(heldout):
        return float("nan")
    if len(train) < len(heldout):
        return 1 - probability_nearer(heldout, train)
    limit = heldout.min()
    below, equal = int((train < limit).sum()), int((train == limit).sum())
    missed = [_missed(len(train), count, len(heldout)) for count in (below, below + equal)]
    return 1 - float(np.mean(missed))


def own_rank(distances: np.ndarray, among: sets.ImageSet, study: str, patient: str) -> float:
    """The share of other patients' images that are farther away than the image of a study; NaN if it has none."""
    own = distances[among.studies == study]
    others = distances[among.patients != patient]
    if not len(own) or not len(others):
        return float("nan")
    return float((others > own.min()).mean() + (others == own.min()).mean() / 2)


def _missed(total: int, marked: int, drawn: int) -> float:
    """The probability that `drawn` of `total` things, drawn without replacement, hold none of the marked ones."""
    from scipy.special import gammaln

    if drawn > total - marked:
        return 0.0
    log = gammaln(total - marked + 1) - gammaln(total - marked - drawn + 1) - gammaln(total + 1)
    return float(np.exp(log + gammaln(total - drawn + 1)))
