"""Random views of images: crop and scale, small rotation, brightness and contrast. Never mirrored: texts name sides."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from synvlp.models import image_encoder


def augment(
    pixels: Tensor, numbers: Tensor, config: Mapping, *, crop: float, rotation: float, brightness: float
) -> Tensor:
    """The network's input from random views of gray images.

    Args:
        pixels: uint8 (B, S, S).
        numbers: float (B, 6), uniform in [0, 1), on the device of `pixels`: all the randomness there is.
        config: the encoder's image_size, mean and std.
        crop: smallest share of the area that a view keeps.
        rotation: largest angle, in degrees.
        brightness: largest relative change of brightness, and of contrast.

    Returns:
        float32 (B, 3, image_size, image_size), channels last, normalised; zero (black) outside the image.
    """
    gray = pixels[:, None].float() / 255
    size = config["image_size"]
    grid = functional.affine_grid(
        views(numbers[:, :4], crop, rotation), [len(pixels), 1, size, size], align_corners=False
    )
    seen = functional.grid_sample(gray, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    light, contrast = (1 + (2 * numbers[:, 4:, None, None, None] - 1) * brightness).unbind(1)
    middle = seen.mean((1, 2, 3), keepdim=True)
    return image_encoder.normalise(((seen - middle) * contrast + middle * light).clamp(0, 1), config)


def views(numbers: Tensor, crop: float, rotation: float) -> Tensor:
    """Affine maps (B, 2, 3) from a view's coordinates to the image's, both from -1 to 1.

    `numbers` (B, 4) choose the area (from `crop` to 1), the place of the crop in the image, and the angle.
    """
    area, across, down, turn = numbers.unbind(1)
    side = (crop + (1 - crop) * area).sqrt()
    angle = (2 * turn - 1) * rotation * math.pi / 180
    cosine, sine = side * angle.cos(), side * angle.sin()
    room = 1 - side
    first = torch.stack([cosine, -sine, (2 * across - 1) * room], 1)
    second = torch.stack([sine, cosine, (2 * down - 1) * room], 1)
    return torch.stack([first, second], 1)
