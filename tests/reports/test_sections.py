"""Sections of free text in its many shapes, and of XML."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synvlp import job
from synvlp.reports import markers, sections
from synvlp.store import tables


def filled(text: str) -> dict[str, str]:
    return {name: value for name, value in sections.parse(text).items() if value}


@pytest.mark.parametrize(
    "heading",
    [
        "FINDINGS:",
        "Findings:",
        "findings :",
        "FINDINGS -",
        "Findings -",
        "## Findings\n",
        "**FINDINGS:**",
        "FINDINGS\n",
        "OBSERVATIONS:",
        "Findings/",
        "CHEST FINDINGS:",
        "REPORT:",
        "Imaging Notes:",
    ],
)
def test_spellings_of_findings(heading):
    assert filled(f"{heading} Clear lungs.\nIMPRESSION: Normal.") == {
        "findings": "Clear lungs.",
        "impression": "Normal.",
    }


@pytest.mark.parametrize(
    ("heading", "field"),
    [
        ("CONCLUSION:", "impression"),
        ("Opinion:", "impression"),
        ("INTERPRETATION:", "impression"),
        ("IMPRESSIONS:", "impression"),
        ("FINAL IMPRESSION:", "impression"),
        ("HISTORY:", "indication"),
        ("CLINICAL INFORMATION:", "indication"),
        ("REASON FOR EXAM:", "indication"),
        ("REASON FOR THIS EXAMINATION:", "indication"),
        ("Clinical history -", "indication"),
        ("COMPARISONS:", "comparison"),
        ("PRIOR STUDIES:", "comparison"),
        ("TECHNIQUE:", "technique"),
        ("EXAMINATION:", "technique"),
        ("RECOMMENDATION:", "other"),
        ("NOTIFICATION:", "other"),
    ],
)
def test_spellings_of_other_headings(heading, field):
    assert filled(f"FINDINGS: Big heart.\n{heading} Some words here.")[field] == "Some words here."


def test_headings_in_one_running_line():
    text = (
        "INDICATION: Cough. COMPARISON: None. FINDINGS: Clear. Heart normal. IMPRESSION: 1. No effusion 2. No nodule."
    )
    assert filled(text) == {
        "indication": "Cough.",
        "comparison": "None.",
        "findings": "Clear. Heart normal.",
        "impression": "No effusion. No nodule.",
    }


def test_lists_are_joined_and_numbers_that_are_none_stay():
    text = "IMPRESSION:\n1. A 2.5 cm nodule at T 12. Wedging\n   of L1\n2) No effusion\n- Stable tubes"
    assert filled(text)["impression"] == "A 2.5 cm nodule at T 12. Wedging of L1. No effusion. Stable tubes"


def test_the_last_of_repeated_sections_wins_unless_it_is_empty():
    text = "FINDINGS: Old.\nIMPRESSION: First.\nADDENDUM: Read again.\nIMPRESSION: Second.\nFINDINGS:\n"
    assert filled(text) == {"findings": "Old.", "impression": "Second.", "other": "Read again."}


def test_findings_and_impression_under_one_heading_are_findings():
    assert filled("FINDINGS AND IMPRESSION: Clear lungs. No effusion.") == {"findings": "Clear lungs. No effusion."}


def test_without_headings_the_last_paragraph_is_the_impression():
    text = "FINAL REPORT\n\nThe lungs are clear. Heart is normal.\n\nNo bony lesion seen.\n\nNo acute disease."
    assert filled(text) == {
        "findings": "The lungs are clear. Heart is normal. No bony lesion seen.",
        "impression": "No acute disease.",
    }
    assert filled("The lungs are clear and normal.") == {"findings": "The lungs are clear and normal."}


def test_text_after_the_comparison_is_findings_where_they_have_no_heading():
    text = "INDICATION: Cough.\n\nCOMPARISON: None.\n\nPA and lateral views show clear lungs.\n\nIMPRESSION: Normal."
    assert filled(text) == {
        "indication": "Cough.",
        "comparison": "None.",
        "findings": "PA and lateral views show clear lungs.",
        "impression": "Normal.",
    }


def test_mimic_style():
    text = (
        "                                 FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n\n INDICATION:  Cough\n\n"
        " FINDINGS: \n \n Lungs are clear.  Heart\n normal.\n\n LUNGS: as above.\n\n"
        " IMPRESSION: \n \n No acute process.\n"
    )
    got = filled(text)
    assert got["technique"] == "CHEST (PA AND LAT)"
    assert got["findings"] == "Lungs are clear. Heart normal. LUNGS: as above."
    assert got["impression"] == "No acute process."


def test_header_and_footer_belong_to_no_section():
    text = (
        "Tamsel Hospital\nPatient: Brown, Ann   MRN: 1\nExam date: 01/02/2019\n\n"
        "FINDINGS: Clear lungs.\nIMPRESSION: Normal.\n\n"
        "Electronically signed by: Ann Brown, MD\nD: 01/02/2019  T: 01/03/2019\ncc: Dr. White"
    )
    got = filled(text)
    assert (got["findings"], got["impression"]) == ("Clear lungs.", "Normal.")
    assert "Brown, Ann" in got["other"]


def test_words_in_a_sentence_are_no_headings():
    text = "FINDINGS: The impression of a nodule; comparison: difficult. findings are stable.\nIMPRESSION: Nodule."
    assert filled(text) == {
        "findings": "The impression of a nodule; comparison: difficult. findings are stable.",
        "impression": "Nodule.",
    }


XML = """<?xml version="1.0" encoding="utf-8"?><eCitation><Abstract>
<AbstractText Label="COMPARISON">None.</AbstractText><AbstractText Label="INDICATION">Cough &amp; fever</AbstractText>
<AbstractText Label="FINDINGS">The lungs are clear.</AbstractText>
<AbstractText Label="IMPRESSION">1. Normal. 2. No nodule.</AbstractText>
<AbstractText Label="STRANGE">Else.</AbstractText></Abstract></eCitation>"""


def test_xml():
    expected = {
        "comparison": "None.",
        "indication": "Cough & fever",
        "findings": "The lungs are clear.",
        "impression": "Normal. No nodule.",
        "other": "Else.",
    }
    assert filled(XML) == expected
    assert {name: value for name, value in sections.parse_xml(XML.encode()).items() if value} == expected


@pytest.mark.parametrize(
    "data",
    [
        b"<eCitation><a></eCitation>",
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b"",
        b"\xff\xfe\x00",
    ],
)
def test_xml_that_is_broken_or_has_entities_is_refused(data):
    with pytest.raises(ValueError, match="not readable XML"):
        sections.parse_xml(data)


@given(st.text(alphabet="FINDINGSimpression: \n.-12#*ab", max_size=200))
def test_any_text_gives_all_fields_in_one_line_each(text):
    got = sections.parse(text)
    assert tuple(got) == sections.FIELDS
    assert all(value == " ".join(value.split()) for value in got.values())


def run(folder, texts, **settings):
    frame = pd.DataFrame([(study, "p", text) for study, text in texts.items()], columns=list(tables.ANONYMIZED.columns))
    tables.write(frame, folder / "a.parquet", tables.ANONYMIZED)
    outputs = sections.Outputs(sections=folder / "s.parquet", rejected=folder / "r.csv")
    sections.run(sections.Settings(**settings), sections.Inputs(anonymized=folder / "a.parquet"), outputs)
    return tables.read(outputs.sections, tables.SECTIONS), pd.read_csv(outputs.rejected)


def test_the_job_rejects_reports_without_findings_and_impression(tmp_path):
    texts = {"a": "FINDINGS: Clear.", "b": "INDICATION: Cough.", "c": "<eCitation>", "d": ""}
    got, rejected = run(tmp_path, texts, max_rejected=0.8)
    assert list(got["study_id"]) == ["a"]
    assert dict(zip(rejected["item"], rejected["reason"], strict=True)) == {
        "b": "neither findings nor impression",
        "c": "not readable XML",
        "d": "neither findings nor impression",
    }
    assert set(rejected["file"]) == {"a.parquet"}
    with pytest.raises(job.JobError, match="3 of 4 inputs were rejected"):
        run(tmp_path, texts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FINDINGS: Lungs clear.\nIMPRESSION AND RECOMMENDATION: Small nodule.", ("Lungs clear.", "Small nodule.")),
        ("IMPRESSION & RECOMMENDATIONS: Small nodule.", ("", "Small nodule.")),
        ("CONCLUSION AND RECOMMENDATION: Small nodule.", ("", "Small nodule.")),
        ("IMPRESSION/PLAN: Small nodule.", ("", "Small nodule.")),
        ("IMP: Small nodule.", ("", "Small nodule.")),
        ("PROCEDURE/FINDINGS: Lungs clear.", ("Lungs clear.", "")),
        ("FINDINGS AND PROCEDURE: Lungs clear.", ("Lungs clear.", "")),
        ("UNDERLYING MEDICAL CONDITION:\n 80 year old\nFINDINGS: Lungs clear.", ("Lungs clear.", "")),
    ],
)
def test_compound_headings_keep_findings_and_impression(text, expected):
    found = sections.parse(text)
    assert (found["findings"], found["impression"]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Larger than in the prior\nexamination - the effusion. Cardiomegaly is seen.",
        "No change since the prior\nstudy\nwith clear lungs. Effusion seen.",
        "See IMPRESSION: below for details. Heart normal.",
    ],
)
def test_wrapped_lines_and_pointers_begin_no_section(text):
    assert sections.parse(f"FINDINGS: {text}")["findings"] == " ".join(text.split())


@pytest.mark.parametrize(
    "marked", ["COMPARISON: ___", "COMPARISON: ___ and ___.", "TECHNIQUE: XXXX", "INDICATION: ___"]
)
def test_a_heading_of_which_a_marker_was_all_takes_no_text_of_the_next_paragraph(marked):
    found = sections.parse(markers.clean(f"{marked}\n\nThe lungs are clear.\n\nIMPRESSION: Normal.")[0])
    assert found["findings"] == "The lungs are clear." and found["impression"] == "Normal."
