"""Settings that the generators' training jobs share."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from synvlp import job

Channels = list[Annotated[int, Field(ge=1)]]  # one number per level or scale


class Training(job.Distributed):
    """Settings of every training loop here."""

    seed: int = job.setting(0, "seeds weights, batches and noise", ge=0)
    image_size: int = job.setting(64, "side of the square images trained on", unit="pixels", ge=8)
    steps: int = job.setting(600, "optimizer steps", unit="steps", ge=1)
    batch: int = job.setting(64, "images per pass", unit="images", ge=1)
    accumulation: int = job.setting(1, "passes whose gradients make one step", unit="passes", ge=1)
    rate: float = job.setting(2e-3, "highest learning rate; it rises linearly, then falls as a cosine to 0", gt=0)
    warmup: int = job.setting(30, "steps over which the rate rises", unit="steps", ge=0)
    weight_decay: float = job.setting(1e-2, "AdamW's weight decay", ge=0)
    clip: float = job.setting(1.0, "largest norm of the gradient; 0: not limited", ge=0)
    average: float = job.setting(0.99, "highest decay of the weights' moving average; 0: the last weights", ge=0, lt=1)
    validate_every: int = job.setting(100, "steps from one validation to the next", unit="steps", ge=1)


class Denoising(Training):
    """Settings of every job that trains a diffusion model."""

    text_rate: float = job.setting(1.0, "learning rate of the text encoder, as a multiple of `rate`", ge=0)
    unconditional: float = job.setting(
        0.1, "share of samples trained without their text, for classifier-free guidance", ge=0, lt=1
    )
    min_snr: float = job.setting(
        5.0, "γ of min-SNR-γ loss weights (Hang et al. 2023); 0: equal weights for every time", ge=0
    )
    offset_noise: float = job.setting(0.0, "strength of noise that is equal over an image, per channel", ge=0)
    sample_prompts: list[str] = job.setting(
        [], "prompts of the sample picture; none given: some of the validation split"
    )
    sample_count: int = job.setting(12, "how many validation prompts are sampled", ge=1, le=64)
    sample_steps: int = job.setting(15, "denoising steps of the sample picture", unit="steps", ge=1)
    sample_guidance: float = job.setting(4.0, "guidance scale of the sample picture; 1: none", ge=0)


class Prompted(Training):
    """Settings of every job here that trains a generator which makes an image in one pass."""

    vocabulary: int = job.setting(1000, "tokens of the tokenizer at most; 514 of them are bytes", unit="tokens", ge=520)
    tokens: int = job.setting(48, "length of a prompt, in tokens; longer ones are cut", unit="tokens", ge=8)
    text_width: int = job.setting(64, "width of the text encoder", ge=8)
    text_layers: int = job.setting(2, "layers of the text encoder", ge=1)
    text_heads: int = job.setting(4, "attention heads of the text encoder; divides `text_width`", ge=1)
    text_rate: float = job.setting(1.0, "learning rate of the text encoder, as a multiple of `rate`", ge=0)
    sample_prompts: list[str] = job.setting(
        [], "prompts of the sample picture; none given: some of the validation split"
    )
    sample_count: int = job.setting(12, "how many validation prompts are sampled", ge=1, le=64)
    sample_temperature: float = job.setting(1.0, "factor of the noise in the sample picture", ge=0)

    def check(self) -> None:
        """Whether processes divide the batch, and attention heads the text encoder's width."""
        job.Distributed.check(self)
        job.check_multiple(self, "text_width", self.text_heads, f"text_heads = {self.text_heads}")


def check_scales(settings: Prompted, channels: Sequence[int], groups: int, heads: int, attending: int) -> None:
    """Whether the scales of a network fit its images, its normalization and its attention.

    Args:
        settings: with the size of the images.
        channels: of each scale, the widest first, which has half the image's sides.
        groups: of the normalization.
        heads: of the attention.
        attending: how many scales, the coarsest first, attend to the words.

    Raises:
        Misfit: which settings do not fit each other.
    """
    shrinks = 2 ** len(channels)
    job.check_multiple(settings, "image_size", shrinks, f"{shrinks}, by which {len(channels)} scales shrink the image")
    job.check_multiple(settings, "channels", groups, f"groups = {groups}")
    for number in list(channels)[::-1][:attending]:
        if number % heads:
            raise job.Misfit("channels", channels, f"has {number}, which is not a multiple of heads = {heads}")
