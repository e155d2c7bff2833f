"""Judge the pairs of a corpus: texts that do not belong to their images.

One model per fold of patients learns from the other folds' train pairs what images tell of texts, so that no pair is
judged by a model that saw its patient. Its score is the pointwise mutual information of image and text: how much
likelier the text is beside this image than beside any. The limit comes from permuted pairs and the stated share of
false rejections. Texts that say what no image shows, or what a small model cannot see, cannot be told apart; and where
many texts are equal, an exchange of equal texts is none.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.encoders.curation import calibration, folds, gradients
from synvlp.store import files, images, tables
from synvlp.store.seeds import seed_of

UNPAIRED = "unpaired"
RATES = np.logspace(0, 5, 11)


class Settings(job.Settings):
    false_rejections: float = job.setting(0.01, "share of true pairs that may be rejected", gt=0, lt=0.5)
    assumed: float = job.setting(
        0.02, "share of the pairs that do not belong together, at most; the limit makes room for them", ge=0, lt=0.5
    )
    image_size: int = job.setting(
        64, "side at which images are described, a multiple of 8", unit="px", ge=32, multiple_of=8
    )
    folds: int = job.setting(3, "models; each judges the patients that it did not see", ge=2, le=20)
    image_components: int = job.setting(96, "principal components of the images' description", ge=2)
    text_components: int = job.setting(48, "singular vectors of the texts' words and word pairs", ge=2)
    others: int = job.setting(20, "other texts that each image is tried with", ge=1, le=1000)
    seed: int = job.setting(0, "seeds folds and permutations", ge=0)


class Inputs(job.Files):
    images: Path = job.file("images of the corpus, or of a corrupted copy (Parquet)")
    prompts: Path = job.file("prompts with the encoders' texts (Parquet)")


class Outputs(job.Files):
    judgements: Path = job.file("score of each pair (Parquet)")
    summary: Path = job.file("counts, and how well own texts are told from others (JSON)")


@dataclass
class Model:
    """What images tell of texts, in the texts' components.

    A text's component d is normal with mean `predicted` and variance `left[d]` beside its image, and normal with mean
    0 and variance `spread[d]` beside any.
    """

    left: np.ndarray
    spread: np.ndarray

    def information(self, predicted: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """log p(text | image) − log p(text), in nats: (n,), of predictions and texts, (n, D) each."""
        beside = (texts - predicted) ** 2 / self.left
        anywhere = texts**2 / self.spread
        return 0.5 * (anywhere - beside + np.log(self.spread / self.left)).sum(1)


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Fit a model per fold, score all pairs, write the scores. Raises JobError if there is too little to learn from."""
    frame, described = _read(settings, inputs)
    frame["fold"] = folds.assign(list(frame["patient_id"]), settings.folds, settings.seed)
    own, others = np.empty(len(frame)), []
    for fold in range(settings.folds):
        mine = frame["fold"].to_numpy() == fold
        if not mine.any():
            continue
        learn = np.flatnonzero(~mine & _to_learn(frame))
        if len(learn) < 16:
            raise job.JobError(
                f"only {len(learn)} pairs to learn from are left for fold {fold}; at least 16 are needed"
            )
        own[mine], permuted = judge_fold(frame, described, learn, np.flatnonzero(mine), settings)
        others.append(permuted)
    limit = calibration.lower_limit(own, np.concatenate(others), settings.false_rejections, settings.assumed)
    middle = float(np.median(own))
    scores = (middle - own) / max(middle - limit, 1e-9)
    _write(frame, np.where(own < limit, np.maximum(scores, 1 + 1e-9), np.minimum(scores, 1.0)), outputs.judgements)
    told = _told(own, np.concatenate(others))
    files.write_json(
        outputs.summary,
        {
            "pairs": len(frame),
            "beyond_the_limit": int((own < limit).sum()),
            "false_rejections": settings.false_rejections,
            "own_above_other": round(told, 4),
        },
    )
    job.log.info(
        "%d of %d pairs are beyond the limit; an own text scores above another one in %.1f %% of all cases",
        *(int((own < limit).sum()), len(frame), 100 * told),
    )


