"""Encoders of all methods as one: features of images, texts, regions and words, and files that do not fit."""

import numpy as np
import pytest
import torch
from tests.tasks.conftest import HEADS, TEXTS

from synvlp import job
from synvlp.encoders import gloria
from synvlp.models import alignment
from synvlp.store import files

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 64, 64)).astype(np.uint8)


def opened(inputs, **changes):
    return alignment.open_encoder(alignment.Encoder(**inputs | changes), job.Compute(device="cpu"))


@pytest.fixture(scope="module")
def encoders(aligned):
    return {method: opened(inputs) for method, inputs in aligned.items()}


@pytest.mark.parametrize("method", HEADS)
def test_images_and_texts_share_a_space_whatever_the_batch(encoders, method):
    encoder = encoders[method]
    for found, again in (
        (encoder.images(PIXELS), encoder.images(PIXELS, batch=2)),
        (encoder.texts(TEXTS), encoder.texts(TEXTS, batch=2)),
        (encoder.places(PIXELS), encoder.places(PIXELS, batch=2)),
    ):
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, rtol=1e-5)
        np.testing.assert_allclose(found, again, atol=1e-5)
    assert encoder.images(PIXELS).shape[1] == encoder.texts(TEXTS).shape[1] == encoder.places(PIXELS).shape[3]
    assert encoder.places(PIXELS, size=128).shape[1:3] == (4, 4)


@pytest.mark.parametrize("method", HEADS)
def test_padding_never_matters(encoders, method):
    encoder = encoders[method]
    alone = np.concatenate([encoder.texts([text]) for text in TEXTS])
    np.testing.assert_allclose(encoder.texts(TEXTS), alone, atol=1e-5)
    if method == "convirt":
        with pytest.raises(ValueError, match="no features of regions and words"):
            encoder.words(TEXTS)
        return
    words, lengths = encoder.words(TEXTS)
    assert lengths.tolist() == [8, 5, 7, 3, 22]  # a full stop is a word of BERT's
    for text, own, length in zip(TEXTS, words, lengths, strict=True):
        np.testing.assert_allclose(own[:length], encoder.words([text])[0][0], atol=1e-5)
        assert not own[length:].any()


def test_local_scores_and_attention_are_those_of_the_training_and_blind_to_padding(encoders):
    encoder = encoders["gloria"]
    found = encoder.local_scores(PIXELS, TEXTS, batch=2)
    with torch.inference_mode():
        words, lengths = encoder._words(TEXTS)
        trained = gloria.local_scores(encoder._regions(PIXELS), words, lengths)
    np.testing.assert_allclose(found, ((trained - lengths.log()) / 5).numpy(), rtol=1e-3, atol=1e-5)
    assert (np.abs(found) <= 1 + 1e-5).all()
    together = encoder.attention(PIXELS, TEXTS)
    assert together.shape == (5, 4, 4)
    np.testing.assert_allclose(together.sum((1, 2)), 1, rtol=1e-5)
    for row, text in enumerate(TEXTS):
        np.testing.assert_allclose(encoder.attention(PIXELS[[row]], [text])[0], together[row], atol=1e-6)


def test_last_layers_count(aligned, tmp_path):
    content = files.read_json(aligned["convirt"]["heads_config"])
    files.write_json(tmp_path / "one.json", content | {"last_layers": 1})
    one, two = opened(aligned["convirt"], heads_config=tmp_path / "one.json"), opened(aligned["convirt"])
    assert np.abs(one.texts(TEXTS) - two.texts(TEXTS)).max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"last_layers": None}, "lacks last_layers"),
        ({"method": "clip"}, "heads of clip; known are convirt, gloria, mgca"),
        ({"text_hidden": 32}, "text features 16, but .* was made for 32"),
        ({"embedding": 4}, r"'image.0.weight' has the shape"),
    ],
)
def test_files_that_do_not_fit_are_named(aligned, tmp_path, changes, message):
    content = files.read_json(aligned["convirt"]["heads_config"]) | changes
    files.write_json(tmp_path / "heads.json", {name: value for name, value in content.items() if value is not None})
    with pytest.raises(job.JobError, match=message):
        opened(aligned["convirt"], heads_config=tmp_path / "heads.json")


def test_a_text_without_a_word_is_refused(encoders):
    with pytest.raises(job.JobError, match="holds no word"):
        encoders["gloria"].texts(["disc", " "])
