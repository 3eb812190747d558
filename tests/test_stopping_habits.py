"""`ahead`, `window` and `start`: the habits do what their names say."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stopping_cases import LOST, PLANNED, asked_of, came_to, seen_after, waves_of

from fanin.policy.stopping import parse_rule, seen_of
from fanin.policy.stopping.habits import ahead_votes


@given(came_to, st.integers(1, 5))
def test_ahead_asks_until_one_answer_leads_by_k(results: list[str | None], lead: int) -> None:
    rule = parse_rule(f"ahead:{lead}", runs=PLANNED, quorum=1)

    def leads(asked: int) -> bool:
        counts = seen_after(results[:asked]).counts
        return len(counts) > 0 and counts[0] - sum(counts[1:2]) >= lead

    wanted = next((asked for asked in range(PLANNED) if leads(asked)), PLANNED)
    assert asked_of(rule, results) == wanted


@pytest.mark.parametrize(
    ("text", "results", "waves"),
    [
        ("window:3", "aaa", [0, 3]),
        ("window:3", "aabbbaabb", [0, 3, 6, 9]),  # three in a row across windows do not count
        ("window:3", "abbbbb", [0, 3, 6]),
        ("window:3", ["a", None, "a", "a", "a", "a"], [0, 3, 6]),
        ("window:3", "bbaaaa", [0, 3, 6]),
        ("window:2", "abab", [0, 2, 4, 6, 8, 9]),
        ("start:3,step:2", "aaa", [0, 3]),
        ("start:3,step:2", "aba", [0, 3, 5, 7, 9]),
        ("start:3,step:2", ["a", None, "a", "a", "a"], [0, 3, 5]),
        ("start:4,step:3", "aaba", [0, 4, 7, 9]),
        ("ahead:3", "aaa", [0, 3]),
        ("ahead:3", "aabaaa", [0, 3, 5]),
    ],
)
def test_waves(text: str, results: Sequence[str | None], waves: list[int]) -> None:
    planned = 9
    padded = [*results, *("ab" * planned)][:planned]
    assert list(waves_of(parse_rule(text, runs=planned), padded)) == waves


def test_three_and_then_two_more_of_five() -> None:
    rule = parse_rule("start:3,step:2", runs=5)
    assert asked_of(rule, "aaabb") == 3
    assert asked_of(rule, "abaaa") == 5


def test_a_window_waits_for_the_runs_before_it() -> None:
    rule = parse_rule("window:3", runs=9)
    late = {3: "a", 4: "a", 5: "a"}
    assert not rule.satisfied(seen_of({0: "a", 1: "b", **late}))
    assert rule.satisfied(seen_of({0: "a", 1: "b", 2: "b", **late}))
    assert not rule.satisfied(seen_of({0: "a", 1: "b", 2: LOST, **late, 4: LOST}))


def test_a_window_without_a_leader_goes_on() -> None:
    rule = parse_rule("window:3", runs=12)
    tied = "bbc" + "bcc" + "aaa"
    assert asked_of(rule, tied + "aaa", "fit") == 10
    assert asked_of(rule, tied + "aaa", "one") == 10


@pytest.mark.parametrize(("quorum", "waves"), [(3, [0, 3]), (5, [0, 3, 5]), (6, [0, 3, 6]), (9, [0, 3, 9])])
def test_a_window_waits_for_the_quorum(quorum: int, waves: list[int]) -> None:
    assert list(waves_of(parse_rule("window:3", runs=9, quorum=quorum), "a" * 9)) == waves


def test_waves_that_were_begun_are_completed() -> None:
    window = parse_rule("window:3", runs=9)
    assert [window.soonest(seen_after("abab"[:asked])) for asked in range(5)] == [3, 2, 1, 3, 2]
    steps = parse_rule("start:4,step:3", runs=12)
    assert [steps.soonest(seen_after("ab" * asked)) for asked in range(6)] == [4, 2, 3, 1, 2, 2]
    late = ["a", LOST, "a", "a", "a", "a", "a"]
    assert [steps.satisfied(seen_after(late[:asked])) for asked in range(4, 8)] == [False] * 3 + [True]


def test_the_leads_that_fit_in_a_budget() -> None:
    assert ahead_votes(2, 9) == (2, 3, 4, 5)
    assert ahead_votes(3, 3) == (3,)
    assert ahead_votes(1, 4) == (1, 2)