def judge_fold(
    frame: pd.DataFrame, described: np.ndarray, learn: np.ndarray, judged: np.ndarray, settings: Settings
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the rows `judged` by a model of the rows `learn`: of own pairs, and of images with others' texts.

    Args:
        frame: study_id and text of all pairs.
        described: images: (n, F).
        learn: rows that the model sees.
        judged: rows that it judges.
        settings: of the job.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import RidgeCV

    middle, scale = described[learn].mean(0), described[learn].std(0) + 1e-6
    width = min(settings.image_components, len(learn) - 1, described.shape[1])
    compress = PCA(width, svd_solver="full").fit((described[learn] - middle) / scale)
    seen = [compress.transform((described[rows] - middle) / scale) for rows in (learn, judged)]
    told, texts = _texts(list(frame["text"].iloc[learn]), list(frame["text"].iloc[judged]), settings)
    ridge = RidgeCV(RATES, alpha_per_target=True, store_cv_results=True).fit(seen[0], told)
    # Leave-one-out errors: those on the pairs that it learned from would be too small.
    left = ridge.cv_results_.mean(0).min(1)
    spread = told.var(0) + 1e-9
    model = Model(np.minimum(left, spread), spread)
    predicted = ridge.predict(seen[1])
    own = model.information(predicted, texts)
    return own, _permuted(model, predicted, texts, frame.iloc[judged], settings)


def _texts(learn: list[str], judged: list[str], settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Components of texts, of which the words and weights come from the learned ones alone: (n, D) each."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    count = TfidfVectorizer(ngram_range=(1, 2), min_df=2, max_df=0.95, sublinear_tf=True, max_features=2000)
    try:
        words = count.fit_transform(learn)
    except ValueError:
        raise job.JobError("no word stands in two texts; pairs can only be judged by texts that share words") from None
    width = min(settings.text_components, words.shape[1], len(learn) - 1)
    # Not by Lanczos iteration, whose last digits differ from run to run.
    _, vectors = np.linalg.eigh((words.T @ words).toarray())
    directions = vectors[:, ::-1][:, :width]
    learned = words @ directions
    middle = learned.mean(0)
    return learned - middle, count.transform(judged) @ directions - middle


def _permuted(
    model: Model, predicted: np.ndarray, texts: np.ndarray, frame: pd.DataFrame, settings: Settings
) -> np.ndarray:
    """Scores of each judged image with texts of other judged studies, equal texts left out."""
    words = frame["text"].to_numpy()
    found = []
    for draw in range(settings.others):
        seeds = [seed_of(settings.seed, "permuted", study, draw) for study in frame["study_id"]]
        other = np.array(seeds, np.uint64) % np.uint64(len(frame))
        different = words[other.astype(np.int64)] != words
        found.append(model.information(predicted, texts[other.astype(np.int64)])[different])
    return np.concatenate(found)


def _read(settings: Settings, inputs: Inputs) -> tuple[pd.DataFrame, np.ndarray]:
    """Studies with a text and an image that opens, ordered by id, and the images' descriptions (n, F)."""
    prompts = tables.read(inputs.prompts, tables.PROMPTS, ["study_id", "patient_id", "split", "text"])
    frame = prompts.merge(tables.read(inputs.images, tables.IMAGES), on="study_id", validate="one_to_one")
    frame = frame.sort_values("study_id", ignore_index=True)
    rows, described = [], []
    for row, data in enumerate(job.progress(list(frame["image"]), "images described")):
        try:
            described.append(gradients.describe(images.resize(images.decode(data), settings.image_size)))
        except ValueError:
            continue
        rows.append(row)
    if not rows:
        raise job.JobError(f"{inputs.images} has no readable image of a study of {inputs.prompts}")
    return frame.iloc[rows].drop(columns="image").reset_index(drop=True), np.stack(described)


def _to_learn(frame: pd.DataFrame) -> np.ndarray:
    train = (frame["split"] == "train").to_numpy()
    return train if train.any() else np.ones(len(frame), bool)


def _told(own: np.ndarray, others: np.ndarray) -> float:
    """The chance that an own pair scores above a permuted one; ties count half."""
    ordered = np.sort(others)
    low, high = np.searchsorted(ordered, own, "left"), np.searchsorted(ordered, own, "right")
    return float(((low + high) / 2 / len(others)).mean())


def _write(frame: pd.DataFrame, scores: np.ndarray, path: Path) -> None:
    named = frame[["study_id", "patient_id", "split", "fold"]]
    tables.write(named.assign(reason=UNPAIRED, score=scores, detail=""), path, tables.JUDGEMENTS)
