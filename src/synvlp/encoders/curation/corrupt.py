"""Corrupt a known share of a copy of a corpus: images in every way, texts exchanged, studies repeated.

For measuring what judges find, and for pre-training on a corpus that is known to be bad. A study is corrupted in one
way at most. Its way follows from its place in an order by hash, its numbers from its id, so that the same study is
corrupted in the same way in every run.
"""

import io
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from PIL import Image

from synvlp import job
from synvlp.encoders.curation import corruptions
from synvlp.store import images, tables
from synvlp.store.seeds import seed_of

UNPAIRED, DUPLICATED = "unpaired", "duplicated"
MEASURED = tuple(way for way in corruptions.WAYS if way != "scrambled")


class Settings(job.Settings):
    ways: list[Literal[tuple(corruptions.WAYS)]] = job.setting(list(MEASURED), "ways in which images are corrupted")
    share: float = job.setting(0.02, "share of the images that is corrupted in each way", ge=0, le=0.5)
    unpaired: float = job.setting(0.02, "share of the studies that get another study's text", ge=0, le=0.5)
    duplicated: float = job.setting(0.02, "share of the studies that repeat another one's image and text", ge=0, le=0.5)
    seed: int = job.setting(0, "seeds which studies are corrupted, and how", ge=0)


class Inputs(job.Files):
    images: Path = job.file("images of the corpus (Parquet)")
    prompts: Path = job.file("prompts with the encoders' texts (Parquet)")


class Outputs(job.Files):
    corrupted_images: Path = job.file("images of the copy (Parquet)")
    corrupted_prompts: Path = job.file("prompts of the copy (Parquet)")
    truth: Path = job.file("what was done to which study (Parquet)")
    table: Path = job.file("the same (CSV)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Choose studies, corrupt them, write the copy. Raises JobError if studies run out."""
    pictures = tables.read(inputs.images, tables.IMAGES).set_index("study_id").sort_index()
    prompts = tables.read(inputs.prompts, tables.PROMPTS).set_index("study_id").sort_index()
    paired = [study for study in pictures.index if study in prompts.index]
    way_of = choose(paired, settings)
    truth = pd.DataFrame(
        [(study, prompts.at[study, "patient_id"], way, "") for study, way in way_of.items()],
        columns=list(tables.CORRUPTED.columns),
    ).set_index("study_id")
    _repeat(pictures, prompts, truth, [study for study in paired if study not in way_of], settings)
    _exchange(prompts, truth)
    spoilt = truth.index[truth["way"].isin(list(corruptions.WAYS))]
    for study in job.progress(list(spoilt), "images corrupted"):
        pictures.at[study, "image"] = _spoilt(pictures.at[study, "image"], study, truth.at[study, "way"], settings)
    tables.write(pictures.reset_index(), outputs.corrupted_images, tables.IMAGES)
    tables.write(prompts.reset_index(), outputs.corrupted_prompts, tables.PROMPTS)
    tables.write(truth.reset_index(), outputs.truth, tables.CORRUPTED)
    tables.write_csv(truth.reset_index().sort_values(["way", "study_id"]), outputs.table)
    job.log.info("%d of %d studies corrupted", len(truth), len(paired))


def choose(studies: list[str], settings: Settings) -> dict[str, str]:
    """The way in which each chosen study is corrupted.

    Raises JobError if more are asked for than there are; one study is left untouched at least, to be repeated.
    """
    shares = [(way, settings.share) for way in settings.ways]
    shares += [(UNPAIRED, settings.unpaired), (DUPLICATED, settings.duplicated)]
    order = sorted(studies, key=lambda study: seed_of(settings.seed, "corrupt", study))
    counts = [(way, round(share * len(studies))) for way, share in shares]
    wanted = sum(count for _, count in counts)
    if wanted >= len(studies):
        raise job.JobError(
            f"{wanted} studies are to be corrupted, but the corpus has {len(studies)} with image and text; "
            "lower share, unpaired or duplicated"
        )
    ways = [way for way, count in counts for _ in range(count)]
    return dict(zip(order, ways, strict=False))


def _spoilt(data: bytes, study: str, way: str, settings: Settings) -> bytes:
    random = np.random.default_rng(seed_of(settings.seed, "corrupt", study, way))
    try:
        pixels = images.decode(data)
    except ValueError as error:
        raise job.JobError(f"the image of study {study} cannot be read ({error}), so it cannot be corrupted") from error
    return images.encode(corruptions.WAYS[way](pixels, random))


def _repeat(
    pictures: pd.DataFrame, prompts: pd.DataFrame, truth: pd.DataFrame, untouched: list[str], settings: Settings
) -> None:
    """Give each study to be repeated an untouched study's image and text, of another patient: in place.

    Half of the images are the same bytes; the others have another gain and were compressed with loss.
    """
    order = sorted(untouched, key=lambda study: seed_of(settings.seed, "repeat", study))
    for study in truth.index[truth["way"] == DUPLICATED]:
        others = (one for one in order if prompts.at[one, "patient_id"] != prompts.at[study, "patient_id"])
        other = next(others, None)
        if other is None:
            raise job.JobError("there are too few untouched studies to repeat; lower share, unpaired or duplicated")
        order.remove(other)
        random = np.random.default_rng(seed_of(settings.seed, "repeat", study))
        data = pictures.at[other, "image"]
        pictures.at[study, "image"] = data if random.random() < 0.5 else _stored_again(data, random)
        prompts.loc[study, ["text", "prompt", "origin"]] = prompts.loc[other, ["text", "prompt", "origin"]]
        truth.at[study, "other"] = other


def _stored_again(data: bytes, random: np.random.Generator) -> bytes:
    """The image with another gain, as a JPEG of quality 50 to 90 gives it back."""
    gain = Image.fromarray((images.decode(data) * random.uniform(0.9, 0.99)).astype(np.uint8))
    buffer = io.BytesIO()
    gain.save(buffer, format="JPEG", quality=int(random.integers(50, 91)))
    return images.encode(images.decode(buffer.getvalue()))


def _exchange(prompts: pd.DataFrame, truth: pd.DataFrame) -> None:
    """Give each chosen study the text of the next chosen one that has another text: in place."""
    chosen = list(truth.index[truth["way"] == UNPAIRED])
    before = prompts.loc[chosen, ["text", "prompt", "origin"]]
    for place, study in enumerate(chosen):
        following = chosen[place + 1 :] + chosen[:place]
        other = next((one for one in following if before.at[one, "text"] != before.at[study, "text"]), None)
        if other is None:
            raise job.JobError(
                "of the studies whose texts are to be exchanged there is one, or all have the same text; raise unpaired"
            )
        prompts.loc[study, ["text", "prompt", "origin"]] = before.loc[other]
        truth.at[study, "other"] = other
