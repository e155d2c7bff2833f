"""GLoRIA's heads, which lead into the text encoder's own space, and its attention (Huang et al., ICCV 2021)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from synvlp.models import precision


def build(settings: Any, image_channels: Mapping[str, int], text_width: int) -> nn.ModuleDict:
    """The heads with random weights: a linear layer for the image and one for its regions.

    `settings` has `local_layer`.
    """
    return nn.ModuleDict(
        {
            "image": nn.Linear(image_channels["global"], text_width),
            "region": nn.Linear(image_channels[settings.local_layer], text_width, bias=False),
        }
    )


def of_images(heads: Any, image: Mapping[str, Tensor]) -> Tensor:
    """Images in the common space, (B, D), of any length."""
    return heads["image"](image["global"])


def of_texts(heads: Any, text: Mapping[str, Tensor], settings: Any = None) -> Tensor:
    """Texts in the common space, (B, D), of any length: the mean of their words."""
    return text["words"].float().sum(1) / text["word_lengths"][:, None]


def of_regions(heads: Any, image: Mapping[str, Tensor], settings: Any) -> Tensor:
    """Image regions in the words' space, (B, D, H, W). `settings` has `local_layer`."""
    return heads["region"](image[settings.local_layer].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def of_words(heads: Any, text: Mapping[str, Tensor]) -> Tensor:
    """Words, (B, W, D), zero for padding: the text encoder's own."""
    return text["words"]


def attention(image_regions: Tensor, words: Tensor, word_lengths: Tensor, attention_temperature: float = 4.0) -> Tensor:
    """Where each word of a report looks in its own image: (B, L, H, W), each map summing to 1, zero for padding.

    Args:
        image_regions: (B, D, H, W).
        words: (B, L, D); words past `word_lengths`, int64 (B,), are padding.
        attention_temperature: a factor.
    """
    with precision.full(image_regions, words) as (regions, words):
        present = precision.presence(word_lengths, words.shape[1])[..., None]
        similarity = words @ regions.flatten(2)  # (B, L, R)
        share = similarity.masked_fill(~present, float("-inf")).softmax(1)
        maps = (attention_temperature * share).softmax(2) * present
    return maps.unflatten(2, image_regions.shape[2:])
