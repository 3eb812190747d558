"""`voi`: its table against the plain recursion that it stands for."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stopping_cases import PLANNED, asked_of, came_to, quorums, seen_after

from fanin.policy.stopping import parse_rule, voi
from fanin.policy.stopping.posterior import posterior_votes
from fanin.policy.stopping.voi import LOSS, MOST_RUNS, SURE, ValueOfInformation, voi_votes


@pytest.mark.parametrize(
    ("planned", "worth"), [(1, LOSS), (2, LOSS), (3, LOSS), (8, LOSS), (15, LOSS), (9, 12.0), (16, 12.0)]
)
def test_it_stops_where_going_on_costs_more_than_it_mends(
    planned: int, worth: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recursion over leader, runner-up and neither, without symmetry and without a shortcut.

    Where a wrong winner is worth little, it is no longer being sure that ends nearly every vote.
    """
    monkeypatch.setattr(voi, "LOSS", worth)
    rule = ValueOfInformation("voi", planned, 1, voi_votes.__wrapped__(planned))
    sure = posterior_votes(SURE, planned)

    @cache
    def risk(one: int, other: int, neither: int) -> float:
        if one + other + neither == planned:
            return 1.0 if other > one else 0.5 if other == one else 0.0
        return mean(risk, one, other, neither)

    @cache
    def cost(one: int, other: int, neither: int) -> float:
        stopped, going_on = both(one, other, neither)
        return stopped if is_sure(one, other) else min(stopped, going_on)

    def both(one: int, other: int, neither: int) -> tuple[float, float]:
        if one + other + neither == planned:
            return 0.0, 0.0
        stopped = worth * (risk(one, other, neither) if one >= other else risk(other, one, neither))
        return stopped, 1 + mean(cost, one, other, neither)

    def is_sure(one: int, other: int) -> bool:
        lead, second = max(one, other), min(one, other)
        return second < len(sure) and lead >= sure[second]

    def mean(of: object, one: int, other: int, neither: int) -> float:
        weights = one + 1, other + 1, neither + 0.5
        after = (one + 1, other, neither), (one, other + 1, neither), (one, other, neither + 1)
        return sum(w * of(*state) for w, state in zip(weights, after, strict=True)) / sum(weights)  # type: ignore[operator]

    for asked in range(planned):
        for second in range(asked // 2 + 1):
            for lead in range(second + 1, asked - second + 1):
                stopped, going_on = both(lead, second, asked - lead - second)
                stops = is_sure(lead, second) or stopped <= going_on
                assert rule.settled(lead, second, asked) == stops, (asked, lead, second)


def test_its_two_constants_are_those_that_were_measured() -> None:
    assert LOSS == 480.0
    assert float(SURE) == 0.95
    assert [voi_votes(20)[asked][asked // 5] for asked in (5, 10, 15, 19)] == [5, 8, 8, 5]


@given(came_to, quorums, st.integers(0, PLANNED))
def test_it_asks_no_run_that_the_posterior_spares(
    results: list[str | None], quorum: int | None, ended: int
) -> None:
    beta, rule = (parse_rule(text, runs=PLANNED, quorum=quorum) for text in ("posterior:0.95", "voi"))
    seen = seen_after(results[:ended])
    assert rule.satisfied(seen) or not beta.satisfied(seen)
    assert asked_of(rule, results) <= asked_of(beta, results)


def test_the_table_has_a_place_for_every_state() -> None:
    for planned in (1, 2, 7, 40):
        table = voi_votes(planned)
        assert [len(row) for row in table] == [asked // 2 + 1 for asked in range(planned + 1)]


def test_it_stops_sooner_near_the_end() -> None:
    early, late = parse_rule("voi", runs=40), parse_rule("voi", runs=12)
    votes = seen_after("aaaaaabbbb")
    assert not early.satisfied(votes)
    assert not late.satisfied(votes)
    assert late.satisfied(seen_after("aaaaaaabbb"))
    assert not early.satisfied(seen_after("aaaaaaabbb"))


@pytest.mark.slow
def test_the_largest_table() -> None:
    assert len(voi_votes(MOST_RUNS)) == MOST_RUNS + 1
