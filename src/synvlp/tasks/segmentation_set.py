"""Build a segmentation data set: images and one mask channel per category.

Only studies that were looked at for the set of annotations are taken; those in which nothing was marked have
empty masks. A mark without a mask counts as its filled box, as the papers do for RSNA.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.store import files, images
from synvlp.tasks import dataset


class Settings(dataset.Annotated):
    pass


class Inputs(job.Files):
    studies: Path = job.file("studies (Parquet)")
    images: Path = job.file("images (Parquet)")
    annotations: Path = job.file("annotations (Parquet)")


class Outputs(job.Files):
    samples: Path = job.file("samples (Parquet)")
    pixels: Path = job.file("pixels, uint8 (n, size, size) (NumPy)")
    masks: Path = job.file("masks, uint8 0 or 1 (n, channels, size, size) (NumPy)")
    description: Path = job.file("labels (channels, in order) and settings of the data set (JSON)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Choose, check and write the samples; see the module."""
    chosen = dataset.choose(settings, inputs.studies, inputs.images)
    studies, marks = dataset.look_up(settings, inputs.annotations, chosen)
    labels = dataset.labels_of(settings, marks)
    sides = dataset.write_pixels(outputs.pixels, inputs.images, list(studies["study_id"]), settings.image_size)
    present = write_masks(outputs.masks, studies, marks, sides, labels, settings.image_size)
    samples = studies.assign(labels=[[labels[i] for i in np.flatnonzero(row)] for row in present])
    dataset.check(samples, labels, negatives=False)
    dataset.write_samples(samples, outputs.samples)
    dataset.write_description("segmentation", settings, labels, outputs.description)


def write_masks(
    path: Path, studies: pd.DataFrame, marks: pd.DataFrame, sides: np.ndarray, labels: Sequence[str], size: int
) -> np.ndarray:
    """Write the masks; returns whether a channel has any foreground, bool (n, channels)."""
    by_study = dict(list(marks.groupby("study_id")))
    present = np.zeros((len(studies), len(labels)), bool)
    with files.replacing(path) as part:
        array = images.new_array(part, (len(studies), len(labels), size, size))
        for row, study_id in enumerate(job.progress(studies["study_id"], "masks")):
            if study_id in by_study:
                array[row] = channels(by_study[study_id], int(sides[row]), labels, size)
            present[row] = array[row].any(axis=(1, 2))
        array.flush()
    return present


def channels(marks: pd.DataFrame, side: int, labels: Sequence[str], size: int) -> np.ndarray:
    """The masks of one study, uint8 0 or 1 (channels, size, size): the union of its marks, channel by channel.

    Args:
        marks: the study's annotations with `label`, in pixels of the stored image.
        side: of the stored image, in pixels.

    Raises JobError, naming the study, for a mask of another size than its image.
    """
    masks = np.zeros((len(labels), side, side), np.uint8)
    for mark in marks.itertuples():
        channel = masks[labels.index(mark.label)]
        if mark.mask is None:
            channel[box_slices(mark.x, mark.y, mark.width, mark.height, side)] = 255
            continue
        mask = images.decode(mark.mask)
        if mask.shape != channel.shape:
            raise job.JobError(
                f"study {mark.study_id}, set {mark.set}: a mask is {mask.shape}, its image {channel.shape}"
            )
        channel[mask > 127] = 255
    return np.stack([images.resize(mask, size) > 127 for mask in masks]).astype(np.uint8)


def box_slices(x: float, y: float, width: float, height: float, side: int) -> tuple[slice, slice]:
    """The rows and columns of the pixels whose centre lies in a box."""
    edges = np.clip(np.ceil(np.array([y, y + height, x, x + width]) - 0.5), 0, side).astype(int)
    return slice(edges[0], edges[1]), slice(edges[2], edges[3])
