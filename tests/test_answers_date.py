"""Dates: one day, or spoiled."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import dressed, odd_texts

from fanin.answers import Answer, Date, Spoiled
from fanin.answers.auto import parse_answer
from fanin.errors import InputError

MONTHS = "January February March April May June July August September October November December".split()


def written(day: datetime.date) -> list[str]:
    month, number, year = MONTHS[day.month - 1], day.day, f"{day.year:04}"
    nth = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number not in (11, 12, 13) else 0, "th")
    return [
        f"{year}-{day.month:02}-{number:02}",
        f"{year}/{day.month}/{number}",
        f"{number} {month} {year}",
        f"{month} {number}, {year}",
        f"{month[:3].upper()}. {number}{nth} {year}",
        f"the {number}{nth} of {month}, {year}",
        f"{number}-{month[:3]}-{year}",
        f"{year} {month} {number}",
        f"{day.strftime('%A')}, {number} {month} {year}",
        f"on {day.strftime('%a')} {month} {number} {year}",
    ]


@given(st.data(), st.dates())
def test_every_form_of_a_day_is_that_day(data: st.DataObject, day: datetime.date) -> None:
    text = data.draw(st.sampled_from(written(day)))
    assert Date().read(text, ()) == day.isoformat()
    assert Date().read(data.draw(dressed(day.isoformat())), ()) == day.isoformat()


@given(st.dates(), st.sampled_from("/.-"))
def test_a_number_with_the_year_last_is_read_where_it_is_one_day(day: datetime.date, mark: str) -> None:
    text = f"{day.day:02}{mark}{day.month:02}{mark}{day.year:04}"
    turned = f"{day.month:02}{mark}{day.day:02}{mark}{day.year:04}"
    assert Date("dmy").read(text, ()) == Date("mdy").read(turned, ()) == day.isoformat()
    one_day = day.day > 12 or day.day == day.month
    for plain in (Date().read(text, ()), Date().read(turned, ())):
        assert (plain == day.isoformat()) if one_day else isinstance(plain, Spoiled)


@given(odd_texts())
def test_reading_never_raises_and_reads_what_it_read_as_itself(text: str) -> None:
    choice = Date().read(text, ())
    if isinstance(choice, str):
        assert Date().read(choice, ()) == choice


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("03/04/2025", "a date that could be two days"),
        ("2025-02-30", "no such day"),
        ("31 April 2025", "no such day"),
        ("31/31/2025", "no such day"),
        ("0000-01-01", "no such day"),
        ("Friday, 3 April 2025", "that day is a Thursday"),
        ("3 April 25", "not a date"),
        ("25/04/25", "not a date"),
        ("April 2025", "not a date"),
        ("2025", "not a date"),
        ("20250403", "not a date"),
        ("2025-04-03T00:00:00Z", "not a date"),
        ("2025-04/03", "not a date"),
        ("3 April 2025 or 4 April 2025", "not a date"),
        ("tomorrow", "not a date"),
        ("", "not a date"),
        ("x" * 3000, "not a date"),
    ],
)
def test_what_is_not_one_day_is_spoiled(text: str, reason: str) -> None:
    read = Date().read(text, ())
    assert isinstance(read, Spoiled)
    assert read.reason.startswith(reason)


def test_a_date_is_an_answer() -> None:
    assert isinstance(Date(), Answer)
    assert (Date().name, Date().options) == ("date", ())
    assert Date().schema(()) == {"type": "string", "format": "date"}
    assert Date().same(["2025-04-03"]) == {"2025-04-03": "2025-04-03"}
    assert Date().show("2025-04-03") == "2025-04-03"
    assert "YYYY-MM-DD" in Date().instruction(())
    assert parse_answer("Date") == Date()


def test_another_order_is_refused() -> None:
    with pytest.raises(InputError, match="order must be dmy, mdy or None, not 'ymd'"):
        Date("ymd")  # type: ignore[arg-type]
