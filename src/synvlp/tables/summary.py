"""Gather the metrics of all tasks in one long CSV.

One row per task, data set, encoder, label fraction, seed and metric; a metric of one label is called metric/label.
"""

from pathlib import Path

from synvlp import job
from synvlp.store import tables
from synvlp.tables import records


class Settings(records.Runs):
    """Settings of summarize."""


class Inputs(job.Files):
    """Inputs of summarize."""

    metrics: list[Path] = job.file("metrics.json of every encoder on every data set")


class Outputs(job.Files):
    """Outputs of summarize."""

    summary: Path = job.file("all metrics, one number per row (CSV)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Write the long table. Raises JobError as records.read_metrics does."""
    frame = records.read_metrics(inputs.metrics, settings)
    job.log.info("read %d numbers from %d files", len(frame), len(inputs.metrics))
    tables.write_csv(records.significant(frame), outputs.summary)
