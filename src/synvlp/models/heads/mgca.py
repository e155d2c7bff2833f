"""MGCA's heads: normed perceptrons for images, reports, patches and words, and prototypes (Wang et al., 2022)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from synvlp.models import precision, projection


def build(settings: Any, image_channels: Mapping[str, int], text_width: int) -> nn.ModuleDict:
    """The heads with random weights. `settings` has `local_layer`, `hidden`, `embedding` and `prototypes`."""
    sizes = {
        "image": image_channels["global"],
        "patch": image_channels[settings.local_layer],
        "report": text_width,
        "word": text_width,
    }
    heads = nn.ModuleDict(
        {
            name: projection.normed_perceptron(width, settings.hidden, settings.embedding)
            for name, width in sizes.items()
        }
    )
    heads["prototypes"] = nn.Linear(settings.embedding, settings.prototypes, bias=False)
    normalise_prototypes(heads)
    return heads


def of_images(heads: Any, image: Mapping[str, Tensor]) -> Tensor:
    """Images in the common space, (B, D), of any length."""
    return heads["image"](image["global"])


def of_texts(heads: Any, text: Mapping[str, Tensor], settings: Any = None) -> Tensor:
    """Texts in the common space, (B, D), of any length, from [CLS]."""
    return heads["report"](text["cls"])


def of_regions(heads: Any, image: Mapping[str, Tensor], settings: Any) -> Tensor:
    """Image patches in the common space, (B, D, H, W). `settings` has `local_layer`."""
    feature_map = image[settings.local_layer]
    patches = projection.on_places(heads["patch"], projection.flat_map(feature_map))
    return patches.transpose(1, 2).unflatten(2, feature_map.shape[2:])


def of_words(heads: Any, text: Mapping[str, Tensor]) -> Tensor:
    """Words in the common space, (B, W, D), zero for padding."""
    return projection.on_present(
        heads["word"], text["words"], precision.presence(text["word_lengths"], text["words"].shape[1])
    )


def normalise_prototypes(heads: Any) -> None:
    """Put the prototypes (back) on the unit sphere."""
    with torch.no_grad():
        weight = heads["prototypes"].weight
        weight.copy_(functional.normalize(weight, dim=1))
