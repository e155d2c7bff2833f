"""Find images that a corpus holds more than once, exactly or nearly, also across its splits, and equal texts.

Near-duplicates are images whose details correlate more than a limit, as in the screening of synthetic images. Of two
the one in the later split stays (test before val before train, then by study id), so that what the tasks are tested on
is not in what encoders are trained on. Equal texts are counted, never rejected: most normal reports read alike.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.store import files, images, tables

DUPLICATE, LEAK = "duplicate", "leak"
KINDS = ("same bytes", "same pixels", "near")
# Rows compared in one matrix product.
BLOCK = 1024
_ORDER = {"test": 0, "val": 1, "train": 2}


class Settings(job.Settings):
    max_correlation: float = job.setting(
        0.98, "images whose details correlate more are near-duplicates; 1: none are", gt=0, le=1
    )
    compare_size: int = job.setting(32, "side to which images are shrunk to be compared", unit="px", ge=8)


class Inputs(job.Files):
    images: Path = job.file("images of the corpus, or of a corrupted copy (Parquet)")
    studies: Path = job.file("studies of the corpus (Parquet)")
    prompts: Path = job.file("prompts with the encoders' texts (Parquet)")


class Outputs(job.Files):
    judgements: Path = job.file("studies that repeat another one (Parquet)")
    listing: Path = job.file("all pairs of equal or nearly equal images (CSV)")
    summary: Path = job.file("counts, also of equal texts (JSON)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Compare all images with all, list the pairs, and judge all but one image of each."""
    frame = _read(inputs)
    found = pd.DataFrame(compare(frame, settings), columns=["study_id", "other", "kind", "correlation"])
    split = dict(zip(frame["study_id"], frame["split"], strict=True))
    found["split"], found["other_split"] = found["study_id"].map(split), found["other"].map(split)
    tables.write_csv(found, outputs.listing)
    tables.write(_judgements(found, frame, settings), outputs.judgements, tables.JUDGEMENTS)
    leaks = found[found["split"] != found["other_split"]]
    texts = tables.read(inputs.prompts, tables.PROMPTS, ["text"])["text"]
    summary = {
        "images": len(frame),
        "pairs": {kind: int((found["kind"] == kind).sum()) for kind in KINDS},
        "pairs_across_splits": len(leaks),
        "studies_beyond_the_limit": int(found["study_id"].nunique()),
        "texts": len(texts),
        "studies_with_a_text_that_another_has": int(texts.duplicated(keep=False).sum()),
    }
    files.write_json(outputs.summary, summary)
    job.log.info("%d pairs of equal or nearly equal images, %d across splits", len(found), len(leaks))


def compare(frame: pd.DataFrame, settings: Settings) -> list[tuple[str, str, str, float]]:
    """All pairs of duplicates: the study that goes, the one that stays, how they are alike, and their correlation.

    Args:
        frame: study_id, split and image (bytes) of all studies; `_read` gives the order in which they stay.
        settings: limit and size of the comparison.
    """
    ids, rows, exact = [], [], []
    for study in job.progress(frame.to_dict("records"), "images read", len(frame)):
        try:
            pixels = images.decode(study["image"])
        except ValueError:
            continue
        ids.append(study["study_id"])
        rows.append(images.details(pixels, settings.compare_size))
        exact.append((_hash(study["image"]), _hash(repr(pixels.shape).encode() + pixels.tobytes())))
    if not rows:
        return []
    vectors, found = np.stack(rows), []
    for part in job.progress(list(images.batches(len(ids), BLOCK)), f"blocks of {BLOCK} images compared"):
        likeness = vectors[part] @ vectors[: part.stop].T
        for row, other in np.argwhere(likeness > min(settings.max_correlation, 1 - 1e-6)):
            late = part.start + int(row)
            if other < late:
                kind = _kind(exact[late], exact[other], settings)
                if kind:
                    value = min(float(likeness[row, other]), 1.0) if kind == KINDS[2] else 1.0
                    found.append((ids[late], ids[other], kind, value))
    return found


def _kind(one: tuple[str, str], other: tuple[str, str], settings: Settings) -> str:
    for place, kind in enumerate(KINDS[:2]):
        if one[place] == other[place]:
            return kind
    return KINDS[2] if settings.max_correlation < 1 else ""


def _read(inputs: Inputs) -> pd.DataFrame:
    """Studies with their images, those first that stay. Raises JobError if the tables do not fit."""
    pictures = tables.read(inputs.images, tables.IMAGES)
    frame = tables.read(inputs.studies, tables.STUDIES, ["study_id", "patient_id", "split"])
    frame = frame.merge(pictures, on="study_id", validate="one_to_one")
    if len(frame) < len(pictures):
        raise job.JobError(f"{inputs.studies} lacks {len(pictures) - len(frame)} of the studies of {inputs.images}")
    order = frame["split"].map(lambda split: _ORDER.get(split, 3))
    return frame.assign(order=order).sort_values(["order", "study_id"], ignore_index=True)


def _judgements(found: pd.DataFrame, frame: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """One row per study that goes, for the most alike of those that stay; one more if any is in another split."""
    known = frame.set_index("study_id")
    rows = []
    for study, pairs in found.sort_values("correlation", ascending=False, kind="stable").groupby("study_id"):
        across = pairs[pairs["split"] != pairs["other_split"]]
        for reason, best in ((DUPLICATE, pairs.iloc[0]), (LEAK, across.iloc[0] if len(across) else None)):
            if best is not None:
                rows.append(
                    {
                        "study_id": study,
                        "patient_id": known.at[study, "patient_id"],
                        "split": known.at[study, "split"],
                        "fold": -1,
                        "reason": reason,
                        "score": best["correlation"] / settings.max_correlation + 1e-9,
                        "detail": f"{best['kind']}: {best['other']} ({best['other_split'] or 'no split'})",
                    }
                )
    return pd.DataFrame(rows, columns=list(tables.JUDGEMENTS.columns))


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
