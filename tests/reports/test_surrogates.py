"""Surrogates: same form, same within a patient, never the original, nothing without the key."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synvlp.reports.lexicons import words
from synvlp.reports.spans import Span
from synvlp.reports.surrogates import Surrogates

KEY = b"a secret of some length"


def make(patient="p1", key=KEY, sex="F", originals=(), max_shift=364) -> Surrogates:
    return Surrogates(key, patient, sex, max_shift, originals)


def stand_in(
    text: str, category: str, maker: Surrogates | None = None, detector: str = "label", within: str = "{}"
) -> str:
    whole = within.format(text)
    start = whole.index(text)
    return (maker or make(originals=[text])).of(whole, Span(start, start + len(text), category, detector), 2019)


def form(text: str) -> str:
    return re.sub(r"\d", "9", re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", text)))


@given(
    st.from_regex(r"[A-Z0-9]{2,4}[-/.]?[0-9]{4,9}[A-Z]?", fullmatch=True),
    st.sampled_from(["record", "accession", "device"]),
)
def test_codes_keep_their_form_and_change(code, category):
    new = stand_in(code, category)
    assert form(new) == form(code)
    assert new != code


@pytest.mark.parametrize(
    "phone", ["(617) 482-0931", "617-482-0931", "617.482.0931", "+1 617 482 0931", "482-0931", "1-617-482-0931"]
)
def test_phones_keep_their_punctuation_and_are_fictional(phone):
    new = stand_in(phone, "phone")
    assert form(new) == form(phone)
    if len(re.sub(r"\D", "", phone)) >= 10:
        assert re.search(r"555\D?01\d\d$", new)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("QUEZADA, XIOMARA M.", r"[A-Z'-]+, [A-Z]+ [A-Z]\."),
        ("Xiomara Quezada", r"[A-Z][a-zA-Z]+ [A-Z][a-zA-Z'-]+"),
        ("J. Quist", r"[A-Z]\. [A-Z][a-zA-Z'-]+"),
        ("okonjo", r"[a-z'-]+"),
        ("Achterberg-Lowe", r"[A-Z][a-zA-Z']+-[A-Z][a-zA-Z']+"),
        ("Quist Jr.", r"[A-Z][a-zA-Z'-]+ Jr\."),
    ],
)
def test_names_keep_their_form_and_share_no_word(name, shape):
    new = stand_in(name, "doctor")
    assert re.fullmatch(shape, new), new
    old_words = {word.lower() for word in re.findall(r"\w{2,}", name)} - {"jr"}
    assert not old_words & {word.lower() for word in re.findall(r"\w+", new)}


def test_the_same_name_has_one_stand_in_in_all_its_forms():
    maker = make(originals=["Quezada, Xiomara", "Quezada"])
    last, first = stand_in("Quezada, Xiomara", "patient", maker).split(", ")
    assert stand_in("Xiomara Quezada", "patient", maker) == f"{first} {last}"
    assert stand_in("QUEZADA", "patient", maker) == last.upper()
    assert stand_in("X. Quezada", "patient", maker) == f"{first[0]}. {last}"


@pytest.mark.parametrize("patient", [f"p{number}" for number in range(12)])
def test_sex_of_first_names_is_kept(patient):
    assert words.sex_of(stand_in("Margaret Quist", "doctor", make(patient, sex="M")).split()[0]) == "F"
    assert words.sex_of(stand_in("Zebedee Quist", "patient", make(patient, sex="M")).split()[0]) == "M"
    assert words.sex_of(stand_in("Xio Quist", "patient", make(patient, sex="M"), within="Mrs. {}").split()[0]) == "F"


@given(st.text(min_size=1, max_size=12), st.integers(1, 3650))
def test_the_offset_is_never_zero_and_within_its_limit(patient, limit):
    offset = make(patient, max_shift=limit).offset
    assert 1 <= abs(offset) <= limit
    assert offset == make(patient, max_shift=limit).offset


def test_other_keys_and_patients_give_other_offsets():
    offsets = {make(f"p{number}").offset for number in range(60)}
    assert len(offsets) > 40
    assert [make(f"p{n}").offset for n in range(20)] != [
        make(f"p{n}", key=b"another secret, long enough").offset for n in range(20)
    ]


def test_ages_become_90():
    assert stand_in("94", "age") == "90"
    assert stand_in("ninety-four", "age") == "ninety"


def test_a_birth_does_not_tell_an_age_over_90():
    text = "DOB: 08/13/1909\nExam date: 10/12/2008"
    new = make().of(text, Span(5, 15, "date", "calendar"), 2008)
    assert re.fullmatch(r"\d\d/\d\d/19(?:1[6-9]|2\d)", new)


def test_hospitals_and_addresses_keep_kind_and_state():
    assert re.fullmatch(r"St\. \w+ Medical Center", stand_in("St. Elwin's Medical Center", "hospital"))
    assert re.fullmatch(r"[A-Z]+ REGIONAL HOSPITAL", stand_in("TAMSEL BAY REGIONAL HOSPITAL", "hospital"))
    new = stand_in("4512 Old Quarry Road, Apt 3B, Greenvale, NY 11548", "address")
    assert re.fullmatch(r"[1-9]\d{3} \w+ Road, Apt \d[A-Z], [\w. ]+, NY [1-9]\d{4}", new), new
    assert not re.search("Quarry|Greenvale|4512|11548", new)


def test_mail_and_web_addresses_are_of_example_org():
    assert re.fullmatch(r"[a-z]+\d\d@example\.org", stand_in("x.quezada@clinic.org", "phone"))
    assert stand_in("https://portal.clinic.org/x1", "phone") == "https://www.example.org"
