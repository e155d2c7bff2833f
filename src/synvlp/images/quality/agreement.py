"""Measure whether synthetic images show what their prompts say: findings that a classifier sees, own prompts found.

The classifier is a logistic regression per finding on features of an encoder that was pre-trained on real pairs,
fitted to real labelled training images. It is asked for the labels of the report that a prompt comes from. Of a corpus
of several collections, one should be named: where a label comes from one collection, which of them an image comes from
gives the label away, and a drawn image that looks like its collection would seem to show the finding. Retrieval
asks the same encoder's text side for the own prompt among others; each different prompt counts once, its images
sharing it, as in the task of that name. Held-out real images are the ceiling of both.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.images.quality import classifier, results, sets
from synvlp.models import encoder_files, retrieval
from synvlp.store import images, tables
from synvlp.store.seeds import seed_of

RANKS = (1, 5, 10)


class Settings(job.Compute):
    real_splits: list[job.Split] = job.setting(["val", "test"], "splits of the real images, the ceiling", min_length=1)
    synthetic_splits: list[job.Split] = job.setting(["val"], "splits whose prompts' images are measured", min_length=1)
    collection: str = job.setting("", "findings are asked for in this collection alone; empty: in all of them")
    labels: list[str] = job.setting([], "findings that are asked for; none given: all of the training images")
    min_cases: int = job.setting(10, "training images with and without a finding that it takes", ge=2)
    candidates: int = job.setting(100, "different prompts among which the own one is looked for, at most", ge=2)
    resamples: int = job.setting(200, "bootstrap resamples of the patients", ge=0, le=10_000)
    seed: int = job.setting(0, "seeds the candidates and the resamples", ge=0)


class Inputs(encoder_files.Encoder):
    real: Path = job.file("features of the real images in the encoder's space (Parquet)")
    synthetic: Path = job.file("features of the synthetic images in the encoder's space (Parquet)")
    studies: Path = job.file("studies of the real images (Parquet)")
    prompt_studies: Path | None = job.optional_file("studies of the prompts, with their reports' labels (Parquet)")
    prompts: Path = job.file("prompts of the synthetic images (Parquet)")
    real_prompts: Path = job.file("prompts of the real images (Parquet)")
    real_images: Path = job.file("real images (Parquet)")
    synthetic_images: Path = job.file("accepted synthetic images (Parquet)")


class Outputs(job.Files):
    agreement: Path = job.file("measures with intervals and ceilings (JSON)")
    by_image: Path = job.file("each image's scores, targets and rank (Parquet)")


@dataclass(frozen=True)
class Sought:
    """Images that look for their own text.

    Attributes:
        rows: study_id, draw, patient_id and image (bytes), one row each.
        texts: the different texts.
        own: the place of each image's own.
    """

    rows: pd.DataFrame
    texts: list[str]
    own: np.ndarray


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Measure both. Raises JobError for too few images."""
    real = sets.real(inputs.real, inputs.studies)
    drawn = sets.synthetic(inputs.synthetic, inputs.prompts).within(settings.synthetic_splits)
    drawn = sets.enough(drawn, 2, "synthetic images", settings.synthetic_splits)
    measures, rows, left_out = findings(real, drawn, settings, inputs)
    found, more, counts = own_prompts(settings, inputs)
    results.write(
        outputs.agreement,
        [*measures, *found],
        {"synthetic_images": len(drawn), **counts, "findings_left_out": left_out},
        ["The classifier's AUROC on real held-out images is a ceiling of the classifier, not of the images."],
    )
    empty = pd.DataFrame(columns=list(tables.AGREEMENT.columns))
    tables.write(pd.concat([*rows, *more] or [empty], ignore_index=True), outputs.by_image, tables.AGREEMENT)


