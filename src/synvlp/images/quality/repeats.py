"""Select the prompts of which several images are drawn, to measure how they differ from each other.

Held-out prompts, each text once, chosen by a hash of their study's id, so that another report changes little.
"""

from pathlib import Path

from synvlp import job
from synvlp.models import retrieval
from synvlp.store import seeds, tables


class Settings(job.Settings):
    count: int = job.setting(20, "prompts, at most", unit="prompts", ge=2)
    splits: list[job.Split] = job.setting(["val"], "splits whose prompts are drawn", min_length=1)
    seed: int = job.setting(0, "seeds the choice", ge=0)


class Inputs(job.Files):
    prompts: Path = job.file("prompts of the corpus (Parquet)")


class Outputs(job.Files):
    selected: Path = job.file("the chosen prompts (Parquet)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Write the chosen rows. Raises JobError if fewer than two different prompts are there."""
    frame = tables.read(inputs.prompts, tables.PROMPTS)
    frame = frame[frame["split"].isin(settings.splits) & (frame["prompt"].str.strip() != "")]
    key = [seeds.seed_of(settings.seed, "repeat", study_id) for study_id in frame["study_id"]]
    words = [retrieval.plain(prompt) for prompt in frame["prompt"]]
    frame = frame.assign(key=key, words=words).sort_values("key").drop_duplicates("words").head(settings.count)
    if len(frame) < 2:
        raise job.JobError(
            f"{inputs.prompts} has {len(frame)} different prompts in the splits {', '.join(settings.splits)}; "
            "two are needed at least"
        )
    tables.write(frame.drop(columns=["key", "words"]), outputs.selected, tables.PROMPTS)
    job.log.info("%d different prompts chosen", len(frame))
