"""Train an image autoencoder, whose latents a diffusion model draws.

A variational autoencoder (diffusers' AutoencoderKL) of gray images, trained on the train split with an absolute
error, a small pull of the latents to a normal distribution and, if asked for, an error of the edges. Its last step
moves the latents' mean and spread over the training images into the 1 × 1 convolutions on both sides of the latents,
so that every latent channel has mean 0 and deviation 1, and writes the scaling factor that is left into its config.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from synvlp import job
from synvlp.generators import options, pairs

if TYPE_CHECKING:
    import numpy as np
    import torch
    from diffusers import AutoencoderKL

    from synvlp.models.parallel import Group


class Settings(options.Training):
    steps: int = job.setting(800, "optimizer steps", unit="steps", ge=1)
    batch: int = job.setting(8, "images per pass", unit="images", ge=1)
    rate: float = job.setting(3e-3, "highest learning rate; it rises linearly, then falls as a cosine to 0", gt=0)
    weight_decay: float = job.setting(1e-4, "AdamW's weight decay", ge=0)
    channels: options.Channels = job.setting(
        [8, 16, 32], "channels per level; each level after the first halves the sides", min_length=1
    )
    layers: int = job.setting(1, "residual blocks per level", ge=1)
    groups: int = job.setting(
        1, "groups of the normalization, which divide each of `channels`; 1 learns exposure soonest", ge=1
    )
    attention: bool = job.setting(False, "self-attention at the lowest level")
    latent_channels: int = job.setting(4, "channels of the latents", ge=1)
    divergence: float = job.setting(1e-6, "weight of the divergence from a normal distribution, per image", ge=0)
    edges: float = job.setting(0.5, "weight of the absolute error of the differences between neighbouring pixels", ge=0)

    def check(self) -> None:
        """Whether processes divide the batch, the levels the images, and the groups the channels."""
        job.Distributed.check(self)
        shrinks, levels = 2 ** (len(self.channels) - 1), len(self.channels)
        shrunk = f"{shrinks}, by which {levels} levels of channels shrink the image"
        job.check_multiple(self, "image_size", shrinks, shrunk)
        job.check_multiple(self, "channels", self.groups, f"groups = {self.groups}")


class Inputs(job.Files):
    images: Path = job.file("images of the corpus (Parquet)")
    studies: Path = job.file("studies of the corpus (Parquet)")


class Outputs(job.Files):
    config: Path = job.file("the autoencoder's config.json")
    weights: Path = job.file("the autoencoder's diffusion_pytorch_model.safetensors, beside it")
    curve: Path = job.file("losses by step (CSV)")
    picture: Path = job.file("images of the validation split above what the autoencoder makes of them (PNG)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Train on the split train, validate on val."""
    import torch

    from synvlp.generators import curves, loop
    from synvlp.models import device as devices
    from synvlp.models import parallel, pipeline

    group = parallel.join(settings)
    device = devices.prepare(settings)
    train = pairs.read_images(inputs.images, inputs.studies, "train", settings.image_size)
    held_out = pairs.read_images(inputs.images, inputs.studies, "val", settings.image_size)
    scratch = job.Scratch(__name__, settings, inputs)
    pixels = torch.from_numpy(train.pixels)
    network = torch.nn.ModuleDict({"vae": build(settings)}).to(device, memory_format=torch.channels_last)

    def loss_of(net: torch.nn.ModuleDict, rows: "np.ndarray") -> dict[str, "torch.Tensor"]:
        own = pixels[rows[group.part(len(rows))]].to(device)
        return losses(net["vae"], own, settings.divergence, settings.edges, group)

    def validate(net: torch.nn.ModuleDict) -> dict[str, float]:
        return _error(net["vae"], held_out.pixels, settings.batch, group)

    best, curve = loop.fit(network, settings, scratch, device, loss_of, validate, count=len(train), group=group)
    if not group.first:
        return
    vae = best["vae"]
    standardize(vae, pixels, settings.batch)
    pipeline.write_autoencoder(vae.cpu(), outputs.config, outputs.weights)
    curves.write(curve, outputs.curve)
    shown = held_out if len(held_out) else train
    _draw(pipeline.open_autoencoder(outputs.config, outputs.weights), shown.pixels[:16], outputs.picture)
    scratch.remove()


def losses(
    vae: "AutoencoderKL", pixels: "torch.Tensor", divergence: float, edges: float, group: "Group | None" = None
) -> dict[str, "torch.Tensor"]:
    """The autoencoder's losses for gray images, uint8 (B, S, S), a process's part of a batch.

    Returns:
        `absolute`: mean absolute error on [-1, 1]; `divergence`: KL from a standard normal distribution, summed over
        an image's latents, mean over images (Kingma and Welling 2014, eq. 10); `edges`: mean absolute error of the
        differences of neighbouring pixels; `loss`: their weighted sum.
    """
    import torch
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    from synvlp.models import latents, parallel

    group = group or parallel.ALONE
    images = latents.from_gray(pixels, vae.config.in_channels)
    # In float32 also under autocast: exponentials of half-precision logarithms are coarse.
    posterior = DiagonalGaussianDistribution(vae.encode(images).latent_dist.parameters.float())
    rows = group.size * len(pixels)
    noise = torch.randn(rows, *posterior.mean.shape[1:], device=pixels.device)[group.part(rows)]
    made = vae.decode(posterior.mean + posterior.std * noise).sample.float()
    error = made - images
    parts = {"absolute": error.abs().mean(), "divergence": posterior.kl().mean()}
    loss = parts["absolute"] + divergence * parts["divergence"]
    if edges:
        parts["edges"] = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        loss = loss + edges * parts["edges"]
    return {"loss": loss, **parts}


