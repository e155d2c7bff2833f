"""Judge the images of a corpus: blank, inverted, turned, cropped, noisy, blurred and otherwise corrupted, or foreign.

A small network learns from the corpus's own images, without labels, how each corruption looks; one network per fold of
patients, so that no image is judged by one that saw its patient. What is like none of the corpus's images is foreign:
another view, another part of the body, no radiograph. The limit is set so that about `false_rejections` of the sound
images exceed it; how many images are sound, the network estimates itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.encoders.curation import bank as banks
from synvlp.encoders.curation import calibration, corruptions, folds, gradients, statistics
from synvlp.store import files, images, tables
from synvlp.store.seeds import seed_of

if TYPE_CHECKING:
    import torch

    from synvlp.encoders.curation.network import Judge

FOREIGN, WRONG_VIEW, UNREADABLE = "foreign", "wrong-view", "unreadable"
# What the network tells, the tiles in disorder left out: they stand for all that has the corpus's texture and no chest.
TOLD = tuple(way for way in corruptions.LEARNED if way != "scrambled")
REASONS = (*TOLD, FOREIGN, WRONG_VIEW, UNREADABLE)
# The score of what needs no estimate: a view that the corpus states, a file that does not open.
CERTAIN = 10.0
# A corpus of which less is sound is none; networks that believe it have learned too little.
LEAST_SOUND = 0.5
# An image so many deviations farther from the others than the median one takes no part in setting limits.
OUTLYING = 5.0
# Share of the learned images that distances are measured from, for the others may be anything; and how they are found.
KEPT, COMPONENTS = 0.75, 48
# How many of these count.
NEIGHBOURS = 5


class Settings(job.Compute):
    false_rejections: float = job.setting(
        0.01, "share of sound images that may be rejected, for whatever reason", gt=0, lt=0.5
    )
    lateral_views: list[str] = job.setting(
        ["L", "LL", "LATERAL"], "views (column view of the studies, in capitals) that are wrong"
    )
    min_deviation: float = job.setting(4.0, "an image that deviates less is blank", unit="gray levels", gt=0)
    image_size: int = job.setting(
        64, "side at which the network reads, a multiple of 16", unit="px", ge=32, multiple_of=16
    )
    folds: int = job.setting(3, "networks; each judges the patients that it did not see", ge=2, le=20)
    learn_from: int = job.setting(2000, "images of the train split to learn from, at most", unit="images", ge=8)
    variants: int = job.setting(2, "corrupted copies of each image and way", ge=1, le=20)
    steps: int = job.setting(300, "updates of each network", unit="steps", ge=1)
    batch: int = job.setting(96, "images per update", unit="images", ge=4)
    rate: float = job.setting(0.003, "highest learning rate; it falls along half a cosine", gt=0)
    seed: int = job.setting(0, "seeds folds, copies, weights and batches", ge=0)


class Inputs(job.Files):
    images: Path = job.file("images of the corpus, or of a corrupted copy (Parquet)")
    studies: Path = job.file("studies of the corpus (Parquet)")


class Outputs(job.Files):
    judgements: Path = job.file("scores of all images for all reasons (Parquet)")
    summary: Path = job.file("shares that the network estimates, and counts (JSON)")


@dataclass
class Seen:
    """What the networks say of all readable images.

    Attributes:
        classes: log-probabilities: (n, C).
        distance: from the images of the other folds, see `distances`: (n,).
        fold: whose network it was: (n,).
        learned: by class, the share of held-out originals and copies that the networks tell rightly.
    """

    classes: np.ndarray
    distance: np.ndarray
    fold: np.ndarray
    learned: dict[str, float]


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Train one network per fold, judge, write the scores. Raises JobError if there is too little to learn from."""
    frame = _read(inputs)
    frame["fold"] = folds.assign(list(frame["patient_id"]), settings.folds, settings.seed)
    shrunk, readable = banks.shrink(list(frame["image"]), settings.image_size)
    known = frame[readable].reset_index(drop=True)
    seen = _judge(known, shrunk, settings, inputs)
    scores, found = _scores(seen, settings)
    rows = _rows(known, scores, shrunk.statistics, settings)
    rows += [_row(study, UNREADABLE, CERTAIN) for study in frame[~readable].to_dict("records")]
    table = pd.DataFrame(rows, columns=list(tables.JUDGEMENTS.columns))
    tables.write(table, outputs.judgements, tables.JUDGEMENTS)
    _summarise(table, found, seen.learned, settings, outputs.summary)


def _read(inputs: Inputs) -> pd.DataFrame:
    """Studies that have an image, with its bytes, ordered by id. Raises JobError if the tables do not fit."""
    pictures = tables.read(inputs.images, tables.IMAGES)
    frame = tables.read(inputs.studies, tables.STUDIES, ["study_id", "patient_id", "split", "view"])
    frame = frame.merge(pictures, on="study_id", validate="one_to_one").sort_values("study_id", ignore_index=True)
    if len(frame) < len(pictures):
        raise job.JobError(f"{inputs.studies} lacks {len(pictures) - len(frame)} of the studies of {inputs.images}")
    return frame


