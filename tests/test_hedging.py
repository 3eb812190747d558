"""A second call beside a straggler: the first answer counts, and nothing is asked in vain."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from doubles import Scripted, always, down
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import LOOPS, virtual

import fanin
from fanin.backend import Capabilities
from fanin.policy.hedging import hedge_after_s
from fanin.values import Request

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return virtual(request.param)


def near(seconds: float) -> Any:
    """That time, give or take what the limiter spreads the starts over."""
    return pytest.approx(seconds, abs=0.1)


def straggling(index: int, *, second_s: float = 1.0) -> Scripted:
    """Answers in a second, but for the first call of one run."""

    def latency_s(request: Request) -> float:
        if request.index != index:
            return 1.0
        return 60.0 if request.attempt == 1 else second_s

    return Scripted(lambda request: "Answer: yes" if request.index % 2 else "Answer: no", latency_s=latency_s)


@given(st.lists(st.floats(0.01, 100), max_size=20))
def test_a_straggler_takes_twice_the_median(took_s: list[float]) -> None:
    long_s = hedge_after_s(took_s)
    if len(took_s) < 3:
        assert long_s is None
    else:
        assert long_s is not None
        assert sum(each <= long_s / 2 for each in took_s) * 2 >= len(took_s)


async def test_a_straggler_is_asked_a_second_time_and_the_first_answer_counts() -> None:
    backend, began_s = straggling(4), anyio.current_time()
    verdict = await fanin.vote("Is it?", backend=backend, runs=5, hedge=True)
    assert anyio.current_time() == near(began_s + 3.0)
    assert (verdict.answer, verdict.runs.valid, len(backend.sent)) == ("no", 5, 6)
    assert [event.index for event in verdict.events if event.kind == "hedge"] == [4]
    assert backend.in_flight == 0


async def test_without_it_nobody_is_asked_twice() -> None:
    backend = straggling(4)
    began_s = anyio.current_time()
    await fanin.vote("Is it?", backend=backend, runs=5)
    assert len(backend.sent) == 5
    assert anyio.current_time() == near(began_s + 60.0)


async def test_a_run_whose_vote_no_longer_matters_is_not_asked_twice() -> None:
    backend = straggling(4)
    backend._reply = always("Answer: yes")
    verdict = await fanin.vote("Is it?", backend=backend, runs=5, hedge=True)
    assert (verdict.answer, len(backend.sent)) == ("yes", 5)


async def test_the_first_call_may_still_win() -> None:
    def latency_s(request: Request) -> float:
        return (3.0 if request.attempt == 1 else 60.0) if request.index == 4 else 1.0

    backend, began_s = straggling(4), anyio.current_time()
    backend._latency_s = latency_s
    verdict = await fanin.vote("Is it?", backend=backend, runs=5, hedge=True)
    assert anyio.current_time() == near(began_s + 3.0)
    assert verdict.runs.valid == 5
    assert backend.in_flight == 0


async def test_a_second_call_that_fails_leaves_the_first_its_time() -> None:
    backend, began_s = straggling(4), anyio.current_time()
    reply = backend._reply
    backend._reply = lambda request: down() if request.attempt == 2 else reply(request)
    verdict = await fanin.vote("Is it?", backend=backend, runs=5, hedge=True)
    assert anyio.current_time() == near(began_s + 60.0)
    assert verdict.runs.valid == 5


async def test_a_call_that_has_failed_is_no_straggler() -> None:
    backend, began_s = straggling(5), anyio.current_time()
    reply = backend._reply
    backend._reply = lambda request: down() if request.index == 4 else reply(request)
    verdict = await fanin.vote("Is it?", backend=backend, runs=5, hedge=True, retries=0)
    assert (verdict.runs.failed, len(backend.sent)) == (1, 5)
    assert anyio.current_time() == near(began_s + 1.0)


async def test_there_has_to_be_room_for_a_second_call() -> None:
    backend = straggling(3)
    backend.capabilities = Capabilities(http=False, at_once=1)
    await fanin.vote("Is it?", backend=backend, runs=4, hedge=True)
    assert len(backend.sent) == 4
