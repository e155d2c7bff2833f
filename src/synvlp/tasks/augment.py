"""Small random changes of training images, with their masks or boxes."""

import torch
from torch import Tensor
from torch.nn import functional

ANGLE = 10.0  # degrees
SCALE = 0.1
SHIFT = 0.05  # of the image's side
LIGHT = 0.1


def with_masks(gray: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Turn by up to 10 degrees and scale by up to 10 % (the papers' augmentation), brighten by up to 10 %.

    Args:
        gray: float (b, 1, s, s) in [0, 1]. masks: float 0 or 1 (b, c, s, s).
    """
    count = len(gray)
    angle = torch.deg2rad(_uniform(count, ANGLE))
    inverse = 1 / (1 + _uniform(count, SCALE))
    cos, sin, zero = torch.cos(angle) * inverse, torch.sin(angle) * inverse, torch.zeros(count)
    affine = torch.stack([torch.stack([cos, sin, zero], 1), torch.stack([-sin, cos, zero], 1)], 1)
    return _brighten(warp(gray, affine, "bilinear")), warp(masks, affine, "nearest")


def with_boxes(gray: Tensor, boxes: list[Tensor]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Scale by up to 10 % and shift by up to 5 %, brighten by up to 10 %; boxes stay upright.

    Args:
        gray: float (b, 1, s, s) in [0, 1].
        boxes: per image (m, 4) x, y, width, height in pixels; they are not changed.

    Returns:
        images, new boxes cut to the image, and per image which of the boxes remain (their centre is inside).
    """
    count, size = len(gray), gray.shape[-1]
    scale, shift = 1 + _uniform(count, SCALE), 2 * _uniform(2 * count, SHIFT).view(count, 2)
    affine = torch.zeros(count, 2, 3)
    affine[:, 0, 0] = affine[:, 1, 1] = 1 / scale
    affine[:, :, 2] = -shift / scale[:, None]
    moved, remain = [], []
    for own, factor, offset in zip(boxes, scale, shift, strict=True):
        middle = size / 2
        corner = (own[:, :2] - middle) * factor + middle + offset * middle
        low, high = corner.clamp(0, size), (corner + own[:, 2:] * factor).clamp(0, size)
        centre = corner + own[:, 2:] * factor / 2
        inside = ((centre > 0) & (centre < size)).all(1)
        moved.append(torch.cat([low, high - low], 1)[inside])
        remain.append(inside)
    return _brighten(warp(gray, affine, "bilinear")), moved, remain


def warp(planes: Tensor, affine: Tensor, mode: str) -> Tensor:
    """Resample planes (b, c, s, s); `affine` (b, 2, 3) maps output to input places in [-1, 1]; outside is 0."""
    grid = functional.affine_grid(affine.to(planes), list(planes.shape), align_corners=False)
    return functional.grid_sample(planes, grid, mode=mode, padding_mode="zeros", align_corners=False)


def _brighten(gray: Tensor) -> Tensor:
    factor = 1 + _uniform(len(gray), LIGHT).to(gray)
    return (gray * factor.view(-1, 1, 1, 1)).clamp(0, 1)


def _uniform(count: int, limit: float) -> Tensor:
    """Numbers in [-limit, limit) from torch's generator on the CPU, so that every device gets the same."""
    return (2 * torch.rand(count) - 1) * limit
