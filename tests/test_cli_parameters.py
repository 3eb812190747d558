"""Words of the command line, and text for people."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.cli.parameters import Duration, ModelPrice, comma_list
from fanin.policy.pricing import Price
from fanin.show import clean, count, one_line

UNITS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


@given(st.integers(1, 999), st.sampled_from(sorted(UNITS)))
def test_a_duration_is_its_number_times_its_unit(number: int, unit: str) -> None:
    assert Duration().convert(f"{number}{unit}", None, None) == pytest.approx(number * UNITS[unit])


@given(st.text(max_size=8))
def test_a_duration_is_above_zero_or_refused(text: str) -> None:
    try:
        seconds = Duration().convert(text, None, None)
    except click.BadParameter:
        return
    assert 0 < seconds < 1e9


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e3", "1.5 weeks", "", "1h30", "٣"])
def test_no_durations(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Duration().convert(text, None, None)


def test_prices() -> None:
    assert ModelPrice().convert("0.15/0.60", None, None) == (None, Price(0.15, 0.6))
    for text in ("1", "1/2/3", "-1/2", "nan/1", "a/b", "inf/1"):
        with pytest.raises(click.BadParameter):
            ModelPrice().convert(text, None, None)


@given(st.lists(st.text(alphabet="ab ,", min_size=1).map(str.strip).filter(bool), min_size=1))
def test_a_comma_list_gives_back_what_was_escaped(items: list[str]) -> None:
    assert comma_list(",".join(item.replace(",", "\\,") for item in items)) == tuple(items)


@given(st.text())
def test_clean_text_holds_nothing_that_moves_the_cursor_or_the_words(text: str) -> None:
    cleaned = clean(text)
    assert all(char.isprintable() or char in "\n\t\u200c\u200d" for char in cleaned)
    assert clean(cleaned) == cleaned


@given(st.text().filter(str.isprintable))
def test_printable_text_is_left_as_it_is(text: str) -> None:
    assert clean(text) == text


@given(st.text(), st.integers(10, 50))
def test_one_line_is_one_line_of_that_width(text: str, width: int) -> None:
    line = one_line(text, width)
    assert len(line) <= width
    assert "\n" not in line


def test_escapes_are_spelled_out() -> None:
    assert clean("a\x1b[31mb\u202ec\ud800\r\n\xa0d") == "a\\x1b[31mb\\u202ec\\ud800\n d"


def test_counts() -> None:
    assert [count(number, "run") for number in (0, 1, 2, 1000)] == ["0 runs", "1 run", "2 runs", "1,000 runs"]
