"""Train a text-conditional generative adversarial network on a corpus's image-text pairs.

A generator whose scales attend to the prompt's words, against a discriminator that judges an image together with its
text by projection (`models.gan`). Each has a small CLIP text encoder of its own. What is kept is the moving average of
the generator; it draws an image in one pass.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synvlp import job
from synvlp.generators import options
from synvlp.models import generator

if TYPE_CHECKING:
    from torch import nn


class Settings(options.Prompted):
    steps: int = job.setting(700, "steps of each player", unit="steps", ge=1)
    batch: int = job.setting(16, "real images per step, and as many drawn ones", unit="images", ge=1)
    accumulation: int = job.setting(1, "passes per step; more than one is not offered", unit="passes", ge=1, le=1)
    rate: float = job.setting(1e-3, "highest learning rate; it rises linearly, then falls as a cosine to 0", gt=0)
    discriminator_rate: float = job.setting(1.0, "learning rate of the discriminator, as a multiple of `rate`", gt=0)
    weight_decay: float = job.setting(0.0, "AdamW's weight decay", ge=0)
    clip: float = job.setting(0.0, "largest norm of each player's gradient; 0: not limited", ge=0)
    average: float = job.setting(
        0.995, "highest decay of the generator's moving average; 0: the last weights", ge=0, lt=1
    )
    loss: Literal["relativistic", "logistic", "hinge"] = job.setting("relativistic", "what both players minimize")
    mismatch: float = job.setting(
        0.5, "share of real images with texts of others in what the discriminator must refuse", ge=0, le=1
    )
    penalty: float = job.setting(0.05, "weight γ of the penalties R1 and R2; 0: none", ge=0)
    penalty_every: int = job.setting(8, "steps from one penalty to the next, which counts for all between", ge=1)
    diversity: float = job.setting(
        2.0, "weight of what keeps two images of one text, with different noise, apart; 0: none", ge=0
    )
    apart: float = job.setting(
        0.5, "how far apart that weight wants them, as a multiple of the distance of two real images", gt=0
    )
    brightness: float = job.setting(0.1, "augmentation: largest change of brightness, on [-1, 1]", ge=0)
    contrast: float = job.setting(0.1, "augmentation: largest change of contrast, as a share", ge=0, lt=1)
    translation: float = job.setting(0.05, "augmentation: largest shift, as a share of the side", ge=0, le=0.5)
    cutout: float = job.setting(0.0, "augmentation: side of a black square, as a share; 0: none", ge=0, lt=1)
    channels: options.Channels = job.setting(
        [16, 32, 48, 64], "channels per scale; the first has half the image's sides, each further one half of those",
        min_length=1,
    )  # fmt: skip
    vector: int = job.setting(32, "length of the noise that all places share", ge=1)
    attending: int = job.setting(3, "how many scales of the generator, the coarsest first, attend to the words", ge=0)
    groups: int = job.setting(4, "groups of the generator's normalization; divides each of `channels`", ge=1)
    heads: int = job.setting(4, "attention heads of these scales; divides their channels", ge=1)
    features: int = job.setting(128, "length of the discriminator's features, which the text is compared with", ge=1)

    def check(self) -> None:
        """Whether the scales fit the images, the normalization and the attention."""
        options.Prompted.check(self)
        if self.attending > len(self.channels):
            raise job.Misfit("attending", self.attending, f"is more than the scales of channels, {len(self.channels)}")
        options.check_scales(self, self.channels, self.groups, self.heads, self.attending)


class Inputs(job.Files):
    images: Path = job.file("images of the corpus (Parquet)")
    studies: Path = job.file("studies of the corpus (Parquet)")
    prompts: Path = job.file("prompts of the corpus (Parquet)")


class Outputs(generator.Trained):
    pass


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Train on the split train, validate on val."""
    from synvlp.generators import adversarial, prompted, vocabulary
    from synvlp.models import device as devices
    from synvlp.models import gan, parallel

    group = parallel.join(settings)
    device = devices.prepare(settings)
    seen, held_out = prompted.read(settings, inputs)
    tokenizer = vocabulary.train(seen.prompt, settings.vocabulary, settings.tokens)
    players = build(settings, tokenizer).to(device)
    data, unseen = (prompted.tokenized(tokenizer, split) for split in (seen, held_out))
    scratch = job.Scratch(__name__, settings, inputs)
    best, curve = adversarial.fit(players, settings, scratch, device, data, unseen, group)
    if not group.first:
        return
    prompted.write("gan", described(settings), best.cpu(), tokenizer, curve, outputs)
    prompted.draw_samples(gan.Generator, settings, device, held_out, seen, outputs)
    scratch.remove()


def build(settings: Settings, tokenizer: Any) -> "nn.ModuleDict":
    """Both players before they are trained, each a network and a text encoder, with weights from the seed."""
    import torch

    from synvlp.generators import vocabulary
    from synvlp.models import gan
    from synvlp.store.seeds import seed_of

    texts = {side: vocabulary.text_encoder(settings, tokenizer, side) for side in ("generator", "discriminator")}
    torch.manual_seed(seed_of(settings.seed, "gan"))
    networks = {
        "generator": gan.Generator(**described(settings)),
        "discriminator": gan.Discriminator(
            settings.image_size, settings.channels, settings.features, settings.text_width
        ),
    }
    return torch.nn.ModuleDict(
        {
            side: torch.nn.ModuleDict({"network": network, "text_encoder": texts[side]})
            for side, network in networks.items()
        }
    )


def described(settings: Settings) -> dict[str, Any]:
    """The settings with which `models.gan.Generator` is built."""
    return {
        "size": settings.image_size,
        "channels": settings.channels,
        "vector": settings.vector,
        "width": settings.text_width,
        "groups": settings.groups,
        "heads": settings.heads,
        "words": settings.attending,
    }
