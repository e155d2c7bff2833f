"""Train a text-conditional variational autoencoder on a corpus's image-text pairs.

A ladder of latents whose priors read the prompt through a small CLIP text encoder (`models.vae`). It is trained to
reconstruct images from latents of its posteriors and to keep these close to the priors; it draws an image in one pass
of the decoder, with latents of the priors.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from synvlp import job
from synvlp.generators import options
from synvlp.models import generator

if TYPE_CHECKING:
    from synvlp.models import vae


class Settings(options.Prompted):
    steps: int = job.setting(700, "optimizer steps", unit="steps", ge=1)
    batch: int = job.setting(32, "images per pass", unit="images", ge=1)
    rate: float = job.setting(3e-3, "highest learning rate; it rises linearly, then falls as a cosine to 0", gt=0)
    channels: options.Channels = job.setting(
        [16, 32, 48, 64, 64], "channels per scale: the first has half the image's sides, each further half of that",
        min_length=1,
    )  # fmt: skip
    latents: options.Channels = job.setting(
        [24, 6], "channels of the latents of the coarsest scales, the coarsest first", min_length=1
    )
    groups: int = job.setting(4, "groups of the normalization; divides each of `channels`", ge=1)
    heads: int = job.setting(4, "attention heads of the scales with latents; divides their channels", ge=1)
    edges: float = job.setting(0.5, "weight of the absolute error of the differences between neighbouring pixels", ge=0)
    divergence: float = job.setting(0.15, "weight β of the divergence of posteriors from priors, per pixel", ge=0)
    divergence_warmup: int = job.setting(150, "steps over which β rises from 0", unit="steps", ge=0)
    free: float = job.setting(0.5, "divergence of a channel of latents that costs nothing", unit="nats", ge=0)

    def check(self) -> None:
        """Whether the scales fit the images, the normalization and the attention."""
        options.Prompted.check(self)
        if len(self.latents) > len(self.channels):
            raise job.Misfit("latents", self.latents, f"are of more scales than channels has, {len(self.channels)}")
        options.check_scales(self, self.channels, self.groups, self.heads, len(self.latents))


class Inputs(job.Files):
    images: Path = job.file("images of the corpus (Parquet)")
    studies: Path = job.file("studies of the corpus (Parquet)")
    prompts: Path = job.file("prompts of the corpus (Parquet)")


class Outputs(generator.Trained):
    pass


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Train on the split train, validate on val."""
    import torch

    from synvlp.generators import loop, prompted, variational, vocabulary
    from synvlp.models import device as devices
    from synvlp.models import parallel, vae

    group = parallel.join(settings)
    device = devices.prepare(settings)
    network = build(settings)
    seen, held_out = prompted.read(settings, inputs)
    tokenizer = vocabulary.train(seen.prompt, settings.vocabulary, settings.tokens)
    text_encoder = vocabulary.text_encoder(settings, tokenizer)
    both = torch.nn.ModuleDict({"network": network, "text_encoder": text_encoder}).to(device)
    data, unseen = (prompted.tokenized(tokenizer, split) for split in (seen, held_out))
    objective = variational.Objective(settings, device, group)
    scratch = job.Scratch(__name__, settings, inputs)
    best, curve = loop.fit(
        both,
        settings,
        scratch,
        device,
        lambda net, rows: objective.losses(net, data, rows),
        lambda net: objective.validate(net, unseen),
        count=len(data),
        rates={"text_encoder": settings.text_rate},
        group=group,
        before=objective.at_step,
    )
    if not group.first:
        return
    prompted.write("vae", described(settings), best.cpu(), tokenizer, curve, outputs)
    prompted.draw_samples(vae.Network, settings, device, held_out, seen, outputs)
    scratch.remove()


def build(settings: Settings) -> "vae.Network":
    """The network before it is trained, with weights from the seed."""
    import torch

    from synvlp.models import vae
    from synvlp.store.seeds import seed_of

    torch.manual_seed(seed_of(settings.seed, "vae"))
    return vae.Network(**described(settings))


def described(settings: Settings) -> dict[str, Any]:
    """The settings with which `models.vae.Network` is built."""
    return {
        "size": settings.image_size,
        "channels": settings.channels,
        "latents": settings.latents,
        "width": settings.text_width,
        "groups": settings.groups,
        "heads": settings.heads,
    }
