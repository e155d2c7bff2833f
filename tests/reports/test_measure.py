"""The measures of an anonymization, against numbers counted by hand."""

import json

import pandas as pd
import pytest

from synvlp import job
from synvlp.corpora import phantom
from synvlp.reports import anonymize, measure, spans
from synvlp.store import files, tables

RAW = {"a": "Mr. Quist, MRN 123456, seen 03/14/2019. Clear lungs.", "b": "Kerley lines. Dr. Okri called."}
NEW = {"a": "Mr. Brown, MRN 987654, seen 03/14/2019. Clear lungs.", "b": "Moss lines. Dr. Okri called."}


def rows(*spans, columns):
    frame = []
    for study, category, word in spans:
        start = RAW[study].index(word)
        last = word if "text" in columns else "rules"
        frame.append((study, category, start, start + len(word), last))
    return pd.DataFrame(frame, columns=columns).astype({"start": "int64", "end": "int64"})


TRUTH = rows(
    ("a", "patient", "Quist"),
    ("a", "record", "123456"),
    ("a", "date", "03/14/2019"),
    ("b", "doctor", "Okri"),
    columns=list(tables.IDENTIFIERS.columns),
)
FOUND = rows(
    ("a", "doctor", "Quist"),
    ("a", "record", "MRN 123456"),
    ("a", "date", "03/14"),
    ("b", "patient", "Kerley"),
    columns=list(tables.FOUND.columns),
)


def test_measures_by_hand():
    result = measure.measure(RAW, NEW, TRUTH, FOUND)
    assert result["overall"]["true"] == 4
    assert result["overall"]["found"] == 2  # Quist and the record; of the date the year is missed, of b all
    assert result["overall"]["recall"] == pytest.approx(0.5)
    assert result["overall"]["precision"] == pytest.approx(3 / 4)
    assert result["overall"]["f1"] == pytest.approx(2 * 0.5 * 0.75 / 1.25)
    assert result["categories"]["patient"]["recall"] == 1
    assert result["categories"]["patient"]["precision"] == 0
    assert result["categories"]["doctor"]["found_as_same_category"] == 0
    assert result["confusion"]["patient"] == {"doctor": 1}
    assert result["confusion"]["doctor"] == {"missed": 1}


def test_leaks_and_lost_words_by_hand():
    result = measure.measure(RAW, NEW, TRUTH, FOUND)
    assert result["leaks"] == 1  # Okri; the year of a date may stay
    assert result["leaks_per_report"] == pytest.approx(0.5)
    assert result["reports_with_leak"] == 1
    # outside: Mr MRN seen Clear lungs / Kerley lines Dr called; lost: MRN, Kerley
    assert result["words_outside_identifiers"] == 9
    assert result["clinical_words_lost_per_1000"] == pytest.approx(2000 / 9)


def test_an_identifier_that_is_found_but_still_stands_in_the_text_leaks():
    kept = {"a": NEW["a"].replace("Brown", "Quist"), "b": NEW["b"]}
    assert measure.measure(RAW, kept, TRUTH, FOUND)["leaks"] == 2


def write(folder, truth=TRUTH, found=FOUND, new=NEW):
    def texts(values):
        return pd.DataFrame(
            [(study, "p", text) for study, text in values.items()], columns=["study_id", "patient_id", "text"]
        )

    paths = {name: folder / f"{name}.parquet" for name in measure.Inputs.model_fields}
    tables.write(texts(RAW), paths["reports"], tables.REPORTS)
    tables.write(texts(new), paths["anonymized"], tables.ANONYMIZED)
    tables.write(truth, paths["identifiers"], tables.IDENTIFIERS)
    tables.write(found, paths["found"], tables.FOUND)
    return measure.Inputs(**paths), measure.Outputs(measures=folder / "m.json", table=folder / "m.csv")


def test_the_job_writes_json_and_csv(tmp_path):
    inputs, outputs = write(tmp_path)
    measure.run(measure.Settings(), inputs, outputs)
    assert json.loads(outputs.measures.read_text())["overall"]["recall"] == 0.5
    table = pd.read_csv(outputs.table).set_index("category")
    assert list(table.index) == ["date", "doctor", "patient", "record", "overall"]
    assert table.loc["overall", "precision"] == 0.75


def test_tables_that_do_not_belong_together_stop(tmp_path):
    inputs, outputs = write(tmp_path, truth=TRUTH.assign(start=TRUTH["start"] + 1, end=TRUTH["end"] + 1))
    with pytest.raises(job.JobError, match="study a: no such identifier") as error:
        measure.run(measure.Settings(), inputs, outputs)
    assert "Quist" not in str(error.value)
    inputs, outputs = write(tmp_path, new={"a": NEW["a"]})
    with pytest.raises(job.JobError, match="1 reports are missing, the first is b"):
        measure.run(measure.Settings(), inputs, outputs)
    inputs, outputs = write(tmp_path, found=FOUND.assign(study_id="z"))
    with pytest.raises(job.JobError, match="are not in"):
        measure.run(measure.Settings(), inputs, outputs)


def test_patients_of_a_seed_that_nothing_else_uses_are_anonymized_as_well_as_promised(tmp_path):
    """Recall of at least 0.98 and of 0.95 in each category, precision of at least 0.95."""
    drawn, done, found = (
        module.Outputs(**{name: tmp_path / name for name in module.Outputs.model_fields})
        for module in (phantom, anonymize, measure)
    )
    phantom.run(phantom.Settings(seed=20_260_731, patients=60, image_size=32), phantom.Inputs(), drawn)
    key = tmp_path / "key"
    key.write_text("the secret of this test")
    raw = anonymize.Inputs(reports=drawn.reports, studies=drawn.studies, key=key)
    anonymize.run(anonymize.Settings(), raw, done)
    both = measure.Inputs(
        reports=drawn.reports, identifiers=drawn.identifiers, found=done.found, anonymized=done.anonymized
    )
    measure.run(measure.Settings(), both, found)
    measures = files.read_json(found.measures)
    assert set(measures["categories"]) == set(spans.CATEGORIES)
    for category, rates in measures["categories"].items():
        assert rates["true"] >= 5 and rates["recall"] >= 0.95, (category, rates)
    assert measures["overall"]["true"] > 400
    assert measures["overall"]["recall"] >= 0.98 and measures["overall"]["precision"] >= 0.95
