"""One budget of runs over all questions of a batch."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from doubles import Scripted
from hypothesis import given, settings
from hypothesis import strategies as st
from test_batch_running import Ended, both_loops, done, items, numbers

from fanin.batching.interrupts import BatchInterrupt
from fanin.batching.items import BadItem
from fanin.errors import InputError
from fanin.values import Event, Request

CLOSE = (2, 5)
"""The questions whose runs disagree."""


def reply(request: Request) -> str:
    number = int(request.messages[-1].content.split()[1])
    return "no" if number in CLOSE and request.index % 2 else "yes"


def spread(backend: Scripted, loop: str = "asyncio", count: int = 8, **options: Any) -> Ended:
    return done(items(count), backend, loop, jobs=3, **{"runs": 20, **options})


def asked(backend: Scripted) -> Counter[int]:
    return Counter(int(request.messages[-1].content.split()[1]) for request in backend.sent)


@both_loops
def test_the_runs_go_where_the_votes_are_close(loop: str) -> None:
    backend = Scripted(reply, latency_s=lambda _: 1.0, limited=False)
    ended = spread(backend, loop, budget_runs=8 * 5)
    assert len(backend.sent) == 40
    runs = asked(backend)
    assert min(runs[number] for number in CLOSE) > max(runs[n] for n in range(1, 9) if n not in CLOSE)
    assert sorted(numbers(ended)) == list(range(1, 9))
    for row in ended.rows:
        assert row.object is not None
        assert row.object["runs"]["valid"] == runs[row.number]
        assert row.object["stopped"] == {"by": "rule", "rule": "spread"}
        if row.number not in CLOSE:
            assert row.object["confidence"] == 1.0
    assert ended.standing.ended == "all"


@settings(max_examples=8)
@given(st.integers(1, 9), st.integers(9, 60), st.integers(1, 6))
def test_the_budget_is_kept_and_spent(count: int, budget: int, runs: int) -> None:
    backend = Scripted(reply, limited=False)
    ended = spread(backend, count=count, budget_runs=budget, runs=runs)
    assert len(backend.sent) == min(budget, count * runs)
    assert len(ended.rows) == count
    assert max(asked(backend).values()) <= runs


def test_a_satisfied_stop_rule_takes_no_more_runs() -> None:
    backend = Scripted(reply, limited=False)
    ended = spread(backend, budget_runs=100, stop="ahead:2", runs=9)
    stopped = {row.number: row.object["stopped"] for row in ended.rows if row.object is not None}
    runs = asked(backend)
    assert all(stopped[n] == {"by": "rule", "rule": "ahead:2"} for n in range(1, 9) if n not in CLOSE)
    assert all(runs[n] == 2 for n in range(1, 9) if n not in CLOSE)
    assert all(runs[n] == 9 and stopped[n]["by"] == "all" for n in CLOSE)


def test_bad_items_are_bad_rows_and_cost_nothing() -> None:
    backend = Scripted(reply, limited=False)
    questions = [*items(3), BadItem(4, None, "no JSON")]
    ended = done(questions, backend, jobs=3, runs=5, budget_runs=6)
    assert len(backend.sent) == 6
    assert [row.error for row in ended.rows if row.error] == ["no JSON"]
    assert done([], backend, budget_runs=6).rows == []


def test_what_is_interrupted_gives_no_rows() -> None:
    interrupt = BatchInterrupt()

    def watch(number: int, event: Event) -> None:
        if len(backend.sent) == 30:
            interrupt.drain()

    backend = Scripted(reply, limited=False)
    ended = spread(backend, budget_runs=100, interrupt=interrupt, watch=watch)
    assert ended.rows == []
    assert ended.standing.ended == "interrupt"
    assert len(backend.sent) <= 33


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"budget_runs": 7}, "at least one run for each of the 8 questions, not 7"),
        ({"budget_runs": 0}, "a whole number, 1 or more"),
        ({"budget_runs": 50, "ordered": True}, "left out with ordered rows"),
    ],
)
def test_a_budget_that_cannot_be_shared_is_refused(options: dict[str, Any], said: str) -> None:
    backend = Scripted(reply)
    with pytest.raises(InputError, match=said):
        spread(backend, **options)
    assert backend.sent == []
