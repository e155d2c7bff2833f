"""Build a classification data set: labelled studies with images.

`multilabel`: every label is present or absent. `exclusive`: every study carries exactly one of the labels; studies
that carry several are set aside, and those that carry none too, unless `otherwise` names the class they make up.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from synvlp import job
from synvlp.tasks import dataset


class Settings(dataset.Selection):
    labels: list[str] = job.required("the labels, in the order of the tables")
    kind: Literal["multilabel", "exclusive"] = job.setting(
        "multilabel", "multilabel: any number of labels a study; exclusive: exactly one"
    )
    otherwise: str = job.setting("", "exclusive: the class of studies with none of the labels; empty: set aside")


class Inputs(job.Files):
    studies: Path = job.file("studies (Parquet)")
    images: Path = job.file("images (Parquet)")


class Outputs(job.Files):
    samples: Path = job.file("samples (Parquet)")
    pixels: Path = job.file("pixels, uint8 (n, size, size) (NumPy)")
    description: Path = job.file("labels and settings of the data set (JSON)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Choose, check and write the samples; see the module."""
    labels = list(settings.labels)
    if not labels or len(set(labels)) < len(labels):
        raise job.JobError(f"labels = {labels}: one or more different labels are needed")
    chosen = dataset.choose(settings, inputs.studies, inputs.images)
    samples = chosen[chosen["labelled"].astype(bool)]
    job.log.info("%d of them are labelled", len(samples))
    samples = samples.assign(labels=[[name for name in labels if name in own] for own in samples["labels"]])
    if settings.kind == "exclusive":
        samples, labels = exclusive(samples, labels, settings.otherwise)
    dataset.check(samples, labels, negatives=True)
    dataset.write_pixels(outputs.pixels, inputs.images, list(samples["study_id"]), settings.image_size)
    dataset.write_samples(samples, outputs.samples)
    dataset.write_description("classification", settings, labels, outputs.description, kind=settings.kind)


def exclusive(samples: pd.DataFrame, labels: Sequence[str], otherwise: str) -> tuple[pd.DataFrame, list[str]]:
    """The samples with exactly one label, and the labels with `otherwise` (if there is one) at the end."""
    labels = list(labels)
    if otherwise:
        samples = samples.assign(labels=[own or [otherwise] for own in samples["labels"]])
        labels.append(otherwise)
    count = samples["labels"].map(len)
    job.log.info("set aside: %d with several labels, %d with none", (count > 1).sum(), (count == 0).sum())
    return samples[count == 1], labels
