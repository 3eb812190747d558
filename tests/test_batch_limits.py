"""A batch at its rate limits: how fast it goes beside them, and that a stopped one does not wait for them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import anyio
import pytest
from doubles import Reply, Scripted, always, down, too_often
from hypothesis import given
from hypothesis import strategies as st
from limited_provider import LimitedBackend, Limits, Offer, Profile, Provider
from virtual_time import LOOPS, run_virtual

from fanin.batching.interrupts import BatchInterrupt
from fanin.batching.items import Item
from fanin.batching.rates import Rate, Sent, rates_of
from fanin.batching.runner import batch
from fanin.batching.standing import Standing
from fanin.limiters import SHARED
from fanin.policy import pacing
from fanin.policy.pacing import Load, Pace
from fanin.values import Request

both_loops = pytest.mark.parametrize("loop", LOOPS)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Every event loop of virtual time begins at 0 s, and a pace would remember another's."""
    SHARED.clear()
    yield
    SHARED.clear()


def items(count: int) -> list[Item]:
    return [Item(number, number, f"Is {number} odd?") for number in range(1, count + 1)]


async def collect(backend: Any, ends: list[tuple[float, str]], **options: Any) -> tuple[int, Standing, float]:
    """Rows, how it ended, and when; `ends` are (when, how) it is interrupted."""
    interrupt = BatchInterrupt()

    async def interrupted(at_s: float, how: str) -> None:
        await anyio.sleep(at_s)
        getattr(interrupt, how)()

    async with anyio.create_task_group() as group:
        for at_s, how in ends:
            group.start_soon(interrupted, at_s, how)
        count = 0
        options = {"runs": 1, "max_tokens": 20, "pace": "off", **options}
        questions = options.pop("questions", None) or items(options.pop("count", 100))
        async with batch(questions, backend=backend, interrupt=interrupt, **options) as rows:
            async for _ in rows:
                count += 1
            ended = rows.standing, anyio.current_time()
        group.cancel_scope.cancel()
    return count, *ended


def limited(profile: Profile = "full", **limits: Any) -> LimitedBackend:
    return LimitedBackend(Provider(Offer(Limits(**limits), profile=profile, latency_s=0.5)))


@both_loops
def test_the_limits_of_a_model_and_what_was_sent_of_it(loop: str) -> None:
    backend = limited(requests_per_s=5.0, burst=10.0, tokens_per_s=1000.0, token_burst=60_000.0)
    _, standing, _ = run_virtual(loop, partial(collect, backend, [], jobs=20))
    requests, tokens = standing.rates
    assert (requests.account, requests.model, requests.unit) == ("limited", "m", "requests")
    counted = backend.provider.counts["m"]
    assert requests.sent == len(counted.admitted_s) + len(counted.refused_s)
    assert requests.limit == pytest.approx(300, rel=0.02)
    assert tokens.unit == "tokens"
    assert tokens.limit == 60_000
    assert tokens.sent == sum(filter(None, (standing.usage.input_tokens, standing.usage.output_tokens)))


def test_of_a_limit_a_day_what_is_left_is_told() -> None:
    backend = limited("groq", requests_per_s=5.0, burst=10.0, requests_per_day=14_400.0)
    _, standing, _ = run_virtual("asyncio", partial(collect, backend, [], jobs=4, count=40))
    [daily] = [rate for rate in standing.rates if rate.left is not None]
    assert (daily.unit, daily.limit) == ("requests", 14_400)
    assert daily.left == pytest.approx(14_360, abs=5)


def test_a_limit_of_one_s_own_is_the_lowest() -> None:
    backend = limited(requests_per_s=50.0, burst=50.0)
    _, standing, _ = run_virtual("asyncio", partial(collect, backend, [], jobs=4, rpm=120, count=30))
    assert [rate.limit for rate in standing.rates if rate.unit == "requests"] == [120]


def test_nothing_is_told_where_nothing_is_paced() -> None:
    backend = Scripted(always("yes"), limited=False)
    assert run_virtual("asyncio", partial(collect, backend, [], count=3))[1].rates == ()


@given(st.floats(1, 1e5), st.none() | st.floats(1, 1e7), st.integers(0, 99), st.integers(0, 99))
def test_the_user_s_own_limits_are_told_as_they_are(
    rpm: float, tpm: float | None, calls: int, tokens: int
) -> None:
    pace = pacing.limited(Pace(), 0.0, rpm=rpm, tpm=tpm)
    pace, _ = pacing.sent(pace, Load(1, 10), 0.0)
    told = [
        Rate("a", "m", "requests", calls, rpm),
        *([] if tpm is None else [Rate("a", "m", "tokens", tokens, tpm)]),
    ]
    assert list(rates_of("a", "m", pace, 1.0, Sent(calls, tokens))) == told


@both_loops
@pytest.mark.parametrize("ends", [[(5.2, "drain")], [(5.2, "drain"), (5.3, "stop")]])
def test_a_stopped_batch_sends_nothing_that_waited_for_a_limit(
    loop: str, ends: list[tuple[float, str]]
) -> None:
    backend = limited(requests_per_s=1.0, burst=2.0)
    count, standing, ended_s = run_virtual(loop, partial(collect, backend, ends, jobs=20))
    assert standing.ended == "interrupt"
    assert standing.failed == 0
    assert ended_s < 7.5, "it waits for what was sent, and for no limit"
    assert max(backend.provider.counts["m"].admitted_s) <= 5.3
    assert count == standing.calls >= 5
    assert standing.in_flight == 0


@both_loops
def test_a_stopped_batch_does_not_wait_to_ask_again(loop: str) -> None:
    backend = Scripted(lambda request: down(), limited=False)
    count, standing, ended_s = run_virtual(
        loop, partial(collect, backend, [(3.0, "drain")], jobs=4, count=4, retries=9)
    )
    assert (count, standing.ended, standing.failed) == (0, "interrupt", 0)
    assert ended_s == pytest.approx(3.0)


def test_a_spent_limit_cuts_what_waits_for_another_model() -> None:
    def reply(request: Request) -> Reply:
        return too_often(3600.0) if request.model == "spent" else down()

    backend = Scripted(reply, latency_s=lambda request: 2.0 if request.model == "spent" else 0.0)
    own = [
        Item(number, number, "Is it?", options=(("model", model),))
        for number, model in enumerate(("spent", "slow"), 1)
    ]
    count, standing, ended_s = run_virtual("asyncio", partial(collect, backend, [], questions=own, retries=9))
    assert (count, standing.ended, standing.failed) == (0, "limit", 0)
    assert ended_s == pytest.approx(2.0)
