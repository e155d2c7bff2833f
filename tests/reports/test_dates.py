"""Dates: found, and shifted in the form in which they stand."""

import datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from synvlp.reports import dates


def only(text: str) -> dates.Date:
    (date,) = dates.find(text)
    return date


@pytest.mark.parametrize(
    ("text", "days", "expected"),
    [
        ("03/14/2019", -37, "02/05/2019"),
        ("3/4/19", -37, "1/26/19"),
        ("25/12/2019", -37, "18/11/2019"),
        ("14.03.2019", -37, "05.02.2019"),
        ("14-MAR-2019", -37, "05-FEB-2019"),
        ("14-Mar-19", 10, "24-Mar-19"),
        ("Mar 14, 2019", -37, "Feb 5, 2019"),
        ("March 14th, 2019", -13, "March 1st, 2019"),
        ("MARCH 14, 2019", 30, "APRIL 13, 2019"),
        ("14 March 2019", 1, "15 March 2019"),
        ("2019-03-14", -37, "2019-02-05"),
        ("20190314", 300, "20200108"),
        ("Thursday, March 14, 2019", -2, "Tuesday, March 12, 2019"),
        ("March 2019", 2, "April 2019"),
        ("3/2019", -2, "2/2019"),
        ("on 3/14", 20, "on 4/3"),
        ("on May 5", 30, "on June 4"),
        ("March 14-16, 2019", 2, "March 16-18, 2019"),
        ("02/30/2019", 1, "03/01/2019"),
        ("13/32/2019", 1, "01/01/2020"),
        ("on 2/29", 1, "on 3/2"),
        ("on 3/14", 366, "on 3/15"),
    ],
)
def test_shift_keeps_the_form(text, days, expected):
    date = only(text)
    assert text[: date.start] + dates.shift(text, date, days, 2019) + text[date.end :] == expected


@pytest.mark.parametrize(
    "text",
    [
        "1/2 of the lung",
        "T4/5 disc",
        "grade 3/6 murmur",
        "pain 8/10",
        "may 10 mm",
        "in 2019",
        "2.5.10",
        "3 x 4",
        "L4/5",
        "ratio 1/2",
        "in March",
        "it may be",
        "5-10 mm",
        "120/80",
        "12:30",
        "the 14th",
    ],
)
def test_other_numbers_are_no_dates(text):
    assert list(dates.find(text)) == []


DAYS = st.dates(datetime.date(1950, 1, 1), datetime.date(2049, 12, 31))
FORMS = ["%m/%d/%Y", "%Y-%m-%d", "%B %d, %Y", "%d-%b-%Y", "%d %B %Y", "%m/%d/%y", "%m-%d-%Y", "%b %d, %Y"]


@given(DAYS, st.sampled_from(FORMS), st.integers(-3650, 3650).filter(bool))
def test_a_shifted_date_is_the_date_so_many_days_later(day, form, days):
    target = day + datetime.timedelta(days=days)
    assume("%b" not in form or 5 not in {day.month, target.month})  # May is both, whole and short
    text = day.strftime(form)
    moved = dates.shift(text, only(text), days, 2019)
    if "%d" in form and text[0] == "0" and form.startswith("%d "):
        moved = moved if moved[1].isdigit() else f"0{moved}"
    parsed = datetime.datetime.strptime(moved, form).date()
    assert parsed == target or ("%y" in form and parsed.replace(year=2000) == target.replace(year=2000))


@given(DAYS, DAYS, st.integers(-364, 364).filter(bool))
def test_intervals_are_kept(one, other, days):
    text = f"Compared to {one:%m/%d/%Y}, seen {other:%d %B %Y}."
    first, second = dates.find(text)
    moved_one = datetime.datetime.strptime(dates.shift(text, first, days, 2019), "%m/%d/%Y")
    moved_other = datetime.datetime.strptime(dates.shift(text, second, days, 2019), "%d %B %Y")
    assert (moved_other - moved_one).days == (other - one).days


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DOB:03/04/1932", "DOB:09/16/1931"),
        ("COMPARISON:3/4/2019", "COMPARISON:9/15/2018"),
        ("COMPARISON:2019-03-04", "COMPARISON:2018-09-15"),
        ("dob:04-Mar-1932", "dob:16-Sep-1931"),
        ("Exam:CXR,3/4/2019", "Exam:CXR,9/15/2018"),
        ("3/4/19-3/6/19", "9/15/18-9/17/18"),
        ("3/4/2019-3/6/2019", "9/15/2018-9/17/2018"),
        ("3/4/19,3/5/19,3/6/19", "9/15/18,9/16/18,9/17/18"),
        ("3/4/19at 10:30", "9/15/18at 10:30"),
        ("04MAR19", "15SEP18"),
        ("Mar/04/2019", "Sep/15/2018"),
        ("2019 March 4", "2018 September 15"),
        ("2019-MAR-04", "2018-SEP-15"),
        ("compared to 3/4", "compared to 9/15"),
        ("Compared with 2/3 exam", "Compared with 8/17 exam"),
    ],
)
def test_dates_beside_signs_and_in_rare_forms_are_shifted_whole(text, expected):
    assert shifted(text) == expected


def test_a_date_that_can_only_be_read_day_first_tells_how_the_others_are_read():
    assert shifted("Exam 13/02/2019. Comparison: 03/02/2019.") == "Exam 27/08/2018. Comparison: 17/08/2018."


@pytest.mark.parametrize(
    "text",
    [
        "Reduced to 1/2 original size",
        "Loss of 1/3 vertebral body height",
        "Opacification of 2/3 right hemithorax",
        "with 1/2 inspiratory effort",
        "rib fractures at 5/6",
        "left 7/8/10 ribs",
        "DEC 12 lead",
        "1,3/4",
        "12:3/4",
    ],
)
def test_fractions_and_levels_stay(text):
    assert shifted(text) == text


def shifted(text: str) -> str:
    """A text with all its dates moved back by 170 days."""
    for date in sorted(dates.find(text), key=lambda date: -date.start):
        text = text[: date.start] + dates.shift(text, date, -170, 2019) + text[date.end :]
    return text
