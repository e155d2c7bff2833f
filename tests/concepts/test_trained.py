"""A small language model learns to write a corpus's reports for their concepts, and a killed training goes on."""

import signal

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from synvlp import job, processes
from synvlp.concepts import language_model, prefix, writing
from synvlp.concepts.writers import trained
from synvlp.store import tables

SETTINGS = language_model.Settings(
    vocabulary=420, tokens=64, layers=1, width=48, heads=2, dropout=0, steps=150, batch=12, rate=0.01, warmup=10,
    validate_every=50,
)  # fmt: skip


def made(folder, corpus):
    names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "curve.csv")
    fields = ("config", "weights", "tokenizer", "tokenizer_config", "curve")
    inputs = language_model.Inputs(**corpus)
    return inputs, language_model.Outputs(**{field: folder / name for field, name in zip(fields, names, strict=True)})


@pytest.fixture(scope="module")
def model(corpus, tmp_path_factory):
    monkey = pytest.MonkeyPatch()
    monkey.setenv("SYNVLP_SCRATCH", str(tmp_path_factory.mktemp("scratch")))
    inputs, outputs = made(tmp_path_factory.mktemp("writer"), corpus)
    language_model.run(SETTINGS, inputs, outputs)
    monkey.undo()
    return outputs


def test_training_lowers_the_loss_of_held_out_reports(model):
    curve = pd.read_csv(model.curve)
    held_out = curve[curve["phase"] == "validation"]["value"]
    assert held_out.iloc[-1] < 0.5 * held_out.iloc[0]


def test_it_writes_reports_of_the_concepts_that_it_is_given(model, inputs, outputs):
    files = [model.config, model.weights, model.tokenizer, model.tokenizer_config]
    sets = [["cardiomegaly", "left lung"], ["pleural effusion", "cardiomegaly"], ["normal heart size"]] * 4
    settings = trained.Settings(max_tokens=40, temperature=0.7, batch=5)
    given = inputs(sets, files)
    trained.run(settings, given, outputs)
    reports = tables.read(outputs.reports, tables.WRITTEN)
    assert len(reports) >= 8, "most of what a real report names is learnt"
    again = outputs.reports.read_bytes()
    trained.run(settings, given, outputs)
    assert outputs.reports.read_bytes() == again


def test_only_reports_of_the_split_with_both_sections_are_learnt_from(corpus, tmp_path):
    sections = tables.read(corpus["sections"], tables.SECTIONS)
    sections.loc[sections["study_id"] == "s000", "impression"] = " "
    path = tmp_path / "sections.parquet"
    tables.write(sections, path, tables.SECTIONS)
    inputs = language_model.Inputs(**{**corpus, "sections": path})
    train, held_out = (language_model.examples(inputs, split) for split in ("train", "val"))
    assert [one.study_id for one in train] == [f"s{n:03d}" for n in range(1, 42)]
    assert [one.study_id for one in held_out] == [f"s{n:03d}" for n in range(42, 52)]
    assert train[0].names == ["cardiomegaly", "pleural effusion"], "pneumonia is only said to be absent"


def test_the_loss_counts_the_report_alone():
    coder = language_model.learn_tokenizer(["cardiomegaly; spine heart large."], 300)
    one = language_model.Example("s", ["cardiomegaly", "spine"], prefix.body("heart large.", "large."))
    batch = language_model.encode(coder, [one, language_model.Example("t", ["spine"], "x")], 64, None)
    counted = batch["labels"][0][batch["labels"][0] != language_model.IGNORED]
    assert coder.decode(counted) == prefix.body("heart large.", "large.")
    assert coder.decode(batch["input_ids"][0]).startswith(prefix.condition(["cardiomegaly", "spine"]))
    assert batch["attention_mask"][1].sum() < batch["attention_mask"][0].sum() == len(batch["labels"][0])
    orders = {
        coder.decode(language_model.encode(coder, [one], 64, np.random.default_rng(seed))["input_ids"][0])
        for seed in range(8)
    }
    assert len(orders) == 2, "concepts come in every order"


def test_what_was_written_becomes_sections():
    written = prefix.body("Heart large.", "Large heart.") + prefix.END
    assert writing.parse(prefix.sections(written)) == writing.Report("Heart large.", "Large heart.")
    assert writing.parse(prefix.sections(" Heart large.")) == writing.Report("Heart large.", "")


def test_a_stopped_training_goes_on_to_the_same_bytes(corpus, stopped, scratch, tmp_path):
    settings = SETTINGS.model_copy(update={"steps": 4, "validate_every": 2, "dropout": 0.1})
    inputs, whole = made(tmp_path / "whole", corpus)
    language_model.run(settings, inputs, whole)
    _, outputs = made(tmp_path / "stopped", corpus)
    for path in outputs.paths():
        path.parent.mkdir(exist_ok=True)
    status, text = stopped(job.command("train-writer", settings, inputs, outputs), signal.SIGTERM)
    assert status == processes.STOPPED, text
    language_model.run(settings, inputs, outputs)
    assert [path.read_bytes() for path in outputs.paths()] == [path.read_bytes() for path in whole.paths()]
    assert not list(scratch.iterdir())


def test_what_cannot_be_trained_or_read(corpus, inputs, outputs, tmp_path, model):
    given, wanted = made(tmp_path, corpus)
    with pytest.raises(ValidationError, match="width = 47 is not a multiple of heads = 2"):
        language_model.Settings(width=47, heads=2)
    with pytest.raises(job.JobError, match="files that train-writer wrote"):
        trained.run(trained.Settings(), inputs([["cardiomegaly"]]), outputs)
    tables.write(tables.read(corpus["mentions"], tables.MENTIONS).head(0), tmp_path / "none.parquet", tables.MENTIONS)
    empty = given.model_copy(update={"mentions": tmp_path / "none.parquet"})
    with pytest.raises(job.JobError, match="no report of the train split"):
        language_model.run(SETTINGS, empty, wanted)
