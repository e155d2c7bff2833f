"""How fast images are drawn: the sampler's batches against StableDiffusionPipeline, once per prompt.

Both draw the same samples (same noise, prompts, solver and steps) with a pipeline of the demo's size and random
weights, in turns, on one thread. Run: python benchmarks/synthesis.py
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from synvlp import job
from synvlp.generators import autoencoder, diffusion
from synvlp.models import device as devices
from synvlp.models import pipeline as pipelines
from synvlp.models import sampler

STEPS, GUIDANCE, BATCH, ROUNDS = 15, 2.0, 32, 3
WANTED = 2.0
PROMPTS = [
    f"{size} {side} {finding}."
    for size in ("Small", "Large")
    for side in ("left", "right", "bilateral")
    for finding in (
        "pleural effusion",
        "apical pneumothorax",
        "lower zone opacity",
        "upper zone nodule",
        "consolidation",
    )
][:BATCH]


def pipeline(folder: Path) -> list[Path]:
    """Write a pipeline of the demo's size with random weights; the paths of its files."""
    made = diffusion.build(diffusion.Settings(), autoencoder.build(autoencoder.Settings()), PROMPTS)
    files = pipelines.Files(**{name: folder / place for name, place in pipelines.FILES.items()})
    pipelines.write(made, files)
    return files.paths()


def one_by_one(theirs: StableDiffusionPipeline, noise: torch.Tensor, size: int) -> np.ndarray:
    """Images (n, size, size), one call per prompt."""
    images = [
        theirs(
            text,
            latents=start[None],
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            height=size,
            width=size,
        ).images[0]
        for text, start in zip(PROMPTS, noise, strict=True)
    ]
    return np.stack([np.asarray(image) for image in images])


def main() -> int:
    """Draw in turns and print a table; 1 if the ratio is below what is promised."""
    compute = job.Compute(device="cpu")
    device = devices.prepare(compute)
    with tempfile.TemporaryDirectory() as name:
        files = pipeline(Path(name))
        theirs = StableDiffusionPipeline.from_pretrained(name, safety_checker=None)
        ours = sampler.Sampler(
            pipelines.open_files(files), compute, device, steps=STEPS, guidance=GUIDANCE, batch=BATCH
        )
    theirs.set_progress_bar_config(disable=True)
    noise = ours.noise(range(len(PROMPTS)))
    seconds: dict[str, list[float]] = {"StableDiffusionPipeline, per prompt": [], f"synvlp, batches of {BATCH}": []}
    for _ in range(ROUNDS):
        start = time.perf_counter()
        wanted = one_by_one(theirs, noise, ours.size)
        middle = time.perf_counter()
        found, _ = ours.decode(ours.denoise(ours.embed(PROMPTS), noise))
        end = time.perf_counter()
        for many, taken in zip(seconds.values(), (middle - start, end - middle), strict=True):
            many.append(taken / len(PROMPTS))
    difference = np.abs(found.astype(int) - wanted).max()
    print(
        f"{len(PROMPTS)} images of {ours.size} pixels, {STEPS} steps, guidance {GUIDANCE:g}, fastest of {ROUNDS} rounds"
    )
    print(f"{'':38}{'ms per image':>14}{'ratio':>8}")
    slowest = min(next(iter(seconds.values())))
    for what, many in seconds.items():
        print(f"{what:38}{1000 * min(many):14.1f}{slowest / min(many):8.1f}")
    print(f"largest difference between the two: {difference} gray levels")
    ratio = slowest / min(many)
    print(f"ratio, at least {WANTED:g}: {ratio:.1f}")
    return int(ratio < WANTED)


if __name__ == "__main__":
    sys.exit(main())
