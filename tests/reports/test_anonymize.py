"""The job: what it writes, what it keeps to itself, and how it stops."""

import json
import logging
import re

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synvlp import job
from synvlp.reports import anonymize, markers
from synvlp.reports.surrogates import Surrogates, originals
from synvlp.store import tables

SECRET = "0123456789abcdef-very-secret"
REPORTS = {
    "s1": (
        "p1",
        "Patient: Quezada, Xiomara   MRN: 00456123\nAccession: CR-19-004512\nExam date: 03/14/2019\n\n"
        "INDICATION: 94-year-old woman with cough.\nCOMPARISON: 02/28/2019.\n"
        "FINDINGS: A 2.5 cm nodule. Pacemaker, serial number PJN123456S. Kerley B lines. XXXX lungs.\n"
        "IMPRESSION: 1. Nodule. Findings were discussed with Dr. Zebedee Quist at (617) 482-0931.\n"
        "Electronically signed by: Thandiwe Okri, MD\nTamsel Bay Hospital, 4512 Old Quarry Road, Greenvale, NY 11548",
    ),
    "s2": ("p1", "Ms. Quezada returns. Compared to 3/14, no change. Dr. Quist agrees. Exam date: 03/21/2019"),
    "s3": ("p2", "FINDINGS: Clear lungs. ___ IMPRESSION: Normal chest."),
}
RAW = [
    "Quezada",
    "Xiomara",
    "00456123",
    "004512",
    "PJN123456S",
    "Zebedee",
    "Quist",
    "482-0931",
    "Thandiwe",
    "Okri",
    "Tamsel",
    "Quarry",
    "Greenvale",
    "11548",
    "03/14/2019",
]


def studies(rows: dict[str, tuple[str, str]], sex: str = "F") -> pd.DataFrame:
    filler = {
        "collection": "c",
        "split": "train",
        "view": "PA",
        "sex": sex,
        "age": 50.0,
        "labelled": True,
        "has_image": True,
        "has_report": True,
        "text_kind": "report",
    }
    return pd.DataFrame(
        [{"study_id": study, "patient_id": patient, "labels": [], **filler} for study, (patient, _) in rows.items()]
    )


def inputs_of(folder, rows=REPORTS, key=SECRET) -> anonymize.Inputs:
    folder.mkdir(exist_ok=True)
    frame = pd.DataFrame([(study, *row) for study, row in rows.items()], columns=list(tables.REPORTS.columns))
    tables.write(frame, folder / "reports.parquet", tables.REPORTS)
    tables.write(studies(rows), folder / "studies.parquet", tables.STUDIES)
    (folder / "key").write_text(key)
    return anonymize.Inputs(reports=folder / "reports.parquet", studies=folder / "studies.parquet", key=folder / "key")


def outputs_of(folder) -> anonymize.Outputs:
    names = {"anonymized": "a.parquet", "found": "f.parquet", "audit": "audit.json", "audit_table": "audit.csv"}
    return anonymize.Outputs(**{name: folder / file for name, file in names.items()})


