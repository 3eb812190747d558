"""A sleeper that can be woken from any thread and any event loop."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import attrs


@attrs.define(eq=False)
class Wake:
    """One sleeper; made on the event loop that it sleeps on."""

    event: anyio.Event = attrs.field(factory=anyio.Event)
    """What it sleeps on: set when it is woken."""
    _token: anyio.lowlevel.EventLoopToken = attrs.field(factory=anyio.lowlevel.current_token)

    def call(self, where: anyio.lowlevel.EventLoopToken | None) -> bool:
        """Wakes it, now or as soon as its event loop gets to it; False where that loop has ended.

        `where` is the event loop that this is called on, as `here` tells it.
        """
        if where == self._token:
            self.event.set()
            return True
        loop = self._token.native_token
        soon = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon  # type: ignore[attr-defined]
        try:
            soon(self.event.set)
        except RuntimeError:
            return False
        return True

    def renew(self) -> None:
        """Lets it sleep again, where it was woken."""
        if self.event.is_set():
            self.event = anyio.Event()


def here() -> anyio.lowlevel.EventLoopToken | None:
    """The event loop that runs in this thread; None where there is none."""
    try:
        return anyio.lowlevel.current_token()
    except RuntimeError:
        return None
