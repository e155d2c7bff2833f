"""What the three kinds of task data set share: choosing studies, their images, their samples and checks."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from synvlp import job
from synvlp.store import files, images, tables

SPLITS = ("train", "val", "test")


class Selection(job.Settings):
    """Which studies a data set takes, and how large their images are."""

    collection: str = job.setting("", "only studies of this collection; empty: all of them")
    keep: list[str] = job.setting([], "only studies that carry one of these labels; empty: all of them")
    keep_no_finding: bool = job.setting(
        False, "with keep: also studies labelled with no finding at all (pneumonia against no finding)"
    )
    image_size: int = job.setting(64, "images are resized to this", unit="pixels a side", ge=32)


class Annotated(Selection):
    """Which studies and which markings a segmentation or detection data set takes."""

    set: str = job.required("the set of annotations; only studies that were looked at for it are taken")
    categories: list[str] = job.setting([], "categories of the set, in order; empty: all that it has")
    merge: str = job.setting("", "one foreground class of this name for all categories; empty: one each")


def choose(settings: Selection, studies_path: Path, images_path: Path) -> pd.DataFrame:
    """The studies with an image that the settings take, in the order of their ids.

    Raises JobError if none is left (naming the setting that left none) or a patient is in two splits.
    """
    studies = tables.read(studies_path, tables.STUDIES).sort_values("study_id", ignore_index=True)
    with_image = set(tables.read(images_path, tables.IMAGES, ["study_id"])["study_id"])
    chosen = studies[studies["study_id"].isin(with_image)]
    job.log.info("%d studies, %d of them with an image", len(studies), len(chosen))
    if settings.collection:
        known = sorted(set(chosen["collection"]))
        chosen = chosen[chosen["collection"] == settings.collection]
        if chosen.empty:
            raise job.JobError(f"collection = {settings.collection}: there are only {', '.join(known) or 'none'}")
        job.log.info("%d of them in the collection %s", len(chosen), settings.collection)
    if settings.keep:
        kept = set(settings.keep)
        wanted = [bool(kept & set(labels)) for labels in chosen["labels"]]
        clear = chosen["labelled"].astype(bool) & (chosen["labels"].map(len) == 0) & settings.keep_no_finding
        chosen = chosen[np.array(wanted) | clear]
        if chosen.empty:
            raise job.JobError(f"keep = {', '.join(settings.keep)}: no study with an image carries one of these")
        also = " or no finding" if settings.keep_no_finding else ""
        job.log.info("%d of them carry one of: %s%s", len(chosen), ", ".join(settings.keep), also)
    if chosen.empty:
        raise job.JobError(f"{studies_path}: no study has an image in {images_path}")
    if (chosen.groupby("patient_id")["split"].nunique() > 1).any():
        raise job.JobError(f"{studies_path}: a patient is in two splits, so that a test would not be one")
    return chosen.reset_index(drop=True)


def look_up(settings: Annotated, annotations_path: Path, chosen: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The chosen studies that were looked at for a set of annotations, and what was marked in them.

    Studies in which nothing was marked are kept: they are the true negatives.

    Returns:
        (studies, marks); marks have the columns of ANNOTATIONS, with `label` for the category or what it
        was merged into, without the rows that say that nothing was there.

    Raises JobError if the set or one of the categories does not exist, or no study is left.
    """
    table = tables.read(annotations_path, tables.ANNOTATIONS)
    marks = table[table["set"] == settings.set]
    if marks.empty:
        known = ", ".join(sorted(set(table["set"]))) or "none"
        raise job.JobError(f"set = {settings.set}: {annotations_path} has only these sets: {known}")
    studies = chosen[chosen["study_id"].isin(set(marks["study_id"]))].reset_index(drop=True)
    job.log.info("%d of them were looked at for the set %s", len(studies), settings.set)
    if studies.empty:
        raise job.JobError(f"set = {settings.set}: none of the {len(chosen)} chosen studies was looked at for it")
    categories = categories_of(settings, marks)
    marks = marks[marks["study_id"].isin(set(studies["study_id"])) & marks["category"].isin(categories)]
    return studies, marks.assign(label=settings.merge or marks["category"])


