"""A training of the diffusion model that a signal ends goes on to the same bytes."""

import signal

from synvlp import job, processes
from synvlp.generators import diffusion


def test_a_stopped_training_goes_on_to_the_same_bytes(
    diffusion_inputs, trained_pipeline, tools, stopped, scratch, tmp_path
):
    settings, outputs = diffusion.Settings(**tools.diffusion), tools.pipeline_outputs(tmp_path / "stopped")
    words = job.command("train-diffusion", settings, diffusion_inputs, outputs)
    status, text = stopped(words, signal.SIGTERM)
    assert status == processes.STOPPED, text
    said = "train-diffusion stopped by SIGTERM at step 2 of 12; the next start goes on from there"
    assert text.splitlines()[-1].endswith(said)
    assert not outputs.unet_weights.exists()

    diffusion.run(settings, diffusion_inputs, outputs)
    for name in diffusion.Outputs.model_fields:
        assert getattr(outputs, name).read_bytes() == getattr(trained_pipeline, name).read_bytes(), name
    assert not list(scratch.iterdir())
