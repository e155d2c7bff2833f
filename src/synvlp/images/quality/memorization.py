"""Measure whether synthetic images repeat training images, beside what held-out real images show by chance.

No figure here proves privacy: each looks for one way in which an image could be copied, in the eyes of one network.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.images.quality import neighbours, results, sets
from synvlp.store import files, images, tables

TRAINING, HELDOUT, WRITTEN = "training prompts", "held-out prompts", "written prompts"


class Settings(job.Settings):
    spaces: list[str] = job.setting(["random", "real"], "name of each feature space, in the order of the files")
    heldout_splits: list[job.Split] = job.setting(
        ["val", "test"], "splits that the generator did not learn from", min_length=1
    )
    close_share: float = job.setting(
        0.05, "share of the held-out images whose nearest training image counts as close", gt=0, lt=0.5
    )
    max_images: int = job.setting(20_000, "training, held-out and synthetic images, at most each", unit="images", ge=20)
    shown: int = job.setting(
        8, "closest pairs in the picture, of synthetic and of real images each", unit="pairs", ge=1, le=50
    )
    side: int = job.setting(128, "side of an image in the picture", unit="pixels", ge=32, le=1024)
    resamples: int = job.setting(1000, "bootstrap resamples of the patients", ge=0, le=10_000)
    seed: int = job.setting(0, "seeds the resamples, and the choice where there are too many images", ge=0)


class Inputs(job.Files):
    real: list[Path] = job.file("features of the generator's corpus, a file per space (Parquet)")
    synthetic: list[Path] = job.file("features of the synthetic images, a file per space (Parquet)")
    studies: Path = job.file("studies of the generator's corpus (Parquet)")
    prompts: Path = job.file("prompts of the synthetic images (Parquet)")
    real_images: Path = job.file("images of the generator's corpus (Parquet)")
    synthetic_images: Path = job.file("accepted synthetic images (Parquet)")


class Outputs(job.Files):
    memorization: Path = job.file("measures with intervals and floors (JSON)")
    nearest: Path = job.file("each synthetic image's nearest training image (Parquet)")
    table: Path = job.file("the same, for people (CSV)")
    pairs: Path = job.file("the closest pairs, synthetic and real (PNG)")


@dataclass(frozen=True)
class Searched:
    """Images with their neighbours in one space."""

    images: sets.ImageSet
    found: neighbours.Found

    def of(self, chosen: np.ndarray) -> "Searched":
        values = {name: getattr(self.found, name)[chosen] for name in neighbours.Found.__dataclass_fields__}
        return Searched(self.images.of(chosen), neighbours.Found(**values))


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Search in each space, measure, draw the closest pairs of the last space. Raises JobError for too few images."""
    sets.same_spaces({"real": inputs.real, "synthetic": inputs.synthetic}, settings.spaces)
    measures, rows, counts = [], [], {}
    for space, real_path, synthetic_path in zip(settings.spaces, inputs.real, inputs.synthetic, strict=True):
        real = sets.real(real_path, inputs.studies)
        train, heldout = _parted(real, settings)
        drawn = sets.synthetic(synthetic_path, inputs.prompts)
        drawn = drawn.at_most(settings.max_images, settings.seed, "synthetic")
        searched, floor = (Searched(part, neighbours.search(part, train, heldout)) for part in (drawn, heldout))
        measures += measure(space, searched, floor, settings)
        rows.append(table(space, searched, train))
        counts[space] = {"train": len(train), "heldout": len(heldout), "synthetic": len(drawn)}
        job.log.info("%s: %d training, %d held-out, %d synthetic images", space, len(train), len(heldout), len(drawn))
    results.write(outputs.memorization, measures, counts)
    nearest = pd.concat(rows, ignore_index=True)
    tables.write(nearest, outputs.nearest, tables.NEAREST)
    tables.write_csv(nearest, outputs.table)
    cells = [*_closest(searched, train, "drawn", settings), *_closest(floor, train, "real, held out", settings)]
    _draw(cells, settings, inputs, outputs.pairs)


def measure(space: str, drawn: Searched, floor: Searched, settings: Settings) -> list[results.Measure]:
    """All measures of one space: of each group of prompts, beside the same figures of held-out real images."""
    floor_weights = results.draw_weights(floor.images.patients, settings.resamples, settings.seed, "held out")
    own = _own_floor(drawn, settings)
    measures = []
    for group, chosen in groups(drawn.images.rows):
        part = drawn.of(chosen)
        weights = results.draw_weights(part.images.patients, settings.resamples, settings.seed, "drawn")
        close = results.weighted_quantile(floor.found.distance, floor_weights, settings.close_share)
        figures = {
            "nearer_train": [_mean("nearer", *pair) for pair in ((part, weights), (floor, floor_weights))],
            "close": [_closer(*pair, close) for pair in ((part, weights), (floor, floor_weights))],
            "neighbour_ratio": [_ratio(*pair) for pair in ((part, weights), (floor, floor_weights))],
        }
        measures += [results.Measure(name, space, group, *values, kind="floor") for name, values in figures.items()]
        if group not in (HELDOUT, WRITTEN) and not np.isnan(part.found.own).all():
            measures.append(results.Measure("own_nearer", space, group, _mean("own", part, weights), own, "floor"))
    return measures


