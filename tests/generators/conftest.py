"""A small corpus of images that their prompts describe: a bright field on the left or on the right."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from synvlp.generators import autoencoder, diffusion
from synvlp.generators.kinds import gan, vae
from synvlp.models import generator
from synvlp.models import pipeline as pipelines
from synvlp.store import images, tables

SIZE = 16
TINY_AUTOENCODER = {"image_size": SIZE, "channels": [8, 8], "steps": 40, "warmup": 4, "validate_every": 20}
TINY_DIFFUSION = {
    "image_size": SIZE,
    "steps": 12,
    "warmup": 2,
    "batch": 8,
    "validate_every": 4,
    "channels": [8, 16],
    "groups": 4,
    "heads": 2,
    "attention_from": 0,
    "tokens": 12,
    "vocabulary": 600,
    "text_width": 16,
    "text_layers": 1,
    "text_heads": 2,
    "sample_count": 2,
    "sample_steps": 2,
}
TINY_ONE_PASS = {
    "image_size": SIZE,
    "steps": 12,
    "warmup": 2,
    "batch": 8,
    "validate_every": 4,
    "channels": [8, 16],
    "heads": 2,
    "tokens": 12,
    "vocabulary": 600,
    "text_width": 16,
    "text_layers": 1,
    "text_heads": 2,
    "sample_count": 2,
}
TINY_VAE = TINY_ONE_PASS | {"latents": [4, 2], "divergence_warmup": 4}
TINY_GAN = TINY_ONE_PASS | {"attending": 2, "vector": 4, "features": 16, "penalty_every": 3}


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNVLP_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


def picture(side: str, number: int) -> np.ndarray:
    rng = np.random.default_rng([side == "left", number])
    pixels = rng.integers(20, 60, (SIZE, SIZE))
    columns = slice(1, 7) if side == "left" else slice(9, 15)
    pixels[3 + number % 3 : 12, columns] += 140
    return pixels.astype(np.uint8)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Paths of images, studies and prompts: 16 studies to train on, 4 to validate on, 1 without text."""
    folder = tmp_path_factory.mktemp("corpus")
    ids = [f"s{number:02d}" for number in range(21)]
    split = ["train"] * 16 + ["val"] * 4 + ["train"]
    side = ["left" if number % 2 else "right" for number in range(21)]
    text = [f"Effusion on the {word}." for word in side[:20]] + [""]
    common = {"study_id": ids, "patient_id": ids, "split": split}
    blank = {"collection": "drawn", "view": "PA", "sex": "", "age": np.nan, "text_kind": "report"}
    flags = {"labels": [[]] * 21, "labelled": True, "has_image": True, "has_report": True}
    tables.write(pd.DataFrame(common | blank | flags), folder / "studies.parquet", tables.STUDIES)
    pixels = [images.encode(picture(word, number)) for number, word in enumerate(side)]
    tables.write(pd.DataFrame({"study_id": ids, "image": pixels}), folder / "images.parquet", tables.IMAGES)
    prompts = pd.DataFrame(common | {"text": text, "prompt": text, "origin": "report"})
    tables.write(prompts, folder / "prompts.parquet", tables.PROMPTS)
    return {name: folder / f"{name}.parquet" for name in ("images", "studies", "prompts")}


def autoencoder_outputs(folder):
    return autoencoder.Outputs(
        config=folder / "config.json",
        weights=folder / "diffusion_pytorch_model.safetensors",
        curve=folder / "curve.csv",
        picture=folder / "reconstructions.png",
    )


def pipeline_outputs(folder, kind=diffusion.Outputs):
    paths = {name: folder / "pipeline" / place for name, place in pipelines.FILES.items()}
    more = {"curve": "curve.csv", "curve_picture": "curve.png", "samples": "samples.png"}
    return kind(**paths, **{name: folder / place for name, place in more.items() if name in kind.model_fields})


def generator_outputs(folder, kind=vae):
    paths = {name: folder / place for name, place in generator.FILES.items()}
    more = {"curve": "curve.csv", "curve_picture": "curve.png", "samples": "samples.png"}
    return kind.Outputs(**paths, **{name: folder / place for name, place in more.items()})


@pytest.fixture(scope="session")
def tools():
    """Settings that train in seconds, and places for outputs."""
    return SimpleNamespace(
        autoencoder=TINY_AUTOENCODER,
        diffusion=TINY_DIFFUSION,
        autoencoder_outputs=autoencoder_outputs,
        pipeline_outputs=pipeline_outputs,
        vae=TINY_VAE,
        gan=TINY_GAN,
        generator_outputs=generator_outputs,
    )


@pytest.fixture(scope="session")
def trained_autoencoder(corpus, tmp_path_factory):
    """Outputs of a short training of the autoencoder."""
    folder = tmp_path_factory.mktemp("autoencoder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNVLP_SCRATCH", str(folder / "scratch"))
        settings = autoencoder.Settings(**TINY_AUTOENCODER)
        inputs = autoencoder.Inputs(images=corpus["images"], studies=corpus["studies"])
        outputs = autoencoder_outputs(folder)
        autoencoder.run(settings, inputs, outputs)
    return outputs


@pytest.fixture
def diffusion_inputs(corpus, trained_autoencoder):
    return diffusion.Inputs(
        **corpus,
        autoencoder_config=trained_autoencoder.config,
        autoencoder_weights=trained_autoencoder.weights,
    )


@pytest.fixture(scope="session")
def trained_pipeline(corpus, trained_autoencoder, tmp_path_factory):
    """Outputs of a short training of the diffusion model."""
    folder = tmp_path_factory.mktemp("diffusion")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNVLP_SCRATCH", str(folder / "scratch"))
        inputs = diffusion.Inputs(
            **corpus,
            autoencoder_config=trained_autoencoder.config,
            autoencoder_weights=trained_autoencoder.weights,
        )
        outputs = pipeline_outputs(folder)
        diffusion.run(diffusion.Settings(**TINY_DIFFUSION), inputs, outputs)
    return outputs


@pytest.fixture(scope="session")
def trained(corpus, tmp_path_factory):
    """Outputs of a short training of each kind that trains in one job: "vae", "gan"."""
    found = {}
    for name, kind, tiny in (("vae", vae, TINY_VAE), ("gan", gan, TINY_GAN)):
        folder = tmp_path_factory.mktemp(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SYNVLP_SCRATCH", str(folder / "scratch"))
            found[name] = generator_outputs(folder, kind)
            kind.run(kind.Settings(**tiny), kind.Inputs(**corpus), found[name])
    return found
