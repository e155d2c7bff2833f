"""Take a published text-to-image pipeline as it is: RoentGen, or any Stable Diffusion of versions 1 and 2.

It is read as safetensors only, runs no code from its folder, needs no network, and is written without its safety
checker, which is made for photographs and blackens X-rays.
"""

from pathlib import Path

from synvlp import job
from synvlp.models import pipeline as pipelines


class Settings(job.Settings):
    pipeline_folder: str = job.required("folder of the diffusers pipeline (safetensors only)")
    variant: str | None = job.setting(
        None, "which of its weights, as fp16 in model.fp16.safetensors; none: the plain ones"
    )


class Inputs(job.Files):
    pass


class Outputs(pipelines.Files):
    pass


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Read the folder, check it, write its files in float32."""
    pipeline = pipelines.open_folder(Path(settings.pipeline_folder), settings.variant)
    million = sum(weight.numel() for part in (pipeline.unet, pipeline.text_encoder, pipeline.vae)
                  for weight in part.parameters()) / 1e6  # fmt: skip
    side = pipeline.unet.config.sample_size * 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
    job.log.info("a pipeline of %.4g million weights for images of %s pixels", million, side)
    pipelines.write(pipeline, outputs)
