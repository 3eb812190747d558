"""`posterior` and `predictive`: their closed forms against the chances they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from itertools import count, islice
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stopping_cases import seen_after

from fanin.policy.stopping import Seen, next_wave, parse_rule
from fanin.policy.stopping.posterior import overtaking, posterior_votes

votes = st.integers(0, 30)
chances = st.fractions(Fraction(51, 100), Fraction(99, 100), max_denominator=1000)


def posterior(lead: int, second: int) -> Fraction:
    """P(share > 1/2) under Beta(lead + 1, second + 1), integrated term by term."""

    def integral(low: Fraction) -> Fraction:
        return sum(
            ((-1) ** i * comb(second, i) * (1 - low ** (lead + i + 1)) / (lead + i + 1))
            for i in range(second + 1)
        )

    return integral(Fraction(1, 2)) / integral(Fraction(0))


@cache
def not_ahead(lead: int, second: int, left: int) -> Fraction:
    """The chance of no strict lead at the end, run by run: each follows the votes so far, plus one each."""
    if not left:
        return Fraction(lead <= second)
    for_leader = Fraction(lead + 1, lead + second + 2)
    return for_leader * not_ahead(lead + 1, second, left - 1) + (1 - for_leader) * not_ahead(
        lead, second + 1, left - 1
    )


@given(chances, st.integers(1, 40))
def test_the_posterior_is_that_of_the_beta_distribution(chance: Fraction, cap: int) -> None:
    needed = posterior_votes(chance, cap)
    for second, lead in enumerate(needed):
        assert posterior(lead, second) >= chance
        assert posterior(lead - 1, second) < chance
        assert lead + second <= cap
    assert len(needed) > cap or posterior(cap - len(needed), len(needed)) < chance


@given(votes, votes, st.integers(0, 30))
def test_the_predictive_chance_is_that_of_the_urn(one: int, other: int, left: int) -> None:
    lead, second = max(one, other), min(one, other)
    part, whole = overtaking(lead, second, left)
    assert Fraction(part, whole) == not_ahead(lead, second, left)


def test_the_posterior_that_users_know() -> None:
    """Adaptive-Consistency stops at 0.95 after four unanimous votes, six to one, eight to two."""
    assert posterior_votes(Fraction("0.95"), 40)[:3] == (4, 6, 8)


@given(st.integers(1, 20), st.integers(0, 19))
def test_with_many_runs_left_the_predictive_chance_comes_near_the_posterior(one: int, other: int) -> None:
    lead, second = max(one, other), min(one, other)
    part, whole = overtaking(lead, second, 3001)
    assert float(Fraction(part, whole)) == pytest.approx(float(1 - posterior(lead, second)), abs=2e-3)


def test_the_predictive_rule_stops_where_nothing_can_change() -> None:
    rule = parse_rule("predictive:0.999999", runs=9)
    assert not rule.satisfied(seen_after("aaaa"))
    assert rule.satisfied(seen_after("aaaaa"))


def test_equal_to_the_threshold_is_enough() -> None:
    assert posterior_votes(Fraction(3, 4), 9)[0] == 1
    assert not_ahead(2, 1, 1) == Fraction(2, 5)
    assert parse_rule("predictive:0.6", runs=4, quorum=1).satisfied(seen_after("aab"))
    assert not parse_rule("predictive:0.600001", runs=4, quorum=1).satisfied(seen_after("aab"))


@pytest.mark.parametrize("text", ["posterior:0.95", "predictive:0.95"])
def test_it_goes_on_in_a_tie(text: str) -> None:
    rule = parse_rule(text, runs=20)
    assert not rule.satisfied(seen_after("aaabbb"))
    assert not rule.satisfied(Seen())
    assert next_wave(rule, seen_after("aaabbb")) > 1


def _states() -> Iterator[tuple[int, int]]:
    for total in count(1):
        yield from ((total - second, second) for second in range(total // 2 + 1))


@pytest.mark.slow
def test_scipy_agrees() -> None:
    beta = pytest.importorskip("scipy.stats").beta
    for lead, second in islice(_states(), 200):
        assert float(posterior(lead, second)) == pytest.approx(beta.sf(0.5, lead + 1, second + 1), rel=1e-9)


@pytest.mark.slow
def test_adaptive_consistency_agrees() -> None:
    rule = pytest.importorskip("adaptive_consistency").BetaStoppingCriteria(0.95)
    ours = parse_rule("posterior:0.95", runs=40, quorum=1)
    for lead, second in islice(_states(), 1, 200):
        theirs = rule.should_stop(["a"] * lead + ["b"] * second)["stop"]
        assert ours.satisfied(seen_after("a" * lead + "b" * second)) == theirs
