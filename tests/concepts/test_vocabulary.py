"""Vocabularies: the built-in one, published definitions, one's own table, and what can be wrong with them."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from synvlp import job
from synvlp.concepts import reading, regions, vocabulary
from synvlp.store import tables

COLLECTION = Path(os.environ.get("SYNVLP_OPEN_CXR", Path(__file__).parents[3] / "shared/data/open-cxr"))
DEFINITIONS = COLLECTION / "definitions"
HEADER = "concept,kind,synonyms,definition,origin,excludes\n"


def read(folder, source=None, phrases=None, **settings):
    """The vocabulary by name, and (concept, reason) of what was set aside."""
    outputs = reading.Outputs(
        vocabulary=folder / "vocabulary.parquet", table=folder / "vocabulary.csv", rejected=folder / "rejected.csv"
    )
    inputs = reading.Inputs(source=[source] if source else None, phrases=[phrases] if phrases else None)
    reading.run(reading.Settings(**({"max_rejected": 1.0} | settings)), inputs, outputs)
    rejected = pd.read_csv(outputs.rejected, dtype=str)
    return vocabulary.load(outputs.vocabulary), list(zip(rejected["item"], rejected["reason"], strict=True))


def table(folder, rows):
    path = folder / "own.csv"
    path.write_text(HEADER + rows)
    return path


def test_the_built_in_vocabulary(tmp_path):
    read_back, rejected = read(tmp_path)
    assert read_back == vocabulary.built_in() and rejected == []
    kinds = {concept.kind for concept in read_back.values()}
    assert kinds == set(vocabulary.KINDS)
    findings = {name for name, concept in read_back.items() if concept.kind in ("abnormality", "disease")}
    assert set(read_back["no acute disease"].excludes) == findings
    assert "cardiomegaly" in read_back["normal heart size"].excludes
    assert all(concept.definition and concept.origin for concept in read_back.values())
    shown = pd.read_csv(tmp_path / "vocabulary.csv", keep_default_na=False)
    assert list(shown["concept"]) == list(read_back)


def test_excluding_goes_both_ways(tmp_path):
    rows = "big heart,abnormality,,It is big.,me,\nsmall heart,non-abnormality,tiny heart,It is small.,me,big heart\n"
    concepts, rejected = read(tmp_path, table(tmp_path, rows), kind="table")
    assert rejected == []
    assert concepts["big heart"].excludes == ("small heart",)
    assert concepts["small heart"].excludes == ("big heart",)
    assert vocabulary.contradictions(["small heart", "big heart"], concepts) == [("big heart", "small heart")]
    assert vocabulary.contradictions(["big heart"], concepts) == []


def test_what_is_wrong_with_rows_is_said_row_by_row(tmp_path):
    rows = (
        "mass,abnormality,lump|tumour,A round thing.,me,\n"
        "Masses,abnormality,,The same in other words.,me,\n"
        "knob,thing,,Of no kind.,me,\n"
        "node,abnormality,lump|knot|,A small one.,me,moon\n"
        "void,abnormality,,  ,me,\n"
        ",abnormality,,Without a name.,me,\n"
        "short,abnormality\n"
        "normal,non-disease,mass,As it should be.,me,*abnormality\n"
    )
    concepts, rejected = read(tmp_path, table(tmp_path, rows), kind="table")
    assert list(concepts) == ["mass", "node", "normal"]
    assert concepts["node"].synonyms == ("knot",)
    assert concepts["normal"].excludes == ("mass", "node") and concepts["normal"].synonyms == ()
    assert rejected == [
        ("(no name)", "no name"),
        ("Masses", "duplicate name: the same as mass"),
        (
            "knob",
            "unknown kind: thing where one of abnormality, non-abnormality, disease, non-disease, anatomy is expected",
        ),
        ("node", "duplicate synonym: 'lump' belongs to mass"),
        ("node", "excludes an unknown concept: moon"),
        ("normal", "duplicate synonym: 'mass' belongs to mass"),
        ("short", "wrong number of cells: 2 where the header has 6"),
        ("void", "empty definition"),
    ]


def test_a_table_that_loses_too_much_stops(tmp_path):
    path = table(tmp_path, "knob,thing,,x,me,\nnode,abnormality,,x,me,\n")
    with pytest.raises(job.JobError, match="1 of 2 inputs were rejected"):
        read(tmp_path, path, kind="table", max_rejected=0.4)
    assert "unknown kind" in (tmp_path / "rejected.stopped.csv").read_text()


def test_a_parquet_table_is_read_as_it_was_written(tmp_path):
    concepts, _ = read(tmp_path)
    copy = tmp_path / "copy.parquet"
    copy.write_bytes((tmp_path / "vocabulary.parquet").read_bytes())
    assert read(tmp_path / "again", copy, kind="table")[0] == concepts


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"concept,kind\na,b\n", "has no column synonyms, definition, origin, excludes"),
        (b"", "has no column concept"),
        (HEADER.encode(), "holds no concept"),
        (b"concept,kind\n\xff\xfe,b\n", "not readable as CSV in UTF-8"),
        (HEADER.encode() + b'"a,b\n', "not readable as CSV in UTF-8"),
    ],
)
def test_files_that_are_no_table(tmp_path, content, message):
    path = tmp_path / "own.csv"
    path.write_bytes(content)
    with pytest.raises(job.JobError, match=message):
        read(tmp_path, path, kind="table")


def test_a_kind_and_its_file_belong_together(tmp_path):
    with pytest.raises(job.JobError, match=r"kind table reads a file: name it in concepts\.vocabulary\.path"):
        read(tmp_path, kind="table")
    with pytest.raises(job.JobError, match="kind built-in reads no file"):
        read(tmp_path, table(tmp_path, ""))


def test_a_vocabulary_that_was_changed_by_hand_is_noticed(tmp_path):
    read(tmp_path)
    frame = tables.read(tmp_path / "vocabulary.parquet", tables.VOCABULARY)
    broken = frame.assign(excludes=[[] if name == "cardiomegaly" else list(excludes) for name, excludes in zip(
        frame["concept"], frame["excludes"], strict=True)])  # fmt: skip
    tables.write(broken, tmp_path / "broken.parquet", tables.VOCABULARY)
    with pytest.raises(job.JobError, match="not the same both ways"):
        vocabulary.load(tmp_path / "broken.parquet")
    tables.write(frame.assign(kind="thing"), tmp_path / "kind.parquet", tables.VOCABULARY)
    with pytest.raises(job.JobError, match="unknown kind: thing"):
        vocabulary.load(tmp_path / "kind.parquet")
    with pytest.raises(job.JobError, match="read-vocabulary writes such a table"):
        vocabulary.load(tmp_path / "vocabulary.csv")


def models(folder, findings, phrases=None):
    definitions = folder / "definitions.json"
    definitions.write_text(json.dumps({"source": "here", "license": "MIT", "findings": findings}))
    if phrases is not None:
        (folder / "phrases.json").write_text(json.dumps({"phrases": phrases}))
    return definitions, folder / "phrases.json" if phrases is not None else None


def model(name, *synonyms, tags=(), description="What it is."):
    return {"id": f"ID_{name}", "name": name, "synonyms": synonyms, "tags": tags, "description": description}


def test_finding_models_with_phrases(tmp_path):
    findings = [
        model("Consolidation", "dense lung", tags=["finding"]),
        model("lung mass", "mass"),
        model("Pneumonia", tags=["diagnosis"]),
        model("underexposed", tags=["technique"]),
        model("void", description=""),
        {"id": "x"},
    ]
    phrases = {
        "consolidation": {"mention": ["consolidat", "lung"]},
        "lung_mass": {"mention": ["mass", "_lump_"], "unmention": ["massive"]},
        "fracture": {"mention": ["fracture"]},
    }
    source, more = models(tmp_path, findings, phrases)
    concepts, rejected = read(tmp_path, source, more, kind="definitions")
    assert {name: concept.kind for name, concept in concepts.items()} == {
        "Consolidation": "abnormality",
        "Pneumonia": "disease",
        "lung mass": "abnormality",
    }
    assert concepts["Consolidation"].synonyms == ("dense lung", "consolidat*")
    assert concepts["lung mass"].synonyms == ("mass", "lump")
    assert concepts["Pneumonia"].origin == "here, ID_Pneumonia, MIT"
    assert rejected == [
        ("consolidation", "names a place, not a finding: lung"),
        ("finding 6", "no name"),
        ("fracture", "phrases without a definition"),
        ("underexposed", "about the picture, not the patient"),
        ("void", "empty definition"),
    ]


def test_the_built_in_words_can_be_added(tmp_path):
    source, _ = models(tmp_path, [model("Pleural Effusion", "wet pleura"), model("third mogul sign")])
    concepts, _ = read(tmp_path, source, kind="definitions", add_built_in=True)
    built_in = vocabulary.built_in()
    assert set(concepts) == set(built_in) | {"third mogul sign"}
    effusion = concepts["pleural effusion"]
    assert set(effusion.synonyms) == {*built_in["pleural effusion"].synonyms, "wet pleura"}
    assert (effusion.definition, effusion.origin) == ("What it is.", "here, ID_Pleural Effusion, MIT")
    assert "third mogul sign" in concepts["no acute disease"].excludes


def test_findings_exclude_what_is_normal_in_their_region(tmp_path):
    findings = [
        model("thick-walled cavity", tags=["XR", "Lung"]),
        model("aortic aneurysm"),
        model("massive pleural effusion", tags=["pleura"]),
        model("broken ribs with lung contusion"),
        model("kidney stone", tags=["abdomen"]),
        model("metal valve", tags=["device", "heart"]),
        model("something odd"),
    ]
    source, _ = models(tmp_path, findings)
    concepts, rejected = read(tmp_path, source, kind="definitions", add_built_in=True)
    lungs = {"adequate lung volumes", "clear lungs", "fully expanded lungs"}
    overall = {"no acute disease", "normal chest radiograph"}
    normal = {name for name, concept in concepts.items() if concept.kind == "non-abnormality"}
    assert {name: set(concepts[name].excludes) - overall for name in (found["name"] for found in findings)} == {
        "thick-walled cavity": lungs,
        "aortic aneurysm": {"normal mediastinal contours"},
        "massive pleural effusion": {"clear pleural spaces", "sharp costophrenic angles"},
        "broken ribs with lung contusion": {*lungs, "intact osseous structures"},
        "kidney stone": set(),
        "metal valve": set(),
        "something odd": normal,
    }
    assert all(overall <= set(concepts[found["name"]].excludes) for found in findings)
    assert rejected == []
    alone, rejected = read(tmp_path / "alone", source, kind="definitions")
    assert not any(concept.excludes for concept in alone.values()) and rejected == [], "there is nothing normal in it"


def test_the_regions_cover_all_that_is_normal():
    normal = {name for name, concept in vocabulary.built_in().items() if concept.kind == "non-abnormality"}
    assert {name for _, names in regions.regions().values() for name in names} == normal


def test_a_name_goes_before_a_synonym_where_definitions_meet_built_in_concepts(tmp_path):
    findings = [
        model("alveolar edema", description="In the air spaces."),
        model("Pulmonary Edema", tags=["diagnosis"], description="In the lung."),
        model("pulmonary nodule", description="The first word for a nodule."),
        model("lung nodule", description="The second."),
        model("flattened diaphragm", description="Flat."),
        model("large lungs", "hyperinflation", description="Too much air."),
    ]
    source, _ = models(tmp_path, findings)
    concepts, rejected = read(tmp_path, source, kind="definitions", add_built_in=True)
    built_in = vocabulary.built_in()
    edema, alveolar = concepts["pulmonary edema"], concepts["alveolar edema"]
    assert (edema.definition, edema.origin) == ("In the lung.", "here, ID_Pulmonary Edema, MIT")
    assert (alveolar.definition, alveolar.kind) == ("In the air spaces.", "disease"), "edema's kind, without a tag"
    assert alveolar.excludes == edema.excludes == built_in["pulmonary edema"].excludes
    assert concepts["nodule"].definition == "The first word for a nodule."
    assert concepts["lung nodule"].excludes == built_in["nodule"].excludes
    assert concepts["hyperinflation"].definition == "Too much air.", "it says that it is called so"
    assert concepts["flattened diaphragm"].excludes == built_in["hyperinflation"].excludes
    assert not any("duplicate name" in reason for _, reason in rejected)


@pytest.mark.parametrize(("content", "message"), [("[]", "no list under 'findings'"), ("{", "not readable as JSON")])
def test_files_that_are_no_definitions(tmp_path, content, message):
    path = tmp_path / "definitions.json"
    path.write_text(content)
    with pytest.raises(job.JobError, match=message):
        read(tmp_path, path, kind="definitions")


@pytest.mark.skipif(not DEFINITIONS.is_dir(), reason="open-cxr is not here")
def test_the_published_definitions(tmp_path):
    source, phrases = DEFINITIONS / "cxr_finding_definitions.json", DEFINITIONS / "chexpert_phrases.json"
    concepts, rejected = read(tmp_path, source, phrases, kind="definitions", max_rejected=0.1)
    assert len(concepts) > 440
    joined, _ = read(tmp_path / "more", source, phrases, kind="definitions", add_built_in=True)
    assert len(joined) > len(concepts)
    for name in ("pleural thickening", "hiatal hernia", "pulmonary edema", "aortic calcification"):
        assert joined[name].definition == concepts[name].definition, name
    for name, normal in (
        ("thick-walled lung cavity", "clear lungs"),
        ("aortic aneurysm", "normal mediastinal contours"),
        ("massive pleural effusion", "clear pleural spaces"),
    ):
        assert normal in joined[name].excludes
    assert joined["elevated hemidiaphragm"].definition == concepts["elevation of hemidiaphragm"].definition
    assert sum("about the picture" in reason for _, reason in rejected) == 16