@pytest.fixture
def done(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    outputs = outputs_of(tmp_path)
    job.execute("anonymize", anonymize, anonymize.Settings(), inputs_of(tmp_path / "in"), outputs)
    return outputs, caplog.text


def texts(outputs: anonymize.Outputs) -> dict[str, str]:
    return tables.read(outputs.anonymized, tables.ANONYMIZED).set_index("study_id")["text"].to_dict()


def test_no_raw_identifier_and_no_key_in_any_output_or_log(done):
    outputs, log = done
    written = " ".join(texts(outputs).values()) + outputs.audit.read_text() + outputs.audit_table.read_text() + log
    written += outputs.found.read_bytes().decode("latin1")
    assert [raw for raw in RAW if raw.lower() in written.lower()] == []
    assert SECRET not in written


def test_clinical_words_and_headings_stay(done):
    text = texts(done[0])["s1"]
    for kept in (
        "INDICATION: 90-year-old woman with cough.",
        "A 2.5 cm nodule.",
        "Kerley B lines",
        "IMPRESSION: 1. Nodule.",
    ):
        assert kept in text
    assert markers.count(" ".join(texts(done[0]).values())) == 0


def test_dates_of_a_patient_move_together(done):
    first, second = texts(done[0])["s1"], texts(done[0])["s2"]
    exam, prior = (pd.Timestamp(day) for day in re.findall(r"\d\d/\d\d/\d{4}", first))
    later = pd.Timestamp(re.search(r"\d\d/\d\d/\d{4}", second).group())
    assert (exam - prior).days == 14
    assert (later - exam).days == 7
    assert f"Compared to {exam.month}/{exam.day}," in second


def test_names_are_the_same_in_all_reports_of_a_patient(done):
    first, second = texts(done[0])["s1"], texts(done[0])["s2"]
    last = re.search(r"Patient: ([^,]+),", first).group(1)
    assert f"Ms. {last} returns" in second
    assert re.search(r"Dr\. \w+ ([\w'-]+) at", first).group(1) == re.search(r"Dr\. ([\w'-]+) agrees", second).group(1)


def test_audit_counts_and_shows_stand_ins_only(done):
    audit = json.loads(done[0].audit.read_text())
    found = tables.read(done[0].found, tables.FOUND)
    assert audit["reports"] == 3
    assert audit["identifiers"] == len(found) == sum(part["found"] for part in audit["categories"].values())
    assert audit["markers_removed"] == 2
    assert audit["categories"]["patient"]["found"] == 2
    everything = " ".join(texts(done[0]).values())
    for part in audit["categories"].values():
        assert part["found"] == part["replaced"]
        for example in part["examples"]:
            assert re.search(r"\[(.*)\]", example).group(1) in everything


def test_equal_input_gives_equal_bytes_and_another_key_another_text(tmp_path):
    results = []
    for name, key in (("a", SECRET), ("b", SECRET), ("c", "another secret of some length")):
        outputs = outputs_of(tmp_path / name)
        anonymize.run(anonymize.Settings(), inputs_of(tmp_path / f"in-{name}", key=key), outputs)
        results.append([path.read_bytes() for path in outputs.paths()])
    assert results[0] == results[1]
    assert results[0][0] != results[2][0]
    assert results[0][1] == results[2][1]


def test_more_patients_change_no_other_patient(tmp_path):
    anonymize.run(anonymize.Settings(), inputs_of(tmp_path / "in1"), outputs_of(tmp_path / "one"))
    more = {**REPORTS, "s0": ("p0", "Mr. Okafor-Lindqvist was seen."), "s9": ("p9", "Normal chest film.")}
    anonymize.run(anonymize.Settings(), inputs_of(tmp_path / "in2", more), outputs_of(tmp_path / "two"))
    before, after = texts(outputs_of(tmp_path / "one")), texts(outputs_of(tmp_path / "two"))
    assert {study: after[study] for study in before} == before


@pytest.mark.parametrize("key", ["", "shrtkey", " " * 40])
def test_a_key_that_is_too_short_stops_without_showing_it(tmp_path, key):
    with pytest.raises(job.JobError, match="16 are the least") as error:
        anonymize.run(anonymize.Settings(), inputs_of(tmp_path / "in", key=key), outputs_of(tmp_path))
    assert not key.strip() or key not in str(error.value)


def test_a_report_without_study_stops(tmp_path):
    inputs = inputs_of(tmp_path / "in")
    tables.write(studies({"s1": REPORTS["s1"]}), inputs.studies, tables.STUDIES)
    with pytest.raises(job.JobError, match=r"2 reports belong to no study.*s2"):
        anonymize.run(anonymize.Settings(), inputs, outputs_of(tmp_path))


def test_a_corpus_without_reports_gives_empty_tables(tmp_path):
    outputs = outputs_of(tmp_path)
    inputs = inputs_of(tmp_path / "in")
    nothing = pd.DataFrame(columns=list(tables.REPORTS.columns))
    tables.write(nothing, inputs.reports, tables.REPORTS)
    anonymize.run(anonymize.Settings(), inputs, outputs)
    assert texts(outputs) == {}
    assert json.loads(outputs.audit.read_text())["identifiers"] == 0


CHUNKS = [
    "Normal heart. ",
    "Dr. Quist ",
    "on 03/14/2019 ",
    "2.5 cm nodule, ",
    "MRN: 0045612 ",
    "\n",
    "call 617-482-0931 ",
    "Kerley B lines ",
    "94-year-old ",
    "Mr. Okri; ",
    "T12 and L1. ",
    "Émile ",
    "at Tamsel Bay Hospital ",
]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(CHUNKS), min_size=1, max_size=12).map("".join))
def test_text_outside_spans_is_untouched(text):
    spotted = anonymize.Detector().find_all({"s": text}, "p")["s"]
    new, examples = anonymize.replace(
        text, spotted, Surrogates(SECRET.encode(), "p", "", 364, originals(text, spotted))
    )
    at, out = 0, []
    for span in spotted:
        out.append(re.escape(text[at : span.start]))
        at = span.end
    assert re.fullmatch("(.+?)".join([*out, re.escape(text[at:])]), new, re.DOTALL)
    assert len(examples) == len(spotted)
    assert not {"Quist", "Okri", "Tamsel", "0045612", "482-0931"} & set(re.findall(r"[\w-]+", new))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Seen by Dr.\r\nGarcia", ["Garcia"]),
        ("Seen by Dr. Jane\r\nOkafor today", ["Jane", "Okafor"]),
        ("Seen by Dr. Jane\rOkafor today", ["Jane", "Okafor"]),
        ("Normal.\r\nJKM/abc\r\n", ["JKM", "abc"]),
        ("Normal.\r\ntranscribed by jkm\r\n", ["jkm"]),
        ("Dr.\u00a0Smith agrees", ["Smith"]),
        ("Patient:\u00a0Okafor, Chidi", ["Okafor", "Chidi"]),
        ("MRN:\u00a012345", ["12345"]),
        ("Patient:\u202fOkafor,\u2003Chidi", ["Okafor", "Chidi"]),
        ("\ufeffDr. Smi\u00adth agrees", ["Smith", "Smi\u00adth"]),
    ],
)
def test_odd_spaces_and_line_ends_hide_no_identifier(tmp_path, text, names):
    outputs = outputs_of(tmp_path)
    anonymize.run(anonymize.Settings(), inputs_of(tmp_path / "in", {"s1": ("p1", text)}), outputs)
    assert not [name for name in names if re.search(rf"\b{name}\b", texts(outputs)["s1"])]


