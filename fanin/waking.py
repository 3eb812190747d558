"""A sleeper that can be woken from any thread and any event loop."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import attrs

from fanin.clock import running_loop


def _event() -> anyio.Event | asyncio.Event:
    # asyncio's own can be used again, and costs a fraction where there are many.
    return asyncio.Event() if isinstance(running_loop(), asyncio.AbstractEventLoop) else anyio.Event()


@attrs.define(eq=False)
class Wake:
    """One sleeper; made on the event loop that it sleeps on."""

    event: anyio.Event | asyncio.Event = attrs.field(factory=_event)
    """What it sleeps on: set when it is woken."""
    _loop: Any = attrs.field(factory=running_loop)
    _timer: asyncio.TimerHandle | None = None
    _scope: anyio.CancelScope | None = None

    async def sleep(self) -> None:
        """Sleeps until it is woken, or until the time that others on its event loop set by `wake_in`."""
        if isinstance(self._loop, asyncio.AbstractEventLoop):
            try:
                await self.event.wait()
            finally:
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
            return
        try:
            with anyio.CancelScope() as self._scope:
                await self.event.wait()
        finally:
            self._scope = None

    def wake_in(self, seconds: float) -> None:
        """Has a sleeper wake after that time, and no longer when it was to before; on its own event loop."""
        if self._scope is not None:
            self._scope.deadline = anyio.current_time() + seconds
        else:
            # A scope that ends by its deadline cancels, which asyncio takes three turns of its loop for.
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(seconds, self.event.set)

    def sleeps_on(self, where: object) -> bool:
        """Whether that is its event loop."""
        return where is self._loop

    def call(self, where: object) -> bool:
        """Wakes it, now or as soon as its event loop gets to it; False where that loop has ended.

        `where` is the event loop that this is called on, as `here` tells it.
        """
        if self.sleeps_on(where):
            self.event.set()
            return True
        soon = getattr(self._loop, "call_soon_threadsafe", None) or self._loop.run_sync_soon
        try:
            soon(self.event.set)
        except RuntimeError:
            return False
        return True

    def renew(self) -> None:
        """Lets it sleep again, where it was woken."""
        if isinstance(self.event, asyncio.Event):
            self.event.clear()
        elif self.event.is_set():
            self.event = anyio.Event()


def here() -> object:
    """The event loop that runs in this thread; None where there is none."""
    try:
        return running_loop()
    except RuntimeError:
        return None
