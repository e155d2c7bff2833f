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
