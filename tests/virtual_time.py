"""Event loops on which no time passes but where everybody sleeps: then it jumps to the next alarm."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import trio.testing
from hypothesis import settings

T = TypeVar("T")

LOOPS = ("asyncio", "trio")

# For laws of which one example is a whole vote: a third of the profile's examples.
costly = settings(max_examples=max(15, settings().max_examples // 3))


class JumpingSelector(selectors.DefaultSelector):
    """Where a loop would wait for its next alarm, the time jumps there instead."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; waits for real only where nothing is due ever (for another thread)."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's loop with trio's MockClock(autojump_threshold=0): begins at 0 s and never waits."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds."""
        return self._jumping.now_s


def virtual(loop: str) -> tuple[str, dict[str, Any]]:
    """The value of the `anyio_backend` fixture for that event loop with virtual time."""
    if loop == "trio":
        return loop, {"clock": trio.testing.MockClock(autojump_threshold=0)}
    return loop, {"loop_factory": VirtualLoop}


def run_virtual(loop: str, function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """`anyio.run` on that event loop with virtual time."""
    backend, options = virtual(loop)
    if loop == "trio":  # anyio hands its options on to trio from 4.14 on
        return trio.run(function, *args, **options)
    return anyio.run(function, *args, backend=backend, backend_options=options)
