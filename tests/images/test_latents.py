"""Gray images in and out of an autoencoder."""

import numpy as np
import pytest
import torch
from PIL import Image

from synvlp.models import latents


@pytest.mark.parametrize("channels", [1, 3])
def test_every_gray_level_comes_back(channels):
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    there = latents.from_gray(levels, channels)
    assert there.shape == (1, channels, 16, 16)
    assert (float(there.min()), float(there.max())) == (-1, 1)
    back, finite = latents.to_gray(there)
    assert (back == levels.numpy()).all()
    assert finite.tolist() == [True]


def test_it_rounds_as_diffusers_does():
    from diffusers.image_processor import VaeImageProcessor

    made = torch.linspace(-1.3, 1.3, 2048).reshape(2, 1, 32, 32)
    theirs = VaeImageProcessor().postprocess(made, output_type="pil")
    assert isinstance(theirs[0], Image.Image)
    assert (latents.to_gray(made)[0] == np.stack([np.asarray(image) for image in theirs])).all()


def test_what_is_not_finite_is_black_and_marked():
    made = torch.zeros(3, 3, 4, 4)
    made[1, 0, 0, 0], made[2, 2, 3, 3] = float("nan"), float("inf")
    gray, finite = latents.to_gray(made)
    assert finite.tolist() == [True, False, False]
    assert (gray[1, 0, 0], gray[2, 3, 3]) == (0, 0)
    assert (gray[0] == gray[0, 0, 0]).all()
    assert gray[1, 1, 1] == gray[0, 0, 0]
