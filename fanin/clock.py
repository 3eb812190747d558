"""The clock that the waiting floors share: one that all event loops agree on, and one for replays."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import anyio
import anyio.lowlevel

_anchor_s: anyio.lowlevel.RunVar[float] = anyio.lowlevel.RunVar("fanin_clock_anchor_s")


def running_loop() -> object:
    """The event loop that runs in this thread: asyncio's, or what trio knows it by. Raises RuntimeError
    where there is none."""
    try:  # asyncio's short way
        return asyncio.get_running_loop()
    except RuntimeError:
        return anyio.lowlevel.current_token().native_token


class Waitable(Protocol):
    """What can be waited for, as an event."""

    async def wait(self) -> object:
        """Comes back when it has happened."""
        ...


class Sleeper(Protocol):
    """Whoever sleeps on an event loop."""

    def wake_in(self, seconds: float) -> None:
        """Has it wake after that time; called on its own event loop."""
        ...


class Clock(Protocol):
    """Tells the time and lets it pass."""

    def now_s(self) -> float:
        """The time in seconds; comparable between the threads and event loops of one process."""
        ...

    async def sleep(self, seconds: float, wake: Waitable | None = None) -> None:
        """Comes back when that time has passed, or when `wake` is set before."""
        ...

    def alarm(self, sleeper: Sleeper, seconds: float) -> bool:
        """Wakes a sleeper when that time has passed: how it is told its time by others on its event loop.
        False where time passes in no other way than by `sleep`."""
        ...


class LoopClock:
    """The event loop's own time, moved so that all loops of the process agree.

    A loop with virtual time (as trio's MockClock) is followed where it goes, so tests need not wait.
    """

    def __init__(self) -> None:
        self._known: tuple[Callable[[], bool], Callable[[], float], float] | None = None

    def now_s(self) -> float:
        # Limiters look at the clock several times a request, and to find out which loop runs takes long.
        # As long as the last one runs, its time is good anywhere.
        known = self._known
        if known is None or not known[0]():
            known = self._known = _loop_time()
        return known[1]() + known[2]

    async def sleep(self, seconds: float, wake: Waitable | None = None) -> None:
        if wake is None:
            await anyio.sleep(seconds)
            return
        with anyio.move_on_after(seconds):
            await wake.wait()

    def alarm(self, sleeper: Sleeper, seconds: float) -> bool:
        sleeper.wake_in(seconds)
        return True


def _loop_time() -> tuple[Callable[[], bool], Callable[[], float], float]:
    """Whether the event loop that runs here still does, its time, and how far that is behind the one that
    all loops agree on."""
    loop = running_loop()
    if isinstance(loop, asyncio.AbstractEventLoop):
        return loop.is_running, loop.time, _anchor()
    return lambda: running_loop() is loop, anyio.current_time, _anchor()


def _anchor() -> float:
    """How far the running event loop's time is behind the one that all loops agree on."""
    try:
        return _anchor_s.get()
    except LookupError:
        anchor_s = time.monotonic() - anyio.current_time()
        _anchor_s.set(anchor_s)
        return anchor_s


class StillClock:
    """The clock of a replay: no time passes and nobody sleeps."""

    def now_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float, wake: Waitable | None = None) -> None:
        await anyio.lowlevel.checkpoint()

    def alarm(self, sleeper: Sleeper, seconds: float) -> bool:
        return False
