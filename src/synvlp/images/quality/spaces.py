"""Feature spaces: the networks in whose features images are compared, opened from safetensors.

`random` and `real` are ResNets of this project, without training and pre-trained on real pairs. The others are
published: torchvision's Inception-v3 (Szegedy et al. 2015), TorchXRayVision's DenseNet-121 (Cohen et al. 2022) and
RAD-DINO (Pérez-García et al. 2024), a DINOv2 in transformers' layout.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from synvlp import job
from synvlp.store import files

if TYPE_CHECKING:
    import torch

Space = Literal["random", "real", "inception", "xrv", "rad-dino"]
RAD_DINO = {"side": 518, "mean": 0.5307, "std": 0.2583}  # where its folder has no preprocessor_config.json


@dataclass(frozen=True)
class Network:
    """A network in eval mode with its own preparation of gray images."""

    module: "torch.nn.Module"
    prepare: Callable[["torch.Tensor"], "torch.Tensor"]  # uint8 (B, S, S) -> the module's input
    features: Callable[["torch.nn.Module", "torch.Tensor"], "torch.Tensor"]  # -> (B, d)

    def __call__(self, pixels: np.ndarray, settings: job.Compute) -> "torch.Tensor":
        """Features of uint8 (B, S, S): float32 (B, d) on the CPU."""
        import torch

        from synvlp.models import device

        where = next(self.module.parameters()).device
        given = self.prepare(torch.from_numpy(np.array(pixels)).to(where))
        with torch.inference_mode(), device.autocast(settings, where):
            return self.features(self.module, given).float().cpu()


def open_network(space: Space, weights: Path, config: Path | None = None, preprocessor: Path | None = None) -> Network:
    """The network of a space, on the CPU.

    Args:
        space: its name.
        weights: safetensors. Inception-v3 with torchvision's names; the DenseNet with TorchXRayVision's.
        config: of `random` and `real`: the image encoder's; of `rad-dino`: config.json in the folder of the weights.
        preprocessor: of `rad-dino`: side, mean and deviation of its input; without it those that RAD-DINO wants.

    Raises:
        JobError: the files are not those of this network.
    """
    if weights.suffix != ".safetensors":
        raise job.JobError(f"{weights}: weights are read from safetensors only; convert them once")
    if config is None and space not in {"inception", "xrv"}:
        raise job.JobError(f"the space {space} needs a config beside {weights}")
    if space == "rad-dino":
        network = _rad_dino(weights, config, preprocessor)
    elif space in {"random", "real"}:
        network = _encoder(weights, config)
    else:
        network = {"inception": _inception, "xrv": _xrv}[space](weights)
    network.module.eval().requires_grad_(False)
    return network


def _encoder(weights: Path, config: Path) -> Network:
    from synvlp.models import image_encoder

    described = image_encoder.read_config(config)
    module = image_encoder.load(config, weights)
    return Network(
        module, lambda pixels: image_encoder.preprocess(pixels, described), lambda net, given: net(given)["global"]
    )


def _inception(weights: Path) -> Network:
    """The 2,048 features before the classifier. Its weights want gray levels from -1 to 1 at 299 pixels."""
    import torch
    from torchvision.models import inception_v3

    from synvlp.models import image_encoder

    module = inception_v3(weights=None, init_weights=False, transform_input=False)
    module.fc = torch.nn.Identity()
    # The second classifier, which serves training alone, may be missing and is never used.
    module.AuxLogits = None
    module.aux_logits = False
    state = image_encoder.read_state(weights)
    image_encoder.fill(module, _without(state, "AuxLogits."), weights)
    described = {"image_size": 299, "mean": [0.5] * 3, "std": [0.5] * 3}
    return Network(module, lambda pixels: image_encoder.preprocess(pixels, described), lambda net, given: net(given))


def _xrv(weights: Path) -> Network:
    """The 1,024 features before the classifier. It takes one channel from -1024 to 1024 at 224 pixels."""
    import torch
    from torch.nn import functional
    from torchvision.models import densenet121

    from synvlp.models import image_encoder

    module = densenet121(weights=None)
    module.features.conv0 = torch.nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    module.classifier = torch.nn.Identity()
    state = _without(image_encoder.read_state(weights), "classifier.", "op_threshs")
    image_encoder.fill(module, state, weights)
    described = {"image_size": 224, "mean": [0.5], "std": [0.5 / 1024]}

    def prepare(pixels: torch.Tensor) -> torch.Tensor:
        gray = pixels[:, None].float() / 255
        gray = functional.interpolate(gray, (224, 224), mode="bilinear", antialias=True, align_corners=False)
        return (gray - described["mean"][0]) / described["std"][0]

    return Network(module, prepare, lambda net, given: net(given))


def _rad_dino(weights: Path, config: Path, preprocessor: Path | None) -> Network:
    """The 768 features of the first token, after the last normalization, at 518 pixels."""
    from transformers import Dinov2Model

    from synvlp.models import image_encoder, pipeline

    if weights.parent != config.parent or weights.name != "model.safetensors" or config.name != "config.json":
        raise job.JobError(f"{weights} and {config} should be model.safetensors and config.json of one folder")
    if files.read_json(config).get("model_type") != "dinov2":
        raise job.JobError(f"{config}: its model_type is not dinov2")
    pipeline.quiet()
    module, found = Dinov2Model.from_pretrained(
        config.parent, local_files_only=True, use_safetensors=True, output_loading_info=True
    )
    if found["missing_keys"] or found.get("mismatched_keys"):
        missing = sorted(map(str, found["missing_keys"] or found["mismatched_keys"]))
        raise job.JobError(f"{weights}: the weights lack {missing[0]!r}, or it has another shape")
    described = _preprocessor(preprocessor)
    return Network(
        module,
        lambda pixels: image_encoder.preprocess(pixels, described),
        lambda net, given: net(given).pooler_output,
    )


def _preprocessor(path: Path | None) -> dict:
    """Side, mean and deviation that a DINOv2 wants; RAD-DINO's where no file says them."""
    value = files.read_json(path) if path else {}
    crop = value.get("crop_size", value.get("size", RAD_DINO["side"]))
    side = crop if isinstance(crop, int) else crop.get("height", crop.get("shortest_edge", RAD_DINO["side"]))
    mean, std = (value.get(f"image_{name}", [RAD_DINO[name]] * 3) for name in ("mean", "std"))
    return {"image_size": int(side), "mean": list(mean), "std": list(std)}


def _without(state: dict, *beginnings: str) -> dict:
    return {name: value for name, value in state.items() if not name.startswith(beginnings)}
