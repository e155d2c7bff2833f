"""A synthesis that a signal ends goes on to the same bytes."""

import signal

from synvlp import job, processes
from synvlp.images import synthesize


def test_a_stopped_synthesis_goes_on_to_the_same_bytes(prompts, pipeline, stopped, scratch, tmp_path):
    settings = synthesize.Settings(steps=3, batch=8, min_deviation=0.0, max_saturated=1.0)
    inputs = synthesize.Inputs(prompts=prompts, pipeline=pipeline)
    whole, outputs = (synthesize.Outputs(shard_file=tmp_path / f"{name}.parquet") for name in ("whole", "stopped"))
    synthesize.run(settings, inputs, whole)

    status, text = stopped(job.command("synthesize", settings, inputs, outputs), signal.SIGUSR1)
    assert status == processes.STOPPED, text
    said = "synthesize stopped by SIGUSR1 after 16 draws; the next start goes on from there"
    assert text.splitlines()[-1].endswith(said)
    assert not outputs.shard_file.exists()

    synthesize.run(settings, inputs, outputs)
    assert outputs.shard_file.read_bytes() == whole.shard_file.read_bytes()
    assert not list(scratch.iterdir())