def _judge(frame: pd.DataFrame, shrunk: banks.Shrunk, settings: Settings, inputs: Inputs) -> Seen:
    """Train each fold's network on the other folds and read the fold with it; a saved state is gone on from."""
    from synvlp.encoders.curation import network
    from synvlp.models import device

    place, fold_of = device.prepare(settings), frame["fold"].to_numpy()
    learn = _learn_from(frame, settings)
    stored = list(frame["image"][learn])
    bank = banks.build(list(frame["study_id"][learn]), stored, settings.image_size, settings.variants, settings.seed)
    scratch = job.Scratch(__name__, settings, inputs)
    saved = scratch.load() or {"done": [], "part": None}
    done, part = saved["done"], saved["part"]
    for fold in range(len(done), settings.folds):
        rows = np.flatnonzero(fold_of[learn] != fold)
        model = network.train(bank, rows, fold, settings, place, part, _saving(scratch, done))
        judged = banks.Shrunk(shrunk.pixels[fold_of == fold], shrunk.statistics[fold_of == fold])
        done.append(_read_fold(model, bank, rows, judged, settings, place))
        part = None
    scratch.remove()
    return _joined(done, fold_of)


def _saving(scratch: job.Scratch, done: list) -> Callable[[Callable[[], dict], str], None]:
    """How a training saves its state beside the folds that are done."""
    return lambda state, said: scratch.checkpoint(lambda: {"done": done, "part": state()}, said)


def _learn_from(frame: pd.DataFrame, settings: Settings) -> np.ndarray:
    """Rows of the train split, at most `learn_from`, chosen by a hash of their ids; of all splits if it is empty."""
    train = np.flatnonzero(frame["split"] == "train")
    rows = train if len(train) else np.arange(len(frame))
    chosen = sorted(rows, key=lambda row: seed_of(settings.seed, "learn", frame["study_id"][row]))
    rows = np.sort(np.array(chosen[: settings.learn_from], np.int64))
    left = [int((frame["fold"].to_numpy()[rows] != fold).sum()) for fold in range(settings.folds)]
    if min(left) < 8:
        raise job.JobError(
            f"only {min(left)} images to learn from are left for one of {settings.folds} folds; at least 8 are needed"
        )
    return rows


def _read_fold(
    model: "Judge", bank: banks.Bank, rows: np.ndarray, judged: banks.Shrunk, settings: Settings, place: "torch.device"
) -> dict:
    """A fold's images by its network: what it says of them, and how far they are from what it learned from."""
    import torch

    from synvlp.encoders.curation import network

    said = network.read(model, judged, place, settings.batch)
    learned = _outlines(bank.sound.pixels[rows])
    distance = distances(learned[closest(learned)], _outlines(judged.pixels))
    held_out = np.setdiff1d(np.arange(len(bank.sound.pixels)), rows)
    said_of_copies = _held_out(model, bank, held_out, settings, place)
    heat = calibration.temperature(said_of_copies, network.SHARES)
    told = said_of_copies.argmax(2) == np.arange(len(said_of_copies))[:, None]
    return {
        "classes": torch.from_numpy(calibration.tempered(said, heat)),
        "distance": torch.from_numpy(distance),
        "told": torch.from_numpy(told.astype(float)),
    }


def _held_out(
    model: "Judge", bank: banks.Bank, rows: np.ndarray, settings: Settings, place: "torch.device"
) -> np.ndarray:
    """What a network says of originals and of the first copy of each way, by their class: (C, rows, C)."""
    from synvlp.encoders.curation import network

    count = len(banks.CLASSES)
    if not len(rows):
        return np.zeros((count, 0, count))
    classes = np.repeat(np.arange(count), len(rows))
    shrunk = banks.Shrunk(*bank.take(classes, np.zeros_like(classes), np.tile(rows, count)))
    said = network.read(model, shrunk, place, settings.batch)
    return said.reshape(count, len(rows), count)


def closest(rows: np.ndarray) -> np.ndarray:
    """The three quarters of the rows that agree best with each other: indices, of (n, F).

    Concentration as in Rousseeuw and van Driessen's fast MCD (Technometrics 41, 1999), with what principal components
    leave in place of a distance: from the rows nearest to the median, fit and keep the best fitted, twice. A tenth of
    foreign images, alike as they may be among themselves, is thus not what others are measured from.
    """
    count = max(int(KEPT * len(rows)), min(len(rows), 8))
    distance = ((rows - np.median(rows, 0)) ** 2).sum(1)
    for _ in range(2):
        kept = np.argsort(distance, kind="stable")[:count]
        distance = _residual(rows[kept], rows)
    return np.sort(np.argsort(distance, kind="stable")[:count])


