"""Sets of images as features in one space, with whose they are: real ones by study, synthetic ones by prompt."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.store import tables
from synvlp.store.seeds import seed_of


@dataclass(frozen=True)
class ImageSet:
    """Images with their features: float64 (n, d), and one row of `rows` each: study_id, draw, patient_id, split, …"""

    features: np.ndarray
    rows: pd.DataFrame

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def patients(self) -> np.ndarray:
        return self.rows["patient_id"].to_numpy(dtype=str)

    @property
    def studies(self) -> np.ndarray:
        return self.rows["study_id"].to_numpy(dtype=str)

    def of(self, chosen: np.ndarray) -> "ImageSet":
        """Some of the images: a mask or places."""
        places = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return ImageSet(self.features[places], self.rows.iloc[places].reset_index(drop=True))

    def within(self, splits: Sequence[str]) -> "ImageSet":
        return self.of(self.rows["split"].isin(splits).to_numpy())

    def at_most(self, count: int, *identity: int | str) -> "ImageSet":
        """At most `count` images, chosen by a hash of their identity, in their order."""
        if len(self) <= count:
            return self
        keys = [seed_of(*identity, *key) for key in zip(self.rows["study_id"], self.rows["draw"], strict=True)]
        return self.of(np.sort(np.argsort(np.array(keys), kind="stable")[:count]))


def real(embedded: Path, studies: Path) -> ImageSet:
    """The real images of a corpus. Rows have study_id, draw (0), patient_id, split, collection, labels and labelled."""
    columns = ["study_id", "patient_id", "split", "collection", "labels", "labelled"]
    return _read(embedded, tables.read(studies, tables.STUDIES, columns), studies)


def synthetic(embedded: Path, prompts: Path) -> ImageSet:
    """The synthetic images of a set of prompts. Rows have study_id, draw, patient_id, split, prompt and origin."""
    columns = ["study_id", "patient_id", "split", "prompt", "origin"]
    return _read(embedded, tables.read(prompts, tables.PROMPTS, columns), prompts)


def enough(images: ImageSet, least: int, what: str, splits: Sequence[str]) -> ImageSet:
    """The same images. Raises JobError if there are fewer than `least` of them."""
    if len(images) < least:
        raise job.JobError(
            f"there are {len(images)} {what} in the splits {', '.join(splits)}, and {least} are needed at least: "
            "name more splits, draw more images or use a larger corpus"
        )
    return images


def same_spaces(paths: dict[str, Sequence[Path]], spaces: Sequence[str]) -> None:
    """Raises JobError unless there is one file per space for each kind of images."""
    for name, given in paths.items():
        if len(given) != len(spaces):
            raise job.JobError(f"{name} has {len(given)} files for {len(spaces)} spaces: give one each, in their order")


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Euclidean distances (n, m) between features (n, d) and (m, d), float64."""
    from scipy.spatial.distance import cdist

    return cdist(one, other)


def _read(embedded: Path, about: pd.DataFrame, source: Path) -> ImageSet:
    frame = tables.read(embedded, tables.EMBEDDED)
    if frame.empty:
        raise job.JobError(f"{embedded} holds no images")
    features = np.stack(frame.pop("features").to_list()).astype(np.float64)
    wrong = ~np.isfinite(features).all(axis=1)
    if wrong.any():
        first = frame["study_id"][int(wrong.argmax())]
        raise job.JobError(f"{embedded}: features of {wrong.sum()} images are not finite, the first is of {first}")
    rows = frame.merge(about, on="study_id", how="left", validate="many_to_one")
    alien = rows["patient_id"].isna()
    if alien.any():
        raise job.JobError(f"{embedded}: {alien.sum()} images belong to no study of {source}")
    return ImageSet(features, rows)
