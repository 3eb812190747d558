"""A request that waits to be let go, on the event loop it came from."""

from __future__ import annotations

import anyio.lowlevel
import attrs

from fanin.policy.pacing import Load, Outlook, Ticket
from fanin.waking import Wake


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
    wake: Wake = attrs.field(factory=Wake)
    ticket: Ticket | None = None
    left: bool = False

    def call(self, where: anyio.lowlevel.EventLoopToken | None) -> None:
        """Wakes it, from whatever thread or event loop this is."""
        if not self.wake.call(where):
            self.left = True  # its event loop has ended, and it with it
