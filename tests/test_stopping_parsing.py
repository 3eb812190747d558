"""From text to rule: what is wrong is said before the first call, and the help tells the truth."""

from __future__ import annotations

import re
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stopping_cases import RULES as EXAMPLES
from stopping_cases import seen_after

from fanin.errors import InputError
from fanin.policy.stopping import RULES, forecast, next_wave, parse_rule
from fanin.policy.stopping.parsing import PRICED


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_rule_bears_its_text(text: str) -> None:
    rule = parse_rule(text, runs=20)
    assert (rule.text, rule.planned) == (text, 20)
    assert parse_rule(f"  {text.upper().replace(':', ' : ')} ", runs=20) == rule


def test_every_kind_of_rule_has_an_example_and_a_price() -> None:
    assert {text.partition(":")[0] for text in EXAMPLES} == set(RULES)
    for name, kind in RULES.items():
        assert kind.form.startswith(name)
        assert kind.price.endswith(".")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "certify:0.05",
        "all:3",
        "decided:grade",
        "certified",
        "certified:",
        "certified:0",
        "certified:0.21",
        "certified:1",
        "certified:-0.05",
        "certified:nan",
        "certified:inf",
        "certified:5%",
        "certified:1e-10",
        "certified:1e-999999999",
        "certified:0.05:0.1",
        "certified:\u0661",
        "posterior",
        "posterior:0.5",
        "posterior:1",
        "posterior:95",
        "posterior:0,95",
        "predictive:0.5",
        "predictive:1",
        "voi:3",
        "ahead",
        "ahead:0",
        "ahead:21",
        "ahead:2.5",
        "ahead:-1",
        "ahead:three",
        "window:1",
        "window:21",
        "start:3",
        "start:3,step:0",
        "start:1,step:2",
        "start:3,step:2,step:2",
        "start:,step:",
        "start:21,step:2",
        "step:2",
    ],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_rule(text, runs=20)
    assert (refused.value.field, refused.value.exit_code) == ("stop", 2)
    assert repr(text)[1:-1] in str(refused.value)


@given(st.text(max_size=20) | st.from_regex(r"[a-z]{3,9}:[0-9.e-]{0,8}", fullmatch=True))
def test_any_text_is_a_rule_or_an_input_error(text: str) -> None:
    try:
        rule = parse_rule(text, runs=9)
    except InputError:
        return
    assert next_wave(rule, seen_after("")) >= 1


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(InputError, match=r"stop must be a text such as certified:0\.05"):
        parse_rule(3, runs=9)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "meant"),
    [("certifed:0.05", "certified:ALPHA"), ("decide", "decided[:winner]"), ("al", "all"), ("vio", "voi")],
)
def test_the_nearest_rule_is_named(text: str, meant: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"Did you mean {meant}?")) as refused:
        parse_rule(text, runs=9)
    for kind in RULES.values():
        assert kind.form in str(refused.value)


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("certified:0.05", 6),
        ("certified:0.1", 5),
        ("certified:0.01", 8),
        ("posterior:0.95", 4),
        ("posterior:0.99", 6),
    ],
)
def test_too_few_runs_to_ever_stop_are_refused(text: str, least: int) -> None:
    with pytest.raises(InputError) as refused:
        parse_rule(text, runs=least - 1)
    assert refused.value.field == "runs"
    assert f"{least} or more with the stop rule {text}" in str(refused.value)
    assert parse_rule(text, runs=least).satisfied(seen_after("a" * least))


def test_voi_has_a_largest_budget() -> None:
    with pytest.raises(InputError, match="runs must be at most 200"):
        parse_rule("voi", runs=201)


@pytest.mark.parametrize("text", EXAMPLES)
def test_nothing_is_proved_of_votes_that_may_be_regrouped(text: str) -> None:
    if text.startswith(("decided", "certified")):
        with pytest.raises(InputError, match="where numbers have a tolerance"):
            parse_rule(text, runs=20, tolerance=True)
    else:
        assert parse_rule(text, runs=20, tolerance=True) == parse_rule(text, runs=20)


def test_the_prices_are_true() -> None:
    for kind in RULES.values():
        for text, percent in re.findall(r"(\S+) stops on the wrong answer (\d+) % of the time", kind.price):
            wrong = forecast(parse_rule(text, runs=40, quorum=1), 0.55).wrong
            assert round(100 * wrong) == int(percent), text
    wrong = sum(comb(40, votes) * 0.55**votes * 0.45 ** (40 - votes) for votes in range(20))
    assert f"have it wrong {round(100 * wrong)} % of the time" in PRICED


@pytest.mark.parametrize("share", [0.5, 0.7, 1.0])
def test_a_forecast_of_a_rule_that_leads_by_two(share: float) -> None:
    """Against the closed form of the gambler's ruin, with a budget that hardly ever ends."""
    made = forecast(parse_rule("ahead:2", runs=400, quorum=1), share)
    odds = (1 - share) / share
    assert made.stopped == pytest.approx(1)
    assert made.wrong == pytest.approx(odds**2 / (1 + odds**2) if share != 0.5 else 1)
    assert made.runs == pytest.approx(2 / (share**2 + (1 - share) ** 2))
    assert made.waves == pytest.approx(made.runs / 2)


def test_a_forecast_of_windows() -> None:
    made = forecast(parse_rule("window:2", runs=4, quorum=1), 0.75)
    agree, wrong = 0.75**2 + 0.25**2, 0.25**2
    assert made.runs == pytest.approx(2 + 2 * (1 - agree))
    assert (made.stopped, made.wrong) == pytest.approx((agree, wrong))
