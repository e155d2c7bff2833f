"""Compute an encoder's features of a data set once, for all fractions and seeds of its probes."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synvlp import job
from synvlp.store import files, images, tables

if TYPE_CHECKING:
    import torch


class Settings(job.Compute):
    batch: int = job.setting(64, "images at a time", unit="images", ge=1)


class Inputs(job.Files):
    image_encoder: Path = job.file("image encoder's weights (safetensors)")
    image_config: Path = job.file("image encoder's config (JSON)")
    pixels: Path = job.file("pixels, uint8 (n, size, size) (NumPy)")
    samples: Path = job.file("samples (Parquet)")


class Outputs(job.Files):
    features: Path = job.file("features, float32 (n, d) (NumPy)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Encode all images, frozen and in eval mode; a killed run goes on where it was saved."""
    import torch

    from synvlp.models import device, image_encoder

    where = device.prepare(settings)
    pixels = images.read_pixels(inputs.pixels)
    count = len(tables.read(inputs.samples, tables.SAMPLES, ["study_id"]))
    if count != len(pixels):
        raise job.JobError(f"{inputs.samples} has {count} rows, {inputs.pixels} has {len(pixels)} images")
    config = image_encoder.read_config(inputs.image_config)
    encoder = image_encoder.load(inputs.image_config, inputs.image_encoder).to(where)
    scratch = job.Scratch(__name__, settings, inputs)
    held = scratch.load() or {"done": 0, "features": torch.empty(0, encoder.channels["global"])}
    features = torch.zeros(len(pixels), encoder.channels["global"])
    features[: held["done"]] = held["features"]
    slices = [part for part in images.batches(len(pixels), settings.batch) if part.start >= held["done"]]
    for part in job.progress(slices, "batches"):
        features[part] = encode(encoder, pixels[part], config, settings)
        scratch.checkpoint(functools.partial(_state, features, part.stop), f"after {part.stop} images")
    with files.replacing(outputs.features) as path, files.written(path) as file:
        np.save(file, features.numpy())
    job.log.info("%d images, %d features each", *features.shape)
    scratch.remove()


def _state(features: "torch.Tensor", done: int) -> dict:
    return {"done": done, "features": features[:done].clone()}


def encode(encoder: "torch.nn.Module", pixels: np.ndarray, config: dict, settings: job.Compute) -> "torch.Tensor":
    """The encoder's global features of a batch, float32 (n, d) on the CPU. `pixels`: uint8 (n, size, size)."""
    import torch

    from synvlp.models import device, image_encoder

    where = next(encoder.parameters()).device
    batch = image_encoder.preprocess(torch.from_numpy(np.array(pixels)).to(where), config)
    with torch.inference_mode(), device.autocast(settings, where):
        return encoder(batch)["global"].float().cpu()
