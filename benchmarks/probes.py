"""Linear probes at three fractions and three seeds: from features computed once, against encoding anew for each.

Both sides run the project's own jobs, `encode` and `classify`, in this process and on one thread: once `encode` and
one `classify` for all nine probes, against nine times `encode` and `classify` for one probe. (The papers' protocol
encodes every image again in every epoch of every probe, which is slower still.)
"""

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from synvlp.store import files, images, tables, weights
from synvlp.tasks import classification, features

COUNT, SIZE = 600, 64  # images, pixels a side
FRACTIONS, SEEDS = [0.01, 0.1, 1.0], [0, 1, 2]
LABELS = ["bright", "wide"]
WANTED = 5.0


def main() -> int:
    """Print the seconds of both sides and their ratio; 1 if it is below what is promised."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["SYNVLP_SCRATCH"] = str(folder / "scratch")
        draw(folder)
        encode(folder)  # not timed: imports, first use of the kernels
        classify(folder, [1.0], [0])
        start = time.perf_counter()
        encode(folder)
        classify(folder, FRACTIONS, SEEDS)
        once = time.perf_counter() - start
        start = time.perf_counter()
        for fraction in FRACTIONS:
            for seed in SEEDS:
                encode(folder)
                classify(folder, [fraction], [seed])
        anew = time.perf_counter() - start
    print(f"9 linear probes (fractions {FRACTIONS}, seeds {SEEDS}), {COUNT} images of {SIZE} pixels, ResNet-18")
    print(f"{'':32}{'seconds':>10}")
    print(f"{'features computed once':32}{once:10.2f}")
    print(f"{'encoded anew for each probe':32}{anew:10.2f}")
    print(f"{'ratio (at least ' + str(WANTED) + ')':32}{anew / once:10.1f}")
    return int(anew / once < WANTED)


def draw(folder: Path) -> None:
    """A data set of noise with two labels, and a ResNet-18 with random weights."""
    import torch

    from synvlp.models import image_encoder

    rng = np.random.default_rng(0)
    targets = rng.random((COUNT, len(LABELS))) < 0.4
    pixels = rng.normal(90, 20, (COUNT, SIZE, SIZE))
    pixels[targets[:, 0], :20, :20] += 40
    pixels[targets[:, 1], 40:44] += 40
    images.write_pixels(folder / "pixels.npy", np.clip(pixels, 0, 255).astype(np.uint8), COUNT, SIZE)
    samples = pd.DataFrame({"study_id": [f"s{number:05d}" for number in range(COUNT)]})
    samples["patient_id"] = samples["study_id"]
    samples["split"] = np.array(["train", "train", "train", "val", "test"])[np.arange(COUNT) % 5]
    samples["labels"] = [[label for label, here in zip(LABELS, row, strict=True) if here] for row in targets]
    tables.write(samples, folder / "samples.parquet", tables.SAMPLES)
    description = {"task": "classification", "labels": LABELS, "kind": "multilabel"}
    files.write_json(folder / "dataset.json", description)
    torch.manual_seed(0)
    weights.save(image_encoder.build("resnet18").state_dict(), folder / "image_encoder.safetensors")
    files.write_json(folder / "image_encoder.json", image_encoder.describe("resnet18", SIZE))


def encode(folder: Path) -> None:
    """The features of all images."""
    inputs = features.Inputs(
        image_encoder=folder / "image_encoder.safetensors",
        image_config=folder / "image_encoder.json",
        pixels=folder / "pixels.npy",
        samples=folder / "samples.parquet",
    )
    features.run(features.Settings(device="cpu"), inputs, features.Outputs(features=folder / "features.npy"))


def classify(folder: Path, fractions: list[float], seeds: list[int]) -> None:
    """Linear probes from the features."""
    inputs = classification.Inputs(
        features=folder / "features.npy", samples=folder / "samples.parquet", description=folder / "dataset.json"
    )
    outputs = classification.Outputs(metrics=folder / "metrics.json", predictions=folder / "predictions.parquet")
    classification.run(classification.Settings(fractions=fractions, seeds=seeds), inputs, outputs)


if __name__ == "__main__":
    sys.exit(main())
