"""Measure how much images of one prompt differ: MS-SSIM between them, between prompts, and between real images.

A generator that draws one image per prompt, whatever the noise, is near 1 within a prompt. One that does not listen
to its prompts is as far within them as between them.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.images.quality import results, similarity
from synvlp.store import images, tables
from synvlp.store.seeds import seed_of


class Settings(job.Settings):
    size: int | None = job.setting(
        None, "side at which all images are compared; none given: that of the drawn ones", unit="pixels", ge=11
    )
    pairs: int = job.setting(200, "pairs of real images, and of images of different prompts, at most", ge=2)
    real_splits: list[job.Split] = job.setting(["val", "test"], "splits of the real images", min_length=1)
    resamples: int = job.setting(1000, "bootstrap resamples of prompts and of pairs", ge=0, le=10_000)
    seed: int = job.setting(0, "seeds the pairs and the resamples", ge=0)
    cpu_threads: int = job.setting(1, "CPU threads of the job", unit="threads", ge=1)


class Inputs(job.Files):
    repeats: Path = job.file("several images of each chosen prompt (Parquet)")
    real_images: Path = job.file("images of the generator's corpus (Parquet)")
    studies: Path = job.file("studies of the generator's corpus (Parquet)")


class Outputs(job.Files):
    diversity: Path = job.file("measures with intervals (JSON)")
    by_prompt: Path = job.file("mean MS-SSIM of each prompt's images (CSV)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Measure. Raises JobError if no prompt has two images, or there are no two real patients."""
    import torch

    torch.set_num_threads(settings.cpu_threads)
    frame = tables.read(inputs.repeats, tables.SHARD, ["study_id", "draw", "image", "accepted"])
    frame = frame[frame["accepted"].astype(bool)].sort_values(["study_id", "draw"], ignore_index=True)
    drawn = [images.decode(data) for data in frame["image"]]
    if not drawn:
        raise job.JobError(f"{inputs.repeats} holds no accepted image")
    size = settings.size or max(drawn[0].shape)
    drawn = np.stack([images.resize(pixels, size) for pixels in drawn])
    studies = frame["study_id"].to_numpy()
    by_prompt = within(drawn, studies)
    if by_prompt.empty:
        raise job.JobError(f"{inputs.repeats}: no prompt has two accepted images; draw more images per prompt")
    real, skipped = _real(settings, inputs, size)
    names = ("real pairs", "pairs of prompts")
    others = [disjoint(*chosen, settings, name) for chosen, name in zip((real, (drawn, studies)), names, strict=True)]
    prompts, pairs, between = (
        _mean(values, settings, name)
        for values, name in ((by_prompt["ms_ssim"].to_numpy(), "prompts"), *zip(others, names, strict=True))
    )
    measures = [
        results.Measure("ms_ssim", "", "images of one prompt", prompts, pairs, "real"),
        results.Measure("ms_ssim", "", "images of different prompts", between, pairs, "real"),
    ]
    scales = len(similarity.scales(size))
    counts = {"prompts": len(by_prompt), "images": len(drawn), "size": size, "scales": scales, "unreadable": skipped}
    results.write(outputs.diversity, measures, counts, [f"MS-SSIM at {size} pixels with {scales} of five scales."])
    tables.write_csv(by_prompt, outputs.by_prompt)
    job.log.info("%d prompts, %d images, %d scales at %d pixels", len(by_prompt), len(drawn), scales, size)


def within(drawn: np.ndarray, studies: np.ndarray) -> pd.DataFrame:
    """Mean MS-SSIM over all pairs of each prompt's images: study_id, images, ms_ssim; prompts with one are left out.

    Args:
        drawn: uint8 (n, S, S).
        studies: (n,), whose prompt each was drawn for.
    """
    pairs = [pair for study in dict.fromkeys(studies) for pair in combinations(np.flatnonzero(studies == study), 2)]
    if not pairs:
        return pd.DataFrame(columns=["study_id", "images", "ms_ssim"])
    first, second = np.array(pairs).T
    found = pd.DataFrame({"study_id": studies[first], "ms_ssim": similarity.ms_ssim(drawn[first], drawn[second])})
    means = found.groupby("study_id", sort=True, as_index=False)["ms_ssim"].mean()
    counts = means["study_id"].map(pd.Series(studies).value_counts())
    return means.assign(images=counts)[["study_id", "images", "ms_ssim"]]


def disjoint(pixels: np.ndarray, owners: np.ndarray, settings: Settings, name: str) -> np.ndarray:
    """MS-SSIM of pairs of different owners, each of whom is in one pair only, so that pairs are independent: (n,).

    Of each owner one image is chosen, by its place in a drawn order.
    """
    generator = np.random.default_rng(seed_of(settings.seed, name))
    order = generator.permutation(len(pixels))
    _, first = np.unique(owners[order].astype(str), return_index=True)
    chosen = order[np.sort(first)]
    count = min(len(chosen) // 2, settings.pairs)
    if not count:
        raise job.JobError(f"there are no two images of different owners for {name}")
    return similarity.ms_ssim(pixels[chosen[:count]], pixels[chosen[count : 2 * count]])


def _mean(values: np.ndarray, settings: Settings, name: str) -> results.Estimate:
    owners = [str(number) for number in range(len(values))]
    weights = results.draw_weights(owners, settings.resamples, settings.seed, name)
    return results.estimate(results.weighted_mean(values, weights), len(values))


def _real(settings: Settings, inputs: Inputs, size: int) -> tuple[tuple[np.ndarray, np.ndarray], int]:
    """Real images of the splits with their patients, twice as many as pairs at most, and how many are not readable."""
    about = tables.read(inputs.studies, tables.STUDIES, ["study_id", "patient_id", "split", "has_image"])
    about = about[about["split"].isin(settings.real_splits) & about["has_image"].astype(bool)]
    key = [seed_of(settings.seed, "real", patient) for patient in about["patient_id"]]
    about = about.assign(key=key).sort_values(["key", "study_id"]).drop_duplicates("patient_id")
    about = about.head(2 * settings.pairs)
    stored = tables.read(inputs.real_images, tables.IMAGES).set_index("study_id")["image"]
    pixels, patients, skipped = [], [], 0
    for row in about.itertuples():
        try:
            pixels.append(images.resize(images.decode(stored[row.study_id]), size))
            patients.append(row.patient_id)
        except (ValueError, KeyError):
            skipped += 1
    if len(pixels) < 2:
        raise job.JobError(
            f"{inputs.real_images} has images of {len(pixels)} patients in the splits "
            f"{', '.join(settings.real_splits)}; two are needed at least"
        )
    return (np.stack(pixels), np.array(patients)), skipped
