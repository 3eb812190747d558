"""The event loops of the tests: on them no time passes, and nobody waits for ever."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
import virtual_time
from virtual_time import LOOPS, STUCK, VirtualLoop, run_virtual, virtual


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return virtual(request.param)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other threads of the tests (those of xdist) are given no time either."""
    monkeypatch.setattr(virtual_time, "PATIENCE_S", 0.0)


async def stuck_in_a_group() -> None:
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(anyio.Event().wait)
        await anyio.sleep(5.0)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("stuck", [anyio.sleep_forever, stuck_in_a_group])
def test_whoever_would_wait_for_ever_fails(loop: str, stuck: Any) -> None:
    with pytest.raises((AssertionError, ExceptionGroup)) as raised:
        run_virtual(loop, stuck)
    error = raised.value
    while isinstance(error, ExceptionGroup):
        [error] = error.exceptions
    assert str(error) == STUCK


@pytest.mark.parametrize("loop", LOOPS)
def test_whoever_looks_again_and_again_fails(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_time, "MOST_JUMPS", 100)

    async def look() -> None:
        while True:  # noqa: ASYNC110 - it is what is tested
            await anyio.sleep(0.25)

    with pytest.raises(AssertionError, match="has no end yet"):
        run_virtual(loop, look)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_thread_may_take_its_time(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_time, "PATIENCE_S", 30.0)

    async def ask() -> str:
        woken, begun = anyio.Event(), threading.Event()

        def work() -> str:
            begun.wait(30.0)
            anyio.from_thread.run_sync(woken.set)
            return "done"

        async with anyio.create_task_group() as group:
            group.start_soon(woken.wait)
            begun.set()
            return await anyio.to_thread.run_sync(work)

    assert run_virtual(loop, ask) == "done"


@pytest.mark.anyio
async def test_no_time_passes_but_what_is_slept() -> None:
    began_s = anyio.current_time()
    await anyio.sleep(50_000.0)
    assert anyio.current_time() - began_s == pytest.approx(50_000.0)


def test_a_loop_that_failed_is_closed_like_any_other() -> None:
    with pytest.raises(AssertionError):
        anyio.run(anyio.sleep_forever, backend_options={"loop_factory": VirtualLoop})
    assert anyio.run(anyio.sleep, 1.0, backend_options={"loop_factory": VirtualLoop}) is None
