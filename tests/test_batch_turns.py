"""One model at a time at a server of one's own: models change seldom, nobody waits for ever."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import Any

import anyio
import attrs
import pytest
from doubles import Scripted, always
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import LOOPS, run_virtual

from fanin import Agent
from fanin.batching.interrupts import BatchInterrupt
from fanin.batching.items import Item
from fanin.batching.panelling import PanelJob
from fanin.batching.runner import batch
from fanin.batching.standing import Standing
from fanin.batching.turns import Turns
from fanin.seating import Panel
from fanin.values import Request

both_loops = pytest.mark.parametrize("loop", LOOPS)


class Server(Scripted):
    """A server that notes which models it is asked at once."""

    def __init__(self, at_once: int | None = 4, account: str = "server") -> None:
        super().__init__(always("yes"), latency_s=self._latency_s_of, limited=False, account=account)
        self.capabilities = attrs.evolve(self.capabilities, at_once=at_once)
        self._now: list[str] = []
        self.together: set[frozenset[str]] = set()

    @staticmethod
    def _latency_s_of(request: Request) -> float:
        return 1.0 + len(request.messages[-1].content) % 3

    async def complete(self, request: Request) -> Any:
        self._now.append(request.model)
        self.together.add(frozenset(self._now))
        try:
            return await super().complete(request)
        finally:
            self._now.remove(request.model)

    @property
    def changes(self) -> int:
        """How often another model was asked than before."""
        return len(list(groupby(request.model for request in self.sent))) - 1


async def collect(backend: Any, **options: Any) -> tuple[int, Standing]:
    items = [Item(number, number, f"Is {number} {'so ' * (number % 5)}odd?") for number in range(1, 21)]
    count = 0
    async with batch(items, backend=backend, **{"pace": "off", **options}) as rows:
        async for _ in rows:
            count += 1
    return count, rows.standing


@settings(max_examples=10)
@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 3), st.sampled_from(LOOPS))
def test_one_model_at_a_time_and_every_row_is_there(jobs: int, runs: int, models: int, loop: str) -> None:
    backend = Server()
    names = [f"m{number}" for number in range(models)]
    count, standing = run_virtual(loop, partial(collect, backend, jobs=jobs, runs=runs, model=names))
    assert (count, standing.calls, standing.ended) == (20, 20 * runs, "all")
    assert all(len(models) == 1 for models in backend.together)
    assert standing.waiting == ()


def test_models_change_once_for_as_many_calls_as_are_made_at_once() -> None:
    turned, mixed = Server(), Server(at_once=None)
    for backend in (turned, mixed):
        run_virtual("asyncio", partial(collect, backend, jobs=10, runs=4, model=["a", "b"]))
    assert turned.changes <= 10
    assert turned.most_in_flight == 10
    assert frozenset("ab") in mixed.together, "elsewhere models are asked side by side"


@both_loops
@pytest.mark.parametrize("end", ["drain", "stop"])
def test_who_waits_for_a_turn_is_let_go_at_the_end(loop: str, end: str) -> None:
    backend, interrupt = Server(), BatchInterrupt()

    def watch(_: int, event: Any) -> None:
        if event.kind == "answered":
            getattr(interrupt, end)()

    options = {"jobs": 6, "runs": 4, "model": ["a", "b"], "interrupt": interrupt, "watch": watch}
    _, standing = run_virtual(loop, partial(collect, backend, **options))
    assert standing.ended == "interrupt"
    assert len(backend.sent) <= 12
    assert (standing.in_flight, standing.waiting) == (0, ())


@both_loops
def test_another_server_has_turns_of_its_own(loop: str) -> None:
    mine, other = Server(account="mine"), Server(account="other")
    agents = (Agent("A", "You are A.", model="a"), Agent("B", "You are B.", model="b", backend=other))
    job = PanelJob(Panel("Panel", agents, Agent("C", "You are C.", model="c", backend=other)))
    count, _ = run_virtual(loop, partial(collect, mine, jobs=6, job=job))
    assert count == 20
    assert {frozenset("b"), frozenset("c")} == other.together
    assert mine.together == {frozenset("a")}


@both_loops
def test_a_cancelled_wait_holds_nobody_up(loop: str) -> None:
    async def run() -> tuple[list[str], int]:
        turns, came = Turns(), []

        async def call(model: str, seconds: float) -> None:
            await turns.take(model)
            try:
                came.append(model)
                await anyio.sleep(seconds)
            finally:
                turns.leave()

        async with anyio.create_task_group() as group:
            group.start_soon(call, "a", 5.0)
            await anyio.sleep(1)
            with anyio.move_on_after(1):
                await call("b", 1.0)
            with anyio.move_on_after(3):  # its turn comes as it is given up
                await call("c", 9.0)
            group.start_soon(call, "d", 1.0)
        return came, turns.waiting

    came, waiting = run_virtual(loop, run)
    assert came[0] == "a"
    assert came[-1] == "d"
    assert "b" not in came
    assert waiting == 0