def findings(
    real: sets.ImageSet, drawn: sets.ImageSet, settings: Settings, inputs: Inputs
) -> tuple[list[results.Measure], list[pd.DataFrame], dict[str, str]]:
    """AUROC per finding and their mean; per-image rows; and the findings that cannot be asked for, with the reason."""
    labelled = of_collection(real.of(real.rows["labelled"].astype(bool).to_numpy()), settings.collection)
    train, heldout = labelled.within(["train"]), labelled.within(settings.real_splits)
    if inputs.prompt_studies is None:
        job.log.info("the prompts belong to no studies with labels: findings are left out")
        return [], [], {"all": "the prompts have no labels"}
    drawn = _labelled(drawn, inputs.prompt_studies, settings.collection)
    wanted = settings.labels or sorted({label for own in train.rows["labels"] for label in own})
    names, parts, rows, left_out = [], [], [], {}
    weights = [
        results.draw_weights(part.patients, settings.resamples, settings.seed, name)
        for part, name in ((drawn, "drawn"), (heldout, "held out"))
    ]
    for label in wanted:
        targets = [classifier.targets_of(part.rows["labels"], label) for part in (train, drawn, heldout)]
        reason = _unfit(*targets, settings.min_cases)
        if reason:
            left_out[label] = reason
            continue
        fitted = classifier.Finding(train.features, targets[0], train.patients)
        scores = [fitted.scores(part.features) for part in (drawn, heldout)]
        values = [classifier.auroc(*given) for given in zip(scores, targets[1:], weights, strict=True)]
        names.append(label)
        parts.append(values)
        for part, kind, score, target in zip((drawn, heldout), ("synthetic", "real"), scores, targets[1:], strict=True):
            rows.append(_rows(part.rows, kind, label, score, target))
    measures = [
        results.Measure("auroc", "", label, *map(results.estimate, values, map(len, (drawn, heldout))), kind="ceiling")
        for label, values in zip(names, parts, strict=True)
    ]
    if names:
        # A resample without one class of a rare finding is the mean of the others, as in the tables.
        stacks = (np.ma.masked_invalid([values[place] for values in parts]) for place in (0, 1))
        means = [stack.mean(axis=0).filled(np.nan) for stack in stacks]
        both = map(results.estimate, means, map(len, (drawn, heldout)))
        measures.insert(0, results.Measure("auroc", "", "mean of findings", *both, kind="ceiling"))
    job.log.info("%d findings measured, %d left out", len(names), len(left_out))
    return measures, rows, left_out


def of_collection(real: sets.ImageSet, collection: str) -> sets.ImageSet:
    """The images of a collection; "": all of them. Raises JobError if there is none of it."""
    if not collection:
        return real
    known = sorted(set(real.rows["collection"]))
    if collection not in known:
        raise job.JobError(f"collection = {collection}: labelled real images are only of {', '.join(known) or 'none'}")
    return real.of((real.rows["collection"] == collection).to_numpy())


def own_prompts(settings: Settings, inputs: Inputs) -> tuple[list[results.Measure], list[pd.DataFrame], dict[str, int]]:
    """Recall of the own prompt at 1, 5 and 10 of equally many candidates, for synthetic and for real images.

    Nothing is measured where fewer than two different prompts have an image of either kind.
    """
    from synvlp.models import alignment

    kinds = {
        "synthetic": _pairs(inputs.synthetic_images, tables.SHARD, inputs.prompts, settings.synthetic_splits),
        "real": _pairs(inputs.real_images, tables.IMAGES, inputs.real_prompts, settings.real_splits),
    }
    count = min(settings.candidates, *(frame["key"].nunique() for frame in kinds.values()))
    if count < 2:
        job.log.warning("fewer than two different prompts have an image of each kind: retrieval is left out")
        return [], [], {"candidates": 0}
    encoder = alignment.open_encoder(inputs, settings)
    found, rows = {}, []
    for kind, frame in kinds.items():
        sought = choose(frame, count, settings.seed)
        ranks = _ranks(encoder, sought)
        weights = results.draw_weights(sought.rows["patient_id"], settings.resamples, settings.seed, kind, "ranks")
        weights = weights * retrieval.shares(sought.own)
        found[kind] = [
            results.estimate(results.weighted_mean((ranks <= limit).astype(float), weights), len(ranks))
            for limit in RANKS
        ]
        rows.append(_rows(sought.rows, kind, "", ranks, np.full(len(ranks), -1)))
    measures = []
    for place, limit in enumerate(RANKS):
        measures.append(
            results.Measure(
                f"recall_at_{limit}",
                "",
                f"of {count} prompts",
                found["synthetic"][place],
                found["real"][place],
                "ceiling",
            )
        )
    chance = {f"chance_at_{limit}": round(min(1.0, limit / count), 4) for limit in RANKS}
    return measures, rows, {"candidates": count, **chance}


