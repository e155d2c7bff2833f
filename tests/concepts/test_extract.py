"""Extraction from a corpus: the table of mentions, the statistics against slow references, precision and recall."""

import json
from collections import Counter
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from synvlp import job
from synvlp.concepts import extract, measure, reading, statistics, vocabulary
from synvlp.store import tables

PATIENTS = 60


def write_prompts(path, texts, origin="report"):
    rows = [(study, f"p{study}", "train", text, text, origin) for study, text in texts.items()]
    tables.write(pd.DataFrame(rows, columns=list(tables.PROMPTS.columns)), path, tables.PROMPTS)


def outputs_in(folder):
    names = {"mentions": "parquet", "statistics": "json", "table": "csv", "pairs": "csv", "picture": "png"}
    return extract.Outputs(**{name: folder / f"{name}.{ending}" for name, ending in names.items()})


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """The built-in vocabulary as a file."""
    folder = tmp_path_factory.mktemp("words")
    paths = {"vocabulary": folder / "v.parquet", "table": folder / "v.csv", "rejected": folder / "r.csv"}
    reading.run(reading.Settings(), reading.Inputs(), reading.Outputs(**paths))
    return paths["vocabulary"]


TEXTS = {
    "a": "No pneumothorax. Large nodule. Nodule in the left upper lobe.",
    "b": "Nodule and cardiomegaly. No effusion.",
    "c": "Possible nodule. Cardiomegaly and effusion. The lungs are clear.",
    "d": "Nothing is said here. Nothing is said here.",
    "e": "Nodule and cardiomegaly. No effusion.",
}


@pytest.fixture(scope="module")
def small(tmp_path_factory, words):
    folder = tmp_path_factory.mktemp("small")
    write_prompts(folder / "prompts.parquet", TEXTS)
    outputs = outputs_in(folder)
    extract.run(extract.Settings(), extract.Inputs(prompts=folder / "prompts.parquet", vocabulary=words), outputs)
    return outputs


def test_mentions_are_where_they_are_said_to_be(small):
    mentions = tables.read(small.mentions, tables.MENTIONS)
    rows = [
        (row.concept, row.kind, row.sentence, TEXTS[row.study_id][row.start : row.end], row.status, row.detector)
        for row in mentions.itertuples()
        if row.study_id == "a"
    ]
    assert rows == [
        ("pneumothorax", "abnormality", 0, "pneumothorax", "absent", "rules"),
        ("nodule", "abnormality", 1, "nodule", "present", "rules"),
        ("nodule", "abnormality", 2, "Nodule", "present", "rules"),
        ("left upper lung", "anatomy", 2, "left upper lobe", "present", "rules"),
    ]


def test_statistics_of_a_corpus(small):
    described = json.loads(small.statistics.read_text())
    assert described["studies"] == 5 and described["studies_with_mentions"] == 4
    counts = {name: [row["present"], row["uncertain"], row["absent"], row["mentions"]] for name, row in
              described["concepts"].items() if row["mentions"]}  # fmt: skip
    assert counts == {
        "nodule": [3, 1, 0, 5],
        "cardiomegaly": [3, 0, 0, 3],
        "pleural effusion": [1, 0, 2, 3],
        "pneumothorax": [0, 0, 1, 1],
        "clear lungs": [1, 0, 0, 1],
        "left upper lung": [1, 0, 0, 1],
    }
    texts = described["texts"]
    assert (texts["sentences"], texts["sentences_with_mentions"]) == (12, 10)
    assert (texts["different_texts"], texts["texts_that_repeat_another"]) == (4, 2)
    assert described["long_tail"]["findings"]["singletons"] == 1
    assert described["co_occurrence"][0] == {
        "one": "cardiomegaly", "other": "nodule", "studies": 2, "expected": 9 / 5, "lift": 10 / 9,
    }  # fmt: skip
    assert small.picture.read_bytes()[:4] == b"\x89PNG"
    assert pd.read_csv(small.table)["concept"].tolist()[:2] == ["nodule", "cardiomegaly"]


