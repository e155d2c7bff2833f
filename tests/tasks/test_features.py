import numpy as np
import pandas as pd
import pytest

from synvlp import job
from synvlp.store import images, tables
from synvlp.tasks import features


@pytest.fixture
def inputs(encoder, tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (21, 64, 64)).astype(np.uint8)
    images.write_pixels(tmp_path / "pixels.npy", pixels, 21, 64)
    samples = pd.DataFrame({"study_id": [f"s{i:02d}" for i in range(21)], "patient_id": "p", "split": "test"})
    tables.write(samples.assign(labels=[[]] * 21), tmp_path / "samples.parquet", tables.SAMPLES)
    return features.Inputs(**encoder, pixels=tmp_path / "pixels.npy", samples=tmp_path / "samples.parquet")


def encode(inputs, path, batch=4):
    outputs = features.Outputs(features=path)
    job.execute("encode", features, features.Settings(batch=batch), inputs, outputs)
    return np.load(path)


def test_features_are_the_encoders_in_eval_mode(inputs, tmp_path):
    import torch

    from synvlp.models import image_encoder

    found = encode(inputs, tmp_path / "features.npy")
    assert found.dtype == np.float32 and found.shape == (21, 512)
    network = image_encoder.load(inputs.image_config, inputs.image_encoder)
    config = image_encoder.read_config(inputs.image_config)
    with torch.no_grad():
        for row in (0, 20):
            pixels = torch.from_numpy(images.read_pixels(inputs.pixels)[row : row + 1].copy())
            expected = network(image_encoder.preprocess(pixels, config))["global"]
            assert found[row] == pytest.approx(expected[0].numpy(), abs=1e-4)


def test_a_killed_job_goes_on_to_the_same_bytes(inputs, tmp_path, monkeypatch):
    encode(inputs, tmp_path / "whole.npy")
    monkeypatch.setenv("SYNVLP_CHECKPOINT_SECONDS", "0")
    monkeypatch.setattr(job.Scratch, "due", lambda self: True)
    calls = []
    original = features.encode

    def dying(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(features, "encode", dying)
    with pytest.raises(KeyboardInterrupt):
        encode(inputs, tmp_path / "part.npy")
    encode(inputs, tmp_path / "part.npy")
    assert len(calls) == 4 + 3  # three batches were kept, three were left
    assert (tmp_path / "whole.npy").read_bytes() == (tmp_path / "part.npy").read_bytes()


def test_pixels_of_another_data_set_are_refused(inputs, tmp_path):
    images.write_pixels(inputs.pixels, np.zeros((5, 64, 64), np.uint8), 5, 64)
    with pytest.raises(job.JobError, match=r"21 rows.*has 5 images"):
        encode(inputs, tmp_path / "features.npy")
