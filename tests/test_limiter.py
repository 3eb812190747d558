"""What all calls of one account and model share."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from virtual_time import LOOPS, virtual

from fanin.clock import LoopClock, StillClock
from fanin.limiter import SHARED, Limiter, Limiters
from fanin.policy import pacing
from fanin.policy.pacing import Pace, refused, succeeded


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return virtual(request.param)


def test_there_is_one_limiter_an_account_and_model() -> None:
    limiters = Limiters()
    one = limiters.of("account", "m")
    assert limiters.of("account", "m") is one
    assert limiters.of("account", "n") is not one
    assert limiters.of("another", "m") is not one
    limiters.clear()
    assert limiters.of("account", "m") is not one


def test_the_process_has_limiters_that_every_vote_shares() -> None:
    assert SHARED.of("account", "m") is SHARED.of("account", "m")


def test_a_limiter_holds_the_state_that_the_policy_gives() -> None:
    limiter, pace = Limiter(cap_s=5.0), Pace(cap_s=5.0)
    assert limiter.pace == pace
    for sent_s, told_s, now_s in [(0.0, 3.0, 1.0), (0.5, 4.0, 2.0), (7.0, 9.0, 8.0)]:
        limiter.refused(sent_s=sent_s, told_s=told_s, now_s=now_s)
        pace = refused(pace, sent_s=sent_s, told_s=told_s, now_s=now_s)
        assert limiter.pace == pace
    limiter.succeeded()
    assert limiter.pace == succeeded(pace)
    assert limiter.wait_s(10.0) == pace.gate_s - 10.0


def test_what_a_model_refuses_adds_up_and_is_sorted() -> None:
    limiter = Limiter()
    limiter.learn(("top_p", "seed"))
    limiter.learn(("seed", "max_tokens"))
    assert limiter.refused_parameters == ("max_tokens", "seed", "top_p")


def test_no_refusal_is_lost_between_threads() -> None:
    """Every refusal is an episode of its own here, so that each has to add to the delay."""
    limiter, start = Limiter(), threading.Barrier(4)

    def refuse(mine: int) -> None:
        start.wait(60)
        for turn in range(500):
            limiter.refused(sent_s=1e9, told_s=0.001, now_s=turn)
            limiter.learn((f"parameter {mine} {turn % 20}",))

    switch_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # the threads interrupt one another as often as they can
    try:
        workers = [threading.Thread(target=refuse, args=(mine,)) for mine in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
    finally:
        sys.setswitchinterval(switch_s)
    assert limiter.pace.delay_s == pytest.approx(0.001 * 500 * 4)
    assert len(limiter.refused_parameters) == 20 * 4


def test_the_state_is_read_and_written_under_one_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above would find by luck alone."""
    limiter, held = Limiter(), []

    class Watched(tuple[str, ...]):
        __slots__ = ()

        def __iter__(self) -> Iterator[str]:
            held.append(limiter._lock.locked())
            return super().__iter__()

    def watched(decide: Callable[..., Pace]) -> Callable[..., Pace]:
        def decided(pace: Pace, **facts: float) -> Pace:
            held.append(limiter._lock.locked())
            return decide(pace, **facts)

        return decided

    monkeypatch.setattr(pacing, "refused", watched(refused))
    monkeypatch.setattr(pacing, "succeeded", watched(succeeded))
    limiter.refused(sent_s=0.0, told_s=1.0, now_s=0.0)
    limiter.succeeded()
    limiter.learn(Watched(("seed",)))
    assert held == [True, True, True]
    assert not limiter._lock.locked()


def test_threads_find_the_same_limiter() -> None:
    limiters, found, start = Limiters(), [], threading.Barrier(8)

    def find() -> None:
        start.wait(60)
        found.append(limiters.of("account", "m"))

    workers = [threading.Thread(target=find) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


@pytest.mark.parametrize("loop", LOOPS)
def test_all_event_loops_of_a_process_agree_on_the_time(loop: str) -> None:
    async def now_s() -> float:
        return LoopClock().now_s()

    before_s = time.monotonic()
    first_s = anyio.run(now_s, backend=loop)
    second_s = anyio.run(now_s, backend=loop)
    after_s = time.monotonic()
    # Sums of floats as large as a loop's own time: exact to a microsecond.
    assert before_s - 1e-6 <= first_s <= second_s + 1e-6 <= after_s + 2e-6


@pytest.mark.anyio
async def test_a_loop_s_virtual_time_is_followed() -> None:
    clock = LoopClock()
    began_s = clock.now_s()
    await anyio.sleep(1000.0)
    assert clock.now_s() == pytest.approx(began_s + 1000.0)
    await clock.sleep(500.0)
    assert clock.now_s() == pytest.approx(began_s + 1500.0)


@pytest.mark.anyio
async def test_on_a_replay_s_clock_nobody_sleeps() -> None:
    began_s, clock = anyio.current_time(), StillClock()
    await clock.sleep(1000.0)
    assert clock.now_s() == 0.0
    assert anyio.current_time() == began_s
