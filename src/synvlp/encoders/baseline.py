"""Make an image encoder that was not pre-trained on pairs: random weights, or given ones such as ImageNet's."""

from pathlib import Path
from typing import Literal

from synvlp import job
from synvlp.store import files


class Settings(job.Settings):
    seed: int = job.setting(0, "seeds random weights; pre-training with this seed begins with the same", ge=0)
    architecture: Literal["resnet18", "resnet50"] = job.setting("resnet50", "the image encoder")
    image_size: int = job.setting(224, "the network's input", unit="px", ge=32)


class Inputs(job.Files):
    weights: Path | None = job.optional_file("weights to adopt (safetensors, torchvision's names; fc is left out)")


class Outputs(job.Files):
    image_encoder: Path = job.file("image encoder (safetensors, torchvision's names without fc)")
    image_config: Path = job.file("its architecture, image size, mean and standard deviation (JSON)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    from synvlp.models import image_encoder
    from synvlp.store import weights

    encoder = image_encoder.seeded(settings.architecture, settings.seed)
    if inputs.weights:
        image_encoder.fill(encoder, image_encoder.read_state(inputs.weights), inputs.weights)
    weights.save(encoder.state_dict(), outputs.image_encoder)
    files.write_json(outputs.image_config, image_encoder.describe(settings.architecture, settings.image_size))