def test_positions_are_those_in_the_normalized_text():
    text = "\ufeffFINDINGS:\r\nSeen by Dr.\u00a0Okafor.\r\n"
    plain = anonymize.normalized(text)
    assert plain == "FINDINGS:\nSeen by Dr. Okafor.\n"
    spotted = anonymize.Detector().find_all({"s": text}, "p")["s"]
    assert [plain[span.start : span.end] for span in spotted] == ["Okafor"]
    new, _ = anonymize.replace(text, spotted, Surrogates(SECRET.encode(), "p", "", 364, originals(plain, spotted)))
    assert new.startswith("FINDINGS:\nSeen by Dr. ") and new.endswith(".\n")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Dr. John XXXX Smith agrees", "John Smith"),
        ("Patient: SMITH, XXXX", "SMITH"),
        ("Patient: XXXX, Jane", "Jane"),
        ("Patient: ___ Okafor", "Okafor"),
        ("Patient: [**Last Name 12**], Okafor", "Okafor"),
        ("signed by: Jane XXXX, MD", "Jane"),
        ("signed by: ___ Okafor, MD", "Okafor"),
        ("Dr. ___ Smith notified of the result", "Smith"),
        ("Dr. ___ ___ Smith notified of the result", "Smith"),
        ("Discussed with XXXX Okafor by telephone", "Okafor"),
        ("Wishard XXXX Hospital", "Wishard"),
        ("MRN 12345XXXX", "12345"),
        ("Dr. XXXX-Okafor agrees", "Okafor"),
        ("Seen by Dr. Okafor XXXX Heart is normal", "Okafor"),
        ("Jane ___ Okafor, MD", "Jane Okafor"),
        ("Jane [**Initial**] Okafor is a 45-year-old woman", "Jane Okafor"),
    ],
)
def test_what_a_marker_leaves_of_an_identifier_is_replaced(tmp_path, text, left):
    spotted = anonymize.Detector().find_all({"s": text}, "p")["s"]
    assert " ".join(text[span.start : span.end] for span in spotted) == left
    outputs = outputs_of(tmp_path)
    anonymize.run(anonymize.Settings(), inputs_of(tmp_path / "in", {"s1": ("p1", text)}), outputs)
    assert not set(left.split()) & set(re.findall(r"\w+", texts(outputs)["s1"]))


@pytest.mark.parametrize(
    "text",
    [
        "Discussed with Dr. XXXX. Lungs are clear.",
        "Dr. XXXX was notified. The heart is normal.",
        "Mr. XXXX Right lung is clear.",
        "Seen by Dr. ___ at 3 pm.",
        "Transferred from XXXX Hospital; XXXX Medical Center.",
        "Dr. XXXX Swan-Ganz catheter. Patient: XXXX",
        "XXXX XXXX and lateral. MRN XXXX. Kerley XXXX lines. The patient XXXX has a XXXX catheter.",
        "Signed by XXXX, MD. Dictated by: XXXX",
        "Lungs XXXX, MD. Normal XXXX was reviewed.",
        "Patient: XXXX Young male. Patient: XXXX\nSternotomy wires.",
    ],
)
def test_a_marker_makes_no_identifier_of_what_follows(text):
    assert anonymize.Detector().find_all({"s": text}, "p")["s"] == []


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("DOB: 03/04/1932\nExam date: 3/20/2019.\nComparison: 3/20.", 2019),
        ("Exam date: 3/20/2019. Date of birth 03/04/1932. Born on 3/4/1932.", 2019),
        ("Comparison: 12/30/2018. Exam date: 1/2/2020. Seen 1/3.", 2020),
        ("DOB: 03/04/1932. Seen 3/20.", anonymize._DEFAULT_YEAR),
    ],
)
def test_a_birth_gives_no_year_to_dates_without_one(text, year):
    assert anonymize._year_of(text) == year


def test_the_weekday_of_a_date_without_year_is_that_of_the_exam_year():
    text = "DOB: 03/04/1932\nExam date: 3/20/2019.\nComparison: 3/20. Wednesday 3/20."
    spotted = anonymize.Detector().find_all({"s": text}, "p")["s"]
    new, _ = anonymize.replace(text, spotted, Surrogates(SECRET.encode(), "p", "", 364, []))
    exam = pd.Timestamp(re.search(r"Exam date: ([\d/]+)", new).group(1))
    assert f"{exam.day_name()} {exam.month}/{exam.day}." in new