def test_equal_inputs_give_equal_files(small, words, tmp_path):
    write_prompts(tmp_path / "prompts.parquet", dict(reversed(TEXTS.items())))
    again = outputs_in(tmp_path)
    extract.run(extract.Settings(), extract.Inputs(prompts=tmp_path / "prompts.parquet", vocabulary=words), again)
    for one, other in zip(small.paths(), again.paths(), strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def random_mentions(rng, studies=40):
    concepts = vocabulary.built_in()
    names = sorted(concepts)[:12]
    rows = [
        (f"s{rng.integers(studies):02d}", (name := names[rng.integers(len(names))]), concepts[name].kind, 0, 0, 1,
         statistics.STATUSES[rng.integers(3)], "rules")
        for _ in range(300)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(tables.MENTIONS.columns)), concepts


def test_counts_and_pairs_against_loops():
    mentions, concepts = random_mentions(np.random.default_rng(0))
    said = {}
    for row in mentions.itertuples():
        key = row.study_id, row.concept
        said[key] = min(said.get(key, 2), statistics.STATUSES.index(row.status))
    table = statistics.counts(mentions, concepts).set_index("concept")
    for (name, rank), count in Counter((name, rank) for (_, name), rank in said.items()).items():
        assert table.loc[name, statistics.STATUSES[rank]] == count
    together = Counter()
    for study in {study for study, _ in said}:
        present = sorted(
            name for (owner, name), rank in said.items()
            if owner == study and rank == 0 and concepts[name].kind != "anatomy"
        )  # fmt: skip
        together.update(combinations(present, 2))
    pairs = statistics.pairs(mentions, 40, "findings", "normal")
    assert {(row.one, row.other): row.studies for row in pairs.itertuples()} == dict(together)
    for row in pairs.itertuples():
        expected = table.loc[row.one, "present"] * table.loc[row.other, "present"] / 40
        assert (row.expected, row.lift) == pytest.approx((expected, row.studies / expected))


@pytest.mark.parametrize("counts", [[5, 1, 1, 0], [3, 3, 3], [100], [9, 8, 7, 1, 1, 1, 0, 0]])
def test_the_long_tail_against_its_definition(counts):
    tail = statistics.long_tail(counts)
    present = [count for count in counts if count]
    gaps = sum(abs(one - other) for one in present for other in present)
    assert tail["gini"] == pytest.approx(gaps / (2 * len(present) * sum(present)))
    assert tail["singletons"] == counts.count(1)
    assert tail["share_of_top"]["1"] == max(counts) / sum(counts)


def test_a_corpus_without_findings(words, tmp_path):
    write_prompts(tmp_path / "prompts.parquet", {"a": "Nothing is said here."})
    outputs = outputs_in(tmp_path)
    extract.run(extract.Settings(), extract.Inputs(prompts=tmp_path / "prompts.parquet", vocabulary=words), outputs)
    assert tables.read(outputs.mentions, tables.MENTIONS).empty
    assert json.loads(outputs.statistics.read_text())["long_tail"]["findings"]["gini"] == 0


def test_captions_are_no_reports(words, tmp_path):
    write_prompts(tmp_path / "prompts.parquet", {"a": "Nodule."}, origin="caption")
    with pytest.raises(job.JobError, match="no report among 1 texts"):
        inputs = extract.Inputs(prompts=tmp_path / "prompts.parquet", vocabulary=words)
        extract.run(extract.Settings(), inputs, outputs_in(tmp_path))


def corpus(folder):
    """Tables of a small drawn corpus: its studies, and its raw reports as prompts."""
    from synvlp.corpora import phantom

    names = ("studies", "reports", "images", "annotations", "rejected", "identifiers", "preview")
    outputs = phantom.Outputs(**{name: folder / f"{name}.parquet" for name in names} | {"preview": folder / "p.png"})
    phantom.run(
        phantom.Settings(patients=PATIENTS, image_size=32, identifier_rate=0, marker_rate=0), phantom.Inputs(), outputs
    )
    reports = tables.read(outputs.reports, tables.REPORTS)
    write_prompts(folder / "prompts.parquet", dict(zip(reports["study_id"], reports["text"], strict=True)))
    return outputs.studies


def test_precision_and_recall_on_a_drawn_corpus(words, tmp_path):
    studies, outputs = corpus(tmp_path), outputs_in(tmp_path)
    prompts = tmp_path / "prompts.parquet"
    extract.run(extract.Settings(), extract.Inputs(prompts=prompts, vocabulary=words), outputs)
    measured = measure.Outputs(measures=tmp_path / "m.json", table=tmp_path / "m.csv")
    inputs = measure.Inputs(mentions=outputs.mentions, vocabulary=words, prompts=prompts, studies=studies)
    measure.run(measure.Settings(), inputs, measured)
    measures = json.loads(measured.measures.read_text())
    assert measures["concepts"]["effusion"] == "pleural effusion" and len(measures["labels"]) == 5
    for label, rates in [*measures["labels"].items(), ("overall", measures["overall"])]:
        assert rates["present"]["precision"] >= 0.97 and rates["present"]["recall"] >= 0.97, label
        assert rates["absent"]["precision"] >= 0.97 and rates["absent"]["recall"] >= 0.6, label


def test_measures_against_counting(words):
    concepts = vocabulary.load(words)
    truth = {"a": {"nodule"}, "b": {"nodule"}, "c": {"effusion"}, "d": set(), "e": {"nodule", "cyst"}}
    rows = [("a", "nodule", "present"), ("b", "nodule", "absent"), ("c", "nodule", "present"),
            ("c", "clear lungs", "present"), ("d", "clear lungs", "present"), ("e", "nodule", "uncertain"),
            ("c", "pleural effusion", "present"), ("b", "no acute disease", "present")]  # fmt: skip
    frame = pd.DataFrame(
        [(study, name, concepts[name].kind, 0, 0, 1, status, "rules") for study, name, status in rows],
        columns=list(tables.MENTIONS.columns),
    )
    measures = measure.measure(frame, truth, concepts)
    assert measures["concepts"] == {"effusion": "pleural effusion", "nodule": "nodule"}
    nodule = measures["labels"]["nodule"]
    assert nodule["present"] == {"said": 2, "right": 1, "precision": 0.5, "true": 3, "recall": 1 / 3}
    assert nodule["uncertain"] == {"said": 1, "right": 1, "precision": 1.0}
    assert nodule["absent"] == {"said": 1, "right": 0, "precision": 0.0, "true": 2, "recall": 0.5}
    assert nodule["excluded"] == {"said": 1, "right": 1, "precision": 1.0}
    assert measures["labels"]["effusion"]["present"]["recall"] == 1.0


def test_tables_of_different_corpora_are_not_measured(small, words, tmp_path):
    studies = corpus(tmp_path)
    inputs = measure.Inputs(
        mentions=small.mentions, vocabulary=words, prompts=tmp_path / "prompts.parquet", studies=studies
    )
    with pytest.raises(job.JobError, match="do not belong together: 4 of its studies"):
        measure.run(measure.Settings(), inputs, measure.Outputs(measures=tmp_path / "m", table=tmp_path / "t"))
