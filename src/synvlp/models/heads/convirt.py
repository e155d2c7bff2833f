"""ConVIRT's heads: a two-layer perceptron for each side, none for regions and words (Zhang et al., 2020)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from synvlp.models import projection


def build(settings: Any, image_channels: Mapping[str, int], text_width: int) -> nn.ModuleDict:
    """The heads with random weights. `settings` has `embedding`."""
    sizes = {"image": image_channels["global"], "report": text_width}
    size = settings.embedding
    return nn.ModuleDict({name: projection.perceptron(width, size, size) for name, width in sizes.items()})


def of_images(heads: Any, image: Mapping[str, Tensor]) -> Tensor:
    """Images in the common space, (B, D), of any length."""
    return heads["image"](image["global"])


def of_texts(heads: Any, text: Mapping[str, Tensor], settings: Any) -> Tensor:
    """Texts in the common space, (B, D), of any length. `settings` has `pooling`."""
    return heads["report"](pool(text["tokens"], text["mask"], settings.pooling))


def pool(tokens: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Maximum or mean of (B, T, H) over the tokens where `mask` (B, T) is True: (B, H)."""
    if pooling == "max":
        return tokens.masked_fill(~mask[..., None], float("-inf")).amax(1)
    return (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