def standardize(vae: "AutoencoderKL", pixels: "torch.Tensor", batch: int) -> None:
    """Give each latent channel mean 0 and deviation 1 over images, and set the config's scaling factor.

    With μ and σ per channel, the encoder's last 1 × 1 convolution gives (z − μ)/σ and log σ_z² − 2 log σ, and the
    decoder's first one undoes it, so that reconstructions stay what they are.

    Args:
        vae: changed in place.
        pixels: uint8 (n, S, S), the training images.
        batch: images per pass.
    """
    import torch

    mean, deviation = _moments(vae, pixels, batch)
    count = len(mean)
    with torch.no_grad():
        last, first = vae.quant_conv, vae.post_quant_conv
        first.bias += first.weight[:, :, 0, 0] @ mean
        first.weight *= deviation[None, :, None, None]
        last.bias[:count] = (last.bias[:count] - mean) / deviation
        last.weight[:count] /= deviation[:, None, None, None]
        last.bias[count:] -= 2 * deviation.log()
    _, left = _moments(vae, pixels, batch)
    vae.register_to_config(scaling_factor=round(1 / float(left.square().mean().sqrt()), 6))
    job.log.info("latents had mean %.2f to %.2f, deviation %.2f to %.2f; scaling factor %g",
                 mean.min(), mean.max(), deviation.min(), deviation.max(), vae.config.scaling_factor)  # fmt: skip


def _moments(vae: "AutoencoderKL", pixels: "torch.Tensor", batch: int) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Mean and deviation of each channel of sampled latents over all images and places."""
    import torch

    from synvlp.models import latents
    from synvlp.store.images import batches

    scale = vae.config.scaling_factor
    first, second, total = 0.0, 0.0, 0
    for rows in batches(len(pixels), batch):
        mean, spread = (part.double() / scale for part in latents.encode(vae, pixels[rows]))
        first = first + mean.sum((0, 2, 3))
        second = second + (mean.square() + spread.square()).sum((0, 2, 3))
        total += mean[:, 0].numel()
    mean = first / total
    deviation = (second / total - mean.square()).clamp(min=1e-12).sqrt()
    return mean.to(torch.float32).clone(), deviation.to(torch.float32).clone()


def build(settings: Settings) -> "AutoencoderKL":
    """The autoencoder before it is trained: gray images in and out, weights from the seed."""
    import torch
    from diffusers import AutoencoderKL

    from synvlp.store.seeds import seed_of

    torch.manual_seed(seed_of(settings.seed, "autoencoder"))
    levels = len(settings.channels)
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=tuple(settings.channels),
        layers_per_block=settings.layers,
        latent_channels=settings.latent_channels,
        norm_num_groups=settings.groups,
        mid_block_add_attention=settings.attention,
        sample_size=settings.image_size,
        scaling_factor=1.0,
    )


def _error(vae: "AutoencoderKL", pixels: "np.ndarray", batch: int, group: "Group") -> dict[str, float]:
    """Mean absolute error on [-1, 1] of the reconstructions; nothing where there are no images."""
    import numpy as np
    import torch

    from synvlp.store.images import batches

    if not len(pixels):
        return {}
    errors = torch.zeros(len(pixels))
    for rows in group.own(list(batches(len(pixels), batch))):
        wanted = torch.from_numpy(pixels[rows]).float() / 127.5 - 1
        errors[rows] = (_reconstruct(vae, pixels[rows]) - wanted).abs().mean((1, 2))
    return {"absolute": float(np.mean(group.total(errors).numpy()))}


def _reconstruct(vae: "AutoencoderKL", pixels: "np.ndarray") -> "torch.Tensor":
    """Reconstructions from the latents' means: float (B, S, S), nominally in [-1, 1], on the CPU."""
    import torch

    from synvlp.models import latents

    with torch.inference_mode():
        mean, _ = latents.encode(vae, torch.from_numpy(pixels))
        return vae.decode(mean / vae.config.scaling_factor).sample.float().mean(1).cpu()


def _draw(vae: "AutoencoderKL", pixels: "np.ndarray", path: Path) -> None:
    from synvlp.models import gallery, latents
    from synvlp.store import files

    made, _ = latents.to_gray(_reconstruct(vae, pixels)[:, None])
    cells = [gallery.Cell(pair) for pair in zip(pixels, made, strict=True)]
    picture = gallery.grid(
        cells, columns=4, side=128, title="Images and their reconstructions", heads=("image", "made of it")
    )
    with files.replacing(path) as part:
        picture.save(part, format="PNG")