def distances(known: np.ndarray, others: np.ndarray) -> np.ndarray:
    """One minus the mean cosine of each other row with its five nearest known ones: (m,), of (n, F) and (m, F), all of
    length 1.
    """
    count = min(NEIGHBOURS, len(known))
    found = [np.sort(others[part] @ known.T, 1)[:, -count:].mean(1) for part in images.batches(len(others), 1024)]
    return 1 - np.concatenate([np.empty(0), *found])


def _residual(learned: np.ndarray, others: np.ndarray) -> np.ndarray:
    """What principal components of the learned rows leave of each other one: (m,)."""
    from sklearn.decomposition import PCA

    model = PCA(min(COMPONENTS, len(learned) - 1, learned.shape[1]), svd_solver="full").fit(learned)
    return ((others - model.inverse_transform(model.transform(others))) ** 2).sum(1)


def _outlines(pixels: np.ndarray) -> np.ndarray:
    """Where the edges of images point, as rows of length 1: float64 (n, F)."""
    rows = np.stack([gradients.histograms(picture) for picture in pixels])
    return rows / np.maximum(np.sqrt((rows**2).sum(1, keepdims=True)), 1e-9)


def _joined(done: list[dict], fold: np.ndarray) -> Seen:
    classes, distance = np.empty((len(fold), len(banks.CLASSES))), np.empty(len(fold))
    for place, part in enumerate(done):
        classes[fold == place], distance[fold == place] = part["classes"].numpy(), part["distance"].numpy()
    told = np.concatenate([part["told"].numpy() for part in done], 1).mean(1)
    return Seen(classes, distance, fold, dict(zip(banks.CLASSES, told.round(4).tolist(), strict=True)))


def _scores(seen: Seen, settings: Settings) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Scores by reason, and the share of each class that the networks estimate in the corpus."""
    from synvlp.encoders.curation import network

    posteriors, ways = np.exp(seen.classes), len(banks.CLASSES) - 1
    shares = calibration.shares(posteriors, network.SHARES, least=LEAST_SOUND)
    sound = calibration.adjusted(posteriors, network.SHARES, shares)[:, 0]
    sound = sound * (calibration.outlying(seen.distance, seen.fold) < OUTLYING)
    columns = np.column_stack([seen.classes[:, 1:] - seen.classes[:, :1], seen.distance])
    groups = [slice(0, ways), slice(ways, ways + 1)]
    scaled = calibration.relative(columns, groups, seen.fold, sound, settings.false_rejections)
    by_way = dict(zip(banks.CLASSES[1:], scaled.T, strict=False))
    # An inverted image is far from all others, too: the distance names what the network does not.
    best = scaled[:, :ways].max(1)
    distance = np.where(best > 1, np.minimum(scaled[:, ways], 0.999 * best), scaled[:, ways])
    foreign = np.maximum(by_way.pop("scrambled"), distance)
    return {**by_way, FOREIGN: foreign}, dict(zip(banks.CLASSES, shares.round(4).tolist(), strict=True))


def _rows(frame: pd.DataFrame, scores: dict[str, np.ndarray], numbers: np.ndarray, settings: Settings) -> list[dict]:
    """Rows of the table: each reason's score, in which flatness and a stated view have the last word."""
    deviation = 255 * numbers[:, statistics.NAMES.index("deviation")].astype(np.float64)
    flat = settings.min_deviation / np.maximum(deviation, settings.min_deviation / CERTAIN)
    scores = {**scores, "blank": np.where(flat > 1, np.maximum(scores["blank"], flat), scores["blank"])}
    rows = []
    for place, study in enumerate(frame.to_dict("records")):
        rows += [_row(study, reason, min(float(values[place]), CERTAIN)) for reason, values in scores.items()]
        if study["view"].upper() in settings.lateral_views:
            rows.append(_row(study, WRONG_VIEW, CERTAIN, f"view {study['view']}"))
    return rows


def _row(study: dict, reason: str, score: float, detail: str = "") -> dict:
    named = {name: study[name] for name in ("study_id", "patient_id", "split", "fold")}
    return {**named, "reason": reason, "score": score, "detail": detail}


def _summarise(
    table: pd.DataFrame, found: dict[str, float], learned: dict[str, float], settings: Settings, path: Path
) -> None:
    worst = table.sort_values(["study_id", "score"], kind="stable").drop_duplicates("study_id", keep="last")
    beyond = worst[worst["score"] > 1]
    counts = beyond["reason"].value_counts().sort_index()
    files.write_json(
        path,
        {
            "images": len(worst),
            "beyond_the_limit": {reason: int(number) for reason, number in counts.items()},
            "estimated_shares": found,
            "told_rightly_when_held_out": learned,
            "false_rejections": settings.false_rejections,
        },
    )
    if learned["sound"] < 0.5:
        job.log.warning("the networks take most held-out images for corrupted ones: raise steps, or learn_from")
    job.log.info(
        "%d of %d images are beyond the limit; estimated sound: %.1f %%", len(beyond), len(worst), 100 * found["sound"]
    )
