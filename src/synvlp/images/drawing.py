"""Drawing samples for prompts: settings, the screening of a single image, and attempts that survive a kill."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from synvlp import job
from synvlp.models import samplers
from synvlp.store import images
from synvlp.store.seeds import seed_of

if TYPE_CHECKING:
    import torch

Key = tuple[str, int]  # study id and number of the draw


class Settings(job.Compute):
    """Settings of every job that draws samples. Which of them a generator reads depends on its kind."""

    seed: int = job.setting(0, "seeds each sample's noise, together with its study id and draw", ge=0)
    copies: int = job.setting(1, "accepted images wanted per study", ge=1)
    steps: int = job.setting(15, "denoising steps of a diffusion model", unit="steps", ge=1)
    guidance: float = job.setting(4.0, "its scale of classifier-free guidance; 1 or less: none", ge=0)
    scheduler: Literal["dpm++", "ddim"] = job.setting("dpm++", "its solver: DPM-Solver++ (2M) or DDIM")
    temperature: float = job.setting(
        1.0, "factor of the noise that a VAE or a GAN starts from; below 1, images are more alike", ge=0
    )
    batch: int = job.setting(32, "samples per pass", unit="samples", ge=1)
    size: int | None = job.setting(
        None, "side of the images; none given: what the generator is made for", unit="pixels", ge=8
    )
    min_deviation: float = job.setting(
        8.0, "an image whose gray levels deviate less is flat", unit="gray levels", ge=0, le=128
    )
    max_saturated: float = job.setting(0.6, "an image with more pixels that are 0 or 255 is saturated", ge=0, le=1)
    max_draws: int = job.setting(4, "draws per wanted image, the first one included", ge=1)


class Drawer:
    """Draws samples and keeps what is done, so that a job that was killed goes on and ends in the same bytes.

    The batches are the same ones after a kill: those that were finished come from the saved state.
    """

    def __init__(
        self,
        sampler: samplers.Sampler,
        prompts: Mapping[str, str],
        settings: Settings,
        scratch: job.Scratch,
    ) -> None:
        """Draw with a sampler for the prompts (study id -> prompt); loads the saved attempts, if there are any."""
        self.sampler, self.prompts, self.settings, self.scratch = sampler, prompts, settings, scratch
        unique = sorted(set(prompts.values()))
        cut, longest = sampler.cut(unique)
        job.log.info("%d studies, %d different prompts", len(prompts), len(unique))
        if cut:
            job.log.warning("%d prompts are longer than %d tokens; their end is not read", cut, longest)
        self.rows = _restore(scratch)
        self._embeddings: dict[str, torch.Tensor] = {}

    def draw(self, wanted: Sequence[Key]) -> list[dict]:
        """Rows of `tables.SHARD` for the wanted draws, in their order; each is judged on its own."""
        made = []
        parts = [wanted[part] for part in images.batches(len(wanted), self.settings.batch)]
        for keys in job.progress(parts, f"batches of {self.settings.batch}"):
            if not all(key in self.rows for key in keys):
                self.rows.update(zip(keys, self._attempt(keys), strict=True))
                self.scratch.checkpoint(self._state, f"after {len(self.rows)} draws")
            made.extend(self.rows[key] for key in keys)
        return made

    def _state(self) -> dict:
        import torch

        data = b"".join(made["image"] for made in self.rows.values())
        return {
            "rows": [{**made, "image": len(made["image"])} for made in self.rows.values()],
            "images": torch.frombuffer(bytearray(data), dtype=torch.uint8),
        }

    def _attempt(self, keys: Sequence[Key]) -> list[dict]:
        import torch

        seeds = [seed_of(self.settings.seed, *key) for key in keys]
        texts = [self.prompts[study_id] for study_id, _ in keys]
        new = sorted(set(texts) - self._embeddings.keys())
        self._embeddings.update(zip(new, self.sampler.embed(new), strict=True))
        embeddings = torch.stack([self._embeddings[text] for text in texts])
        pixels, finite = next(self.sampler.draw(embeddings, seeds))
        return [
            row(key, text, seed, image, bool(good), self.settings)
            for key, text, seed, image, good in zip(keys, texts, seeds, pixels, finite, strict=True)
        ]


def imports_by_name(inputs: job.Files) -> tuple[str, ...]:
    """The module that draws with the generator's files among a job's inputs (see `job.digest_of`)."""
    return (samplers.module_of(inputs.pipeline),)


def next_draws(rows: Sequence[dict], studies: Sequence[str], settings: Settings) -> list[Key]:
    """The draws that are still needed, ordered by study: as many as accepted images are missing, within the limit.

    Args:
        rows: all draws until now.
        studies: the studies for which images are wanted.
        settings: `copies` and `max_draws`.
    """
    tried = dict.fromkeys(studies, 0)
    accepted = dict.fromkeys(studies, 0)
    for made in rows:
        tried[made["study_id"]] += 1
        accepted[made["study_id"]] += made["accepted"]
    needed = []
    for study_id in sorted(studies):
        first = tried[study_id]
        missing = settings.copies - accepted[study_id]
        allowed = settings.copies * settings.max_draws - first
        needed.extend((study_id, first + number) for number in range(min(missing, allowed)))
    return needed


def row(key: Key, prompt: str, seed: int, pixels: np.ndarray, finite: bool, settings: Settings) -> dict:
    """One row of `tables.SHARD` for an image, uint8 (S, S), that was drawn with finite numbers or not."""
    mean, deviation, saturated = float(pixels.mean()), float(pixels.std()), share_saturated(pixels)
    reason = ""
    if not finite:
        reason = "not finite"
    elif deviation < settings.min_deviation:
        reason = "flat"
    elif saturated > settings.max_saturated:
        reason = "saturated"
    return {
        "study_id": key[0],
        "draw": key[1],
        "image": images.encode(pixels),
        "prompt": prompt,
        "seed": seed,
        "accepted": not reason,
        "reason": reason,
        "mean": mean,
        "deviation": deviation,
        "saturated": saturated,
    }


def share_saturated(pixels: np.ndarray) -> float:
    """The share of an image's pixels, uint8, that are 0 or 255."""
    return float(np.mean((pixels == 0) | (pixels == 255)))


def _restore(scratch: job.Scratch) -> dict[Key, dict]:
    state = scratch.load()
    if state is None:
        return {}
    data, start, rows = state["images"].numpy().tobytes(), 0, {}
    for made in state["rows"]:
        end = start + made["image"]
        rows[made["study_id"], made["draw"]] = {**made, "image": data[start:end]}
        start = end
    job.log.info("%d draws were done before", len(rows))
    return rows
