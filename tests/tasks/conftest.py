"""A small drawn corpus with discs and bars, and a random encoder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synvlp.store import files, images, tables

SIZE = 64


@dataclass(frozen=True)
class Corpus:
    """Paths of a corpus's tables."""

    studies: Path
    images: Path
    annotations: Path


def draw_corpus(folder: Path, patients: int, size: int = SIZE) -> Corpus:
    """Two studies a patient: noise with a bright disc in a third of them and a bright bar in a quarter."""
    rng = np.random.default_rng(0)
    studies, pictures, marks = [], [], []
    for number in range(2 * patients):
        study, patient = f"s{number:04d}", f"p{number // 2:04d}"
        pixels = rng.normal(80, 12, (size, size))
        labels = []
        rows, columns = np.mgrid[:size, :size]
        if rng.random() < 0.34:
            radius, x, y = rng.uniform(size / 10, size / 6), *rng.uniform(size / 4, 3 * size / 4, 2)
            disc = (rows + 0.5 - y) ** 2 + (columns + 0.5 - x) ** 2 < radius**2
            pixels[disc] += 110
            labels.append("disc")
            mask = images.encode((255 * disc).astype(np.uint8))
            box = (x - radius, y - radius, 2 * radius, 2 * radius)
            marks.append((study, "shapes", "disc", *box, mask))
        if rng.random() < 0.25:
            top = int(rng.integers(2, size - 8))
            pixels[top : top + 5, 4 : size - 4] += 80
            labels.append("bar")
            marks.append((study, "shapes", "bar", 4.0, float(top), float(size - 8), 5.0, None))
        if not labels:
            marks.append((study, "shapes", "", np.nan, np.nan, np.nan, np.nan, None))
        split = ("train", "train", "train", "val", "test")[number // 2 % 5]
        known = ("drawn", split, "PA", "", np.nan, labels or ["none"], True, True, False, "")
        studies.append((study, patient, *known))
        pictures.append((study, images.encode(np.clip(pixels, 0, 255).astype(np.uint8))))
    corpus = Corpus(folder / "studies.parquet", folder / "images.parquet", folder / "annotations.parquet")
    for path, table, rows in (
        (corpus.studies, tables.STUDIES, studies),
        (corpus.images, tables.IMAGES, pictures),
        (corpus.annotations, tables.ANNOTATIONS, marks),
    ):
        tables.write(pd.DataFrame(rows, columns=list(table.columns)), path, table)
    return corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Corpus:
    return draw_corpus(tmp_path_factory.mktemp("corpus"), 50)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> dict[str, Path]:
    """The files of a ResNet-18 with random weights, as inputs of the jobs."""
    import torch

    from synvlp.models import image_encoder
    from synvlp.store import weights

    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    network = image_encoder.build("resnet18")
    paths = {
        "image_encoder": folder / "image_encoder.safetensors",
        "image_config": folder / "image_encoder.json",
    }
    weights.save(network.state_dict(), paths["image_encoder"])
    files.write_json(paths["image_config"], image_encoder.describe("resnet18", SIZE))
    return paths


TEXTS = (
    "A disc is present in the image.",
    "There is no disc.",
    "A bar is seen below the middle",
    "No bar.",
    "Noise and nothing else, in a text that is much longer than all the others and has many more words.",
)
HEADS = {
    "convirt": {"embedding": 8, "pooling": "max", "temperature": 0.1},
    "gloria": {"local_layer": "layer3", "attention_temperature": 4.0, "word_temperature": 5.0},
    "mgca": {"local_layer": "layer3", "hidden": 16, "embedding": 8, "prototypes": 8},
}


@pytest.fixture(scope="session")
def aligned(tmp_path_factory, encoder) -> dict[str, dict[str, Path]]:
    """Method -> the files of an encoder of that method with random weights, as inputs of the jobs."""
    from types import SimpleNamespace

    import torch

    from synvlp.encoders import tokenizer
    from synvlp.models import alignment, image_encoder, text_encoder
    from synvlp.store import weights

    folder, found = tmp_path_factory.mktemp("aligned"), {}
    (folder / "tokenizer.json").write_text(tokenizer.train([text.lower() for text in TEXTS] * 2, 300, 1))
    channels = image_encoder.build("resnet18").channels
    for method, described in HEADS.items():
        place = folder / method
        torch.manual_seed(1)
        text = text_encoder.build(300, layers=2, hidden=16, heads=2, length=32, dropout=0.1)
        text_encoder.save(text, place / "config.json", place / "model.safetensors")
        heads = alignment.HEADS[method].build(SimpleNamespace(**described), channels, 16)
        weights.save(heads.state_dict(), place / "heads.safetensors")
        known = {"method": method, "length": 32, "last_layers": 2, "image_channels": channels, "text_hidden": 16}
        files.write_json(place / "heads.json", {**known, **described})
        found[method] = encoder | {
            "text_config": place / "config.json",
            "text_weights": place / "model.safetensors",
            "text_tokenizer": folder / "tokenizer.json",
            "heads": place / "heads.safetensors",
            "heads_config": place / "heads.json",
        }
    return found


@pytest.fixture(autouse=True)
def scratch_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNVLP_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("SYNVLP_CHECKPOINT_SECONDS", "1000")
