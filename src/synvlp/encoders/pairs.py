"""Build a set of image-text pairs: one table, and the pixels of its rows as one array."""

import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from PIL import Image

from synvlp import job
from synvlp.store import images, seeds, tables

WORD = re.compile(r"[^\W_]")


class Settings(job.Settings):
    image_size: int = job.setting(256, "the stored images; larger ones are area-averaged", unit="px", ge=16)
    splits: list[job.Split] = job.setting(["train", "val"], "splits whose pairs are kept", min_length=1)
    text: Literal["report", "prompt"] = job.setting(
        "report", "what encoders read: impression and findings, or the prompt, which is the impression first and short"
    )
    max_rejected: float = job.setting(0.05, "largest share of unreadable or constant images", ge=0, le=1)
    share: float = job.setting(
        1.0, "share of the studies of the split train; those of a smaller share are among those of a larger", gt=0, le=1
    )
    copies: int | None = job.setting(None, "most images of a study, its first draws; left out: all", ge=1)


class Inputs(job.Files):
    prompts: Path = job.file("prompts with the encoders' texts (Parquet)")
    images: Path = job.file("real images, or screened synthetic ones (Parquet)")
    curated: Path | None = job.optional_file("which studies curation keeps (Parquet); all others make no pair")


class Outputs(job.Files):
    pairs: Path = job.file("pairs (Parquet)")
    pixels: Path = job.file("pixels, row by row as the pairs: uint8 (n, size, size) (NumPy)")
    rejected: Path = job.file("studies without a pair, with the reason (CSV)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    prompts = tables.read(
        inputs.prompts, tables.PROMPTS, ["study_id", "patient_id", "split", "text", "prompt", "origin"]
    )
    marked = prompts["origin"].str.startswith(tables.MARKED).sum()
    if marked:
        raise job.JobError(
            f"{inputs.prompts}: marks of a de-identification were left in {marked} texts (keep_markers), for an "
            "ablation of generators; no encoder may read them"
        )
    prompts["text"] = prompts["prompt" if settings.text == "prompt" else "text"]
    prompts = prompts.drop(columns=["prompt", "origin"])
    prompts = prompts[prompts.split.isin(settings.splits)].set_index("study_id")
    prompts = prompts[(prompts.split != "train") | within(prompts.index, settings.share)]
    left_out = _left_out(inputs.curated, prompts)
    prompts = prompts.drop(index=[study for study, _ in left_out])
    kept, rejected = check(inputs.images, prompts.text, settings.copies)
    absent = sorted(set(prompts.index) - set(kept.values()) - {study for study, _ in rejected})
    unreadable = sum(reason == "unreadable image" for _, reason in rejected)
    unpaired = [*rejected, *((study, "no image") for study in absent), *left_out]
    _write_rejected(unpaired, inputs.images, outputs.rejected)
    job.check_rejected(unreadable, len(kept) + unreadable, settings.max_rejected, outputs.rejected)
    if not kept:
        raise job.JobError(f"{inputs.images} has no image of a study of {inputs.prompts} (splits {settings.splits})")
    pairs = prompts.loc[list(kept.values())].reset_index()
    tables.write(pairs.assign(synthetic=is_synthetic(inputs.images)), outputs.pairs, tables.PAIRS)
    pixels = _pixels(inputs.images, kept, settings.image_size)
    images.write_pixels(outputs.pixels, pixels, len(pairs), settings.image_size)
    counts = ", ".join(f"{count} {split}" for split, count in pairs.split.value_counts().sort_index().items())
    job.log.info(
        "%d pairs (%s); of %d studies, %d have no image, %d an unreadable one, %d no words",
        *(len(pairs), counts, len(prompts), len(absent), unreadable, len(rejected) - unreadable),
    )


def within(studies: pd.Index, share: float) -> np.ndarray:
    """Which studies belong to a share: bool (studies,).

    Each has a number in [0, 1) from a hash of its id, and belongs to all shares above it. So a share lies within every
    larger one, a study's place depends on no other study, and how many there are is `share` of them but for chance.
    """
    return np.array([seeds.seed_of("share", study) / 2**63 < share for study in studies], dtype=bool)


def check(path: Path, texts: pd.Series, copies: int | None = None) -> tuple[dict[int, str], list[tuple[str, str]]]:
    """Which images have a text.

    Args:
        path: a table of images, ordered by study and draw, as the store writes them.
        texts: by study.
        copies: how many images of a study make a pair, at most; None: all.

    Returns:
        The rows that make a pair, with their study; and the studies that make none, with the reason.
    """
    known = texts.to_dict()
    kept, rejected, taken = {}, [], Counter()
    for row, study, data in _rows(path):
        if study not in known or taken[study] == copies:
            continue
        if not WORD.search(known[study]):
            rejected.append((study, "no words"))
        elif not is_readable(data):
            rejected.append((study, "unreadable image"))
        else:
            kept[row] = study
            taken[study] += 1
    if list(kept.values()) != sorted(kept.values()):
        raise job.JobError(f"{path}: its rows must be ordered by study_id")
    return kept, rejected


def _left_out(curated: Path | None, prompts: pd.DataFrame) -> list[tuple[str, str]]:
    """The studies of `prompts` that curation does not keep, with the reason."""
    if curated is None:
        return []
    frame = tables.read(curated, tables.CURATED, ["study_id", "kept", "reason"])
    gone = frame[~frame["kept"] & frame["study_id"].isin(prompts.index)]
    job.log.info("curation leaves %d of %d studies out", len(gone), len(prompts))
    return [(study, f"curation: {reason}") for study, reason in zip(gone["study_id"], gone["reason"], strict=True)]


def is_readable(data: bytes) -> bool:
    """Whether bytes are an image file that is whole, as far as its checksums tell."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.verify()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def is_synthetic(path: Path) -> bool:
    """Whether a table of images is one of synthetic images. Raises JobError if it is no table of images."""
    try:
        names = set(pq.read_schema(path).names)
    except (ValueError, OSError) as error:
        raise job.JobError(f"{path}: not a readable Parquet table ({error})") from error
    if not names >= set(tables.IMAGES.columns):
        raise job.JobError(f"{path}: a table of images has the columns {', '.join(tables.IMAGES.columns)}")
    return "draw" in names


def _rows(path: Path) -> Iterator[tuple[int, str, bytes]]:
    """Row number, study and image bytes of all images that were not screened out."""
    names = ["study_id", "image", *(["accepted"] if is_synthetic(path) else [])]
    row = 0
    with pq.ParquetFile(path) as table:
        for part in table.iter_batches(batch_size=256, columns=names):
            for record in part.to_pylist():
                if record.get("accepted", True):
                    yield row, record["study_id"], record["image"]
                row += 1


def _pixels(path: Path, kept: dict[int, str], size: int) -> Iterator[np.ndarray]:
    wanted = ((study, data) for row, study, data in _rows(path) if row in kept)
    for study, data in job.progress(wanted, "images", total=len(kept)):
        try:
            yield images.resize(images.decode(data), size)
        except ValueError as error:
            raise job.JobError(f"{path}: the image of study {study} is damaged ({error})") from error


def _write_rejected(rejected: list[tuple[str, str]], source: Path, path: Path) -> None:
    rows = [(study, source.name, reason) for study, reason in sorted(rejected)]
    tables.write_csv(pd.DataFrame(rows, columns=list(tables.REJECTED.columns)), path)
