"""Marks of an earlier de-identification stay only where an ablation asks for it, and are known from then on."""

import pandas as pd
import pytest

from synvlp import job
from synvlp.encoders import pairs
from synvlp.reports import anonymize, prompts, sections
from synvlp.store import files, tables

TEXTS = {
    "s1": "FINDINGS: The ___ lungs are clear. IMPRESSION: Small effusion seen on ___ again.",
    "s2": "FINDINGS: The heart is large. IMPRESSION: Seen by Dr. XXXX: no acute disease.",
    "s3": "FINDINGS: The heart is normal. IMPRESSION: Normal chest radiograph today.",
}


def written(folder, keep_anonymized, keep_prompts):
    """The prompts of the three reports, after all jobs of their stage."""
    rows = [{"study_id": study, "patient_id": f"p{study}", "text": text} for study, text in TEXTS.items()]
    tables.write(pd.DataFrame(rows), folder / "reports.parquet", tables.REPORTS)
    about = dict.fromkeys(("collection", "view", "sex"), "") | {"split": "train", "age": 50.0, "text_kind": "report"}
    about |= {"labelled": True, "has_image": True, "has_report": True}
    listed = [{"study_id": study, "patient_id": f"p{study}", "labels": [], **about} for study in TEXTS]
    tables.write(pd.DataFrame(listed), folder / "studies.parquet", tables.STUDIES)
    (folder / "key").write_text("a secret of more than sixteen bytes")
    names = ("anonymized", "found", "audit", "audit_table", "sections", "rejected", "prompts", "table")
    paths = {name: folder / f"{name}.out" for name in names}
    given = {name: folder / f"{name}.parquet" for name in ("reports", "studies")}
    made = {name: paths[name] for name in ("anonymized", "found", "audit", "audit_table")}
    anonymize.run(
        anonymize.Settings(keep_markers=keep_anonymized),
        anonymize.Inputs(**given, key=folder / "key"),
        anonymize.Outputs(**made),
    )
    sections.run(
        sections.Settings(),
        sections.Inputs(anonymized=paths["anonymized"]),
        sections.Outputs(sections=paths["sections"], rejected=paths["rejected"]),
    )
    prompts.run(
        prompts.Settings(keep_markers=keep_prompts),
        prompts.Inputs(studies=given["studies"], sections=paths["sections"]),
        prompts.Outputs(prompts=paths["prompts"], table=paths["table"], rejected=paths["rejected"]),
    )
    return paths["prompts"]


def test_marks_stay_and_are_named_in_the_ablation(tmp_path, caplog):
    frame = tables.read(written(tmp_path, True, True), tables.PROMPTS).set_index("study_id")
    assert "___" in frame.at["s1", "prompt"] and "XXXX" in frame.at["s2", "prompt"]
    assert list(frame["origin"]) == ["marked report", "marked report", "report"]
    assert files.read_json(tmp_path / "audit.out")["ablation"] == "markers are kept"
    assert "ABLATION: 2 of 3 prompts hold marks" in caplog.text


def test_marks_go_everywhere_else(tmp_path):
    frame = tables.read(written(tmp_path, False, False), tables.PROMPTS)
    assert "ablation" not in files.read_json(tmp_path / "audit.out")
    assert not frame["prompt"].str.contains("___|XXXX").any() and set(frame["origin"]) == {"report"}


def test_marks_that_come_by_mistake_stop_the_prompts(tmp_path):
    with pytest.raises(job.JobError, match="left in 2 studies: s1, s2"):
        written(tmp_path, True, False)


def test_no_encoder_reads_marks(tmp_path):
    inputs = pairs.Inputs(prompts=written(tmp_path, True, True), images=tmp_path / "images.parquet")
    names = {"pairs": "pairs.parquet", "pixels": "pixels.npy", "rejected": "pairs.csv"}
    outputs = pairs.Outputs(**{name: tmp_path / file for name, file in names.items()})
    with pytest.raises(job.JobError, match="left in 2 texts"):
        pairs.run(pairs.Settings(), inputs, outputs)
