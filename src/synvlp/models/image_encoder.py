"""Image encoders: ResNets with torchvision's parameter names, no classifier, and their feature maps."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from synvlp.job import JobError
from synvlp.store import files, seeds, weights

ARCHITECTURES = {"resnet18": (BasicBlock, [2, 2, 2, 2]), "resnet50": (Bottleneck, [3, 4, 6, 3])}


class ImageEncoder(ResNet):
    """A ResNet (He et al., 2016) without its classifier.

    `state_dict` has torchvision's names without `fc`, so that it loads into `torchvision.models.resnet18()`.

    Attributes:
        architecture: "resnet18" or "resnet50".
        channels: of each feature map; resnet18: {"layer2": 128, "layer3": 256, "layer4": 512, "global": 512}.
    """

    def __init__(self, architecture: str) -> None:
        if architecture not in ARCHITECTURES:
            raise JobError(f"there is no architecture {architecture!r}; there is {', '.join(ARCHITECTURES)}")
        block, layers = ARCHITECTURES[architecture]
        super().__init__(block, layers)
        del self.fc
        self.architecture = architecture
        width = block.expansion
        self.channels = {
            "layer2": 128 * width,
            "layer3": 256 * width,
            "layer4": 512 * width,
            "global": 512 * width,
        }

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Feature maps of normalised images.

        Args:
            images: float (B, 3, H, W).

        Returns:
            "layer2" (B, C, H/8, W/8), "layer3" (B, 2C, H/16, W/16), "layer4" (B, 4C, H/32, W/32) and
            "global" (B, 4C), the mean of layer4 over positions; C is 128 for resnet18, 512 for resnet50.
        """
        stem = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        layer2 = self.layer2(self.layer1(stem))
        layer3 = self.layer3(layer2)
        layer4 = self.layer4(layer3)
        return {"layer2": layer2, "layer3": layer3, "layer4": layer4, "global": layer4.mean((2, 3))}


def build(architecture: str) -> ImageEncoder:
    """An encoder with random weights from torch's generator. Raises JobError for an unknown architecture."""
    return ImageEncoder(architecture)


def seeded(architecture: str, seed: int) -> ImageEncoder:
    """An encoder with random weights that depend on architecture and seed alone."""
    torch.manual_seed(seeds.seed_of(seed, "image encoder"))
    return build(architecture)


def describe(
    architecture: str, image_size: int, mean: float | list[float] = 0.5, std: float | list[float] = 0.5
) -> dict[str, object]:
    """The content of an encoder's config file.

    Args:
        architecture: "resnet18" or "resnet50".
        image_size: pixels a side of the network's input.
        mean, std: of gray levels in [0, 1], one number or one per channel.
    """
    both = {"mean": mean, "std": std}
    channels = {name: [value] * 3 if isinstance(value, int | float) else list(value) for name, value in both.items()}
    return {"architecture": architecture, "image_size": image_size, **channels}


def load(config_path: Path, weights_path: Path) -> ImageEncoder:
    """The encoder that a config (JSON) and a weights file (safetensors) describe, on the CPU, in eval mode.

    Raises JobError, naming file and key, if they do not fit together.
    """
    encoder = build(read_config(config_path)["architecture"])
    fill(encoder, read_state(weights_path), weights_path)
    return encoder.eval()


def read_config(path: Path) -> dict:
    """An encoder's config: architecture, image_size, mean, std. Raises JobError if one is missing."""
    try:
        config = files.read_json(path)
    except ValueError as error:
        raise JobError(f"{path}: not readable as JSON ({error})") from error
    names = ("architecture", "image_size", "mean", "std")
    missing = [name for name in names if not isinstance(config, dict) or name not in config]
    if missing:
        raise JobError(f"{path}: an image encoder's config needs {', '.join(missing)}")
    return config


def read_state(path: Path) -> dict[str, Tensor]:
    """A ResNet's named tensors from safetensors (or a torch file of tensors only), without its classifier.

    Raises JobError if the file holds anything else.
    """
    try:
        if Path(path).suffix == ".safetensors":
            state = weights.load(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise JobError(f"{path}: no readable weights; safetensors with torchvision's names are wanted") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise JobError(
            f"{path}: not a flat mapping of names to tensors; safetensors with torchvision's names are wanted"
        )
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def fill(module: nn.Module, state: Mapping[str, Tensor], source: Path) -> None:
    """Load `state` into `module`; every name and shape must fit.

    BatchNorm's counters, which older files lack, may be missing. Raises JobError naming the first wrong key.
    """
    own = module.state_dict()
    for name, value in own.items():
        if name not in state:
            if name.endswith("num_batches_tracked"):
                continue
            raise JobError(f"{source}: the weights lack {name!r}")
        if state[name].shape != value.shape:
            have, want = tuple(state[name].shape), tuple(value.shape)
            raise JobError(f"{source}: {name!r} has the shape {have}, but this architecture has {want}")
    extra = sorted(set(state) - set(own))
    if extra:
        raise JobError(f"{source}: the weights hold {extra[0]!r}, which this architecture does not have")
    module.load_state_dict(dict(state), strict=False)


def preprocess(pixels: Tensor, config: Mapping, size: int | None = None) -> Tensor:
    """The network's input from gray images.

    Args:
        pixels: uint8 (B, S, S).
        config: image_size, mean and std as in the encoder's config file.
        size: pixels a side of the result, if not the config's image_size.

    Returns:
        float32 (B, 3, size, size) on the device of `pixels`, channels last: resized (bilinear, antialiased),
        scaled to [0, 1], then (x - mean) / std.
    """
    size = size or config["image_size"]
    gray = pixels[:, None].float() / 255
    if gray.shape[-1] != size:
        gray = functional.interpolate(gray, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return normalise(gray, config)


def normalise(gray: Tensor, config: Mapping) -> Tensor:
    """Three normalised channels, (B, 3, S, S), of gray images in [0, 1], (B, 1, S, S)."""
    mean, std = (torch.tensor(config[name], device=gray.device).view(1, 3, 1, 1) for name in ("mean", "std"))
    return ((gray - mean) / std).contiguous(memory_format=torch.channels_last)
