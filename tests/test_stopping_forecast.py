"""What a rule is forecast to do, against every way in which the votes can come; and what decides a vote."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from stopping_cases import seen_after, waves_of

from fanin.policy.stopping import forecast, parse_rule
from fanin.policy.stopping.rule import Seen, decides

RUNS = 8


@pytest.mark.parametrize(
    "text", ["all", "decided", "ahead:2", "window:2", "window:3", "start:3,step:2", "posterior:0.9", "voi"]
)
@pytest.mark.parametrize("share", [0.7, 0.5])
def test_a_forecast_is_the_mean_of_all_sequences(text: str, share: float) -> None:
    rule = parse_rule(text, runs=RUNS)
    runs = waves = rounds = stopped = wrong = 0.0
    for results in product("ab", repeat=RUNS):
        chance = share ** results.count("a") * (1 - share) ** results.count("b")
        asked = list(waves_of(rule, results))
        ended = asked[-1]
        early = ended < RUNS
        runs += chance * ended
        waves += chance * (len(asked) - 1)
        rounds += chance * sum(-(-(after - before) // 2) for before, after in pairwise(asked))
        stopped += chance * early
        wrong += chance * (early and (2 * results[:ended].count("a") < ended or share == 0.5))
    made = forecast(rule, share, concurrency=2)
    assert (made.runs, made.waves, made.rounds) == pytest.approx((runs, waves, rounds))
    assert (made.stopped, made.wrong) == pytest.approx((stopped, wrong))


@pytest.mark.parametrize(
    ("results", "quorum", "more", "decided"),
    [
        ("aab", None, 0, True),
        ("ab", None, 0, False),
        ("ab", None, 1, True),
        (["a", None], None, 0, False),
        (["a", None], None, 1, True),
        (["a", None, None, None], None, 2, False),
        (["a", None, None, None], None, 3, True),
        ("aa", 3, 0, False),
        ("aa", 3, 1, True),
        (["a", None, None], 1, 0, True),
    ],
)
def test_a_vote_is_decided_by_a_lone_leader_and_a_quorum(
    results: list[str | None], quorum: int | None, more: int, decided: bool
) -> None:
    assert decides(seen_after(results), quorum, more) == decided


def test_all_spares_nothing() -> None:
    rule = parse_rule("all", runs=5)
    assert not rule.satisfied(Seen((5,)))
    assert [rule.soonest(seen_after("a" * asked)) for asked in range(5)] == [5, 4, 3, 2, 1]


def test_a_quorum_keeps_a_lead_from_stopping_the_vote() -> None:
    rule = parse_rule("ahead:2", runs=9, quorum=5)
    assert list(waves_of(rule, "a" * 9)) == [0, 5]
    assert list(waves_of(rule, "aabba" + "aaaa")) == [0, 5, 6]
