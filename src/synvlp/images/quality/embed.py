"""Compute the features of a set of images in one feature space, once for all measures of quality.

An image that cannot be read is set aside with its reason and never replaced by another one.
"""

import functools
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from synvlp import job
from synvlp.images.quality import spaces
from synvlp.store import images, tables


class Settings(job.Compute):
    space: spaces.Space = job.setting("random", "the network: see docs/quality.md")
    batch: int = job.setting(64, "images at a time", unit="images", ge=1)
    precision: Literal["auto", "fp32", "bf16"] = job.setting(
        "fp32", "fp32: distances between features need it; auto: bfloat16 on a GPU"
    )
    max_rejected: float = job.setting(0.02, "largest share of images that cannot be read", ge=0, le=1)


class Inputs(job.Files):
    images: Path = job.file("images of a corpus, or accepted synthetic images (Parquet)")
    weights: Path = job.file("the network's weights (safetensors)")
    config: Path | None = job.optional_file("the network's config (JSON), where it has one")
    preprocessor: Path | None = job.optional_file("rad-dino: its preprocessor_config.json, where it has one")


class Outputs(job.Files):
    features: Path = job.file("features of each image (Parquet)")
    rejected: Path = job.file("images that cannot be read, with the reason (CSV)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Embed all images; a killed run goes on where it was saved."""
    import torch

    from synvlp.models import device

    where = device.prepare(settings)
    frame, rejected = _readable(inputs.images)
    lost = pd.DataFrame(rejected, columns=list(tables.REJECTED.columns))
    tables.write_csv(lost, outputs.rejected)
    job.check_rejected(len(lost), len(frame) + len(lost), settings.max_rejected, outputs.rejected)
    if frame.empty:
        raise job.JobError(f"{inputs.images} holds no image")
    network = spaces.open_network(settings.space, inputs.weights, inputs.config, inputs.preprocessor)
    network.module.to(where)
    scratch = job.Scratch(__name__, settings, inputs)
    done: list = (scratch.load() or {"features": []})["features"]
    parts = list(images.batches(len(frame), settings.batch))[len(done) :]
    for part in job.progress(parts, f"batches of {settings.batch}"):
        done.append(network(_pixels(frame["image"].iloc[part]), settings))
        scratch.checkpoint(functools.partial(_state, done), f"after {part.stop} images")
    features = torch.cat(done).numpy()
    table = frame[["study_id", "draw"]].assign(features=list(features))
    tables.write(table, outputs.features, tables.EMBEDDED)
    job.log.info("%d images, %d features each, %d not readable", *features.shape, len(lost))
    scratch.remove()


def _state(done: list) -> dict:
    return {"features": list(done)}


def _readable(path: Path) -> tuple[pd.DataFrame, list[tuple[str, str, str]]]:
    """Images by study and draw (0 for real ones), and those that cannot be read."""
    own = tables.SHARD if "draw" in pq.read_schema(path).names else tables.IMAGES
    frame = tables.read(path, own, [*own.key, "image"])
    frame = frame if "draw" in frame else frame.assign(draw=0)
    frame = frame.sort_values(["study_id", "draw"], ignore_index=True)
    good, rejected = [], []
    for row in frame.itertuples():
        try:
            good.append(images.decode(row.image).size > 0)
        except ValueError:
            good.append(False)
            rejected.append((f"{row.study_id} draw {row.draw}", path.name, "unreadable image"))
    return frame[np.array(good, dtype=bool)], rejected


def _pixels(data: pd.Series) -> np.ndarray:
    """A batch of images, uint8 (B, S, S), at the largest side among them."""
    decoded = [images.decode(item) for item in data]
    side = max(max(pixels.shape) for pixels in decoded)
    return np.stack([images.resize(pixels, side) for pixels in decoded])
