"""Gray images in and out of an autoencoder (diffusers' AutoencoderKL) of one channel or three."""

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


def factor(vae: "AutoencoderKL") -> int:
    """By how much the autoencoder shrinks each side."""
    return 2 ** (len(vae.config.block_out_channels) - 1)


def from_gray(pixels: torch.Tensor, channels: int) -> torch.Tensor:
    """uint8 (B, S, S) to float32 (B, channels, S, S) in [-1, 1]; the channels are copies."""
    scaled = pixels.float()[:, None] / 127.5 - 1
    return scaled.expand(-1, channels, -1, -1)


def to_gray(images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """A decoder's output to gray images: the channels' mean, clamped and rounded.

    Args:
        images: float (B, channels, S, S), nominally in [-1, 1].

    Returns:
        uint8 (B, S, S), in which what is not finite is 0, and bool (B,): whether all of an image was finite.
    """
    gray = images.float().mean(1).cpu()
    finite = torch.isfinite(gray).flatten(1).all(1)
    scaled = (torch.nan_to_num(gray, 0.0, 0.0, 0.0) * 0.5 + 0.5).clamp(0, 1) * 255
    scaled[~torch.isfinite(gray)] = 0
    return scaled.round().to(torch.uint8).numpy(), finite.numpy()


@torch.inference_mode()
def encode(vae: "AutoencoderKL", pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of the scaled latents of uint8 (B, S, S), both float (B, C, S/f, S/f)."""
    where = next(vae.parameters()).device
    posterior = vae.encode(from_gray(pixels.to(where), vae.config.in_channels)).latent_dist
    scale = vae.config.scaling_factor
    return posterior.mean * scale, posterior.std * scale
