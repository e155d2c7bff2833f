"""A model's folder on this machine: each report has random numbers of its own, and nothing but safetensors is read."""

import shutil

import pandas as pd
import pytest
import torch

from synvlp import job
from synvlp.concepts import decoding
from synvlp.concepts.writers import local
from synvlp.store import tables

PROMPTS = ["user: Write the report.", "user: Findings that are present, each with its definition", "user: No"]


@pytest.fixture(scope="module")
def model(model_folder):
    return decoding.load(model_folder, torch.device("cpu"), decoding.Settings())


def test_a_text_does_not_depend_on_those_beside_it(model):
    settings = decoding.Settings(max_tokens=12, temperature=1.0)
    together = decoding.write(*model, PROMPTS, [1, 2, 3], settings)
    alone = [
        decoding.write(*model, [prompt], [seed], settings)[0] for prompt, seed in zip(PROMPTS, [1, 2, 3], strict=True)
    ]
    assert together == alone
    assert decoding.write(*model, PROMPTS[:1], [4], settings)[0] != together[0]


def test_draws_follow_the_models_probabilities(model):
    """First tokens of many draws against softmax(logits / temperature), cut to the nucleus."""
    network, coder = model
    settings = decoding.Settings(max_tokens=8, temperature=0.05, top_p=0.8)
    ids = coder("user:", return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        logits = network(ids).logits[0, -1] / settings.temperature
    ordered = logits.softmax(-1).sort(descending=True)
    kept = int((ordered.values.cumsum(-1) < settings.top_p).sum()) + 1
    wanted = dict(
        zip(
            ordered.indices[:kept].tolist(), (ordered.values[:kept] / ordered.values[:kept].sum()).tolist(), strict=True
        )
    )
    noise = decoding._noise(range(4000), settings)
    drawn = noise(None, (logits * settings.temperature).expand(4000, -1)).argmax(-1)
    counts = torch.bincount(drawn, minlength=len(logits)) / 4000
    assert set(drawn.tolist()) <= set(wanted)
    assert all(counts[token].item() == pytest.approx(share, abs=0.04) for token, share in wanted.items())


def test_no_temperature_takes_the_most_likely_token(model):
    settings = decoding.Settings(max_tokens=8, temperature=0)
    assert decoding.write(*model, PROMPTS, [1, 2, 3], settings) == decoding.write(*model, PROMPTS, [4, 5, 6], settings)


def test_a_prompt_without_room_for_a_report(model):
    with pytest.raises(job.JobError, match="the model reads 1024"):
        decoding.write(*model, ["x" * 5000], [0], decoding.Settings())


def test_the_job_rejects_what_a_random_model_writes(model_folder, inputs, outputs):
    settings = local.Settings(model_folder=str(model_folder), max_tokens=8, max_rewrites=1, max_rejected=1, batch=2)
    given = inputs([["cardiomegaly", "left lung"]] * 3)
    local.run(settings, given, outputs)
    rejected = pd.read_csv(outputs.rejected)
    assert rejected["reason"].tolist() == ["no FINDINGS or no IMPRESSION, after 1 rewrites"] * 3
    assert tables.read(outputs.reports, tables.WRITTEN).empty


def test_a_right_answer_is_kept(model_folder, inputs, outputs, monkeypatch):
    """The answer stands in for a large model's; conversation, attempts and seeds are the job's own."""
    asked = []

    def write(model, tokenizer, prompts, text_seeds, settings):
        asked.extend(zip(prompts, text_seeds, strict=True))
        right = "FINDINGS: Cardiomegaly is seen. The left lung is imaged.\nIMPRESSION: Cardiomegaly."
        return [right if "does not fit" in prompt else "FINDINGS: Emphysema.\nIMPRESSION: None." for prompt in prompts]

    monkeypatch.setattr(decoding, "write", write)
    local.run(local.Settings(model_folder=str(model_folder)), inputs([["cardiomegaly", "left lung"]] * 2), outputs)
    assert tables.read(outputs.reports, tables.WRITTEN)["rewrites"].tolist() == [1, 1]
    assert len({seed for _, seed in asked}) == 4
    assert asked[2][0].endswith("assistant:") and "must not be: emphysema" in asked[2][0]


def test_a_template_without_a_system_role(model, request_of):
    _, coder = model
    coder = type(coder)(tokenizer_object=coder.backend_tokenizer)
    coder.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + "{{ messages[0].content }}"
    )
    text = local.rendered(coder, request_of("cardiomegaly"))
    assert text.startswith("You are a radiologist") and "- cardiomegaly" in text


def test_folders_that_cannot_be_used(model_folder, inputs, outputs, tmp_path):
    def problem(folder):
        with pytest.raises(job.JobError) as error:
            local.run(local.Settings(model_folder=str(folder)), inputs([["cardiomegaly"]]), outputs)
        return str(error.value)

    assert "there is no such folder" in problem(tmp_path / "nothing")
    pickled = shutil.copytree(model_folder, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    assert "*.safetensors" in problem(pickled)
    silent = shutil.copytree(model_folder, tmp_path / "silent")
    (silent / "chat_template.jinja").unlink()
    assert "no chat template" in problem(silent)
