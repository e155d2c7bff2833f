"""Pre-train an image and a text encoder with GLoRIA.

Huang et al., GLoRIA: A Multimodal Global-Local Representation Learning Framework for Label-efficient Medical Image
Recognition, ICCV 2021. A global loss over images and reports, and a local one over image regions and words.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from synvlp import job
from synvlp.encoders import trainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from synvlp.models.parallel import Group

Inputs = trainer.Inputs
Outputs = trainer.Outputs


class Settings(trainer.Training):
    """Defaults are those of the published code for MIMIC-CXR; it trains with Adam, which beta1 follows."""

    image_size: int = job.setting(299, "the network's input; published: crops of 224 px, enlarged", unit="px", ge=32)
    steps: int = job.setting(
        222_000, "updates of the weights; published: 50 epochs of 213,000 pairs", unit="steps", ge=1
    )
    batch: int = job.setting(48, "pairs that are contrasted with each other", unit="pairs", ge=2)
    rate: float = job.setting(5e-5, "highest learning rate", gt=0)
    beta1: float = job.setting(0.5, "decay of AdamW's mean gradient", ge=0, lt=1)
    clip: float = job.setting(0.25, "longest gradient; 0 for any length", ge=0)
    length: int = job.setting(97, "tokens of the longest text, [CLS] and [SEP] included", unit="tokens", ge=4)
    local_layer: Literal["layer2", "layer3", "layer4"] = job.setting("layer3", "the feature map of the regions")
    last_layers: int = job.setting(4, "how many of the text encoder's last layers are summed", ge=1)
    attention_temperature: float = job.setting(4.0, "multiplies the attention of words to regions", gt=0)
    word_temperature: float = job.setting(5.0, "multiplies the cosines of words and what they attend to", gt=0)
    temperature: float = job.setting(10.0, "multiplies the scores of images and reports", gt=0)
    local_weight: float = job.setting(1.0, "weight of the local losses", ge=0)
    global_weight: float = job.setting(1.0, "weight of the global losses", ge=0)


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    trainer.pretrain(METHOD, settings, inputs, outputs)


def losses(
    image_regions: "Tensor",
    words: "Tensor",
    word_lengths: "Tensor",
    image_global: "Tensor",
    report_global: "Tensor",
    *,
    attention_temperature: float = 4.0,
    word_temperature: float = 5.0,
    temperature: float = 10.0,
    group: "Group | None" = None,
) -> dict[str, "Tensor"]:
    """GLoRIA's four cross entropies (equations 3 to 8), each a scalar.

    Args:
        image_regions: (B, D, H, W).
        words: (B, L, D); words past `word_lengths` are padding and have no part in anything.
        word_lengths: int64 (B,), at least 1.
        image_global, report_global: (B, D), of any length.
        attention_temperature, word_temperature, temperature: factors, not divisors.
        group: the processes whose pairs are contrasted with each other, all with equal B and L; None: this one.
            Each scores its own images with all reports.

    Returns:
        local_image_to_text, local_text_to_image, global_image_to_text, global_text_to_image.
    """
    from synvlp.encoders import contrast
    from synvlp.models import precision

    tensors = (image_regions, words, image_global, report_global)
    with precision.full(*tensors) as (regions, *others):
        words, word_lengths, images, reports = contrast.gathered(group, others[0], word_lengths, *others[1:])
        own = local_scores(regions, words, word_lengths, attention_temperature, word_temperature)
        (scores,) = contrast.gathered(group, own)
        local = contrast.both_ways(scores * temperature)
        overall = contrast.both_ways(contrast.cosine_scores(images, reports, 1 / temperature))
    names = ("local_image_to_text", "local_text_to_image", "global_image_to_text", "global_text_to_image")
    return dict(zip(names, (*local, *overall), strict=True))


def local_scores(
    image_regions: "Tensor",
    words: "Tensor",
    word_lengths: "Tensor",
    attention_temperature: float = 4.0,
    word_temperature: float = 5.0,
) -> "Tensor":
    """How well the words of each of K reports match the regions of each of B images: (B, K).

    log Σ exp(word_temperature cosine) over a report's words (equation 6); arguments as in `losses`.
    """
    from synvlp.encoders import attended
    from synvlp.models import precision

    packed = words[precision.presence(word_lengths, words.shape[1])]
    regions = image_regions.flatten(2).transpose(1, 2).contiguous()
    cosine = attended.AttendedCosine.apply(packed, regions, word_lengths, attention_temperature)
    _, members = attended.caption_of(word_lengths, packed)
    return (members @ (word_temperature * cosine).exp()).log().T


def build_heads(settings: Settings, image_channels: Mapping[str, int], text_width: int) -> "nn.Module":
    """One linear layer for the image and one for its regions, into the text encoder's own space."""
    from synvlp.models.heads import gloria

    return gloria.build(settings, image_channels, text_width)


def losses_of(
    heads: Any, image: Mapping[str, "Tensor"], text: Mapping[str, "Tensor"], settings: Settings, group: "Group"
) -> dict[str, "Tensor"]:
    """The losses of one batch from the encoders' features. A report's feature is the mean of its words."""
    from synvlp.models.heads import gloria

    found = losses(
        gloria.of_regions(heads, image, settings),
        gloria.of_words(heads, text),
        text["word_lengths"],
        gloria.of_images(heads, image),
        gloria.of_texts(heads, text),
        attention_temperature=settings.attention_temperature,
        word_temperature=settings.word_temperature,
        temperature=settings.temperature,
        group=group,
    )
    local = found["local_image_to_text"] + found["local_text_to_image"]
    overall = found["global_image_to_text"] + found["global_text_to_image"]
    return {"total": settings.local_weight * local + settings.global_weight * overall, **found}


METHOD = trainer.Method(
    name="gloria",
    module=__name__,
    build_heads=build_heads,
    losses_of=losses_of,
    described=("local_layer", "attention_temperature", "word_temperature", "temperature"),
)
