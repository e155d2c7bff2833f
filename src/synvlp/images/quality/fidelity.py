"""Measure how near synthetic images are to held-out real ones, and how much of their variety they have.

FID, KID, precision, recall, density and coverage in every feature space. Real images are parted by patients into two
halves: the synthetic ones are compared with the first, and so is the second, which is the floor (or ceiling) of what
could be reached. Both comparisons are of equal numbers of images, since all but KID depend on them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synvlp import job
from synvlp.images.quality import gaussians, kernels, manifolds, results, sets
from synvlp.store.seeds import seed_of

FLOORS = {"fid": "floor", "fid_infinity": "floor", "kid": "floor"}


class Settings(job.Settings):
    spaces: list[str] = job.setting(["random", "real"], "name of each feature space, in the order of the files")
    real_splits: list[job.Split] = job.setting(
        ["val", "test"], "splits whose real images are the measure", min_length=1
    )
    synthetic_splits: list[job.Split] = job.setting(["val"], "splits whose prompts' images are measured", min_length=1)
    neighbours: int = job.setting(5, "nearest neighbours that an image's ball reaches to", ge=1)
    max_images: int = job.setting(5000, "images of a kind, at most", unit="images", ge=20)
    resamples: int = job.setting(200, "bootstrap resamples of the patients", ge=0, le=10_000)
    extrapolate: bool = job.setting(True, "also extrapolate FID to infinitely many images")
    seed: int = job.setting(0, "seeds the halves, the subsets and the resamples", ge=0)


class Inputs(job.Files):
    real: list[Path] = job.file("features of the real images, a file per space (Parquet)")
    synthetic: list[Path] = job.file("features of the synthetic images, a file per space (Parquet)")
    studies: Path = job.file("studies of the real images (Parquet)")
    prompts: Path = job.file("prompts of the synthetic images (Parquet)")


class Outputs(job.Files):
    fidelity: Path = job.file("measures with intervals and floors (JSON)")


@dataclass(frozen=True)
class Compared:
    """Equal numbers of images: the first half of the real ones, the second half, and synthetic ones."""

    first: sets.ImageSet
    second: sets.ImageSet
    synthetic: sets.ImageSet


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Measure in each space. Raises JobError for too few images and for features that are not finite."""
    sets.same_spaces({"real": inputs.real, "synthetic": inputs.synthetic}, settings.spaces)
    measures: list[results.Measure] = []
    counts: dict[str, object] = {}
    for space, real, synthetic in zip(settings.spaces, inputs.real, inputs.synthetic, strict=True):
        compared = choose(sets.real(real, inputs.studies), sets.synthetic(synthetic, inputs.prompts), settings, space)
        measures += measure(space, compared, settings)
        width = compared.first.features.shape[1]
        counts[space] = {"images_of_each_kind": len(compared.first), "features": width}
        job.log.info("%s: %d images of each kind, %d features", space, len(compared.first), width)
    results.write(outputs.fidelity, measures, counts, notes(counts))


def choose(real: sets.ImageSet, synthetic: sets.ImageSet, settings: Settings, space: str) -> Compared:
    """Equal numbers of images of both halves and of the synthetic ones, chosen by hashes of their identities.

    Raises JobError if a kind has too few images for the neighbours that are asked for.
    """
    least = 2 * settings.neighbours + 2
    held = sets.enough(real.within(settings.real_splits), 2 * least, "real images", settings.real_splits)
    drawn = synthetic.within(settings.synthetic_splits)
    drawn = sets.enough(drawn, least, f"synthetic images (space {space})", settings.synthetic_splits)
    keys = {patient: seed_of(settings.seed, "half", patient) for patient in set(held.patients)}
    ordered = sorted(keys, key=keys.get)
    mine = np.isin(held.patients, ordered[::2])
    halves = [sets.enough(held.of(part), least, "real images of half the patients", settings.real_splits)
              for part in (mine, ~mine)]  # fmt: skip
    count = min(*map(len, halves), len(drawn), settings.max_images)
    first, second = (half.at_most(count, settings.seed, "real") for half in halves)
    return Compared(first, second, drawn.at_most(count, settings.seed, "synthetic"))


def measure(space: str, compared: Compared, settings: Settings) -> list[results.Measure]:
    """All measures of one space, of the synthetic images and of the second half of the real ones."""
    found, floor = (figures(compared.first, other, settings) for other in (compared.synthetic, compared.second))
    return [results.Measure(name, space, "", found[name], floor[name], FLOORS.get(name, "ceiling")) for name in found]


def figures(real: sets.ImageSet, other: sets.ImageSet, settings: Settings) -> dict[str, results.Estimate]:
    """The figures of `other` against `real` with their intervals, by name.

    The balls of precision, recall, density and coverage stay as they are while patients are resampled: their
    intervals tell how far the shares depend on who was drawn, not on where the balls lie.
    """
    weights = results.draw_weights(real.patients, settings.resamples, settings.seed, "first half")
    other_weights = results.draw_weights(other.patients, settings.resamples, settings.seed, "compared")
    found = {"fid": gaussians.frechet(real.features, other.features, weights, other_weights)}
    if settings.extrapolate:
        generator = np.random.default_rng(seed_of(settings.seed, "subsets"))
        found["fid_infinity"] = np.array([gaussians.extrapolated(real.features, other.features, generator)])
    found["kid"] = kernels.kernel_distance(
        real.features, other.features, weights, other_weights, real.patients, other.patients
    )
    near = manifolds.neighbourhoods(real.features, other.features, settings.neighbours)
    found |= {
        "precision": results.weighted_mean(near.precise, other_weights),
        "recall": results.weighted_mean(near.recalled, weights),
        "density": results.weighted_mean(near.dense, other_weights),
        "coverage": results.weighted_mean(near.covered, weights),
    }
    return {name: results.estimate(values, len(real), centred=name == "fid") for name, values in found.items()}


def notes(counts: dict[str, dict]) -> list[str]:
    """What must be said beside the figures of these numbers of images."""
    said = ["FID is biased upwards by about a constant over the number of images: compare equal numbers only."]
    few = [name for name, count in counts.items() if count["images_of_each_kind"] <= count["features"]]
    if few:
        said.append(
            f"There are fewer images than features in {', '.join(few)}: covariances have no full rank there, FID is "
            "far from its limit, and its extrapolation is a rough guess."
        )
    return said
