"""Screen the synthetic images of all shards against each other, and draw near-duplicates again.

Two images are near-duplicates if their details correlate more than a limit: what is left of an image, shrunk to a few
pixels, when its coarse shading is taken away. Only images are compared, never prompts. The first one by study id
stays; a later one is drawn again with its next draw number until it passes or its limit of draws is reached.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.images import drawing
from synvlp.store import files, images, tables
from synvlp.store.images import details
from synvlp.store.seeds import seed_of

# Rows compared in one matrix product.
BLOCK = 1024
DUPLICATE = "near-duplicate"
imports_by_name = drawing.imports_by_name


class Settings(drawing.Settings):
    """Settings of drawing are those that the shards were drawn with; they serve what is drawn again."""

    max_correlation: float = job.setting(
        0.98, "images whose details correlate more are near-duplicates; 1: none are", gt=0, le=1
    )
    compare_size: int = job.setting(32, "side to which images are shrunk to be compared", unit="pixels", ge=8)
    max_rejected: float = job.setting(
        0.1, "largest share of the studies that may end without all their images", ge=0, le=1
    )


class Inputs(job.Files):
    shards: list[Path] = job.file("all shards (Parquet)")
    prompts: Path = job.file("prompts that the shards were drawn for (Parquet)")
    pipeline: list[Path] = job.file("the files of the generator that the shards were drawn with")


class Outputs(job.Files):
    images: Path = job.file("accepted images, in the order of their study ids (Parquet)")
    rejected: Path = job.file("draws that were not accepted, with the reason (CSV)")
    summary: Path = job.file("counts (JSON)")


@dataclass
class Kept:
    """The images that passed, as unit vectors of their details."""

    keys: list[drawing.Key] = field(default_factory=list)
    details: list[np.ndarray] = field(default_factory=list)

    def matrix(self, width: int) -> np.ndarray:
        return np.stack(self.details) if self.details else np.empty((0, width), np.float32)


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Compare all accepted images, draw again what is too close, write what passed."""
    rows = tables.read_all(inputs.shards, tables.SHARD).to_dict("records")
    prompts = _check(rows, settings, inputs)
    scratch = job.Scratch(__name__, settings, inputs)
    kept, rejected = Kept(), {}
    new, drawer = rows, None
    while True:
        rejected.update(compare([row for row in new if row["accepted"]], kept, settings))
        wanted = drawing.next_draws(rows, list(prompts), settings)
        if not wanted:
            break
        drawer = drawer or _drawer(settings, inputs, prompts, scratch)
        job.log.info("%d images are drawn again", len(wanted))
        new = drawer.draw(wanted)
        rows = [*rows, *new]
    _write(rows, rejected, prompts, settings, outputs)
    scratch.remove()


def compare(rows: Sequence[dict], kept: Kept, settings: Settings) -> dict[drawing.Key, str]:
    """Mark, in place, the rows whose image is too close to a kept one or to an earlier row; keep the others.

    Args:
        rows: accepted rows of `tables.SHARD`, by study id and draw.
        kept: what passed before; what passes now is added.
        settings: limit and size of the comparison.

    Returns:
        For each row that was marked, what it is too close to.
    """
    found = {}
    for part in job.progress(list(images.batches(len(rows), BLOCK)), f"blocks of {BLOCK} images compared"):
        block = rows[part]
        vectors = np.stack([details(images.decode(row["image"]), settings.compare_size) for row in block])
        against = vectors @ kept.matrix(vectors.shape[1]).T
        among = vectors @ vectors.T
        before = len(kept.keys)
        places: list[int] = []
        for place, row in enumerate(block):
            likeness = np.concatenate([against[place], among[place, places]])
            if likeness.size and likeness.max() > settings.max_correlation:
                other = (kept.keys[:before] + [_key(block[index]) for index in places])[int(likeness.argmax())]
                row.update(accepted=False, reason=DUPLICATE)
                found[_key(row)] = f"{DUPLICATE} of {other[0]} (draw {other[1]}), correlation {likeness.max():.4f}"
                continue
            places.append(place)
            kept.keys.append(_key(row))
            kept.details.append(vectors[place])
    return found


def _check(rows: list[dict], settings: Settings, inputs: Inputs) -> dict[str, str]:
    """The prompts of the studies in the shards. Raises JobError if shards, prompts and seed do not belong together."""
    frame = tables.read(inputs.prompts, tables.PROMPTS, ["study_id", "prompt"])
    known = dict(zip(frame["study_id"], frame["prompt"], strict=True))
    keys = Counter(_key(row) for row in rows)
    twice = [key for key, count in keys.items() if count > 1]
    if twice:
        raise job.JobError(f"study {twice[0][0]} is in more than one shard; give each shard of one set once")
    for row in rows:
        if known.get(row["study_id"]) != row["prompt"]:
            raise job.JobError(
                f"study {row['study_id']}: the shard was drawn for a prompt that {inputs.prompts} does not have"
            )
        if row["seed"] != seed_of(settings.seed, *_key(row)):
            raise job.JobError(f"study {row['study_id']}: the shard was drawn with another seed than {settings.seed}")
    return {row["study_id"]: row["prompt"] for row in rows}


def _drawer(settings: Settings, inputs: Inputs, prompts: dict[str, str], scratch: job.Scratch) -> drawing.Drawer:
    from synvlp.models import device as devices
    from synvlp.models import samplers

    sampler = samplers.open_sampler(inputs.pipeline, settings, devices.prepare(settings))
    return drawing.Drawer(sampler, prompts, settings, scratch)


def _write(
    rows: list[dict], closest: dict[drawing.Key, str], prompts: dict[str, str], settings: Settings, outputs: Outputs
) -> None:
    frame = pd.DataFrame(rows, columns=list(tables.SHARD.columns)).sort_values(list(tables.SHARD.key))
    accepted, refused = frame[frame["accepted"].astype(bool)], frame[~frame["accepted"].astype(bool)]
    tables.write(accepted, outputs.images, tables.SHARD)
    listed = [
        {"item": f"{key[0]} draw {key[1]}", "file": "", "reason": closest.get(key, reason)}
        for key, reason in zip(zip(refused["study_id"], refused["draw"], strict=True), refused["reason"], strict=True)
    ]
    tables.write_csv(pd.DataFrame(listed, columns=list(tables.REJECTED.columns)), outputs.rejected)
    images_of = Counter(accepted["study_id"])
    short = sum(images_of[study_id] < settings.copies for study_id in prompts)
    summary = {
        "studies": len(prompts),
        "studies_without_all_images": short,
        "draws": len(frame),
        "accepted": len(accepted),
        "rejected": dict(sorted(Counter(refused["reason"]).items())),
        "gray_level_mean": round(float(accepted["mean"].mean()), 4) if len(accepted) else None,
        "gray_level_deviation": round(float(accepted["deviation"].mean()), 4) if len(accepted) else None,
    }
    files.write_json(outputs.summary, summary)
    job.log.info("%d of %d draws accepted; rejected: %s", len(accepted), len(frame), summary["rejected"] or "none")
    job.check_rejected(short, len(prompts), settings.max_rejected, outputs.rejected)


def _key(row: dict) -> drawing.Key:
    return row["study_id"], int(row["draw"])