def groups(rows: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """The groups of images that are measured apart, as a name and a mask: prompts of training studies and others.

    Written prompts are one group, whatever their split: it parts them for encoders, and no generator learned from them.
    Where marks of a de-identification were left in prompts, the training prompts with and without them are groups, too.
    """
    written, marked = (rows["origin"] == "written").to_numpy(), rows["origin"].str.startswith(tables.MARKED).to_numpy()
    train = (rows["split"] == "train").to_numpy() & ~written
    named = [(TRAINING, train), (HELDOUT, ~train & ~written), (WRITTEN, written)]
    if marked.any():
        named += [(f"{TRAINING} with marks", train & marked), (f"{TRAINING} without marks", train & ~marked)]
    return ((name, mask) for name, mask in named if mask.any())


def table(space: str, drawn: Searched, train: sets.ImageSet) -> pd.DataFrame:
    """Rows of `tables.NEAREST`."""
    found = drawn.found
    return drawn.images.rows[["study_id", "draw", "split"]].assign(
        space=space,
        marked=drawn.images.rows["origin"].str.startswith(tables.MARKED),
        nearest=train.studies[found.nearest],
        distance=found.distance,
        second=found.second,
        heldout=found.heldout,
        nearer=found.nearer,
        own=found.own,
    )


def _parted(real: sets.ImageSet, settings: Settings) -> tuple[sets.ImageSet, sets.ImageSet]:
    found = []
    for what, splits in (("training images", ["train"]), ("held-out images", settings.heldout_splits)):
        part = sets.enough(real.within(splits), 3, what, splits)
        found.append(part.at_most(settings.max_images, settings.seed, what))
    if len(set(found[1].patients)) < 2:
        raise job.JobError("the held-out images are of one patient; two are needed at least")
    return found[0], found[1]


def _own_floor(drawn: Searched, settings: Settings) -> results.Estimate:
    """How near images of held-out prompts come to the image of their own study, which no generator has seen."""
    part = drawn.of((drawn.images.rows["split"] != "train").to_numpy() & ~np.isnan(drawn.found.own))
    if not len(part.images):
        return results.NOTHING
    return _mean("own", part, results.draw_weights(part.images.patients, settings.resamples, settings.seed, "drawn"))


def _mean(name: str, searched: Searched, weights: np.ndarray) -> results.Estimate:
    values = getattr(searched.found, name)
    return results.estimate(results.weighted_mean(values, weights), int((~np.isnan(values)).sum()))


def _closer(searched: Searched, weights: np.ndarray, limits: np.ndarray) -> results.Estimate:
    """The share of images nearer to a training image than each resample's limit, (resamples,), or as near."""
    closer = searched.found.distance <= limits[:, None]
    return results.estimate((closer * weights).sum(axis=1) / weights.sum(axis=1), len(searched.images))


def _ratio(searched: Searched, weights: np.ndarray) -> results.Estimate:
    """The fifth percentile of nearest over second nearest distance: small where one training image stands out."""
    ratio = ratios(searched.found)
    return results.estimate(results.weighted_quantile(ratio, weights, 0.05), len(searched.images))


def ratios(found: neighbours.Found) -> np.ndarray:
    """Nearest over second nearest distance, (n,); 1 where both are 0 or there is no second."""
    ratio = np.ones(len(found.distance))
    return np.divide(found.distance, found.second, out=ratio, where=(found.second > 0) & np.isfinite(found.second))


@dataclass(frozen=True)
class _Pair:
    kind: str
    study: str
    draw: int
    nearest: str
    distance: float
    ratio: float


def _closest(searched: Searched, train: sets.ImageSet, kind: str, settings: Settings) -> list[_Pair]:
    found, ratio = searched.found, ratios(searched.found)
    order = np.argsort(found.distance, kind="stable")[: settings.shown]
    rows = searched.images.rows
    return [
        _Pair(
            kind,
            rows["study_id"].iloc[place],
            int(rows["draw"].iloc[place]),
            str(train.studies[found.nearest[place]]),
            float(found.distance[place]),
            float(ratio[place]),
        )
        for place in order
    ]


def _draw(pairs: list[_Pair], settings: Settings, inputs: Inputs, path: Path) -> None:
    from synvlp.models import gallery

    real = _bytes(inputs.real_images, tables.IMAGES, {pair.nearest for pair in pairs} | {pair.study for pair in pairs})
    drawn = _bytes(inputs.synthetic_images, tables.SHARD, {pair.study for pair in pairs})
    cells = []
    for pair in pairs:
        mine = drawn[pair.study, pair.draw] if pair.kind == "drawn" else real[pair.study, 0]
        text = f"{pair.kind}: distance {pair.distance:.3g}, {pair.ratio:.2f} of the second nearest"
        cells.append(gallery.Cell([images.decode(mine), images.decode(real[pair.nearest, 0])], text))
    title = f"Closest to a training image in the space {settings.spaces[-1]}: drawn images, then real held-out ones"
    columns = min(4, settings.shown)
    picture = gallery.grid(
        cells, columns=columns, side=settings.side, title=title, heads=("image", "training image"), lines=3
    )
    with files.replacing(path) as part:
        picture.save(part, format="PNG")


def _bytes(path: Path, kind: tables.Table, studies: set[str]) -> dict[tuple[str, int], bytes]:
    frame = tables.read(path, kind, [*kind.key, "image"])
    frame = frame[frame["study_id"].isin(studies)]
    draws = frame["draw"] if "draw" in frame else [0] * len(frame)
    return dict(zip(zip(frame["study_id"], map(int, draws), strict=True), frame["image"], strict=True))
