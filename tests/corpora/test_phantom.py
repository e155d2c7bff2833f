"""The drawn corpus: equal bytes, independent patients, exact spans, reports and images that tell the same."""

import re

import numpy as np
import pandas as pd
import pytest

from synvlp.corpora import patients, phantom, planted, wording
from synvlp.store import images, tables

FILES = {
    "studies": "studies.parquet",
    "reports": "reports.parquet",
    "images": "images.parquet",
    "annotations": "annotations.parquet",
    "rejected": "rejected.csv",
    "identifiers": "identifiers.parquet",
    "preview": "preview.png",
}
# How the sentences of the reports are read here: written apart from the words that write them.
NEGATED = re.compile(r"\b(no|not|without|negative|free|normal|unremarkable|resolved|sharp|clear|none)\b", re.I)
TERMS = {
    "cardiomegaly": r"cardiomegaly|is (mildly|moderately|severely|markedly) enlarged|enlargement of the cardiac",
    "effusion": r"effusion",
    "opacity": r"opacit|consolidation|infiltrate|airspace disease",
    "pneumothorax": r"pneumothora",
    "nodule": r"nodul",
}
SEVERE = {
    "cardiomegaly": (r"mild", r"moderate", r"severe|marked"),
    "effusion": (r"small|trace|tiny", r"moderate", r"large|sizable"),
    "opacity": (r"faint|subtle|mild", r"moderate", r"dense|extensive"),
    "pneumothorax": (r"small|tiny", r"moderate", r"large"),
}
ZONES = {"upper": r"upper", "middle": r"\bmid|middle", "lower": r"lower|base"}


def draw(folder, **settings):
    outputs = phantom.Outputs(**{name: folder / file for name, file in FILES.items()})
    phantom.run(phantom.Settings(**settings), phantom.Inputs(), outputs)
    return outputs


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("drawn"), patients=60, seed=3)


@pytest.fixture(scope="module")
def described():
    shares = {name: phantom.Settings.model_fields[name].default for name in patients.LABELS}
    return [patients.describe(5, number, shares, 3) for number in range(250)]


def reports_of(described, **options):
    for patient in described:
        who = planted.identity(np.random.default_rng([1, patient.born.toordinal()]), patient.sex)
        for number, study in enumerate(patient.studies):
            rng = np.random.default_rng([patient.born.toordinal(), number])
            yield (
                patient,
                study,
                *wording.write(rng, patient, who, study, **({"identifiers": 1.0, "markers": 0.0} | options)),
            )


def test_equal_settings_give_equal_bytes(tmp_path):
    first = draw(tmp_path / "a", patients=6)
    second = draw(tmp_path / "b", patients=6)
    for one, other in zip(first.paths(), second.paths(), strict=True):
        assert one.read_bytes() == other.read_bytes()
    third = draw(tmp_path / "c", patients=6, seed=1)
    assert third.images.read_bytes() != first.images.read_bytes()


def test_more_patients_change_nothing_for_the_others(tmp_path, drawn):
    fewer = draw(tmp_path, patients=12, seed=3)
    for name, table in (
        ("studies", tables.STUDIES),
        ("reports", tables.REPORTS),
        ("images", tables.IMAGES),
        ("annotations", tables.ANNOTATIONS),
        ("identifiers", tables.IDENTIFIERS),
    ):
        few, many = (tables.read(getattr(outputs, name), table) for outputs in (fewer, drawn))
        kept = many[many["study_id"].isin(set(few["study_id"]))].reset_index(drop=True)
        pd.testing.assert_frame_equal(few, kept)
        assert len(many) > len(few)


def test_identifiers_stand_where_they_are_said_to_stand(drawn):
    reports = tables.read(drawn.reports, tables.REPORTS).set_index("study_id")["text"]
    found = tables.read(drawn.identifiers, tables.IDENTIFIERS)
    assert set(found["category"]) == set(planted.CATEGORIES)
    for row in found.itertuples():
        assert reports[row.study_id][row.start : row.end] == row.text
        assert row.text == row.text.strip() != ""
    for _, group in found.groupby("study_id"):
        assert (group["start"].to_numpy()[1:] >= group["end"].to_numpy()[:-1]).all()
    assert not reports.str.contains("[\ue000-\uf8ff]").any()


def test_identifiers_are_drawn_in_many_forms(described):
    texts = {name: set() for name in planted.CATEGORIES}
    for _, _, text, spans in reports_of(described):
        for category, start, end in spans:
            texts[category].add(re.sub(r"[A-Z]", "A", re.sub(r"[a-z]+", "a", re.sub(r"\d", "9", text[start:end]))))
    assert len(texts["date"]) >= 12
    assert len(texts["phone"]) >= 6
    for category in ("record", "accession", "device", "patient", "doctor"):
        assert len(texts[category]) >= 4, category


