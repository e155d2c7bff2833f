"""The tokenizer that is learnt from prompts."""

import pytest

from synvlp.generators import vocabulary

TEXTS = ["Small left pleural effusion.", "No pleural effusion or pneumothorax.", "Left lower lobe opacity."] * 5


@pytest.fixture(scope="module")
def tokenizer():
    return vocabulary.train(TEXTS, 600, 12)


def test_frequent_words_are_one_token_and_case_is_ignored(tokenizer):
    words = tokenizer.tokenize("LEFT pleural Effusion")
    assert words == ["left</w>", "pleural</w>", "effusion</w>"]


def test_every_text_can_be_written(tokenizer):
    ids = tokenizer("Überblähung 3½ cm — 心 😀")["input_ids"]
    assert tokenizer.unk_token_id not in ids[1:-1]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "überblähung 3 ½ cm — 心 😀"


def test_texts_are_framed_and_padded_as_clip_does(tokenizer):
    ids = tokenizer("left effusion", padding="max_length", truncation=True)["input_ids"]
    assert len(ids) == 12
    assert ids[0] == tokenizer.bos_token_id == 0
    assert ids[3:] == [tokenizer.eos_token_id] * 9


def test_equal_texts_give_equal_files_that_open_again(tokenizer, tmp_path):
    from transformers import CLIPTokenizer

    for name in ("one", "two"):
        vocabulary.train(TEXTS, 600, 12).save_pretrained(tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["tokenizer.json", "tokenizer_config.json"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    opened = CLIPTokenizer.from_pretrained(tmp_path / "one", local_files_only=True)
    text = "no left effusion, 2.5 cm"
    assert opened(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert opened.model_max_length == 12
