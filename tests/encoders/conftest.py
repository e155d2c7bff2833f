"""A very small corpus of image-text pairs, and the jobs that train on it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synvlp.encoders import convirt, gloria, mgca, pairs, tokenizer
from synvlp.store import images, tables

METHODS = {"convirt": convirt, "gloria": gloria, "mgca": mgca}
SMALL = {
    "architecture": "resnet18",
    "image_size": 32,
    "text_layers": 2,
    "text_hidden": 16,
    "text_heads": 2,
    "length": 24,
    "steps": 4,
    "batch": 4,
    "rate": 1e-3,
    "validate_every": 2,
}
EXTRA = {"convirt": {"embedding": 8}, "gloria": {}, "mgca": {"hidden": 16, "embedding": 8, "prototypes": 8}}


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty images with a bright square at one of four places, the texts that say where, pairs and a tokenizer."""
    folder = tmp_path_factory.mktemp("corpus")
    random = np.random.default_rng(0)
    rows, pictures = [], []
    for number in range(30):
        side, height = number % 2, number // 2 % 2
        pixels = random.integers(0, 60, (32, 32)).astype(np.uint8)
        pixels[8 + 14 * height :, 4 + 16 * side :][:6, :6] = 220
        words = f"Opacity in the {('right', 'left')[side]} {('upper', 'lower')[height]} zone. The heart is normal."
        study = f"study-{number:02}"
        split = "train" if number < 20 else "val" if number < 28 else "test"
        names = {"study_id": study, "patient_id": study, "split": split}
        rows.append({**names, "text": words, "prompt": words, "origin": "report"})
        pictures.append({"study_id": study, "image": images.encode(pixels)})
    tables.write(pd.DataFrame(rows), folder / "prompts.parquet", tables.PROMPTS)
    tables.write(pd.DataFrame(pictures), folder / "images.parquet", tables.IMAGES)
    tokenizer.run(
        tokenizer.Settings(vocabulary=200),
        tokenizer.Inputs(prompts=[folder / "prompts.parquet"]),
        tokenizer.Outputs(tokenizer=folder / "tokenizer.json", config=folder / "tokenizer_config.json"),
    )
    pairs.run(
        pairs.Settings(image_size=32),
        pairs.Inputs(prompts=folder / "prompts.parquet", images=folder / "images.parquet"),
        pairs.Outputs(pairs=folder / "pairs.parquet", pixels=folder / "pixels.npy", rejected=folder / "rejected.csv"),
    )
    return folder


@pytest.fixture
def files_of(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Settings, inputs and outputs of a small training: files_of("convirt", "name", steps=2)."""
    monkeypatch.setenv("SYNVLP_SCRATCH", str(tmp_path / "scratch"))

    def made(method: str, name: str, sets: int = 1, **changes):
        module = METHODS[method]
        given = {key: changes.pop(key) for key in list(changes) if key in module.Inputs.model_fields}
        inputs = {
            "pairs": [corpus / "pairs.parquet"] * sets,
            "pixels": [corpus / "pixels.npy"] * sets,
            "tokenizer": corpus / "tokenizer.json",
            "tokenizer_config": corpus / "tokenizer_config.json",
        }
        settings = module.Settings(**{**SMALL, **EXTRA[method], **changes})
        return settings, module.Inputs(**{**inputs, **given}), outputs_in(tmp_path / name)

    return made


def outputs_in(folder: Path) -> convirt.Outputs:
    names = {
        "image_encoder": "image_encoder.safetensors",
        "image_config": "image_encoder.json",
        "text_config": "text_encoder/config.json",
        "text_weights": "text_encoder/model.safetensors",
        "text_tokenizer": "text_encoder/tokenizer.json",
        "text_tokenizer_config": "text_encoder/tokenizer_config.json",
        "heads": "heads.safetensors",
        "heads_config": "heads.json",
        "curve": "curve.csv",
        "curve_picture": "curve.png",
        "summary": "summary.json",
    }
    return convirt.Outputs(**{name: folder / path for name, path in names.items()})