def test_only_ages_over_89_are_identifiers(described):
    for _, study, text, spans in reports_of(described):
        ages = [int(text[start:end]) for category, start, end in spans if category == "age"]
        assert ages == [age for age in ages if age > 89]
        spoken = re.findall(r"\b(\d{2,3})(?:-year-old| year old| y/o|yo )|\bage (\d{2,3}),", text, re.I)
        assert len(ages) == sum(int(one or other) > 89 for one, other in spoken)
        assert all(int(one or other) == study.age for one, other in spoken)


def test_previous_dates_are_true(described):
    """A comparison names the day of the study before, so that intervals can be checked after anonymization."""
    checked = 0
    for _, study, text, spans in reports_of(described):
        start = next((match.end() for match in re.finditer(r"(?i)compari\w*[:/]|prior studies:", text)), None)
        dates = [text[a:b] for category, a, b in spans if category == "date" and start and start <= a < start + 30]
        if study.previous and dates and re.fullmatch(r"\d{4}-\d\d-\d\d", dates[0]):
            assert dates[0] == study.previous.isoformat()
            checked += 1
    assert checked >= 5


def test_no_identifiers_where_none_are_wanted(described):
    found = [category for _, _, _, spans in reports_of(described, identifiers=0.0) for category, _, _ in spans]
    assert set(found) <= {"age"}  # an age stands in the indication of every report


def test_marks_of_an_earlier_deidentification(described):
    texts = [text for _, _, text, _ in reports_of(described, markers=1.0)]
    for mark in ("___", "XXXX", "[**"):
        assert sum(mark in text for text in texts) > 20
    assert not any(mark in text for _, _, text, _ in reports_of(described) for mark in ("___", "XXXX", "[**"))


def sentences(text):
    body = re.sub(r"(?m)^ *\d[.)] ", "", text)
    return re.split(r"(?<=[a-zA-Z0-9)])\.(?:\s+|$)|\n", body)


def stated(text):
    """Label -> the sentences that say that it is there."""
    found = {label: [] for label in TERMS}
    for sentence in sentences(text):
        plain = re.sub(r"(?i)not seen previously|not significantly changed", "", sentence)
        for label, pattern in TERMS.items():
            if re.search(pattern, plain, re.I) and not NEGATED.search(plain):
                found[label].append(plain)
    return {label: said for label, said in found.items() if said}


def test_reports_say_what_is_drawn_and_nothing_else(described):
    studies = 0
    for _, study, text, _ in reports_of(described):
        said = stated(text)
        assert sorted(said) == sorted(study.labels), study.study_id
        for label, group in ((label, [f for f in study.findings if f.label == label]) for label in study.labels):
            for sentence in said[label]:
                check_sentence(sentence, group)
        studies += 1
    assert studies > 400


def check_sentence(sentence, group):
    finding = group[0]
    if finding.label != "cardiomegaly":
        side = "bilateral" if len(group) == 2 else finding.side
        assert re.search(rf"\b{side}\b", sentence, re.I), sentence
        assert side == "bilateral" or not re.search({"left": r"\bright\b", "right": r"\bleft\b"}[side], sentence, re.I)
    if finding.label in ("opacity", "nodule"):
        assert re.search(ZONES[finding.zone], sentence, re.I), sentence
    if finding.label == "nodule":
        number, unit = re.search(r"(\d+(?:\.\d)?) (cm|mm)", sentence, re.I).groups()
        assert float(number) == pytest.approx(finding.extent * (10 if unit.lower() == "mm" else 1))
    elif finding.label == "cardiomegaly" and (ratio := re.search(r"ratio of (0\.\d+)", sentence, re.I)):
        assert float(ratio.group(1)) == pytest.approx(finding.extent, abs=0.006)
    if finding.label in SEVERE:
        assert re.search(SEVERE[finding.label][finding.severity], sentence, re.I), sentence


def test_masks_lie_in_their_boxes_on_their_side(drawn):
    marks = tables.read(drawn.annotations, tables.ANNOTATIONS)
    for row in marks[marks["category"] != ""].itertuples():
        mask = images.decode(row.mask) > 0
        rows, columns = np.nonzero(mask)
        assert mask.shape == (64, 64)
        assert mask.any()
        assert (columns.min(), rows.min()) == (row.x, row.y)
        assert (columns.max() + 1 - row.x, rows.max() + 1 - row.y) == (row.width, row.height)
    lungs = marks[marks["set"] == "lungs"].pivot(index="study_id", columns="category", values="x")
    assert (lungs["right_lung"] < lungs["left_lung"]).all()  # the patient's right is on the image's left


