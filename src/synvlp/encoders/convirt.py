"""Pre-train an image and a text encoder with ConVIRT.

Zhang et al., Contrastive Learning of Medical Visual Representations from Paired Images and Text, 2020
(arXiv 2010.00747). The loss is a cross entropy over the cosines of all pairs of a batch.
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
    """Defaults are those of the paper and its re-implementations for MIMIC-CXR."""

    embedding: int = job.setting(512, "dimensions of the common space", ge=1)
    pooling: Literal["max", "mean"] = job.setting("max", "how token features become one text feature")
    temperature: float = job.setting(0.1, "temperature of the cosines", gt=0)
    image_to_text: float = job.setting(
        0.75, "weight of the image-to-text direction; the other's is 1 minus it", ge=0, le=1
    )


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    trainer.pretrain(METHOD, settings, inputs, outputs)


def loss(
    image_global: "Tensor",
    report_global: "Tensor",
    temperature: float = 0.1,
    weight: float = 0.75,
    group: "Group | None" = None,
) -> "Tensor":
    """ConVIRT's loss (equations 2 to 4), a scalar.

    Args:
        image_global, report_global: (B, D), pair by pair, of any length.
        temperature: divides the cosines.
        weight: of the image-to-text direction; text-to-image has 1 - weight.
        group: the processes whose pairs are contrasted with each other; None: this one.
    """
    from synvlp.encoders import contrast
    from synvlp.models import precision

    with precision.full(image_global, report_global) as both:
        images, reports = contrast.gathered(group, *both)
        to_text, to_image = contrast.both_ways(contrast.cosine_scores(images, reports, temperature))
    return weight * to_text + (1 - weight) * to_image


def build_heads(settings: Settings, image_channels: Mapping[str, int], text_width: int) -> "nn.Module":
    """A two-layer head for each side."""
    from synvlp.models.heads import convirt

    return convirt.build(settings, image_channels, text_width)


def losses_of(
    heads: Any, image: Mapping[str, "Tensor"], text: Mapping[str, "Tensor"], settings: Settings, group: "Group"
) -> dict[str, "Tensor"]:
    """The loss of one batch from the encoders' features."""
    from synvlp.models.heads import convirt

    images, reports = convirt.of_images(heads, image), convirt.of_texts(heads, text, settings)
    return {"total": loss(images, reports, settings.temperature, settings.image_to_text, group)}


METHOD = trainer.Method(
    name="convirt",
    module=__name__,
    build_heads=build_heads,
    losses_of=losses_of,
    described=("embedding", "pooling", "temperature"),
)
