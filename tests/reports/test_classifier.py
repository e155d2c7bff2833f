"""The token classifier as one more detector: a tiny model that the test makes."""

import json

import pytest

from synvlp import job
from synvlp.reports import anonymize

NAMES = ("zzyzx", "qwrt")  # what the model below takes for patients
LABELS = ["O", "PATIENT", "VENDOR"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A BERT without layers whose classifier knows two words by heart."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("classifier")
    vocabulary = ["[PAD]", "[UNK]", *NAMES, "lung"]
    coder = Tokenizer(models.WordLevel({word: number for number, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    coder.normalizer = normalizers.Lowercase()
    coder.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    PreTrainedTokenizerFast(
        tokenizer_object=coder, unk_token="[UNK]", pad_token="[PAD]", model_max_length=32
    ).save_pretrained(path)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=4,
        num_hidden_layers=0,
        num_attention_heads=1,
        intermediate_size=4,
        max_position_embeddings=32,
        id2label=dict(enumerate(LABELS)),
        label2id={name: n for n, name in enumerate(LABELS)},
    )
    model = BertForTokenClassification(config)
    with torch.no_grad():
        for table in (model.bert.embeddings.position_embeddings, model.bert.embeddings.token_type_embeddings):
            table.weight.zero_()
        model.bert.embeddings.word_embeddings.weight.copy_(
            torch.tensor([[1.0, -1, 0, 0], [1, -1, 0, 0], [-1, 1, 0, 0], [-1, 1, 0, 0], [-1, 1, 0, 0]])
        )
        model.classifier.weight.copy_(torch.tensor([[5.0, -5, 0, 0], [-5, 5, 0, 0], [0, 0, 0, 0]]))
        model.classifier.bias.zero_()
    model.save_pretrained(path, safe_serialization=True)
    return path


def found(folder, text: str) -> list[tuple[str, str, str]]:
    spans = anonymize.Detector(str(folder)).find_all({"s": text}, "p")["s"]
    return [(text[span.start : span.end], span.category, span.detector) for span in spans]


def test_finds_what_the_rules_cannot(folder):
    text = "the zzyzx qwrt film is bad"
    assert anonymize.Detector().find(text) == []
    assert found(folder, text) == [("zzyzx qwrt", "patient", "model")]


def test_vocabulary_speaks_against_the_model(folder):
    assert found(folder, "the left lung is clear") == []


def test_long_reports_are_read_to_their_end(folder):
    text = "clear heart " * 60 + "zzyzx here"
    assert [span[0] for span in found(folder, text)] == ["zzyzx"]


def test_rules_and_model_are_joined(folder):
    assert found(folder, "Mr. zzyzx was seen") == [("zzyzx", "patient", "title")]


def test_a_folder_without_safetensors_stops(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "pytorch_model.bin").write_bytes(b"no")
    with pytest.raises(job.JobError, match="no weights as safetensors"):
        anonymize.Detector(str(tmp_path))


def test_a_model_with_unknown_labels_stops(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["id2label"], config["label2id"] = {"0": "A", "1": "B", "2": "C"}, {"A": 0, "B": 1, "C": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(job.JobError, match="none of its labels"):
        anonymize.Detector(str(tmp_path))