def choose(frame: pd.DataFrame, count: int, seed: int) -> Sought:
    """`count` different texts, chosen by a hash of each, with all their images."""
    keys = sorted(frame["key"].unique(), key=lambda key: seed_of(seed, "candidate", key))[:count]
    rows = frame[frame["key"].isin(keys)].reset_index(drop=True)
    texts, own = retrieval.distinct(rows["words"].to_list())
    return Sought(rows, texts, own)


def _ranks(encoder: object, sought: Sought) -> np.ndarray:
    decoded = [images.decode(data) for data in sought.rows["image"]]
    side = max(max(pixels.shape) for pixels in decoded)
    pixels = np.stack([images.resize(item, side) for item in decoded])
    return retrieval.text_ranks(encoder.images(pixels) @ encoder.texts(sought.texts).T, sought.own)


def _pairs(path: Path, kind: tables.Table, prompts: Path, splits: list[str]) -> pd.DataFrame:
    """Readable images of the splits with their prompt (words) and what makes it another one (key)."""
    about = tables.read(prompts, tables.PROMPTS, ["study_id", "patient_id", "split", "prompt"])
    about = about[about["split"].isin(splits)].rename(columns={"prompt": "words"})
    about = about[about["words"].str.contains(r"[^\W_]")]
    columns = [*kind.key, "image"]
    frame = tables.read(path, kind, columns).merge(about[["study_id", "patient_id", "words"]], on="study_id")
    frame = frame if "draw" in frame else frame.assign(draw=0)
    frame = frame[[_is_readable(data) for data in frame["image"]]] if len(frame) else frame
    return frame.assign(key=[retrieval.plain(words) for words in frame["words"]])


def _is_readable(data: bytes) -> bool:
    try:
        return images.decode(data).size > 0
    except ValueError:
        return False


def _labelled(drawn: sets.ImageSet, studies: Path, collection: str) -> sets.ImageSet:
    """The synthetic images whose report has labels, with them; of a collection, or of all ("")."""
    labels = tables.read(studies, tables.STUDIES, ["study_id", "collection", "labels", "labelled"])
    rows = drawn.rows.merge(labels, on="study_id", how="left")
    known = rows["labelled"].fillna(False).astype(bool)
    if collection:
        known &= rows["collection"] == collection
    return sets.ImageSet(drawn.features, rows).of(known.to_numpy())


def _unfit(train: np.ndarray, drawn: np.ndarray, heldout: np.ndarray, least: int) -> str:
    """Why a finding cannot be measured, from the targets of the three sets; "" if it can."""
    if min(train.sum(), len(train) - train.sum()) < least:
        return f"fewer than {least} training images with it or without it"
    for name, targets in (("prompts", drawn), ("held-out real images", heldout)):
        if len(np.unique(targets)) < 2:
            return f"all {name} have it or none has"
    return ""


def _rows(about: pd.DataFrame, kind: str, label: str, score: np.ndarray, target: np.ndarray) -> pd.DataFrame:
    """Rows of `tables.AGREEMENT`."""
    own = about[["study_id", "draw", "patient_id"]].reset_index(drop=True)
    return own.assign(kind=kind, label=label, score=np.asarray(score, dtype=float), target=target)
