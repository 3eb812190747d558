"""What all calls of one account and model share."""

from __future__ import annotations

import sys
import threading
import time
from contextvars import ContextVar
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limited_provider import LimitedBackend, Limits, Offer, Provider
from virtual_time import LOOPS, run_virtual, virtual

from fanin.clock import LoopClock, StillClock, Waitable
from fanin.conductor import Conductor
from fanin.limiter import Limiter
from fanin.limiters import SHARED, Limiters
from fanin.policy.pacing import Load, Outlook, Refusal, Ticket
from fanin.terms import Terms
from fanin.values import Message, Request, Sample
from fanin.waiter import TooLong


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return virtual(request.param)


def paced(rpm: float | None = None, tpm: float | None = None, stagger_s: float = 0.0) -> Limiter:
    """A limiter under the user's own limits."""
    limiter = Limiter()
    limiter.limit(0.0, rpm=rpm, tpm=tpm, stagger_s=stagger_s, cap_s=600.0)
    return limiter


# --- one for an account and model


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


def test_what_a_model_refuses_adds_up_and_is_sorted() -> None:
    limiters = Limiters()
    limiters.learn("account", "m", ("top_p", "seed"))
    limiters.learn("account", "m", ("seed", "max_tokens"))
    assert limiters.refused("account", "m") == ("max_tokens", "seed", "top_p")
    assert limiters.refused("account", "n") == limiters.refused("another", "m") == ()


# --- the line


@pytest.mark.anyio
async def test_first_come_first_served_and_nobody_with_anybody() -> None:
    limiter, clock, went = paced(stagger_s=2.0), LoopClock(), list[tuple[int, float]]()

    async def pass_through(place: int) -> None:
        await limiter.admit(Load(), clock, place=place)
        went.append((place, clock.now_s()))

    async with anyio.create_task_group() as group:
        for place in (3, 0, 4, 1, 2):
            group.start_soon(pass_through, place)
        await anyio.sleep(1.0)
        assert limiter.waiting == 4
    order = [place for place, _ in went]
    assert order[1:] == sorted(order[1:])  # the first went before the others had come
    assert all(later - earlier == pytest.approx(2.0) for (_, earlier), (_, later) in pairwise(went))
    assert limiter.waiting == 0


@pytest.mark.anyio
async def test_a_burst_goes_at_once() -> None:
    limiter, clock = paced(rpm=60), LoopClock()
    began_s = clock.now_s()

    async def pass_through() -> None:
        assert isinstance(await limiter.admit(Load(), clock), Ticket)

    async with anyio.create_task_group() as group:
        for _ in range(60):
            group.start_soon(pass_through)
    assert clock.now_s() == pytest.approx(began_s)
    await pass_through()
    assert clock.now_s() == pytest.approx(began_s + 1.0)


@pytest.mark.anyio
@pytest.mark.parametrize("cancelled", [0, 1, 2])
async def test_a_cancelled_waiter_leaves_its_place_to_the_next(cancelled: int) -> None:
    limiter, clock = paced(rpm=1), LoopClock()
    await limiter.admit(Load(), clock)
    began_s, scopes, went = clock.now_s(), dict[int, anyio.CancelScope](), dict[int, float]()

    async def pass_through(place: int) -> None:
        with anyio.CancelScope() as scopes[place]:
            await limiter.admit(Load(), clock, place=10 + place)
            went[place] = clock.now_s() - began_s

    async with anyio.create_task_group() as group:
        for place in range(3):
            group.start_soon(pass_through, place)
        await anyio.sleep(5.0)
        scopes[cancelled].cancel()
    left = [place for place in range(3) if place != cancelled]
    assert went == {left[0]: pytest.approx(60.0), left[1]: pytest.approx(120.0)}


@pytest.mark.anyio
async def test_a_request_that_is_cancelled_as_it_is_let_go_gives_back_what_was_reserved() -> None:
    limiter, clock = paced(rpm=1), LoopClock()
    first = await limiter.admit(Load(), clock)
    assert isinstance(first, Ticket)
    async with anyio.create_task_group() as group:

        async def wait() -> None:
            await limiter.admit(Load(), clock)

        group.start_soon(wait)
        await anyio.sleep(1.0)
        limiter.returned(first, clock.now_s())  # lets the waiter go, which has not run yet
        group.cancel_scope.cancel()
    began_s = clock.now_s()
    assert isinstance(await limiter.admit(Load(), clock), Ticket)
    assert clock.now_s() == pytest.approx(began_s)


@pytest.mark.anyio
async def test_it_is_said_at_once_where_a_wait_would_be_too_long() -> None:
    limiter, clock = paced(rpm=1), LoopClock()
    await limiter.admit(Load(), clock)
    began_s = clock.now_s()
    held = await limiter.admit(Load(), clock, max_wait_s=59.0)
    assert held == TooLong(Outlook(pytest.approx(began_s + 60), "rpm"), pytest.approx(60.0))  # type: ignore[arg-type]
    late = await limiter.admit(Load(), clock, ends_s=began_s + 59.0)
    assert isinstance(late, TooLong)
    assert clock.now_s() == began_s
    assert isinstance(await limiter.admit(Load(), clock, max_wait_s=61.0), Ticket)


