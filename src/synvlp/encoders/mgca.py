"""Pre-train an image and a text encoder with MGCA.

Wang et al., Multi-Granularity Cross-modal Alignment for Generalized Medical Visual Representation Learning, NeurIPS
2022. Images and reports are aligned as wholes, patches and words by attention, and both by shared prototypes.
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
    """Defaults are those of the published code for MIMIC-CXR."""

    image_size: int = job.setting(299, "the network's input; published: crops of 224 px, enlarged", unit="px", ge=32)
    steps: int = job.setting(
        74_000, "updates of the weights; published: 50 epochs of 213,000 pairs", unit="steps", ge=1
    )
    batch: int = job.setting(144, "pairs that are contrasted with each other", unit="pairs", ge=2)
    rate: float = job.setting(2e-5, "highest learning rate", gt=0)
    weight_decay: float = job.setting(0.05, "AdamW's decay of matrices and kernels", ge=0)
    warmup: float = job.setting(0.4, "share of the steps in which the learning rate rises", ge=0, lt=1)
    length: int = job.setting(112, "tokens of the longest text, [CLS] and [SEP] included", unit="tokens", ge=4)
    text_layers: int = job.setting(6, "layers of the text encoder; a given one is cut to these", ge=1)
    sentences: bool = job.setting(False, "read one random sentence of a report at a time instead of all of it")
    local_layer: Literal["layer2", "layer3", "layer4"] = job.setting("layer3", "the feature map of the patches")
    hidden: int = job.setting(2048, "width of the heads' hidden layer", ge=1)
    embedding: int = job.setting(128, "dimensions of the common space", ge=1)
    prototypes: int = job.setting(500, "number of prototypes", ge=2)
    freeze_prototypes: float = job.setting(
        0.02, "share of the steps before prototypes move; published: the first of 50 epochs", ge=0, le=1
    )
    temperature: float = job.setting(0.07, "divides the cosines of images and reports", gt=0)
    local_temperature: float = job.setting(0.1, "divides the cosines of patches and words", gt=0)
    prototype_temperature: float = job.setting(0.2, "divides the cosines to prototypes", gt=0)
    epsilon: float = job.setting(0.05, "divides the cosines from which codes are made; smaller is sharper", gt=0)
    sinkhorn_steps: int = job.setting(3, "iterations that spread a batch's codes over prototypes", ge=1)
    padding_competes: bool = job.setting(False, "let padding be a wrong answer for words, as published")
    global_weight: float = job.setting(1.0, "weight of the loss between images and reports", ge=0)
    local_weight: float = job.setting(1.0, "weight of the losses between patches and words", ge=0)
    prototype_weight: float = job.setting(1.0, "weight of the loss between prototypes", ge=0)


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    trainer.pretrain(METHOD, settings, inputs, outputs)


def losses(
    image_global: "Tensor",
    report_global: "Tensor",
    patches: "Tensor",
    words: "Tensor",
    word_attention: "Tensor",
    word_lengths: "Tensor",
    prototypes: "Tensor",
    *,
    temperature: float = 0.07,
    local_temperature: float = 0.1,
    prototype_temperature: float = 0.2,
    epsilon: float = 0.05,
    sinkhorn_steps: int = 3,
    padding_competes: bool = True,
    group: "Group | None" = None,
) -> dict[str, "Tensor"]:
    """MGCA's losses, each a scalar: `ita` (both directions summed), `word`, `patch`, `prototype` (means of both).

    Args:
        image_global, report_global: (B, D); like all features here of any length, they are normalised inside.
        patches: (B, P, D), all of equal weight.
        words: (B, W, D); words past `word_lengths` are padding, which no patch attends to.
        word_attention: (B, W), zero for padding: how much a report's feature attends to each word.
        word_lengths: int64 (B,), at least 1.
        prototypes: (K, D).
        padding_competes: whether padding is among the wrong answers of the `word` loss, as in the published code.
        group: the processes whose pairs are contrasted and spread over prototypes together, all with equal B and W;
            None: this one. `word` and `patch` look inside pairs, so that each process has those of its own.
    """
    from torch.nn import functional

    from synvlp.encoders import contrast
    from synvlp.models import precision

    tensors = (image_global, report_global, patches, words, word_attention, prototypes)
    with precision.full(*tensors) as widened:
        unit = [functional.normalize(value, dim=-1) for value in (*widened[:4], widened[5])]
        images, reports, patches, words, prototypes = *contrast.gathered(group, *unit[:2]), *unit[2:]
        present = precision.presence(word_lengths, words.shape[1])
        return {
            "ita": sum(contrast.both_ways(images @ reports.T / temperature)),
            "word": word_loss(words, patches, widened[4], present, local_temperature, padding_competes),
            "patch": patch_loss(patches, words, present, local_temperature),
            "prototype": prototype_loss(
                images @ prototypes.T, reports @ prototypes.T, prototype_temperature, epsilon, sinkhorn_steps
            ),
        }


def word_loss(
    words: "Tensor",
    patches: "Tensor",
    attention: "Tensor",
    present: "Tensor",
    temperature: float,
    padding_competes: bool,
) -> "Tensor":
    """Each word against what it attends to among its image's patches, and the other way round (section 3.2).

    Args:
        words, patches: (B, W, D), (B, P, D), normalised.
        attention: (B, W) weights of words, zero for padding.
        present: bool (B, W), False for padding.
    """
    scores = _attended_scores(words, patches, (words @ patches.transpose(1, 2) / temperature).softmax(-1))
    scores = scores / temperature
    if not padding_competes:
        scores = scores.masked_fill(~(present[:, :, None] & present[:, None]), -1e4)
    return _matching(scores, clipped_weights(attention))


def patch_loss(patches: "Tensor", words: "Tensor", present: "Tensor", temperature: float) -> "Tensor":
    """Each patch against what it attends to among its report's words, and the other way round; as `word_loss`."""
    similarity = patches @ words.transpose(1, 2) / temperature
    weights = similarity.masked_fill(~present[:, None], float("-inf")).softmax(-1)
    scores = _attended_scores(patches, words, weights) / temperature
    return _matching(scores, scores.new_full(scores.shape[:2], 1 / scores.shape[1]))


