"""A request that waits to be let go, on the event loop it came from."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TypeAlias

import attrs

from fanin.clock import Clock
from fanin.policy.pacing import Load, Outlook, Ticket
from fanin.waking import Wake

Waiting: TypeAlias = Callable[[Outlook, float], None]
"""Is told what holds a request, and for how many seconds: on the request's event loop and in its context,
though maybe not in its task."""


@attrs.frozen
class TooLong:
    """A request that will not be let go in time."""

    outlook: Outlook
    """When it could go, and what holds it."""
    wait_s: float
    """How long that would be from now."""


@attrs.define(eq=False)
class Waiter:
    """A request in the line."""

    load: Load
    place: int
    clock: Clock
    ends_s: float
    """It has to go before that,"""
    max_wait_s: float
    """and waits no longer than this."""
    waiting: Waiting
    ticket: Ticket | None = None
    left: bool = False
    told: tuple[str, float] | None = None
    """What it was told last of what holds it."""
    wake: Wake | None = None
    """What it is woken by; made where it has to wait."""
    _context: Context | None = None
    """While it sleeps in the line: whoever leaves it the first place says there when that is over."""
    _problem: Exception | None = None
    """What was raised where somebody else told it."""

    def too_long(self, outlook: Outlook, wait_s: float) -> bool:
        """Whether it does not wait for that."""
        return outlook.at_s >= self.ends_s or wait_s > self.max_wait_s

    def tell(self, outlook: Outlook, wait_s: float) -> None:
        """Tells what holds it, where that is news."""
        if self.told != (outlook.why, outlook.at_s):
            self.told = (outlook.why, outlook.at_s)
            self.waiting(outlook, wait_s)

    async def sleep(self) -> None:
        """Sleeps until it is called, or until the time that `plan` sets. Raises what `waiting` raised."""
        assert self.wake is not None
        self._context = copy_context()
        try:
            await self.wake.sleep()
        finally:
            self._context = None
        if self._problem is not None:
            raise self._problem

    def plan(self, outlook: Outlook, wait_s: float, where: object) -> bool:
        """Tells a sleeper that it stands first, and lets it sleep on until that outlook: it need not wake
        up for that. False where it has to, since it sleeps on another event loop than `where`, would wait
        for too long, or has a clock of its own kind."""
        if self._context is None or self.wake is None or self.wake.loop is not where:
            return False
        if self.too_long(outlook, wait_s) or not self.clock.alarm(self.wake, wait_s):
            return False
        try:
            self._context.run(self.tell, outlook, wait_s)
        except Exception as problem:  # noqa: BLE001
            # Its own, and nothing to whoever happens to tell it.
            self._problem = problem
        return self._problem is None

    def call(self, where: object) -> None:
        """Wakes it, from whatever thread or event loop this is."""
        if self.wake is not None and not self.wake.call(where):
            self.left = True  # its event loop has ended, and it with it
