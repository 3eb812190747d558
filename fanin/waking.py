"""A sleeper that can be woken from any thread and any event loop."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import anyio

from fanin.clock import running_loop


class Wake(Protocol):
    """One sleeper, on the event loop that it was made on."""

    loop: Any
    """That event loop, as `fanin.clock.running_loop` tells it."""

    async def wait(self) -> None:
        """Sleeps until it is woken."""
        ...

    async def sleep(self) -> None:
        """Sleeps until it is woken, or until the time that others on its event loop set by `wake_in`."""
        ...

    def wake_in(self, seconds: float) -> None:
        """Has a sleeper wake after that time, and no longer when it was to before; on its own event loop."""
        ...

    def call(self, where: object) -> bool:
        """Wakes it, now or as soon as its event loop gets to it; False where that loop has ended.

        `where` is the event loop that this is called on, as `here` tells it.
        """
        ...

    def renew(self) -> None:
        """Lets it sleep again, where it was woken."""
        ...


def wake_here() -> Wake:
    """A sleeper on the event loop that runs in this thread."""
    loop = running_loop()
    return _OnAsyncio(loop) if isinstance(loop, asyncio.AbstractEventLoop) else _Elsewhere(loop)


class _OnAsyncio:
    """A bare future and a bare timer, since every request that waits has them: an event costs several
    times as much, and a scope that ends by its deadline takes three turns of the loop."""

    __slots__ = ("_timer", "_woken", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._woken = loop.create_future()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self) -> None:
        await self._woken

    async def sleep(self) -> None:
        try:
            await self._woken
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def wake_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._wake)

    def call(self, where: object) -> bool:
        if where is self.loop:
            self._wake()
            return True
        try:
            self.loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            return False
        return True

    def _wake(self) -> None:
        if not self._woken.done():
            self._woken.set_result(None)

    def renew(self) -> None:
        if self._woken.done():
            self._woken = self.loop.create_future()


class _Elsewhere:
    """An event of anyio's."""

    __slots__ = ("_scope", "_woken", "loop")

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self._woken = anyio.Event()
        self._scope: anyio.CancelScope | None = None

    async def wait(self) -> None:
        await self._woken.wait()

    async def sleep(self) -> None:
        try:
            with anyio.CancelScope() as self._scope:
                await self._woken.wait()
        finally:
            self._scope = None

    def wake_in(self, seconds: float) -> None:
        assert self._scope is not None
        self._scope.deadline = anyio.current_time() + seconds

    def call(self, where: object) -> bool:
        if where is self.loop:
            self._woken.set()
            return True
        try:
            self.loop.run_sync_soon(self._wake)
        except RuntimeError:
            return False
        return True

    def _wake(self) -> None:
        self._woken.set()

    def renew(self) -> None:
        if self._woken.is_set():
            self._woken = anyio.Event()


def here() -> object:
    """The event loop that runs in this thread; None where there is none."""
    try:
        return running_loop()
    except RuntimeError:
        return None