def test_every_image_was_looked_at(drawn):
    studies = tables.read(drawn.studies, tables.STUDIES).set_index("study_id")
    marks = tables.read(drawn.annotations, tables.ANNOTATIONS)
    found = marks[marks["set"] == "findings"].groupby("study_id")["category"].agg(set)
    assert set(found.index) == set(studies.index)
    for study_id, labels in studies["labels"].items():
        assert found[study_id] == (set(labels) or {""})
    assert marks[marks["category"] == ""]["mask"].isna().all()


def test_findings_change_the_picture_where_they_are(drawn):
    """Effusions and opacities are brighter than the same place of the other lung, free air is darker."""
    marks = tables.read(drawn.annotations, tables.ANNOTATIONS)
    pixels = tables.read(drawn.images, tables.IMAGES).set_index("study_id")["image"].map(images.decode)
    lungs = (
        marks[marks["set"] == "lungs"]
        .groupby("study_id")["mask"]
        .agg(lambda masks: [images.decode(m) > 0 for m in masks])
    )
    brighter = {"opacity": [], "effusion": [], "nodule": [], "pneumothorax": []}
    for row in marks[marks["category"].isin(brighter)].itertuples():
        inside = images.decode(row.mask) > 0
        lung = np.any(lungs[row.study_id], axis=0)
        level = np.nonzero(inside.any(axis=1))[0]
        around = lung & ~inside & np.isin(np.arange(64), level)[:, None]
        if around.sum() > 20:
            brighter[row.category].append(pixels[row.study_id][inside].mean() - pixels[row.study_id][around].mean())
    assert np.median(brighter["opacity"]) > 8
    assert np.median(brighter["effusion"]) > 8
    assert np.median(brighter["nodule"]) > 8
    assert np.median(brighter["pneumothorax"]) < -4


def test_patients_splits_and_shares(described):
    for patient in described:
        assert len({study.study_id for study in patient.studies}) == len(patient.studies) <= 3
        dates = [study.date for study in patient.studies]
        assert dates == sorted(set(dates))
    splits = pd.Series([patient.split for patient in described]).value_counts()
    assert splits.to_dict() == {"train": 175, "val": 25, "test": 50}
    studies = [study for patient in described for study in patient.studies]
    for label in patients.LABELS:
        share = np.mean([label in study.labels for study in studies])
        assert share == pytest.approx(phantom.Settings.model_fields[label].default, abs=0.07), label


def test_shares_of_zero_draw_no_findings(tmp_path):
    outputs = draw(tmp_path, patients=4, **dict.fromkeys(patients.LABELS, 0.0))
    assert tables.read(outputs.studies, tables.STUDIES)["labels"].map(len).eq(0).all()


def test_other_image_size(tmp_path):
    outputs = draw(tmp_path, patients=2, image_size=96)
    stored = tables.read(outputs.images, tables.IMAGES)["image"].map(images.decode)
    assert all(pixels.shape == (96, 96) for pixels in stored)


def test_planted_names_are_plain_and_rare():
    lists = (planted.FEMALE, planted.MALE, planted.SURNAMES, planted.HOSPITAL_NAMES, planted.STREETS, planted.TOWNS)
    for names in lists:
        assert len(set(names)) == len(names)
        assert all(name.isascii() and name[0].isalpha() for name in names)
    assert not set(planted.FEMALE) & set(planted.MALE)
    common = """james mary john patricia robert jennifer michael linda william elizabeth david barbara richard susan
        joseph jessica thomas sarah charles karen smith johnson williams brown jones garcia miller davis rodriguez
        martinez hernandez lopez gonzalez wilson anderson taylor moore jackson martin lee evans morgan lloyd owen price
        chicago houston phoenix dallas austin boston denver seattle columbus charlotte anna maria emma"""
    assert not planted.planted_words() & set(common.split())


def test_spans_survive_capitals_and_redaction():
    marked = f"Seen by Dr. {planted.plant('doctor', 'Ilta Postma')} on {planted.plant('date', '3/14')}."
    assert planted.spans(marked) == ("Seen by Dr. Ilta Postma on 3/14.", [("doctor", 12, 23), ("date", 27, 31)])
    assert planted.spans(marked.upper())[1] == [("doctor", 12, 23), ("date", 27, 31)]
    redacted = planted.redact(marked, np.random.default_rng(0), "___", 1.0)
    assert planted.spans(redacted) == ("Seen by Dr. ___ on ___.", [])
