"""What providers tell of their limits, in headers and in prose."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.policy.told import Amounts, amounts, duration_s, header_wait_s, is_daily, prose_wait_s, wait_s

NOW_S = 1_700_000_000.0


def go_duration(nanoseconds: int) -> str:
    """A duration as Go's `time.Duration.String` prints it."""
    if nanoseconds < 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if nanoseconds >= size:
                return f"{_decimal(nanoseconds, size)}{unit}"
        return "0s"
    seconds, rest = divmod(nanoseconds, 60_000_000_000)[::-1]
    hours, minutes = divmod(rest, 60)
    text = f"{_decimal(seconds, 1_000_000_000)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


def _decimal(amount: int, size: int) -> str:
    whole, part = divmod(amount, size)
    digits = str(part).rjust(len(str(size)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


durations = st.integers(0, 400 * 86_400 * 10**9)


@given(durations)
def test_a_duration_that_go_prints_is_read_back(nanoseconds: int) -> None:
    assert duration_s(go_duration(nanoseconds)) == pytest.approx(nanoseconds / 1e9, rel=1e-12, abs=1e-15)


@given(
    durations.filter(lambda n: n >= 10**6),
    st.sampled_from(["Please try again in {}.", "retry after {}", "wait {}, please"]),
)
def test_a_sentence_tells_the_same_as_its_duration(nanoseconds: int, sentence: str) -> None:
    text = go_duration(nanoseconds)
    assert prose_wait_s(sentence.format(text)) == pytest.approx(nanoseconds / 1e9, rel=1e-9)


@given(st.text())
def test_no_text_is_too_strange_to_read(text: str) -> None:
    duration_s(text)
    is_daily(text)
    amounts(text)
    wait = wait_s((("retry-after", text), ("retry-after-ms", text)), text, NOW_S)
    assert wait is None or 0 <= wait < float("inf")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0.0),
        ("26ms", 0.026),
        ("8.64s", 8.64),
        ("10.332999999s", 10.332999999),
        ("1m26.4s", 86.4),
        ("2m59.56s", 179.56),
        ("1h4m48s", 3888.0),
        ("2d3h", 183_600.0),
        (" 6s ", 6.0),
        ("500", None),
        ("-1", None),
        ("-1s", None),
        ("", None),
        ("s", None),
        ("6s or so", None),
        ("6 s", None),
        ("9" * 400 + "s", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert duration_s(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please try again in 34.1475s. Need more tokens?", 34.1475),
        ("Please try again in 1m0.363142857s.", 60.363142857),
        ("Please try again in 23m58.56s. Visit", 1438.56),
        ("Please try again in 644ms.", 0.644),
        ("Please try again in 20s.", 20.0),
        ("Please try again in 7m12s.", 432.0),
        ("Please retry after 7 seconds.", 7.0),
        ("Please retry in 23.6s", 23.6),
        ("Try again in 1 hour, 2 minutes and think", 3720.0),
        ("Rate limited. Wait 2 days.", 172_800.0),
        ("Please try again later.", None),
        ("try again in 5 bananas", None),
        ("try again in 3 months", None),
        ("it took 20s", None),
        ("", None),
        ("x" * 5_000 + " try again in 20s", None),
    ],
)
def test_waits_in_prose(text: str, seconds: float | None) -> None:
    assert prose_wait_s(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0),
        ("0", 0.0),
        (" 1.5 ", 1.5),
        ("1e9", 1e9),
        ("1000000000", 1e9),
        ("-3", None),
        ("nan", None),
        ("inf", None),
        ("1e400", None),
        ("9" * 400, None),
        ("1_000", None),
        ("\uff11", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert header_wait_s((("retry-after", value),), NOW_S) == seconds


@given(st.integers(-(10**7), 10**7))
def test_a_date_tells_the_seconds_until_it_and_none_when_past(seconds: int) -> None:
    date = format_datetime(datetime.fromtimestamp(NOW_S + seconds, UTC), usegmt=True)
    assert header_wait_s((("retry-after", date),), NOW_S) == (seconds if seconds > 0 else None)


@pytest.mark.parametrize(
    "date",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 09:49:37 +0100",
    ],
)
def test_all_forms_of_an_http_date_are_gmt_where_they_do_not_say_otherwise(
    date: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("TZ", "America/New_York")
            time.tzset()
            assert wait_s((("retry-after", date),), "Slow down.", 784_111_700.0) == 77.0
            assert header_wait_s((("retry-after", date),), 784_111_776.5) == 0.5
    finally:
        time.tzset()


def test_milliseconds_win_over_seconds_and_rubbish_over_nothing() -> None:
    assert header_wait_s((("retry-after", "2"), ("retry-after-ms", "1350")), NOW_S) == 1.35
    assert header_wait_s((("retry-after", "2"), ("retry-after-ms", "soon")), NOW_S) == 2.0
    assert header_wait_s((), NOW_S) is None


def test_the_exact_wait_of_the_text_wins_over_the_rounded_header() -> None:
    assert wait_s((("retry-after", "35"),), "Please try again in 34.1475s.", NOW_S) == 34.1475
    assert wait_s((("retry-after", "35"),), "Please try again.", NOW_S) == 35.0


@pytest.mark.parametrize(
    ("text", "told", "never_fits"),
    [
        ("Limit 8000, Used 6670, Requested 5883. Please", Amounts(8000, 6670, 5883), False),
        ("Limit 8000, Used 6670, Requested 8001", Amounts(8000, 6670, 8001), True),
        ("Limit 100000, Used ~99336, Requested ~1371.", Amounts(100000, 99336, 1371), False),
        ("(TPM): Limit 30,000, Requested 40,000.", Amounts(30000, None, 40000), True),
        ("Limit: 10000.000000 / min.", Amounts(10000, None, None), False),
        ("the limit is reached", Amounts(), False),
    ],
)
def test_amounts(text: str, told: Amounts, never_fits: bool) -> None:
    assert amounts(text) == told
    assert told.never_fits is never_fits


@pytest.mark.parametrize(
    ("text", "daily"),
    [
        ("on tokens per day (TPD): Limit 500000", True),
        ("on requests per day (RPD): Limit 1000", True),
        ("Limit: 200 / day", True),
        ("free-models-per-day", True),
        ("You reached your daily limit", True),
        ("on tokens per minute (TPM): Limit 8000. Upgrade to Dev Tier today", False),
        ("Please try again in 2 days", False),
    ],
)
def test_daily_limits(text: str, daily: bool) -> None:
    assert is_daily(text) is daily