@pytest.mark.anyio
async def test_what_a_request_waits_for_is_told() -> None:
    limiter, clock, told = paced(tpm=6000), LoopClock(), list[tuple[str, float]]()
    await limiter.admit(Load(1, 6000), clock)
    await limiter.admit(
        Load(1, 600), clock, waiting=lambda outlook, wait_s: told.append((outlook.why, wait_s))
    )
    assert told == [("tpm", pytest.approx(6.0))]


class CountedClock(LoopClock):
    """Counts how often somebody sleeps on it."""

    sleeps = 0

    async def sleep(self, seconds: float, wake: Waitable | None = None) -> None:
        self.sleeps += 1
        await super().sleep(seconds, wake)


@pytest.mark.anyio
async def test_who_stands_first_from_now_on_is_told_and_sleeps_on() -> None:
    limiter, clock, told = paced(stagger_s=2.0), CountedClock(), list[tuple[int, str, float, float]]()
    began_s = clock.now_s()

    async def pass_through(place: int) -> None:
        def waiting(outlook: Outlook, wait_s: float) -> None:
            told.append((place, outlook.why, clock.now_s() - began_s, wait_s))

        await limiter.admit(Load(), clock, place=place, waiting=waiting)

    await pass_through(0)
    async with anyio.create_task_group() as group:
        for place in (1, 2, 3):
            group.start_soon(pass_through, place)
            await anyio.sleep(0.1)
    first, *later = [one for one in told if one[1] == "stagger"]
    assert first == (1, "stagger", pytest.approx(0.0), pytest.approx(2.0))
    assert later == [(n, "stagger", pytest.approx(2.0 * n - 2), pytest.approx(2.0)) for n in (2, 3)]
    assert clock.sleeps == 1  # the first one's, whom nobody was there to tell
    assert clock.now_s() == pytest.approx(began_s + 6.0)


@pytest.mark.anyio
async def test_who_would_wait_too_long_is_told_so_as_soon_as_it_stands_first() -> None:
    limiter, clock = paced(stagger_s=2.0), LoopClock()
    began_s, came = clock.now_s(), dict[int, tuple[bool, float]]()

    async def pass_through(place: int, max_wait_s: float) -> None:
        granted = await limiter.admit(Load(), clock, place=place, max_wait_s=max_wait_s)
        came[place] = isinstance(granted, Ticket), clock.now_s() - began_s

    await pass_through(0, 9.0)
    async with anyio.create_task_group() as group:
        for place, max_wait_s in ((1, 9.0), (2, 1.0), (3, 9.0)):
            group.start_soon(pass_through, place, max_wait_s)
            await anyio.sleep(0.1)
    near = pytest.approx
    assert came == {0: (True, 0.0), 1: (True, near(2.0)), 2: (False, near(2.0)), 3: (True, near(4.0))}


@pytest.mark.anyio
async def test_what_goes_wrong_in_telling_is_the_waiter_s_own_and_in_its_own_context() -> None:
    limiter, clock, went = paced(stagger_s=2.0), LoopClock(), list[int]()
    number, seen = ContextVar[int]("number"), list[int]()

    def tell(outlook: Outlook, wait_s: float) -> None:
        seen.append(number.get())
        if outlook.why == "stagger" and number.get() == 2:
            raise ValueError("the second's own")

    async def pass_through(place: int) -> None:
        number.set(place)
        if place == 2:
            with pytest.raises(ValueError, match="own"):
                await limiter.admit(Load(), clock, place=place, waiting=tell)
        else:
            await limiter.admit(Load(), clock, place=place, waiting=tell)
            went.append(place)

    async with anyio.create_task_group() as group:
        for place in range(4):
            group.start_soon(pass_through, place)
            await anyio.sleep(0.1)
    assert went == [0, 1, 3]
    assert sorted(seen) == [1, 2, 2, 3, 3]  # in the line, and as the first
    assert limiter.waiting == 0


@pytest.mark.anyio
async def test_those_who_are_cancelled_together_are_told_nothing_more() -> None:
    limiter, clock, told = paced(stagger_s=2.0), LoopClock(), list[str]()
    await limiter.admit(Load(), clock)
    async with anyio.create_task_group() as group:

        async def pass_through() -> None:
            await limiter.admit(Load(), clock, waiting=lambda outlook, wait_s: told.append(outlook.why))

        for _ in range(20):
            group.start_soon(pass_through)
        await anyio.sleep(0.1)
        group.cancel_scope.cancel()
    assert sorted(told) == ["line"] * 19 + ["stagger"]
    assert limiter.waiting == 0


