"""Written reports become texts and prompts in the format of a corpus, and the audit counts right."""

import json

import pandas as pd
import pytest

from synvlp import job
from synvlp.concepts import audit, frequencies
from synvlp.store import tables

REPORTS = [
    ("written-000001", ["cardiomegaly"], "Cardiomegaly is seen. No effusion.", "Cardiomegaly.", 0),
    ("written-000002", ["cardiomegaly"], "Cardiomegaly is seen. No effusion.", "Cardiomegaly.", 2),
    ("written-000003", ["pneumonia", "spine"], "Pneumonia of 2 lobes, spine shown.", "Zebra pneumonia.", 0),
]


@pytest.fixture
def made(tmp_path, vocabulary_file):
    def run(**chosen):
        paths = {name: tmp_path / f"{name}.parquet" for name in ("reports", "sets", "real")}
        reports = pd.DataFrame(REPORTS, columns=list(tables.WRITTEN.columns))
        tables.write(reports, paths["reports"], tables.WRITTEN)
        asked = [*((row[0], row[1]) for row in REPORTS), ("written-000004", ["pneumonia", "emphysema"])]
        tables.write(pd.DataFrame(asked, columns=["study_id", "concepts"]), paths["sets"], tables.SETS)
        real = [
            ("a", "p", "train", "Cardiomegaly seen. Spine normal.", "x", "report"),
            ("b", "q", "train", "Zebra.", "x", "caption"),
            ("c", "r", "test", "Pneumonia.", "x", "report"),
        ]
        tables.write(pd.DataFrame(real, columns=list(tables.PROMPTS.columns)), paths["real"], tables.PROMPTS)
        lost = tmp_path / "rejected.csv"
        lost.write_text(
            'item,file,reason\nwritten-000004,sets.parquet,"missing: emphysema; added: spine, after 3 rewrites"\n'
        )
        outputs = audit.Outputs(**{name: tmp_path / name for name in ("prompts", "table", "audit")})
        inputs = audit.Inputs(**paths, rejected=lost, vocabulary=vocabulary_file)
        audit.run(audit.Settings(**chosen), inputs, outputs)
        return tables.read(outputs.prompts, tables.PROMPTS), json.loads(outputs.audit.read_text())

    return run


def test_texts_and_prompts_are_made_as_those_of_real_reports(made):
    prompts, _ = made(prompt_words=5)
    assert prompts["text"][0] == "Cardiomegaly is seen. No effusion.", "sentences of one word are no text"
    assert prompts["text"][2] == "Zebra pneumonia. Pneumonia of 2 lobes, spine shown."
    assert prompts["prompt"].tolist() == ["Cardiomegaly is seen. No effusion."] * 2 + ["Zebra pneumonia."]
    assert (prompts["patient_id"] == prompts["study_id"]).all() and set(prompts["origin"]) == {"written"}


def test_the_split_follows_from_the_id(made):
    assert set(made(val_share=0)[0]["split"]) == {"train"}
    ids = pd.DataFrame(
        {"study_id": [f"written-{n:06d}" for n in range(2000)], "findings": "a b.", "impression": "c d."}
    )
    split = audit.prompts_of(ids, audit.Settings(val_share=0.2)).set_index("study_id")["split"]
    assert (split == "val").mean() == pytest.approx(0.2, abs=0.03)
    fewer = audit.prompts_of(ids[::3], audit.Settings(val_share=0.2)).set_index("study_id")["split"]
    assert fewer.equals(split[::3])


def test_the_audit_counts(made):
    found = made()[1]
    assert found["reports"] == {
        "asked for": 4,
        "written": 3,
        "rejected": 1,
        "by number of rewrites": {"0": 2, "2": 1},
        "reasons of rejections": {"added": 1, "missing": 1},
    }
    disease = found["concepts"]["disease"]
    assert disease["in the vocabulary"] == disease["in a set"] == 2 and disease["in a report"] == 1
    assert disease["most sets of a concept"] == 2 and disease["fewest reports of a concept"] == 0
    assert found["cap"] == {"cap": "none"}
    assert made(cap=2)[1]["cap"] == {"cap": 2, "concepts at the cap": 2, "concepts above it": 0}
    assert made(cap=1)[1]["cap"]["concepts above it"] == 2
    assert found["prompts"] == {
        "findings of the reports": 3,
        "findings that their prompts lack": 0,
        "prompts that lack a finding": 0,
    }
    texts = found["texts"]
    assert (texts["different"], texts["with a twin"], texts["most frequent"]) == (2, 2, 2)
    words = ["cardiomegaly", "is", "seen", "no", "effusion"] * 2 + [
        "zebra",
        "pneumonia",
        "pneumonia",
        "of",
        "lobes",
        "spine",
        "shown",
    ]
    assert texts["distinct 1-grams"] == pytest.approx(len(set(words)) / len(words), abs=1e-6)
    words = found["vocabulary"]
    assert words["share of words that real texts have"] == pytest.approx(5 / 17, abs=1e-6), "cardiomegaly, seen; spine"
    assert "zebra" in words["frequent words without a real example"], "a caption is no report"
    assert words["different words, real"] == 4


def test_the_audit_counts_findings_that_prompts_lack(vocabulary_file):
    prompts = ["Cardiomegaly is seen. No pneumonia.", "The spine is imaged.", "Emphysema is seen."]
    sets = [["cardiomegaly", "pneumonia", "spine"], ["cardiomegaly", "emphysema"], ["emphysema", "left lung"]]
    assert list(audit.prompted(prompts, sets, vocabulary_file).values()) == [5, 3, 2]


def test_the_figure_shows_real_and_drawn_shares(corpus, vocabulary_file, tmp_path):
    sets = tmp_path / "sets.parquet"
    rows = [("a", ["scoliosis", "spine"]), ("b", ["cardiomegaly", "spine"])]
    tables.write(pd.DataFrame(rows, columns=["study_id", "concepts"]), sets, tables.SETS)
    outputs = frequencies.Outputs(figure=tmp_path / "figure.png", table=tmp_path / "figure.csv")
    inputs = frequencies.Inputs(
        vocabulary=vocabulary_file, mentions=[corpus["mentions"]], studies=[corpus["studies"]], sets=[sets]
    )
    settings = frequencies.Settings(corpora=["iu"], written=["even"], samplings=["balanced"])
    frequencies.run(settings, inputs, outputs)
    shown = pd.read_csv(outputs.table).set_index(["series", "concept"])
    assert shown.loc[("even, balanced", "spine"), "share"] == 1
    assert shown.loc[("even, balanced", "scoliosis"), "share"] == 0.5
    real = tables.read(corpus["mentions"], tables.MENTIONS)
    mine = real[(real["concept"] == "cardiomegaly") & (real["study_id"] < "s042")]
    assert shown.loc[("iu, real", "cardiomegaly"), "reports"] == len(mine)
    assert outputs.figure.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(job.JobError, match="corpora has 0 entries for 1 tables"):
        frequencies.run(settings.model_copy(update={"corpora": []}), inputs, outputs)
