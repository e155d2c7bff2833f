"""Training a latent diffusion model on image-text pairs: the loss, the loop's parts, and what comes out of it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from synvlp import job
from synvlp.generators import curves, loop, pairs, samples
from synvlp.generators.options import Denoising
from synvlp.models import device as devices
from synvlp.models import latents, sampler
from synvlp.models import pipeline as pipelines
from synvlp.models.parallel import ALONE, Group
from synvlp.store.images import batches
from synvlp.store.seeds import seed_of

# Times at which the validation loss is measured, evenly spread over the noise schedule.
VALIDATION_TIMES = 4


class Encoded:
    """Pairs as the diffusion model sees them: latents' mean and deviation, and token numbers.

    The autoencoder is frozen, so that each image goes through it once, in one of the processes. Kept in half precision
    on the CPU.
    """

    def __init__(
        self, pipeline: pipelines.Pipeline, data: pairs.Samples, device: torch.device, group: Group = ALONE
    ) -> None:
        vae = pipeline.vae.to(device)
        side = data.pixels.shape[1] // latents.factor(vae)
        shape = (len(data), vae.config.latent_channels, side, side)
        self.mean, self.deviation = (torch.zeros(shape, dtype=torch.float16) for _ in range(2))
        rows = max(1, min(32, sampler.DECODED_PIXELS // data.pixels.shape[1] ** 2))
        for part in job.progress(group.own(list(batches(len(data), rows))), "batches encoded"):
            mean, deviation = latents.encode(vae, torch.from_numpy(data.pixels[part]))
            self.mean[part], self.deviation[part] = mean.half().cpu(), deviation.half().cpu()
        group.total(self.mean)
        group.total(self.deviation)
        self.ids, self.cut = sampler.tokens(pipeline.tokenizer, data.prompt)
        self.empty, _ = sampler.tokens(pipeline.tokenizer, [""])
        if self.cut:
            longest = self.ids.shape[1]
            job.log.warning("%d of %d prompts are longer than %d tokens and were cut", self.cut, len(data), longest)

    def __len__(self) -> int:
        return len(self.ids)

    def latents(self, rows: np.ndarray, noise: torch.Tensor) -> torch.Tensor:
        """Scaled latents of some rows, drawn with `noise` of their shape (B, C, h, w)."""
        mean, deviation = self.mean[rows].to(noise.device), self.deviation[rows].to(noise.device)
        return mean.float() + deviation.float() * noise


def train(
    pipeline: pipelines.Pipeline,
    settings: Denoising,
    inputs: job.Files,
    outputs: pipelines.Files,
    scratch: job.Scratch,
    device: torch.device,
    group: Group = ALONE,
) -> None:
    """Train the pipeline's U-Net and text encoder and write what the jobs here write.

    Args:
        pipeline: the parts; the autoencoder stays as it is.
        settings: objective and loop.
        inputs: with `images`, `studies` and `prompts`.
        outputs: the pipeline's files, `curve`, `curve_picture` and `samples`.
        scratch: where the loop saves its state; removed at the end.
        device: where to compute.
        group: the processes that train together, of which the first writes.
    """
    size = settings.image_size
    train_pairs = pairs.read_pairs(inputs.images, inputs.studies, inputs.prompts, "train", size)
    held_out = pairs.read_pairs(inputs.images, inputs.studies, inputs.prompts, "val", size)
    seen, unseen = (Encoded(pipeline, split, device, group) for split in (train_pairs, held_out))
    pipeline.vae.cpu()
    objective = Objective(pipeline, settings, device, group)
    network = nn.ModuleDict({"unet": pipeline.unet, "text_encoder": pipeline.text_encoder})
    network.requires_grad_(True).to(device, memory_format=torch.channels_last)
    best, curve = loop.fit(
        network,
        settings,
        scratch,
        device,
        lambda net, rows: objective.losses(net, seen, rows),
        lambda net: objective.validate(net, unseen),
        count=len(seen),
        rates={"text_encoder": settings.text_rate},
        group=group,
    )
    if not group.first:
        return
    trained = replace(pipeline, unet=best["unet"].cpu(), text_encoder=best["text_encoder"].cpu())
    pipelines.write(trained, outputs)
    curves.write(curve, outputs.curve)
    curves.draw(curve, outputs.curve_picture)
    written = pipelines.open_files(list(outputs.pipeline().values()))
    draw_samples(written, settings, device, samples.chosen_prompts(settings, held_out, train_pairs), outputs.samples)
    scratch.remove()


class Objective:
    """The diffusion loss for the pipeline's noise schedule and kind of prediction."""

    def __init__(
        self, pipeline: pipelines.Pipeline, settings: Denoising, device: torch.device, group: Group = ALONE
    ) -> None:
        from diffusers import DDPMScheduler

        self.schedule = DDPMScheduler.from_config(dict(pipeline.scheduler.config))
        self.kind = self.schedule.config.prediction_type
        if self.kind not in {"epsilon", "v_prediction"}:
            raise job.JobError(f"the pipeline predicts {self.kind}; epsilon and v_prediction can be trained")
        self.settings, self.device, self.group = settings, device, group
        self.times = self.schedule.config.num_train_timesteps
        self.weights = min_snr_weights(self.schedule.alphas_cumprod, self.kind, settings.min_snr).to(device)

    def losses(self, network: nn.ModuleDict, data: Encoded, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """The training loss of this process's part of some rows; random numbers, for all, from torch's state."""
        shape = (len(rows), *data.mean.shape[1:])
        own = self.group.part(len(rows))
        drawn = torch.randn(shape, device=self.device)
        noise = torch.randn(shape, device=self.device)
        if self.settings.offset_noise:
            noise = noise + self.settings.offset_noise * torch.randn((*shape[:2], 1, 1), device=self.device)
        times = spread_times(len(rows), self.times, self.device)
        dropped = torch.rand(len(rows), device=self.device) < self.settings.unconditional
        ids = torch.where(dropped[own, None], data.empty.to(self.device), data.ids[rows[own]].to(self.device))
        clean = data.latents(rows[own], drawn[own])
        squares = self._squares(network, clean, noise[own], times[own], ids)
        return {"loss": (squares * self.weights[times[own]]).mean(), "square": squares.mean()}

    @torch.inference_mode()
    def validate(self, network: nn.ModuleDict, data: Encoded) -> dict[str, float]:
        """The loss on held-out pairs, each with its own fixed noise at fixed times; nothing where there are none."""
        if not len(data):
            return {}
        losses, squares = torch.zeros(2, VALIDATION_TIMES, len(data))
        for number in range(VALIDATION_TIMES):
            generator = torch.Generator("cpu").manual_seed(seed_of(self.settings.seed, "validation", number))
            noise = torch.randn(data.mean.shape, generator=generator)
            time = int((number + 0.5) / VALIDATION_TIMES * self.times)
            for part in self.group.own(list(batches(len(data), self.settings.batch))):
                rows = np.arange(part.start, part.stop)
                clean = data.latents(rows, torch.zeros_like(noise[part], device=self.device))
                times = torch.full((len(rows),), time, device=self.device)
                with devices.autocast(self.settings, self.device):
                    made = self._squares(
                        network, clean, noise[part].to(self.device), times, data.ids[rows].to(self.device)
                    )
                losses[number, part] = (made * self.weights[times]).cpu()
                squares[number, part] = made.cpu()
        return {name: float(self.group.total(all).mean()) for name, all in (("loss", losses), ("square", squares))}

    def _squares(
        self, network: nn.ModuleDict, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor, ids: torch.Tensor
    ) -> torch.Tensor:
        """Each sample's mean squared error of the prediction (B,), in float32."""
        noisy = self.schedule.add_noise(clean, noise, times)
        target = noise if self.kind == "epsilon" else self.schedule.get_velocity(clean, noise, times)
        text = network["text_encoder"](ids).last_hidden_state
        made = network["unet"](noisy, times, encoder_hidden_states=text, return_dict=False)[0]
        return (made.float() - target).square().mean((1, 2, 3))


def min_snr_weights(alphas: torch.Tensor, kind: str, gamma: float) -> torch.Tensor:
    """Loss weight of each time: min(SNR, γ) over SNR (ε) or over SNR + 1 (v); ones where γ is 0.

    Hang et al., "Efficient Diffusion Training via Min-SNR Weighting Strategy" (2023), section 3.4, where
    SNR = ᾱ / (1 − ᾱ). The weights are scaled to a mean of 1, so that γ leaves the learning rate's meaning alone.

    Args:
        alphas: ᾱ of each time, (T,).
        kind: "epsilon" or "v_prediction".
        gamma: γ.
    """
    if not gamma:
        return torch.ones_like(alphas)
    snr = alphas / (1 - alphas)
    weights = snr.clamp(max=gamma) / (snr if kind == "epsilon" else snr + 1)
    return weights / weights.mean()


def spread_times(count: int, times: int, device: torch.device) -> torch.Tensor:
    """Random times in [0, times), one from each of `count` equal parts, in random order: (count,).

    A batch that covers all noise levels evenly has a loss with less variance than independent draws.
    """
    places = (torch.arange(count) + torch.rand(count)) / count
    drawn = (places * times).long().clamp(max=times - 1)
    return drawn[torch.randperm(count)].to(device)


def draw_samples(
    pipeline: pipelines.Pipeline,
    settings: Denoising,
    device: torch.device,
    prompts: Sequence[tuple[str, int]],
    path: Path,
) -> None:
    """Write a picture of samples, each prompt above its image."""
    made = sampler.Sampler(
        pipeline,
        settings,
        device,
        steps=settings.sample_steps,
        guidance=settings.sample_guidance,
        batch=min(16, len(prompts)),
    )
    texts, seeds = [prompt for prompt, _ in prompts], [seed for _, seed in prompts]
    images = np.concatenate([pixels for pixels, _ in made.draw(made.embed(texts), seeds)])
    samples.draw(images, texts, path)
