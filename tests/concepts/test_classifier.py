"""A token classifier as the finder of concepts: a tiny model that the test makes."""

import json

import pandas as pd
import pytest

from synvlp import job
from synvlp.concepts import extract, vocabulary
from synvlp.concepts.classifier import Classifier

LABELS = ["O", "B-ABNORMALITY", "I-ABNORMALITY", "B-NON-ABNORMALITY", "B-DISEASE", "B-NON_DISEASE", "B-ANATOMY"]
# What the model below makes of the words that it knows; all others are no entity.
KNOWN = {"nodule": 1, "pleural": 1, "effusion": 2, "pneumothorax": 3, "pneumonia": 4, "edema": 5, "lung": 6, "lie": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A BERT without layers whose classifier knows some words by heart."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("classifier")
    words = ["[PAD]", "[UNK]", *KNOWN]
    coder = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    coder.normalizer = normalizers.Lowercase()
    coder.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    PreTrainedTokenizerFast(
        tokenizer_object=coder, unk_token="[UNK]", pad_token="[PAD]", model_max_length=32
    ).save_pretrained(path)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        num_hidden_layers=0,
        num_attention_heads=1,
        intermediate_size=4,
        max_position_embeddings=32,
        id2label=dict(enumerate(LABELS)),
        label2id={name: number for number, name in enumerate(LABELS)},
    )
    model = BertForTokenClassification(config)
    with torch.no_grad():
        for table in (model.bert.embeddings.position_embeddings, model.bert.embeddings.token_type_embeddings):
            table.weight.zero_()
        kinds = torch.tensor([0, 0, *KNOWN.values()])
        model.bert.embeddings.word_embeddings.weight.copy_(torch.nn.functional.one_hot(kinds, 8).float())
        model.classifier.weight.copy_(9 * torch.eye(8)[: len(LABELS)])
        model.classifier.bias.zero_()
    model.save_pretrained(path, safe_serialization=True)
    return path


@pytest.fixture(scope="module")
def find(folder):
    return Classifier(folder, 0.5, vocabulary.built_in())


def said(find, text):
    return [(mention.concept, text[mention.start : mention.end], mention.status) for mention in find(text)]


def test_what_it_marks_is_found_in_the_vocabulary(find):
    text = "There is a nodule, pleural effusion and cardiomegaly. Here they lie."
    assert said(find, text) == [("nodule", "nodule", "present"), ("pleural effusion", "pleural effusion", "present")]


def test_its_kinds_say_what_is_absent(find):
    text = "Pneumothorax. Edema. Pneumonia in the left lung."
    assert said(find, text) == [
        ("pneumothorax", "Pneumothorax", "absent"),
        ("pulmonary edema", "Edema", "absent"),
        ("pneumonia", "Pneumonia", "present"),
        ("left lung", "left lung", "present"),
    ]


def test_what_is_uncertain_or_history_comes_from_the_rules(find):
    assert said(find, "Possible pneumonia.") == [("pneumonia", "pneumonia", "uncertain")]
    assert said(find, "History of pneumonia.") == []


def test_long_texts_are_read_to_their_end(find):
    text = "Nothing else is here. " * 40 + "A nodule."
    assert [(number, mention.concept) for number, mention in find.numbered(text)] == [(40, "nodule")]


def test_the_job_says_who_found_them(folder):
    settings = extract.Settings(classifier_folder=str(folder))
    frame = extract.extract(settings, vocabulary.built_in(), {"s": "A nodule and cardiomegaly."})
    assert frame[["concept", "status", "detector"]].to_numpy().tolist() == [["nodule", "present", "classifier"]]
    rules = extract.extract(extract.Settings(), vocabulary.built_in(), {"s": "A nodule and cardiomegaly."})
    assert set(rules["detector"]) == {"rules"} and isinstance(rules, pd.DataFrame) and len(rules) == 2


def unusable(path):
    with pytest.raises(job.JobError) as error:
        extract.extract(extract.Settings(classifier_folder=str(path)), vocabulary.built_in(), {"s": "A nodule."})
    return str(error.value)


def test_folders_that_cannot_be_used(folder, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "pytorch_model.bin").write_bytes(b"no")
    assert "no weights as safetensors" in unusable(tmp_path)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    names = {number: f"L{number}x" for number in range(len(LABELS))}
    config["id2label"], config["label2id"] = names, {name: number for number, name in names.items()}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "expected are abnormality, non-abnormality, disease, non-disease, anatomy" in unusable(tmp_path)
