"""Draw synthetic images for prompts, one shard of them.

A sample depends on its prompt, the generator, the settings and (seed, study id, draw), and on nothing else: neither on
the number of shards nor on what is drawn beside it. Images that are not finite, flat or saturated are drawn again
with the next draw number; every draw is a row of the shard, with the reason if it was not accepted.
"""

from collections import Counter
from pathlib import Path

import pandas as pd

from synvlp import job
from synvlp.images import drawing
from synvlp.store import tables

imports_by_name = drawing.imports_by_name


class Settings(drawing.Settings):
    pass


class Inputs(job.Files):
    prompts: Path = job.file("prompts of the shard, as partition wrote them (Parquet)")
    pipeline: list[Path] = job.file("the generator's files, in its folder's layout; one says its kind")


class Outputs(job.Files):
    shard_file: Path = job.file("all draws of the shard with their images (Parquet)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Draw until each study has its images or its limit of draws is reached."""
    from synvlp.models import device as devices
    from synvlp.models import samplers

    frame = tables.read(inputs.prompts, tables.PROMPTS, ["study_id", "prompt"])
    prompts = dict(zip(frame["study_id"], frame["prompt"], strict=True))
    device = devices.prepare(settings)
    scratch = job.Scratch(__name__, settings, inputs)
    rows: list[dict] = []
    if prompts:
        sampler = samplers.open_sampler(inputs.pipeline, settings, device)
        drawer = drawing.Drawer(sampler, prompts, settings, scratch)
        while wanted := drawing.next_draws(rows, list(prompts), settings):
            rows.extend(drawer.draw(wanted))
    frame = pd.DataFrame(rows, columns=list(tables.SHARD.columns))
    tables.write(frame, outputs.shard_file, tables.SHARD)
    _report(rows, len(prompts))
    scratch.remove()


def _report(rows: list[dict], studies: int) -> None:
    reasons = Counter(row["reason"] for row in rows)
    accepted = reasons.pop("", 0)
    words = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "none rejected"
    job.log.info("%d images for %d studies; %s", accepted, studies, words)
