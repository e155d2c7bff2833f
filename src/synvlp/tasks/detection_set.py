"""Build a detection data set: images and their boxes as COCO JSON.

Only studies that were looked at for the set of annotations are taken; those in which nothing was marked stay, as
images without objects. A mark without a box has the bounding box of its mask.
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
    boxes: Path = job.file("images, categories and boxes in pixels of the data set's images (COCO JSON)")
    description: Path = job.file("labels (categories, in order) and settings of the data set (JSON)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Choose, check and write the samples; see the module."""
    chosen = dataset.choose(settings, inputs.studies, inputs.images)
    studies, marks = dataset.look_up(settings, inputs.annotations, chosen)
    labels = dataset.labels_of(settings, marks)
    sides = dataset.write_pixels(outputs.pixels, inputs.images, list(studies["study_id"]), settings.image_size)
    coco = to_coco(studies, marks, sides, labels, settings.image_size)
    present: list[set[int]] = [set() for _ in range(len(studies))]
    for box in coco["annotations"]:
        present[box["image_id"] - 1].add(box["category_id"] - 1)
    samples = studies.assign(labels=[[labels[i] for i in sorted(own)] for own in present])
    dataset.check(samples, labels, negatives=False)
    files.write_json(outputs.boxes, coco)
    dataset.write_samples(samples, outputs.samples)
    dataset.write_description("detection", settings, labels, outputs.description)


def to_coco(studies: pd.DataFrame, marks: pd.DataFrame, sides: np.ndarray, labels: Sequence[str], size: int) -> dict:
    """COCO JSON: image i + 1 is row i of the samples, category k + 1 is label k; boxes are x, y, width, height."""
    rows = {study_id: row for row, study_id in enumerate(studies["study_id"])}
    listed = [{"id": row + 1, "file_name": study_id, "width": size, "height": size} for study_id, row in rows.items()]
    boxes = []
    marks = marks.sort_values(["study_id", "label", "x", "y", "width", "height"], kind="stable")
    for mark in marks.itertuples():
        row = rows[mark.study_id]
        box = [round(float(value) * size / int(sides[row]), 4) for value in box_of(mark)]
        if min(box[2:]) <= 0:
            raise job.JobError(f"study {mark.study_id}, set {mark.set}: a box has no area")
        category = labels.index(mark.label) + 1
        content = {"id": len(boxes) + 1, "image_id": row + 1, "category_id": category, "bbox": box}
        boxes.append({**content, "area": round(box[2] * box[3], 4), "iscrowd": 0})
    categories = [{"id": number, "name": label} for number, label in enumerate(labels, 1)]
    return {"images": listed, "categories": categories, "annotations": boxes}


def box_of(mark: tuple) -> tuple[float, float, float, float]:
    """A mark's box (x, y, width, height) in pixels of the stored image; of its mask if it has none.

    Raises JobError, naming the study, for a mark with neither.
    """
    if not np.isnan(mark.x):
        return mark.x, mark.y, mark.width, mark.height
    inside = images.decode(mark.mask) > 127 if mark.mask is not None else np.zeros((1, 1), bool)
    if not inside.any():
        raise job.JobError(f"study {mark.study_id}, set {mark.set}: a mark has no box and no mask")
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
