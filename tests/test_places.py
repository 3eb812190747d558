"""The places of a server: one line, and nobody lost in it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from doubles import Scripted, always
from virtual_time import LOOPS, virtual

from fanin.backend import Capabilities
from fanin.conductor import Conductor
from fanin.errors import CallError
from fanin.limiters import Limiters
from fanin.places import Place, Places
from fanin.policy.variation import vary
from fanin.terms import Terms
from fanin.values import Message, Outcome, Request, Run, Sample, Variation
from fanin_backends.ollama import open_backend

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return virtual(request.param)


async def test_first_come_first_served() -> None:
    places, order = Places(2), list[int]()

    async def one(number: int) -> None:
        await anyio.sleep(number)
        place = await places.enter()
        order.append(number)
        await anyio.sleep(10.0)
        places.left(place)

    async with anyio.create_task_group() as group:
        for number in (2, 0, 3, 1, 4):
            group.start_soon(one, number)
    assert order == [0, 1, 2, 3, 4]
    assert places.crowd.inside == 0


@pytest.mark.parametrize("let_in_first", [False, True])
async def test_a_cancelled_waiter_leaves_the_line(let_in_first: bool) -> None:
    places = Places(1)
    first = await places.enter()
    async with anyio.create_task_group() as group:
        group.start_soon(places.enter)
        await anyio.sleep(1.0)
        if let_in_first:
            places.left(first)  # lets the waiter in, which has not run yet
        group.cancel_scope.cancel()
    places.left(first)
    assert places.crowd.inside == 0
    assert isinstance(await places.enter(), Place)


async def hold(backend: Scripted, count: int, terms: Terms) -> tuple[Outcome, ...]:
    conductor = Conductor(backend, terms, limiters=Limiters())

    async def job(run: Run) -> Outcome | None:
        return await conductor.ask(Request(run.index, run.model, (Message("user", "?"),)))

    runs = [vary(Variation(("m",)), index, ()) for index in range(count)]
    return (await conductor.conduct(runs, job)).outcomes


async def test_no_more_are_asked_at_once_than_the_server_has_places() -> None:
    backend = Scripted(always("yes"), latency_s=lambda request: 1.0)
    backend.capabilities = Capabilities(http=False, at_once=3)
    assert len(await hold(backend, 6, Terms(concurrency=6))) == 6
    assert backend.most_in_flight == 3


async def test_calls_that_are_cut_short_give_their_places_back() -> None:
    backend = Scripted(always("yes"), latency_s=lambda request: 100.0 if request.index < 2 else 1.0)
    backend.capabilities = Capabilities(http=False, at_once=2)
    limiters = Limiters()
    conductor = Conductor(backend, Terms(deadline_s=5.0), limiters=limiters)

    async def job(run: Run) -> Outcome | None:
        return await conductor.ask(Request(run.index, run.model, (Message("user", "?"),)))

    await conductor.conduct([vary(Variation(("m",)), index, ()) for index in range(4)], job)
    assert limiters.of("scripted", "m").places(2).crowd.inside == 0


async def test_a_server_that_is_too_busy_is_asked_less_and_answers_in_the_end() -> None:
    def reply(request: Request) -> Any:
        return CallError("server", "busy", status=503) if backend.in_flight >= 2 else "yes"

    backend = Scripted(reply, latency_s=lambda request: 1.0 + request.index / 10)
    backend.capabilities = Capabilities(http=False, at_once=4)
    outcomes = await hold(backend, 4, Terms(concurrency=4))
    assert all(isinstance(outcome, Sample) for outcome in outcomes)


@pytest.mark.parametrize(
    ("told", "at_once"), [("2", 2), ("16", 16), ("0", 4), ("", 4), ("-1", 4), ("many", 4), ("99999", 4)]
)
async def test_ollama_s_own_setting_says_how_many_it_takes(told: str, at_once: int) -> None:
    backend = open_backend(base_url="http://127.0.0.1:9", environ={"OLLAMA_NUM_PARALLEL": told})
    assert backend.capabilities.at_once == at_once
    await backend.aclose()
