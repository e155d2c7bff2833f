"""Fine-tune a published text-to-image diffusion pipeline on a corpus's image-text pairs.

The U-Net and the text encoder are trained, the autoencoder stays as it is, as RoentGen was made from Stable Diffusion
(Chambon et al. 2022). Gray images go in as three equal channels where the autoencoder has three.
"""

from pathlib import Path

from synvlp import job
from synvlp.generators import options
from synvlp.models import pipeline as pipelines


class Settings(options.Denoising):
    pipeline_folder: str = job.required("folder of the diffusers pipeline to start from (safetensors only)")
    variant: str | None = job.setting(
        None, "which of its weights, as fp16 in model.fp16.safetensors; none: the plain ones"
    )
    image_size: int = job.setting(512, "side of the square images trained on", unit="pixels", ge=8)
    steps: int = job.setting(12500, "optimizer steps", unit="steps", ge=1)
    batch: int = job.setting(8, "images per pass", unit="images", ge=1)
    accumulation: int = job.setting(4, "passes whose gradients make one step", unit="passes", ge=1)
    rate: float = job.setting(5e-5, "highest learning rate; it rises linearly, then falls as a cosine to 0", gt=0)
    warmup: int = job.setting(500, "steps over which the rate rises", unit="steps", ge=0)
    average: float = job.setting(0.999, "highest decay of the weights' moving average; 0: the last weights", ge=0, lt=1)
    validate_every: int = job.setting(500, "steps from one validation to the next", unit="steps", ge=1)
    sample_steps: int = job.setting(30, "denoising steps of the sample picture", unit="steps", ge=1)
    sample_guidance: float = job.setting(4.0, "guidance scale of the sample picture; 1: none", ge=0)


class Inputs(job.Files):
    images: Path = job.file("images of the corpus (Parquet)")
    studies: Path = job.file("studies of the corpus (Parquet)")
    prompts: Path = job.file("prompts of the corpus (Parquet)")


class Outputs(pipelines.Files):
    curve: Path = job.file("losses by step (CSV)")
    curve_picture: Path = job.file("losses by step (PNG)")
    samples: Path = job.file("samples for fixed prompts (PNG)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Train on the split train, validate on val."""
    from synvlp.generators import denoising
    from synvlp.models import device as devices
    from synvlp.models import latents, parallel

    group = parallel.join(settings)
    device = devices.prepare(settings)
    pipeline = pipelines.open_folder(Path(settings.pipeline_folder), settings.variant)
    factor = latents.factor(pipeline.vae)
    if settings.image_size % factor:
        raise job.JobError(
            f"image_size = {settings.image_size} is not a multiple of {factor}, by which the autoencoder shrinks"
        )
    pipeline.unet.register_to_config(sample_size=settings.image_size // factor)
    scratch = job.Scratch(__name__, settings, inputs)
    denoising.train(pipeline, settings, inputs, outputs, scratch, device, group)
