"""Event loops on which no time passes but where everybody sleeps: then it jumps to the next alarm.

Where everybody waits for somebody else, and nothing is due ever, the test fails and does not hang.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import anyio
import trio.testing
from hypothesis import settings

T = TypeVar("T")

LOOPS = ("asyncio", "trio")

# For laws of which one example is a whole vote: a third of the profile's examples.
costly = settings(max_examples=max(10, settings().max_examples // 3))


PATIENCE_S = 10.0
"""So long, in real time, another thread or what is on a socket may take to wake somebody."""
MOST_JUMPS = 2_000_000
"""Whoever looks again and again, in ever so small steps, has no end either."""
FOREVER_S = 1e9
"""An alarm at infinity is one that is never due."""
STUCK = "everybody waits for somebody else, and nothing is due: this would wait for ever"
ENDLESS = f"the time has jumped {MOST_JUMPS:,} times, and this has no end yet"


class JumpingSelector(selectors.DefaultSelector):
    """Where a loop would wait for its next alarm, the time jumps there instead."""

    now_s = 0.0
    _jumps = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; waits for real only where nothing is due ever (for another thread)."""
        if timeout is None:
            alone = threading.active_count() == 1 and len(self.get_map()) == 1  # the loop's own pipe
            ready = super().select(0 if alone else PATIENCE_S)
            assert ready, STUCK
            return ready
        ready = super().select(min(timeout, 0))
        if not ready and timeout > 0:
            self.now_s += timeout
            self._jumps += 1
            assert self.now_s < FOREVER_S, STUCK
            assert self._jumps < MOST_JUMPS, ENDLESS
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's loop with trio's MockClock(autojump_threshold=0): begins at 0 s and never waits."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds."""
        return self._jumping.now_s


class Lookout(trio.abc.Instrument):
    """Tells a run on trio's MockClock where it would wait for ever, as the selector above tells asyncio's."""

    def __init__(self) -> None:
        self._looks = 0
        self._idle = 0
        self._idle_since_s = 0.0

    def before_io_wait(self, timeout: float) -> None:
        """With such a clock, this is called over and over where nobody can run."""
        # Before it is looked whether somebody was told something: a thread may end as soon as it has.
        alone = threading.active_count() == 1
        now = trio.lowlevel.current_statistics()
        self._looks += 1
        if self._looks > MOST_JUMPS:
            self._tell(ENDLESS)
        if now.tasks_runnable or now.run_sync_soon_queue_size or now.seconds_to_next_deadline < math.inf:
            self._idle = 0
            return
        self._idle += 1
        if self._idle == 1:
            self._idle_since_s = time.monotonic()
        patience_s = 0.0 if alone else PATIENCE_S
        # A few looks pass between a test and the next one that runs on the same loop.
        if self._idle > 10 and time.monotonic() - self._idle_since_s >= patience_s:
            self._tell(STUCK)

    def _tell(self, why: str) -> None:
        """Raises in the main task, as trio has KeyboardInterrupt raised there."""

        def fail(*_: object) -> NoReturn:
            raise AssertionError(why)

        main = trio.lowlevel.current_root_task()._runner.main_task
        if main._abort_func is not None:
            main._attempt_abort(fail)


def virtual(loop: str) -> tuple[str, dict[str, Any]]:
    """The value of the `anyio_backend` fixture for that event loop with virtual time."""
    if loop == "trio":
        return loop, {"clock": trio.testing.MockClock(autojump_threshold=0), "instruments": [Lookout()]}
    return loop, {"loop_factory": VirtualLoop}


def run_virtual(loop: str, function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """`anyio.run` on that event loop with virtual time."""
    backend, options = virtual(loop)
    if loop == "trio":  # anyio hands its options on to trio from 4.14 on
        return trio.run(function, *args, **options)
    return anyio.run(function, *args, backend=backend, backend_options=options)
