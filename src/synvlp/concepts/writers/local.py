"""Write reports with an instruction-tuned causal language model whose folder lies on this machine.

Any model of transformers with a chat template and safetensors; nothing is downloaded, and no code of the folder runs.
"""

from pathlib import Path

from synvlp import job
from synvlp.concepts import asking, decoding, writing
from synvlp.store import seeds


class Settings(decoding.Settings, writing.Settings):
    model_folder: str = job.required("folder of the model (transformers' layout: config, tokenizer, *.safetensors)")


Inputs = writing.Inputs
Outputs = writing.Outputs


def run(settings: Settings, inputs: writing.Inputs, outputs: writing.Outputs) -> None:
    """Write a report for every set of concepts. Raises JobError if the folder holds no model that answers."""
    from synvlp.models import device

    folder = Path(settings.model_folder)
    if not folder.is_dir():
        raise job.JobError(f"model_folder = {folder}: there is no such folder")
    place = device.prepare(settings)
    model, tokenizer = decoding.load(folder, place, settings)
    if not tokenizer.chat_template:
        raise job.JobError(
            f"model_folder = {folder}: the tokenizer has no chat template; take the model's instruction-tuned version"
        )

    def write(requests: list[writing.Request]) -> list[str]:
        prompts = [rendered(tokenizer, request) for request in requests]
        own = [seeds.seed_of(settings.seed, "local", one.study_id, one.attempt) for one in requests]
        return decoding.write(model, tokenizer, prompts, own, settings)

    writing.run(__name__, settings, inputs, outputs, write, settings.batch)


def rendered(tokenizer: object, request: writing.Request) -> str:
    """The conversation as the model's chat template has it.

    Some templates know no system role: its words then go before the first of the user's.
    """
    from jinja2 import TemplateError

    asked = asking.messages(request)
    try:
        return tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    except TemplateError:
        first = {"role": "user", "content": f"{asked[0]['content']}\n\n{asked[1]['content']}"}
        return tokenizer.apply_chat_template([first, *asked[2:]], tokenize=False, add_generation_prompt=True)