def clipped_weights(attention: "Tensor") -> "Tensor":
    """Word weights: each report's non-zero ones clipped to their own 10 % and 90 % quantiles, summing to 1; (B, W)."""
    import torch

    attention = attention.detach()
    known = attention.masked_fill(attention == 0, float("nan"))
    bounds = torch.tensor([0.1, 0.9], dtype=attention.dtype, device=attention.device)
    low, high = known.nanquantile(bounds, dim=1, keepdim=True)
    clipped = known.clamp(low, high).nan_to_num(0)
    return clipped / clipped.sum(1, keepdim=True).clamp_min(1e-12)


def prototype_loss(
    image_cosines: "Tensor", report_cosines: "Tensor", temperature: float, epsilon: float, steps: int
) -> "Tensor":
    """Each side predicts the other's code (section 3.3, equations 9 and 10), mean of both; cosines are (B, K)."""
    image_codes, report_codes = codes(image_cosines, epsilon, steps), codes(report_cosines, epsilon, steps)
    from_report = -(image_codes * (report_cosines / temperature).log_softmax(1)).sum(1).mean()
    from_image = -(report_codes * (image_cosines / temperature).log_softmax(1)).sum(1).mean()
    return (from_report + from_image) / 2


def codes(cosines: "Tensor", epsilon: float = 0.05, steps: int = 3) -> "Tensor":
    """Soft assignments (B, K) of samples to prototypes, each row summing to 1, prototypes used about equally.

    Sinkhorn and Knopp's iterations (Caron et al., 2020) in logarithms, so that no exponential overflows or vanishes.
    """
    rows = cosines.detach() / epsilon
    for _ in range(steps):
        rows = rows - rows.logsumexp(0, keepdim=True)
        rows = rows - rows.logsumexp(1, keepdim=True)
    return rows.exp()


def build_heads(settings: Settings, image_channels: Mapping[str, int], text_width: int) -> "nn.Module":
    """A normed two-layer head for images, reports, patches and words, and the prototypes."""
    from synvlp.models.heads import mgca

    return mgca.build(settings, image_channels, text_width)


def losses_of(
    heads: Any, image: Mapping[str, "Tensor"], text: Mapping[str, "Tensor"], settings: Settings, group: "Group"
) -> dict[str, "Tensor"]:
    """The losses of one batch from the encoders' features. A report's feature is that of [CLS]."""
    from synvlp.models.heads import mgca

    found = losses(
        mgca.of_images(heads, image),
        mgca.of_texts(heads, text),
        mgca.of_regions(heads, image, settings).flatten(2).transpose(1, 2),
        mgca.of_words(heads, text),
        text["word_attention"],
        text["word_lengths"],
        heads["prototypes"].weight,
        temperature=settings.temperature,
        local_temperature=settings.local_temperature,
        prototype_temperature=settings.prototype_temperature,
        epsilon=settings.epsilon,
        sinkhorn_steps=settings.sinkhorn_steps,
        padding_competes=settings.padding_competes,
        group=group,
    )
    local = settings.local_weight * (found["word"] + found["patch"])
    total = settings.global_weight * found["ita"] + local + settings.prototype_weight * found["prototype"]
    return {"total": total, **found}


def hold_prototypes(heads: Any, share: float, settings: Settings) -> None:
    """Before an update: leave the prototypes as they are in the first part of the training."""
    if share < settings.freeze_prototypes:
        heads["prototypes"].weight.grad = None


def normalise_prototypes(heads: Any) -> None:
    """After an update: put the prototypes back on the unit sphere."""
    from synvlp.models.heads import mgca

    mgca.normalise_prototypes(heads)


def _attended_scores(queries: "Tensor", values: "Tensor", weights: "Tensor") -> "Tensor":
    """Cosines (B, Q, Q) of every query with what every query of the same pair attends to."""
    from torch.nn import functional

    return queries @ functional.normalize(weights @ values, dim=-1).transpose(1, 2)


def _matching(scores: "Tensor", weights: "Tensor") -> "Tensor":
    """Weighted cross entropy against each pair's diagonal, mean of rows and columns; (B, Q, Q) and (B, Q)."""
    own = scores.diagonal(dim1=1, dim2=2)
    missed = (scores.logsumexp(2) + scores.logsumexp(1)) / 2 - own
    return (missed * weights).sum(1).mean()


METHOD = trainer.Method(
    name="mgca",
    module=__name__,
    build_heads=build_heads,
    losses_of=losses_of,
    before_update=hold_prototypes,
    after_update=normalise_prototypes,
    described=("local_layer", "hidden", "embedding", "prototypes", "temperature", "local_temperature"),
)
