"""Select what a generator can learn from: the studies of a corpus that have an image, and their prompts.

A report without an image changes nothing here, and so trains no generator anew.
"""

from pathlib import Path

from synvlp import job
from synvlp.store import tables


class Settings(job.Settings):
    pass


class Inputs(job.Files):
    studies: Path = job.file("studies of the corpus (Parquet)")
    prompts: Path = job.file("prompts of the corpus (Parquet)")


class Outputs(job.Files):
    selected_studies: Path = job.file("its studies that have an image (Parquet)")
    selected_prompts: Path = job.file("the prompts of these (Parquet)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Write the rows of both tables that belong to an image."""
    studies = tables.read(inputs.studies, tables.STUDIES)
    prompts = tables.read(inputs.prompts, tables.PROMPTS)
    shown = studies[studies["has_image"].astype(bool)]
    tables.write(shown, outputs.selected_studies, tables.STUDIES)
    tables.write(prompts[prompts["study_id"].isin(shown["study_id"])], outputs.selected_prompts, tables.PROMPTS)
    job.log.info("%d of %d studies have an image", len(shown), len(studies))
