"""Tokenizer, texts, sets of pairs, and which pairs a step sees."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from synvlp import job
from synvlp.encoders import batches, convirt, pairs, tokenizer
from synvlp.models import texts
from synvlp.store import images, tables

TEXTS = ["No pleural effusion.", "Small left pleural effusion. Heart normal.", "Cardiomegaly, no effusion!"] * 4


def prompts_of(folder, rows):
    filled = [{"patient_id": row["study_id"], "prompt": row["text"], "origin": "report"} | row for row in rows]
    tables.write(pd.DataFrame(filled), folder / "prompts.parquet", tables.PROMPTS)
    return folder / "prompts.parquet"


def build(folder, prompts, pictures, table=tables.IMAGES, **settings):
    tables.write(pd.DataFrame(pictures), folder / "images.parquet", table)
    outputs = pairs.Outputs(
        pairs=folder / "pairs.parquet", pixels=folder / "pixels.npy", rejected=folder / "rejected.csv"
    )
    inputs = pairs.Inputs(prompts=prompts, images=folder / "images.parquet")
    pairs.run(pairs.Settings(**{"image_size": 16, **settings}), inputs, outputs)
    return tables.read(outputs.pairs, tables.PAIRS), images.read_pixels(outputs.pixels), pd.read_csv(outputs.rejected)


def test_the_tokenizer_opens_with_transformers_and_knows_only_the_train_split(tmp_path):
    rows = [{"study_id": f"s{k:02}", "split": "train", "text": text} for k, text in enumerate(TEXTS)]
    rows += [{"study_id": f"t{k}", "split": "test", "text": "zzyzx zzyzx"} for k in range(9)]
    outputs = tokenizer.Outputs(tokenizer=tmp_path / "tokenizer.json", config=tmp_path / "tokenizer_config.json")
    inputs = tokenizer.Inputs(prompts=[prompts_of(tmp_path, rows)])
    tokenizer.run(tokenizer.Settings(vocabulary=200), inputs, outputs)
    from transformers import AutoTokenizer

    opened = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    ids = opened("Pleural EFFUSION")["input_ids"]
    assert opened.convert_ids_to_tokens(ids) == ["[CLS]", "pleural", "effusion", "[SEP]"]
    assert (opened.pad_token_id, opened.unk_token, opened.mask_token) == (0, "[UNK]", "[MASK]")
    assert opened.convert_ids_to_tokens(opened("zzyzx")["input_ids"])[1] == "[UNK]"
    assert opened.decode(ids, skip_special_tokens=True) == "pleural effusion"
    padded = opened(["effusion", "no pleural effusion"], padding=True)
    assert padded["attention_mask"][0] == [1, 1, 1, 0, 0]

    copies = tokenizer.Outputs(tokenizer=tmp_path / "b" / "tokenizer.json", config=tmp_path / "b" / "c.json")
    tokenizer.run(tokenizer.Settings(tokenizer_folder=str(tmp_path)), inputs, copies)
    adopted = texts.open_tokenizer(copies.tokenizer)
    assert adopted.encode("Pleural EFFUSION").ids == ids


def test_the_tokenizer_is_the_same_in_every_process_and_for_every_order():
    code = "import sys; from synvlp.encoders import tokenizer; sys.stdout.write(tokenizer.train({}, 150, 1))"
    made = [
        subprocess.run([sys.executable, "-c", code.format(given)], capture_output=True, text=True, check=True).stdout
        for given in (TEXTS, TEXTS[::-1])
    ]
    assert made[0] == made[1]
    assert list(json.loads(made[0])["model"]["vocab"])[:5] == tokenizer.SPECIAL


def test_a_tokenizer_without_words_or_folder_is_refused(tmp_path):
    with pytest.raises(job.JobError, match="hold no word"):
        tokenizer.train([], 200, 1)
    with pytest.raises(job.JobError, match="there is no such folder"):
        tokenizer.adopt(tmp_path / "nowhere")
    with pytest.raises(job.JobError, match="not a tokenizer that opens"):
        tokenizer.adopt(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(job.JobError, match="not a readable tokenizer"):
        texts.open_tokenizer(tmp_path / "tokenizer.json")


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("No effusion. Heart is normal.", ["No effusion.", "Heart is normal."]),
        ("A 2.5 cm nodule. Stable", ["A 2.5 cm nodule."]),
        ("Ratio of 0.58. No effusion.", ["Ratio of 0.58.", "No effusion."]),
        ("Clear lungs\nNo effusion", ["Clear lungs", "No effusion"]),
        ("Normal", ["Normal"]),
    ],
)
def test_sentences(text, sentences):
    assert texts.sentences_of(text) == sentences


def test_texts_are_cut_padded_and_know_their_words(corpus):
    found = texts.tokenize(corpus / "tokenizer.json", ["the heart is normal. opacity left", "qqqq heart"], 6, False)
    assert found.ids.shape == (2, 6)
    assert found.lengths.tolist() == [6, 4]
    assert found.word_of.tolist() == [[-1, 0, 1, 2, 3, -1], [-1, 0, 1, -1, -1, -1]]
    assert found.ids[1, 4:].tolist() == [0, 0]
    split = texts.tokenize(corpus / "tokenizer.json", ["the heart is normal. opacity left", "heart"], 8, True)
    assert split.count.tolist() == [2, 1]
    ids, word_of, lengths = split.take(np.array([0, 0, 1]), np.array([0.0, 0.99, 0.5]))
    assert lengths.tolist() == [7, 4, 3]
    assert ids.shape == word_of.shape == (3, 7)


def test_subwords_of_a_word_share_its_index(corpus):
    found = texts.tokenize(corpus / "tokenizer.json", ["hearts left"], 12, False)
    words = found.word_of[0][found.word_of[0] >= 0]
    assert words.tolist() == [0] * (len(words) - 1) + [1]
    assert len(words) > 2


def test_pixels_and_rows_belong_together(tmp_path):
    rows = [{"study_id": f"s{k}", "split": "train", "text": f"word {k}"} for k in range(5)]
    pictures = [
        {"study_id": f"s{k}", "image": images.encode(np.full((16, 16), 10 * k, np.uint8))} for k in (4, 2, 0, 3)
    ]
    table, pixels, rejected = build(tmp_path, prompts_of(tmp_path, rows), pictures)
    assert table.study_id.tolist() == ["s0", "s2", "s3", "s4"]
    assert pixels[:, 0, 0].tolist() == [0, 20, 30, 40]
    assert not table.synthetic.any()
    assert rejected.values.tolist() == [["s1", "images.parquet", "no image"]]


def test_what_makes_no_pair_is_listed_with_its_reason(tmp_path):
    kinds = [
        ("a", "train", "fine"),
        ("b", "train", " … "),
        ("c", "val", "fine"),
        ("d", "test", "fine"),
        ("e", "val", "x"),
    ]
    rows = [{"study_id": study, "split": split, "text": text} for study, split, text in kinds]
    good = images.encode(np.zeros((16, 16), np.uint8))
    broken = good[:40] + b"\0\0\0" + good[43:]
    pictures = [{"study_id": study, "image": broken if study == "c" else good} for study in "abcde"]
    table, pixels, rejected = build(tmp_path, prompts_of(tmp_path, rows), pictures, max_rejected=0.5)
    assert table.study_id.tolist() == ["a", "e"]
    assert len(pixels) == 2
    assert dict(zip(rejected.item, rejected.reason, strict=True)) == {"b": "no words", "c": "unreadable image"}
    with pytest.raises(job.JobError, match=r"more than max_rejected = 0\.05 allows"):
        build(tmp_path, prompts_of(tmp_path, rows), pictures)


def test_accepted_synthetic_images_make_pairs_and_copies_keep_their_order(tmp_path):
    rows = [{"study_id": f"s{k}", "split": "train", "text": f"word {k}"} for k in range(2)]
    draws = [("s0", 0, False), ("s0", 1, True), ("s1", 0, True), ("s1", 1, True)]
    pictures = [
        {
            "study_id": study,
            "draw": draw,
            "image": images.encode(np.full((32, 32), 100 * int(study[1]) + 10 * draw, np.uint8)),
            "prompt": "",
            "seed": 1,
            "accepted": accepted,
            "reason": "",
            "mean": 0.0,
            "deviation": 0.0,
            "saturated": 0.0,
        }
        for study, draw, accepted in draws
    ]
    table, pixels, _ = build(tmp_path, prompts_of(tmp_path, rows), pictures, tables.SHARD)
    assert table.study_id.tolist() == ["s0", "s1", "s1"]
    assert pixels[:, 0, 0].tolist() == [10, 100, 110]
    assert pixels.shape == (3, 16, 16)
    assert table.synthetic.all()


def test_nothing_in_common_and_wrong_tables_stop(tmp_path):
    prompts = prompts_of(tmp_path, [{"study_id": "a", "split": "train", "text": "fine"}])
    with pytest.raises(job.JobError, match="has no image of a study"):
        build(tmp_path, prompts, [{"study_id": "z", "image": images.encode(np.zeros((16, 16), np.uint8))}])
    with pytest.raises(job.JobError, match="has the columns study_id, image"):
        pairs.is_synthetic(prompts)
    with pytest.raises(job.JobError, match="rows must be ordered"):
        frame = pd.DataFrame(
            [{"study_id": name, "image": images.encode(np.zeros((16, 16), np.uint8))} for name in "ba"]
        )
        frame.to_parquet(tmp_path / "wild.parquet")
        pairs.check(tmp_path / "wild.parquet", pd.Series({"a": "fine", "b": "fine"}))


def sets_of(corpus, count=2, **changes):
    settings = convirt.Settings(**{"length": 24, "steps": 10, "batch": 8, **changes})
    paths = [[corpus / name] * count for name in ("pairs.parquet", "pixels.npy")]
    return batches.read(*paths, corpus / "tokenizer.json", settings)


def test_sets_are_drawn_by_weight_and_a_longer_training_begins_like_a_shorter_one():
    chosen, before = batches.draw_sets(np.array([0.25, 0.0, 0.75]), 8000, seed=1)
    assert set(chosen) == {0, 2}
    assert abs((chosen == 0).mean() - 0.25) < 0.02
    assert before[chosen == 2].tolist() == list(range((chosen == 2).sum()))
    shorter = batches.draw_sets(np.array([0.25, 0.0, 0.75]), 100, seed=1)
    assert (shorter[0] == chosen[:100]).all()
    assert not (batches.draw_sets(np.array([0.5, 0.5]), 100, seed=2)[0] == shorter[0]).all()


def test_every_epoch_sees_every_training_pair_once(corpus):
    sets = sets_of(corpus, count=1, steps=10, batch=8)
    rows = [sets._row(0, place) for place in range(60)]
    for epoch in range(3):
        assert sorted(rows[20 * epoch : 20 * epoch + 20]) == sorted(sets.training[0])
    assert rows[:20] != rows[20:40]


def test_a_batch_depends_on_seed_and_index_alone_and_pairs_stay_pairs(corpus):
    sets = sets_of(corpus, sentences=False)
    again = sets_of(corpus, sentences=False, steps=99)
    for index in (7, 0, 3):
        one, other = sets.train(index, 8), again.train(index, 8)
        assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in vars(one))
    assert not np.array_equal(sets.train(0, 8).pixels, sets_of(corpus, seed=5).train(0, 8).pixels)
    reader = texts.open_tokenizer(corpus / "tokenizer.json")
    batch = sets.train(0, 8)
    for pixels, ids in zip(batch.pixels, batch.ids, strict=True):
        bright = np.argwhere(pixels > 200).mean(0)
        words = reader.decode(ids.tolist())
        assert ("left" in words) == (bright[1] > 16)
        assert ("lower" in words) == (bright[0] > 16)


def test_validation_takes_every_pair_once_with_weights_that_sum_to_one(corpus):
    sets = sets_of(corpus, weights=[3.0, 1.0])
    parts = sets.validate(3)
    assert [len(batch.pixels) for _, batch in parts] == [3, 3, 2] * 2
    assert sum(weight for weight, _ in parts) == pytest.approx(1)
    assert sum(weight for weight, _ in parts[:3]) == pytest.approx(0.75)
    assert len(sets_of(corpus, count=1, validation_pairs=5).validation[0]) == 5
    described = sets.describe(80)
    assert [one["training"] for one in described] == [20, 20]
    assert sum(one["drawn"] for one in described) == 80


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [1.0]}, "one number from 0 up is needed for each of 2 sets"),
        ({"weights": [0.0, 0.0]}, "not all 0"),
        ({"weights": [1.0, -1.0]}, "one number from 0 up"),
    ],
)
def test_wrong_weights_are_refused(corpus, changes, message):
    with pytest.raises(job.JobError, match=message):
        sets_of(corpus, **changes)


def test_sets_that_do_not_fit_together_are_refused(corpus, tmp_path):
    settings = convirt.Settings(length=24, steps=1, batch=2)
    good = (corpus / "pairs.parquet", corpus / "pixels.npy")
    for number, (shape, message) in enumerate(
        [((30, 32, 32), "does not belong to 28 pairs"), ((28, 16, 16), "must be of one image size")]
    ):
        other = tmp_path / f"{number}.npy"
        np.save(other, np.zeros(shape, np.uint8))
        with pytest.raises(job.JobError, match=message):
            batches.read([good[0]] * 2, [good[1], other], corpus / "tokenizer.json", settings)
    frame = tables.read(good[0], tables.PAIRS)
    for split, message in (("val", "no pairs of the split train"), ("train", "at least two pairs of the split val")):
        part = frame[frame.split == split]
        tables.write(part, tmp_path / "part.parquet", tables.PAIRS)
        np.save(tmp_path / "part.npy", np.zeros((len(part), 32, 32), np.uint8))
        with pytest.raises(job.JobError, match=message):
            batches.read([tmp_path / "part.parquet"], [tmp_path / "part.npy"], corpus / "tokenizer.json", settings)