@pytest.mark.anyio
async def test_a_gate_that_moves_while_somebody_waits_holds_them() -> None:
    limiter, clock = paced(stagger_s=10.0), LoopClock()
    first = await limiter.admit(Load(), clock)
    assert isinstance(first, Ticket)
    began_s = clock.now_s()
    async with anyio.create_task_group() as group:

        async def wait() -> None:
            await limiter.admit(Load(), clock)

        group.start_soon(wait)
        await anyio.sleep(1.0)
        limiter.refused(first, (), Refusal(30.0), clock.now_s())
    assert clock.now_s() >= began_s + 31.0 - 1e-6


# --- against a provider


@settings(max_examples=6)
@given(
    st.sampled_from(LOOPS),
    st.sampled_from(["full", "groq", "retry_after", "none"]),
    st.integers(1, 9),
    st.integers(1, 40),
)
def test_votes_at_once_are_all_answered_and_hardly_refused(
    loop: str, profile: Any, votes: int, requests: int
) -> None:
    provider = Provider(Offer(Limits(10, 10), profile=profile, latency_s=0.3))
    limiters = Limiters()

    async def hold() -> int:
        answered = 0

        async def one_vote() -> None:
            nonlocal answered
            conductor = Conductor(LimitedBackend(provider), Terms(concurrency=64), limiters=limiters)
            for index in range(requests):
                outcome = await conductor.ask(Request(index, "m", (Message("user", "?"),), max_tokens=8))
                answered += isinstance(outcome, Sample)

        async with anyio.create_task_group() as group:
            for _ in range(votes):
                group.start_soon(one_vote)
        return answered

    assert run_virtual(loop, hold) == votes * requests
    assert len(provider.counts["m"].refused_s) <= 8 + votes * requests / 8


# --- threads


@pytest.mark.parametrize("loop", LOOPS)
def test_threads_with_event_loops_of_their_own_stand_in_one_line(loop: str) -> None:
    limiter = Limiter()
    limiter.limit(time.monotonic(), rpm=None, tpm=None, stagger_s=0.002, cap_s=600.0)
    sent_s: list[float] = []

    async def pass_through() -> None:
        ticket = await limiter.admit(Load(), LoopClock())
        assert isinstance(ticket, Ticket)
        sent_s.append(ticket.sent_s)

    async def crowd() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(pass_through)

    workers = [threading.Thread(target=lambda: anyio.run(crowd, backend=loop)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(sent_s) == 20
    assert all(later - earlier >= 0.002 - 1e-9 for earlier, later in pairwise(sorted(sent_s)))
    assert limiter.waiting == 0


def test_no_refusal_is_lost_between_threads() -> None:
    """Every refusal is an episode of its own here, so that each has to add to the delay."""
    limiter, limiters, start = Limiter(), Limiters(), threading.Barrier(4)

    def refuse(mine: int) -> None:
        start.wait(60)
        for turn in range(200):
            limiter.refused(Ticket(1, Load(), 1e9), (), Refusal(0.001), turn)
            limiters.learn("account", "m", (f"parameter {mine} {turn % 20}",))

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
    assert limiter.pace.gate.delay_s == pytest.approx(0.001 * 200 * 4)
    assert len(limiters.refused("account", "m")) == 20 * 4


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


# --- clocks


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


@pytest.mark.parametrize("loop", LOOPS)
def test_a_clock_goes_on_with_the_next_event_loop_where_one_has_ended(loop: str) -> None:
    clock = LoopClock()

    async def slept() -> tuple[float, float]:
        began_s = clock.now_s()
        await anyio.sleep(1000.0)
        return began_s, clock.now_s()

    for _ in range(2):
        began_s, ended_s = run_virtual(loop, slept)
        assert ended_s == pytest.approx(began_s + 1000.0)


@pytest.mark.anyio
async def test_a_loop_s_virtual_time_is_followed() -> None:
    clock = LoopClock()
    began_s = clock.now_s()
    await anyio.sleep(1000.0)
    assert clock.now_s() == pytest.approx(began_s + 1000.0)
    await clock.sleep(500.0)
    assert clock.now_s() == pytest.approx(began_s + 1500.0)


@pytest.mark.anyio
async def test_a_sleeper_can_be_woken() -> None:
    clock, wake = LoopClock(), anyio.Event()
    began_s = clock.now_s()
    async with anyio.create_task_group() as group:
        group.start_soon(clock.sleep, 1000.0, wake)
        await anyio.sleep(3.0)
        wake.set()
    assert clock.now_s() == pytest.approx(began_s + 3.0)


@pytest.mark.anyio
async def test_on_a_replay_s_clock_nobody_sleeps() -> None:
    began_s, clock = anyio.current_time(), StillClock()
    await clock.sleep(1000.0)
    assert clock.now_s() == 0.0
    assert anyio.current_time() == began_s