def categories_of(settings: Annotated, marks: pd.DataFrame) -> list[str]:
    """The categories that a data set takes: the ones asked for, or all. Raises JobError for an unknown one."""
    known = sorted(set(marks["category"]) - {""})
    unknown = [name for name in settings.categories if name not in known]
    if unknown:
        raise job.JobError(
            f"categories: the set {settings.set} has no {', '.join(unknown)}; it has {', '.join(known) or 'none'}"
        )
    if not known:
        raise job.JobError(f"set = {settings.set}: nothing was marked in any image")
    return list(settings.categories) or known


def labels_of(settings: Annotated, marks: pd.DataFrame) -> list[str]:
    """The labels (channels, classes) of a data set of marks, in order."""
    if settings.merge:
        return [settings.merge]
    return list(settings.categories) or sorted(set(marks["label"]))


def write_pixels(path: Path, images_path: Path, study_ids: Sequence[str], size: int) -> np.ndarray:
    """Write the images of `study_ids` (sorted) as pixels; returns the stored images' sides in pixels, int (n,).

    Raises JobError, naming the study, for an image that is missing, unreadable or not square.
    """
    sides: list[int] = []

    def decoded() -> Iterator[np.ndarray]:
        for study_id, data in job.progress(_stored(images_path, study_ids), "images", len(study_ids)):
            try:
                pixels = images.decode(data)
            except ValueError as error:
                raise job.JobError(f"{images_path}: the image of study {study_id} is {error}") from error
            if pixels.shape[0] != pixels.shape[1]:
                raise job.JobError(f"{images_path}: the image of study {study_id} is not square: {pixels.shape}")
            sides.append(pixels.shape[0])
            yield pixels

    images.write_pixels(path, decoded(), len(study_ids), size)
    return np.array(sides)


def write_samples(samples: pd.DataFrame, path: Path) -> None:
    """Write the samples and log how many there are per split and label."""
    tables.write(samples[list(tables.SAMPLES.columns)], path, tables.SAMPLES)
    for split in SPLITS:
        rows = samples[samples["split"] == split]
        positives = rows["labels"].explode().value_counts().sort_index()
        counts = ", ".join(f"{label} {count}" for label, count in positives.items())
        job.log.info("%s: %d samples of %d patients: %s", split, len(rows), rows["patient_id"].nunique(), counts)


def write_description(task: str, settings: Selection, labels: Sequence[str], path: Path, **more: object) -> None:
    """Write what a data set is, in JSON: its task, labels and settings."""
    content = {"task": task, "labels": list(labels), "settings": settings.model_dump(mode="json"), **more}
    files.write_json(path, content)


def check(samples: pd.DataFrame, labels: Sequence[str], *, negatives: bool) -> None:
    """Stop if a split has no sample, or a label no positive (or, if `negatives`, no negative) in train or test.

    Raises JobError naming label, split and counts.
    """
    for split in SPLITS:
        rows = samples[samples["split"] == split]
        if rows.empty:
            raise job.JobError(f"split {split}: no sample is left of {len(samples)}; each split needs some")
        if split == "val":
            continue
        for label in labels:
            count = sum(label in present for present in rows["labels"])
            if count == 0:
                raise job.JobError(f"label {label}, split {split}: 0 of {len(rows)} samples carry it; it needs some")
            if negatives and count == len(rows):
                raise job.JobError(f"label {label}, split {split}: all {count} samples carry it; it needs others too")


def _stored(path: Path, study_ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The wanted rows of a table of images, a row group at a time; both are sorted by study id."""
    wanted = iter(study_ids)
    expected = next(wanted, None)
    for batch in pq.ParquetFile(path).iter_batches(1024, columns=["study_id", "image"]):
        for study_id, data in zip(batch["study_id"].to_pylist(), batch["image"].to_pylist(), strict=True):
            if study_id == expected:
                yield study_id, data
                expected = next(wanted, None)
    if expected is not None:
        raise job.JobError(f"{path}: no image of study {expected}, or the rows are not in the order of study ids")
