"""Write reports with the small language model that train-writer trained on a corpus's reports."""

from pathlib import Path

from synvlp import job
from synvlp.concepts import decoding, prefix, writing
from synvlp.store import seeds


class Settings(decoding.Settings, writing.Settings):
    max_tokens: int = job.setting(160, "tokens of a report, at most", unit="tokens", ge=8)
    max_rewrites: int = job.setting(
        8, "how often a text that lacks or adds concepts is written again before its set is rejected", ge=0
    )
    max_rejected: float = job.setting(
        0.5, "share of sets that may be rejected before the run stops; a small model forgets and adds much", ge=0, le=1
    )


Inputs = writing.Inputs
Outputs = writing.Outputs


def run(settings: Settings, inputs: writing.Inputs, outputs: writing.Outputs) -> None:
    """Write a report for every set of concepts. Raises JobError if the model's files are not those of train-writer."""
    from synvlp.models import device

    folders = sorted({Path(path).parent for path in inputs.model_files})
    if len(folders) != 1:
        raise job.JobError("--model-files: give the files that train-writer wrote, which lie in one folder")
    place = device.prepare(settings)
    model, tokenizer = decoding.load(folders[0], place, settings)

    def write(requests: list[writing.Request]) -> list[str]:
        own = [seeds.seed_of(settings.seed, "trained", one.study_id, one.attempt) for one in requests]
        prompts = [prefix.condition([concept.name for concept in one.concepts]) for one in requests]
        return [prefix.sections(text) for text in decoding.write(model, tokenizer, prompts, own, settings, plain=False)]

    writing.run(__name__, settings, inputs, outputs, write, settings.batch)
