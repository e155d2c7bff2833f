"""Build a retrieval data set: the test split's images with their own texts, as the encoders read texts.

Texts that were written from labels because a study had none are left out: they are no reports, and many are equal.
"""

from pathlib import Path
from typing import Literal

import pandas as pd

from synvlp import job
from synvlp.store import seeds, tables
from synvlp.tasks import dataset

LEAST = 2  # pairs


class Settings(dataset.Selection):
    text: Literal["prompt", "report"] = job.setting(
        "prompt", "prompt: the impression first and short; report: impression and findings; as the encoders' pairs"
    )
    labels: list[str] = job.setting([], "labels that precision looks at; empty: all that the studies carry")
    limit: int = job.setting(0, "at most so many pairs, drawn by their ids; 0: all", unit="pairs", ge=0)


class Inputs(job.Files):
    studies: Path = job.file("studies (Parquet)")
    images: Path = job.file("images (Parquet)")
    prompts: Path = job.file("prompts with the encoders' texts (Parquet)")


class Outputs(job.Files):
    samples: Path = job.file("samples (Parquet)")
    pixels: Path = job.file("pixels, uint8 (n, size, size) (NumPy)")
    texts: Path = job.file("the samples' pairs with their texts (Parquet)")
    description: Path = job.file("labels and settings of the data set (JSON)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Choose and write the pairs; see the module."""
    chosen = dataset.choose(settings, inputs.studies, inputs.images)
    chosen = chosen[chosen["split"] == "test"]
    texts = tables.read(inputs.prompts, tables.PROMPTS).set_index("study_id")
    texts = texts[texts["origin"] != "caption"]
    column = "prompt" if settings.text == "prompt" else "text"
    samples = chosen[chosen["study_id"].isin(texts.index[texts[column].str.strip() != ""])].reset_index(drop=True)
    job.log.info("%d studies of the test split, %d of them with a text of their own", len(chosen), len(samples))
    samples = drawn(samples, settings.limit)
    if len(samples) < LEAST:
        raise job.JobError(
            f"{inputs.prompts}: {len(samples)} studies of the test split have an image and a text of their own; "
            f"retrieval needs {LEAST} or more"
        )
    labels = list(settings.labels) or sorted({label for own in samples["labels"] for label in own})
    samples = samples.assign(labels=[[name for name in labels if name in own] for own in samples["labels"]])
    pairs = samples[["study_id", "patient_id", "split"]].assign(
        text=texts.loc[samples["study_id"], column].to_numpy(), synthetic=False
    )
    dataset.write_pixels(outputs.pixels, inputs.images, list(samples["study_id"]), settings.image_size)
    tables.write(pairs, outputs.texts, tables.PAIRS)
    dataset.write_samples(samples, outputs.samples)
    labelled = [bool(value) for value in samples["labelled"]]
    dataset.write_description("retrieval", settings, labels, outputs.description, labelled=all(labelled))


def drawn(samples: pd.DataFrame, limit: int) -> pd.DataFrame:
    """At most `limit` samples (0: all), those whose ids come first in an order that depends on each id alone."""
    if not limit or len(samples) <= limit:
        return samples
    place = samples["study_id"].map(lambda study: seeds.seed_of(0, "retrieval", study))
    return samples.loc[place.sort_values(kind="stable").index[:limit].sort_values()].reset_index(drop=True)
