"""Sampling from a text-to-image pipeline: in batches, deterministic, one random stream per sample."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch

from synvlp.job import Compute, JobError
from synvlp.models import device as devices
from synvlp.models import latents as latent
from synvlp.models.pipeline import Pipeline
from synvlp.models.prompts import pad, tokens
from synvlp.store.images import batches

# Latents are decoded so many image pixels at a time: a 512-pixel decoder needs a thousand times the memory of
# the latents that it decodes.
DECODED_PIXELS = 2**21

Kind = Literal["dpm++", "ddim"]


class Sampler:
    """Draws images for prompts.

    Every pass through a network has `batch` rows (padded where fewer are wanted), so that a sample's bits do not
    depend on how many others are drawn with it. Its noise comes from its own seed and a generator on the CPU.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        compute: Compute,
        device: torch.device,
        *,
        steps: int,
        guidance: float,
        kind: Kind = "dpm++",
        batch: int = 32,
        size: int | None = None,
    ) -> None:
        """Move the pipeline's networks to `device` and fix how they are used.

        Args:
            pipeline: the networks; they are moved, not copied.
            compute: number format (autocast).
            device: where to compute.
            steps: denoising steps.
            guidance: scale w of classifier-free guidance, e = e(∅) + w (e(c) − e(∅)); without it where w ≤ 1.
            kind: DPM-Solver++ of second order, 2M (Lu et al. 2022), or DDIM with η = 0 (Song et al. 2021).
            batch: samples per pass.
            size: pixels a side; None: what the U-Net was trained for.

        Raises:
            JobError: `size` is no multiple of what the autoencoder shrinks by.
        """
        self.pipeline, self.compute, self.device = pipeline, compute, device
        self.steps, self.guidance, self.batch = steps, guidance, batch
        self.scheduler = make_scheduler(pipeline, kind)
        self.factor = latent.factor(pipeline.vae)
        self.size = size or pipeline.unet.config.sample_size * self.factor
        if self.size % self.factor:
            raise JobError(f"size = {self.size} is not a multiple of {self.factor}, by which the autoencoder shrinks")
        for network in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
            network.eval().requires_grad_(False).to(device)
        self._unconditional = self.embed([""])[0]

    @torch.inference_mode()
    def embed(self, prompts: Sequence[str]) -> torch.Tensor:
        """Text embeddings on the CPU: (len(prompts), tokens, width). Longer prompts are cut."""
        ids, _ = tokens(self.pipeline.tokenizer, prompts)
        parts = []
        for rows in batches(len(ids), self.batch):
            full = pad(ids[rows], self.batch).to(self.device)
            with devices.autocast(self.compute, self.device):
                made = self.pipeline.text_encoder(full).last_hidden_state
            parts.append(made[: rows.stop - rows.start].float().cpu())
        return torch.cat(parts) if parts else torch.empty(0, ids.shape[1], 0)

    def noise(self, seeds: Sequence[int]) -> torch.Tensor:
        """The samples' initial latents: (len(seeds), channels, height, width), one generator per seed."""
        side = self.size // self.factor
        shape = (self.pipeline.unet.config.in_channels, side, side)
        drawn = [torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed)) for seed in seeds]
        return torch.stack(drawn)

    @torch.inference_mode()
    def denoise(self, embeddings: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """From noise to latents, both (n ≤ batch, channels, height, width), for embeddings (n, tokens, width)."""
        count = len(noise)
        state = pad(noise, self.batch).to(self.device)
        text = pad(embeddings, self.batch).to(self.device)
        guided = self.guidance > 1
        if guided:
            empty = self._unconditional.to(self.device).expand_as(text)
            text = torch.cat([empty, text])
        self.scheduler.set_timesteps(self.steps, device=self.device)
        state = state * self.scheduler.init_noise_sigma
        for time in self.scheduler.timesteps:
            twice = torch.cat([state, state]) if guided else state
            twice = self.scheduler.scale_model_input(twice, time)
            with devices.autocast(self.compute, self.device):
                made = self.pipeline.unet(twice, time, encoder_hidden_states=text, return_dict=False)[0]
            made = made.float()
            if guided:
                without, with_text = made.chunk(2)
                made = without + self.guidance * (with_text - without)
            state = self.scheduler.step(made, time, state, return_dict=False)[0]
        return state[:count]

    @torch.inference_mode()
    def decode(self, state: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Latents (n, channels, height, width) to gray images.

        Returns:
            uint8 (n, size, size), and bool (n,): whether all numbers were finite.
        """
        rows = max(1, min(self.batch, DECODED_PIXELS // self.size**2))
        images, finite = [], []
        for part in batches(len(state), rows):
            full = pad(state[part], rows) / self.pipeline.vae.config.scaling_factor
            decoded = self.pipeline.vae.decode(full, return_dict=False)[0]
            gray, good = latent.to_gray(decoded[: part.stop - part.start])
            images.append(gray)
            finite.append(good)
        return np.concatenate(images), np.concatenate(finite)

    def draw(self, embeddings: torch.Tensor, seeds: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Images for embeddings (n, tokens, width) and their seeds, batch by batch, as `decode` returns them."""
        for rows in batches(len(seeds), self.batch):
            yield self.decode(self.denoise(embeddings[rows], self.noise(seeds[rows])))


def make_scheduler(pipeline: Pipeline, kind: Kind) -> object:
    """The sampler's solver for the noise schedule that the pipeline was trained with."""
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

    config = dict(pipeline.scheduler.config)
    if kind == "ddim":
        return DDIMScheduler.from_config(config, clip_sample=False, thresholding=False)
    return DPMSolverMultistepScheduler.from_config(
        config, algorithm_type="dpmsolver++", solver_order=2, solver_type="midpoint", thresholding=False
    )
