"""Sampling from a generator that makes an image in one pass: in batches, with one random stream per sample."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from synvlp.job import Compute, JobError
from synvlp.models import conditioning, generator, latents
from synvlp.models import device as devices
from synvlp.models.prompts import pad, tokens
from synvlp.store.images import batches


class Sampler:
    """Draws images for prompts with a network that has `size`, `noise` and `draw(noise, states, present)`.

    Every pass has `batch` rows (padded where fewer are wanted), so that a sample's bits do not depend on how many
    others are drawn with it. Its noise comes from its own seed and a random generator on the CPU.
    """

    def __init__(
        self,
        parts: generator.Parts,
        make: Callable[..., torch.nn.Module],
        compute: Compute,
        device: torch.device,
        *,
        temperature: float,
        batch: int,
        size: int | None = None,
    ) -> None:
        """Build the networks and move them to `device`.

        Args:
            parts: the generator as its files hold it.
            make: builds its network from `parts.networks["network"]`.
            compute: number format (autocast).
            device: where to compute.
            temperature: factor of the noise; below 1, samples are more alike and closer to the middle.
            batch: samples per pass.
            size: pixels a side; None: what the generator draws.

        Raises:
            JobError: the parts are not those of such a network, or it draws images of another size.
        """
        self.compute, self.device, self.batch, self.temperature = compute, device, batch, temperature
        self.tokenizer = parts.tokenizer
        self.network = generator.build(parts, "network", make).requires_grad_(False).to(device)
        self.text_encoder = generator.build(parts, "text_encoder", generator.text_encoder)
        self.text_encoder.requires_grad_(False).to(device)
        self.tokenizer.model_max_length = self.text_encoder.config.max_position_embeddings
        if size not in (None, self.network.size):
            raise JobError(f"size = {size}, but this {parts.kind} draws images of {self.network.size} pixels")

    def cut(self, prompts: Sequence[str]) -> tuple[int, int]:
        """How many of the prompts are too long to be read to their end, and how many tokens are read."""
        return tokens(self.tokenizer, prompts)[1], self.tokenizer.model_max_length

    @torch.inference_mode()
    def embed(self, prompts: Sequence[str]) -> torch.Tensor:
        """What is known of each prompt, on the CPU: (len(prompts), tokens, width + 1).

        The last column is 1 where there is a token, and 0 after the prompt's end.
        """
        ids, _ = tokens(self.tokenizer, prompts)
        made = torch.zeros(*ids.shape, self.text_encoder.config.hidden_size + 1)
        for rows in batches(len(ids), self.batch):
            full = torch.cat([ids[rows], ids[rows][:1].expand(self.batch - (rows.stop - rows.start), -1)])
            with devices.autocast(self.compute, self.device):
                states, present = conditioning.read(self.text_encoder, full.to(self.device), whole=True)
            found = torch.cat([states.float(), present[:, :, None].float()], 2).cpu()
            made[rows, : found.shape[1]] = found[: rows.stop - rows.start]
        return made

    def noise(self, seeds: Sequence[int]) -> torch.Tensor:
        """The samples' random numbers, (len(seeds), the network's `noise`): one random generator per seed."""
        drawn = [torch.randn(self.network.noise, generator=torch.Generator("cpu").manual_seed(seed)) for seed in seeds]
        return torch.stack(drawn) * self.temperature

    @torch.inference_mode()
    def make(self, embeddings: torch.Tensor, noise: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Gray images for n ≤ batch embeddings and noises.

        Returns:
            uint8 (n, size, size), and bool (n,): whether all numbers were finite.
        """
        missing = self.batch - len(noise)
        full = torch.cat([embeddings, embeddings[:1].expand(missing, -1, -1)]).to(self.device)
        with devices.autocast(self.compute, self.device):
            made = self.network.draw(pad(noise, self.batch).to(self.device), full[:, :, :-1], full[:, :, -1] > 0)
        return latents.to_gray(made[: len(noise)])

    def draw(self, embeddings: torch.Tensor, seeds: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Images for embeddings (n, tokens, width + 1) and their seeds, batch by batch, as `make` returns them."""
        for rows in batches(len(seeds), self.batch):
            yield self.make(embeddings[rows], self.noise(seeds[rows]))
