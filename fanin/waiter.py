"""A request that waits to be let go, on the event loop it came from."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import attrs

from fanin.policy.pacing import Load, Outlook, Ticket


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
    wake: anyio.Event = attrs.field(factory=anyio.Event)
    token: anyio.lowlevel.EventLoopToken = attrs.field(factory=anyio.lowlevel.current_token)
    ticket: Ticket | None = None
    left: bool = False

    def call(self, here: anyio.lowlevel.EventLoopToken | None) -> None:
        """Wakes it, from whatever thread or event loop this is."""
        if here == self.token:
            self.wake.set()
            return
        loop = self.token.native_token
        soon = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon  # type: ignore[attr-defined]
        try:
            soon(self.wake.set)
        except RuntimeError:
            self.left = True  # its event loop has ended, and it with it


def here() -> anyio.lowlevel.EventLoopToken | None:
    """The event loop that this runs in; None: none."""
    try:
        return anyio.lowlevel.current_token()
    except RuntimeError:
        return None
