"""U-Net on a pre-trained ResNet, and the losses it is trained with."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from synvlp.models import image_encoder

FOCAL_GAMMA = 2.0
FOCAL_WEIGHT = 10.0
SMOOTH = 1.0  # pixels, in the soft Dice
PRIOR = 0.02  # foreground that an untrained decoder predicts everywhere (Lin et al., 2017)


class Decoder(nn.Module):
    """The decoder and the segmentation head of segmentation_models_pytorch's U-Net (Ronneberger et al., 2015)."""

    def __init__(self, architecture: str, channels: Sequence[int], labels: int) -> None:
        super().__init__()
        network = _network(architecture, channels, labels)
        self.decoder, self.head = network.decoder, network.segmentation_head
        # Most pixels are background; from 0.5 everywhere, the first hundred steps would teach nothing else.
        nn.init.constant_(self.head[0].bias, math.log(PRIOR / (1 - PRIOR)))

    def forward(self, maps: list[Tensor], size: int) -> Tensor:
        """Logits (b, labels, size, size) from the five feature maps, fine to coarse."""
        # The decoder reads the input image's height and width, never its content.
        shape = maps[0].new_empty((len(maps[0]), 0, size, size))
        return self.head(self.decoder([shape, *maps]))


def encoder(architecture: str, state: Mapping[str, Tensor], source: Path) -> nn.Module:
    """The U-Net's ResNet with the pre-trained weights. Raises JobError, naming `source`, if they do not fit."""
    network = _network(architecture, (16,) * 5, 1).encoder
    image_encoder.fill(network, state, source)
    return network


def feature_maps(network: nn.Module, images: Tensor) -> list[Tensor]:
    """The encoder's five maps, at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input's side."""
    return network(images)[1:]


def _network(architecture: str, channels: Sequence[int], labels: int) -> nn.Module:
    from segmentation_models_pytorch.decoders.unet import Unet

    return Unet(architecture, encoder_weights=None, decoder_channels=tuple(channels), classes=labels)


class Totals:
    """Sums over pixels from which a segmentation loss is made; batches can be added up.

    The Dice term is that of the whole batch (or split), per label: with one Dice per image an image without
    foreground would weigh as much as one with, and its gradient would vanish as soon as little is predicted.
    """

    def __init__(self, logits: Tensor, masks: Tensor) -> None:
        """`logits` and `masks` (0 or 1): float (b, labels, s, s)."""
        logits = logits.float()
        probability = logits.sigmoid()
        entropy = functional.binary_cross_entropy_with_logits(logits, masks, reduction="none")
        wrong = (probability - masks).abs()  # 1 - the probability of what is true
        self.pixels = float(masks.numel())
        self.entropy = entropy.sum()
        self.focal = (wrong**FOCAL_GAMMA * entropy).sum()
        self.common = (probability * masks).sum((0, 2, 3))
        self.area = (probability + masks).sum((0, 2, 3))

    def __iadd__(self, other: "Totals") -> "Totals":
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self

    def loss(self, kind: str) -> Tensor:
        """The loss.

        focal_dice: 10 focal (gamma 2; Lin et al., 2017) - log Dice, as in the papers.
        bce_dice: binary cross entropy + 1 - Dice.
        Soft Dice of a label: (2 sum(p m) + 1) / (sum(p) + sum(m) + 1); the mean over labels is taken.
        """
        dice = (2 * self.common + SMOOTH) / (self.area + SMOOTH)
        if kind == "focal_dice":
            return FOCAL_WEIGHT * self.focal / self.pixels - torch.log(dice).mean()
        return self.entropy / self.pixels + 1 - dice.mean()
