"""Markers of earlier de-identification never survive, and what stays reads well."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synvlp.reports import markers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The pulmonary XXXX are clear.", "The pulmonary structures are clear."),
        ("No XXXX of pneumothorax.", "No evidence of pneumothorax."),
        ("No XXXX or effusion.", "No effusion."),
        ("Lungs are XXXX. Heart is normal.", "Heart is normal."),
        ("Seen: a ___-year-old man with cough", "Seen: a man with cough"),
        ("Discussed with Dr. ___ at ___ on ___. Normal.", "Discussed with the physician. Normal."),
        ("As compared to ___, the effusion is larger.", "As compared to prior, the effusion is larger."),
        ("Chest radiographs XXXX.", "Chest radiographs."),
        ("There is no XXXX. The lungs are clear.", "The lungs are clear."),
        ("[**Age over 90 **] year old woman seen at [**Hospital1 18**].", "90 year old woman seen."),
        ("It has not XXXX since the CT.", "It has not changed since the CT."),
        ("Findings called to <NAME> at 3:15 by [REDACTED].", "Findings called at 3:15."),
        ("A density most XXXX represents scar. Chest x-XXXX.", "A density most likely represents scar. Chest x-ray."),
        ("The heart and lungs have XXXX XXXX in the interval. Clear.", "Clear."),
        ("XXXX, XXXX.", ""),
    ],
)
def test_reads_well(text, expected):
    clean, removed = markers.clean(text)
    assert clean.strip() == expected
    assert removed == markers.count(text) > 0


def test_headings_stay():
    clean, _ = markers.clean("COMPARISON: XXXX, XXXX\nINDICATION: XXXX\nFINDINGS: Clear lungs XXXX.\n")
    assert clean.split("\n")[:3] == ["COMPARISON: Not stated.", "INDICATION: Not stated.", "FINDINGS: Clear lungs."]


def test_text_without_markers_is_not_touched():
    text = "Heart  normal ,\n\n\n\nLV_EF 55. A <b> c. [1] x xx. 3 * 4 **bold**"
    assert markers.clean(text) == (text, 0)


PIECES = [
    "XXXX",
    "___",
    "[**Name 1**]",
    "<NAME>",
    "[REDACTED]",
    "XXX",
    "__",
    "\ufffd",
    "Dr. ",
    "no ",
    "of ",
    ". ",
    ", ",
    "lung",
    " is ",
    "\n",
    "XX",
    "_",
    "[**",
    "**]",
    "FINDINGS: ",
    "2.5 cm ",
    "X",
    "-year-old ",
    "(",
    ")",
]


@given(
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text(alphabet="X_[]*<>A a.\n\ufffd", max_size=60)
)
def test_no_marker_survives_and_again_changes_nothing(text):
    clean, _ = markers.clean(text)
    assert markers.count(clean) == 0
    assert markers.clean(clean) == (clean, 0)
