"""Train a text-to-image diffusion model from scratch on a corpus's image-text pairs.

A latent diffusion model (Rombach et al. 2022) of diffusers' parts: the autoencoder that `train-autoencoder` made, a
small CLIP text encoder with a tokenizer learnt from the train split's prompts, and a U-Net with cross-attention.
Text encoder and U-Net are trained together. The result opens with `StableDiffusionPipeline.from_pretrained`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from synvlp import job
from synvlp.generators import options, pairs
from synvlp.models import pipeline as pipelines

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel


class Settings(options.Denoising):
    channels: options.Channels = job.setting(
        [16, 32, 64], "channels per level of the U-Net; each level after the first halves the sides", min_length=1
    )
    layers: int = job.setting(1, "residual blocks per level of the U-Net", ge=1)
    groups: int = job.setting(8, "groups of the U-Net's normalization; divides each of `channels`", ge=1)
    heads: int = job.setting(2, "attention heads of the U-Net; divides each of `channels`", ge=1)
    attention_from: int = job.setting(1, "first level of the U-Net that attends to the text, counted from 0", ge=0)
    vocabulary: int = job.setting(1000, "tokens of the tokenizer at most; 514 of them are bytes", unit="tokens", ge=520)
    tokens: int = job.setting(48, "length of a prompt, in tokens; longer ones are cut", unit="tokens", ge=8)
    text_width: int = job.setting(128, "width of the text encoder", ge=8)
    text_layers: int = job.setting(2, "layers of the text encoder", ge=1)
    text_heads: int = job.setting(4, "attention heads of the text encoder; divides `text_width`", ge=1)
    prediction: Literal["v_prediction", "epsilon"] = job.setting("v_prediction", "what the U-Net predicts")
    beta_start: float = job.setting(0.0015, "first β of the noise schedule (linear in its square root)", gt=0, lt=1)
    beta_end: float = job.setting(0.0205, "last β of the noise schedule", gt=0, lt=1)

    def check(self) -> None:
        """Whether processes, groups and heads divide what they should, and first and last values are in order."""
        job.Distributed.check(self)
        levels = len(self.channels)
        job.check_multiple(self, "channels", self.groups, f"groups = {self.groups}")
        job.check_multiple(self, "channels", self.heads, f"heads = {self.heads}")
        job.check_multiple(self, "text_width", self.text_heads, f"text_heads = {self.text_heads}")
        # What the autoencoder shrinks the image by comes on top; the job knows it.
        shrinks = 2 ** (levels - 1)
        job.check_multiple(self, "image_size", shrinks, f"{shrinks}, by which {levels} levels of channels shrink it")
        if self.attention_from >= levels:
            raise job.Misfit("attention_from", self.attention_from, f"is no level: channels has {levels}, from 0 on")
        if self.beta_start >= self.beta_end:
            raise job.Misfit("beta_start", self.beta_start, f"is not below beta_end = {self.beta_end}")


class Inputs(job.Files):
    images: Path = job.file("images of the corpus (Parquet)")
    studies: Path = job.file("studies of the corpus (Parquet)")
    prompts: Path = job.file("prompts of the corpus (Parquet)")
    autoencoder_config: Path = job.file("config.json of the autoencoder")
    autoencoder_weights: Path = job.file("diffusion_pytorch_model.safetensors of the autoencoder")


class Outputs(pipelines.Files):
    curve: Path = job.file("losses by step (CSV)")
    curve_picture: Path = job.file("losses by step (PNG)")
    samples: Path = job.file("samples for fixed prompts (PNG)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Train on the split train, validate on val."""
    from synvlp.generators import denoising
    from synvlp.models import device as devices
    from synvlp.models import parallel

    group = parallel.join(settings)
    device = devices.prepare(settings)
    vae = pipelines.open_autoencoder(inputs.autoencoder_config, inputs.autoencoder_weights)
    pipeline = build(settings, vae, pairs.read_prompts(inputs.prompts, "train"))
    scratch = job.Scratch(__name__, settings, inputs)
    denoising.train(pipeline, settings, inputs, outputs, scratch, device, group)


def build(settings: Settings, vae: "AutoencoderKL", prompts: Sequence[str]) -> pipelines.Pipeline:
    """The pipeline before it is trained: weights from the seed, a tokenizer learnt from the prompts.

    Raises JobError for images that the autoencoder and the levels cannot shrink.
    """
    from diffusers import DPMSolverMultistepScheduler

    from synvlp.generators import vocabulary

    tokenizer = vocabulary.train(prompts, settings.vocabulary, settings.tokens)
    text_encoder = vocabulary.text_encoder(settings, tokenizer)
    scheduler = DPMSolverMultistepScheduler(
        beta_schedule="scaled_linear",
        beta_start=settings.beta_start,
        beta_end=settings.beta_end,
        prediction_type=settings.prediction,
        steps_offset=1,
    )
    return pipelines.Pipeline(vae, text_encoder, tokenizer, _unet(settings, vae), scheduler)


def _unet(settings: Settings, vae: "AutoencoderKL") -> "UNet2DConditionModel":
    import torch
    from diffusers import UNet2DConditionModel

    from synvlp.models import latents
    from synvlp.store.seeds import seed_of

    factor, levels = latents.factor(vae), len(settings.channels)
    side = settings.image_size // factor
    if settings.image_size % factor or side % 2 ** (levels - 1):
        raise job.JobError(
            f"image_size = {settings.image_size} is not a multiple of {factor * 2 ** (levels - 1)}, by which the "
            f"autoencoder and {levels} levels of channels shrink the image"
        )
    attends = [level >= settings.attention_from for level in range(levels)]
    torch.manual_seed(seed_of(settings.seed, "unet"))
    return UNet2DConditionModel(
        sample_size=side,
        in_channels=vae.config.latent_channels,
        out_channels=vae.config.latent_channels,
        block_out_channels=tuple(settings.channels),
        layers_per_block=settings.layers,
        down_block_types=tuple("CrossAttnDownBlock2D" if text else "DownBlock2D" for text in attends),
        up_block_types=tuple("CrossAttnUpBlock2D" if text else "UpBlock2D" for text in reversed(attends)),
        cross_attention_dim=settings.text_width,
        attention_head_dim=settings.heads,  # which diffusers takes as the number of heads
        norm_num_groups=settings.groups,
    )
