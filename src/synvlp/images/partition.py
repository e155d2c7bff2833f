"""Part a corpus's prompts into shards by a hash of the study's id, one file each, for synthesis.

A new report changes the file of its own shard and no other, so that no other shard is drawn again.
"""

from pathlib import Path

from synvlp import job
from synvlp.store import seeds, tables


class Settings(job.Settings):
    splits: list[job.Split] = job.setting(["train", "val"], "splits whose prompts are drawn", min_length=1)


class Inputs(job.Files):
    prompts: Path = job.file("prompts of the corpus (Parquet)")


class Outputs(job.Files):
    parts: list[Path] = job.file("prompts of each shard, in the order of the shards (Parquet)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Write each shard's prompts; studies with an empty prompt are left out."""
    frame = tables.read(inputs.prompts, tables.PROMPTS)
    frame = frame[frame["split"].isin(settings.splits)]
    empty = frame["prompt"].str.strip() == ""
    if empty.any():
        job.log.info("%d of %d studies have an empty prompt and get no image", empty.sum(), len(frame))
    frame = frame[~empty].sort_values("study_id", ignore_index=True)
    shard = frame["study_id"].map(lambda study_id: seeds.shard_of(study_id, len(outputs.parts)))
    for number, path in enumerate(outputs.parts):
        tables.write(frame[shard == number], path, tables.PROMPTS)
