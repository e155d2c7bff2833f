"""Draw synthetic images for prompts, one shard of them.

A sample depends on its prompt, the pipeline, the settings and (seed, study id, draw), and on nothing else: neither on
the number of shards nor on what is drawn beside it. Images that are not finite, flat or saturated are drawn again
with the next draw number; every draw is a row of the shard, with the reason if it was not accepted.
"""

from collections import Counter
from pathlib import Path

import pandas as pd

from synvlp import job
from synvlp.images import drawing
from synvlp.store import seeds, tables


class Settings(drawing.Settings):
    shard: int = job.setting(0, "which shard is drawn, counted from 0", ge=0)
    shards: int = job.setting(1, "how many shards there are; a study's shard is a hash of its id", ge=1)
    splits: list[str] = job.setting(["train", "val"], "splits whose prompts are drawn", min_length=1)


class Inputs(job.Files):
    prompts: Path = job.file("prompts of the corpus (Parquet)")
    pipeline: list[Path] = job.file("the files of the pipeline, in its folder's layout; one is model_index.json")


class Outputs(job.Files):
    shard_file: Path = job.file("all draws of the shard with their images (Parquet)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Draw until each study has its images or its limit of draws is reached."""
    from synvlp.models import device as devices
    from synvlp.models import pipeline as pipelines

    if settings.shard >= settings.shards:
        raise job.JobError(f"shard = {settings.shard}, but shards = {settings.shards} are counted from 0")
    prompts = read_prompts(inputs.prompts, settings.splits, settings.shard, settings.shards)
    device = devices.prepare(settings)
    scratch = job.Scratch(__name__, settings, inputs)
    rows: list[dict] = []
    if prompts:
        drawer = drawing.Drawer(pipelines.open_files(inputs.pipeline), prompts, settings, scratch, device)
        while wanted := drawing.next_draws(rows, list(prompts), settings):
            rows.extend(drawer.draw(wanted))
    frame = pd.DataFrame(rows, columns=list(tables.SHARD.columns))
    tables.write(frame, outputs.shard_file, tables.SHARD)
    _report(rows, len(prompts))
    scratch.remove()


def read_prompts(path: Path, splits: list[str], shard: int, shards: int) -> dict[str, str]:
    """Study id -> prompt for a shard, in the order of the ids; studies with an empty prompt are left out.

    Raises JobError for a split that the table does not have.
    """
    frame = tables.read(path, tables.PROMPTS, ["study_id", "split", "prompt"])
    unknown = sorted(set(splits) - {"train", "val", "test"})
    if unknown:
        raise job.JobError(f"splits: there is no split {unknown[0]!r}; there are train, val and test")
    frame = frame[frame["split"].isin(splits)]
    empty = frame["prompt"].str.strip() == ""
    if empty.any():
        job.log.info("%d of %d studies have an empty prompt and get no image", empty.sum(), len(frame))
    rows = frame[~empty].sort_values("study_id")
    pairs = zip(rows["study_id"], rows["prompt"], strict=True)
    return {study_id: prompt for study_id, prompt in pairs if seeds.shard_of(study_id, shards) == shard}


def _report(rows: list[dict], studies: int) -> None:
    reasons = Counter(row["reason"] for row in rows)
    accepted = reasons.pop("", 0)
    words = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "none rejected"
    job.log.info("%d images for %d studies; %s", accepted, studies, words)
