"""What the generators are trained on: images, and images with prompts, by split."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.store import images, tables


@dataclass(frozen=True)
class Samples:
    """Images of one split with what is known of them, in the order of their study ids."""

    study_id: list[str]
    pixels: np.ndarray  # uint8 (n, size, size)
    prompt: list[str]  # empty where only images are asked for

    def __len__(self) -> int:
        return len(self.study_id)


def read_images(image_table: Path, studies: Path, split: str, size: int) -> Samples:
    """The images of a split. Raises JobError if there are none in the train split."""
    rows = _images_of(image_table, studies, split)
    job.log.info("%d images in split %s", len(rows), split)
    _check(rows, split, image_table)
    return Samples(list(rows["study_id"]), _decode(rows, size), [])


def read_pairs(image_table: Path, studies: Path, prompts: Path, split: str, size: int) -> Samples:
    """The images of a split that have a prompt. Raises JobError if there are none in the train split."""
    rows = _images_of(image_table, studies, split)
    texts = tables.read(prompts, tables.PROMPTS, ["study_id", "prompt"])
    texts = texts[texts["prompt"].str.strip() != ""]
    paired = rows.merge(texts, on="study_id").sort_values("study_id", ignore_index=True)
    job.log.info("%d image-text pairs in split %s; %d images have no text", len(paired), split, len(rows) - len(paired))
    _check(paired, split, image_table)
    return Samples(list(paired["study_id"]), _decode(paired, size), list(paired["prompt"]))


def read_prompts(prompts: Path, split: str) -> list[str]:
    """The prompts of a split that are not empty, in the order of their study ids."""
    rows = tables.read(prompts, tables.PROMPTS, ["study_id", "split", "prompt"])
    rows = rows[(rows["split"] == split) & (rows["prompt"].str.strip() != "")]
    return list(rows.sort_values("study_id")["prompt"])


def _images_of(image_table: Path, studies: Path, split: str) -> pd.DataFrame:
    splits = tables.read(studies, tables.STUDIES, ["study_id", "split"])
    chosen = set(splits.loc[splits["split"] == split, "study_id"])
    rows = tables.read(image_table, tables.IMAGES)
    return rows[rows["study_id"].isin(chosen)].sort_values("study_id", ignore_index=True)


def _check(rows: pd.DataFrame, split: str, where: Path) -> None:
    if split == "train" and rows.empty:
        raise job.JobError(f"{where} holds nothing to train on: no study of split train has what is needed")


def _decode(rows: pd.DataFrame, size: int) -> np.ndarray:
    pixels = np.empty((len(rows), size, size), np.uint8)
    for place, data in enumerate(rows["image"]):
        pixels[place] = images.resize(images.decode(data), size)
    return pixels
