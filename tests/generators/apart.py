"""What the generators' trainings compute, for test_distributed.py: as the only process, or as one of several, with

    python tests/generators/apart.py CASES RESULTS

CASES is JSON: settings and inputs of each training. Process 0 writes the RESULTS.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from synvlp import job
from synvlp.generators import (
    adversarial,
    autoencoder,
    denoising,
    diffusion,
    loop,
    pairs,
    prompted,
    variational,
    vocabulary,
)
from synvlp.generators.kinds import gan, vae
from synvlp.models import device, parallel
from synvlp.models import pipeline as pipelines

CPU = torch.device("cpu")
KINDS = {"autoencoder": autoencoder, "diffusion": diffusion, "vae": vae, "gan": gan}


def measured(name: str, settings: job.Distributed, inputs: job.Files, group: parallel.Group) -> dict:
    """Losses, gradients, averaged weights and curve of a training in double precision; of a GAN the last two.

    Where several processes train, the last one is asked to stop after the first step, and all go on from there.
    """
    with exact():
        scratch = job.Scratch(KINDS[name].__name__, settings, inputs)
        if name == "gan":
            players, seen, unseen = of_players(settings, inputs)
            return kept(players, lambda: adversarial.fit(players, settings, scratch, CPU, seen, unseen, group), group)
        parts = {"autoencoder": of_images, "diffusion": of_latents, "vae": of_texts}[name]
        network, loss_of, validate, count = parts(settings, inputs, group)
        rows = loop.batch_rows(count, settings.batch, 0, settings.seed)
        torch.manual_seed(0)
        with group.dropout():
            losses = loss_of(network, rows)
        losses["loss"].backward()
        group.average_gradients(network.parameters())
        found = {f"loss {name}": value for name, value in group.means(losses).items()}
        found |= {f"gradient {name}": value.grad for name, value in network.named_parameters()}
        return found | kept(
            network,
            lambda: loop.fit(network, settings, scratch, CPU, loss_of, validate, count=count, group=group),
            group,
        )


def kept(network: torch.nn.Module, train: Callable[[], tuple], group: parallel.Group) -> dict:
    """What a training keeps, which is stopped and begun anew where there are several processes."""
    if group.size > 1:
        first = {name: value.clone() for name, value in network.state_dict().items()}
        with mock.patch.object(job._asked, "signal", "" if group.first else "SIGTERM"):
            try:
                train()
            except job.Stopped as stopped:
                print(f"process {group.rank}: {stopped}")
            torch.distributed.barrier()
        network.load_state_dict(first)
    average, curve = train()
    found = {f"weight {name}": value for name, value in average.state_dict().items()}
    return found | {f"curve {row['step']} {row['phase']} {row['name']}": torch.tensor(row["value"]) for row in curve}


@contextmanager
def exact() -> Iterator[None]:
    """Whatever is made or narrowed to single precision is of double precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with (
            mock.patch.object(torch.Tensor, "float", torch.Tensor.double),
            mock.patch.object(torch.Tensor, "half", torch.Tensor.double),
        ):
            yield
    finally:
        torch.set_default_dtype(before)


def of_images(settings, inputs, group):
    """The autoencoder with its losses, as `autoencoder.run` has them."""
    train, held_out = (
        pairs.read_images(inputs.images, inputs.studies, split, settings.image_size) for split in ("train", "val")
    )
    pixels = torch.from_numpy(train.pixels)

    def loss_of(net: torch.nn.ModuleDict, rows: np.ndarray) -> dict[str, torch.Tensor]:
        own = pixels[rows[group.part(len(rows))]]
        return autoencoder.losses(net["vae"], own, settings.divergence, settings.edges, group)

    def validate(net: torch.nn.ModuleDict) -> dict[str, float]:
        return autoencoder._error(net["vae"], held_out.pixels, 1, group)

    return torch.nn.ModuleDict({"vae": autoencoder.build(settings)}), loss_of, validate, len(train)


def of_latents(settings, inputs, group):
    """U-Net and text encoder with their losses, as `denoising.train` has them."""
    size = settings.image_size
    train, held_out = (
        pairs.read_pairs(inputs.images, inputs.studies, inputs.prompts, split, size) for split in ("train", "val")
    )
    vae = pipelines.open_autoencoder(inputs.autoencoder_config, inputs.autoencoder_weights).double()
    pipeline = diffusion.build(settings, vae, train.prompt)
    pipeline.text_encoder.config.attention_dropout = 0.1
    with mock.patch("synvlp.models.sampler.DECODED_PIXELS", size**2):
        seen, unseen = (denoising.Encoded(pipeline, samples, CPU, group) for samples in (train, held_out))
    objective = denoising.Objective(pipeline, settings.model_copy(update={"batch": 2}), CPU, group)
    network = torch.nn.ModuleDict({"unet": pipeline.unet, "text_encoder": pipeline.text_encoder})
    return (
        network.requires_grad_(True),
        lambda net, rows: objective.losses(net, seen, rows),
        lambda net: objective.validate(net, unseen),
        len(seen),
    )


def of_texts(settings, inputs, group):
    """The variational autoencoder and its text encoder with their losses, as `vae.run` has them."""
    train, held_out = prompted.read(settings, inputs)
    tokenizer = vocabulary.train(train.prompt, settings.vocabulary, settings.tokens)
    seen, unseen = (prompted.tokenized(tokenizer, split) for split in (train, held_out))
    objective = variational.Objective(settings.model_copy(update={"batch": 2}), CPU, group)
    network = torch.nn.ModuleDict(
        {"network": vae.build(settings), "text_encoder": vocabulary.text_encoder(settings, tokenizer)}
    )
    return (
        network,
        lambda net, rows: objective.losses(net, seen, rows),
        lambda net: objective.validate(net, unseen),
        len(seen),
    )


def of_players(settings, inputs):
    """Both players of the GAN and its pairs, as `gan.run` has them."""
    train, held_out = prompted.read(settings, inputs)
    tokenizer = vocabulary.train(train.prompt, settings.vocabulary, settings.tokens)
    return gan.build(settings, tokenizer), *(prompted.tokenized(tokenizer, split) for split in (train, held_out))


def main(cases: Path, results: Path) -> None:
    group = None
    found = {}
    for name, case in json.loads(cases.read_text()).items():
        settings, inputs = KINDS[name].Settings(**case["settings"]), KINDS[name].Inputs(**case["inputs"])
        group = group or parallel.join(settings)
        device.prepare(settings)
        found[name] = measured(name, settings, inputs, group)
    if group.first:
        torch.save(found, results)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
