"""A sleeper that can be woken from any thread and any event loop."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import attrs


@attrs.define(eq=False)
class Wake:
    """One sleeper; made on the event loop that it sleeps on."""

    event: anyio.Event = attrs.field(factory=anyio.Event)
    _token: anyio.lowlevel.EventLoopToken = attrs.field(factory=anyio.lowlevel.current_token)

    def call(self) -> bool:
        """Wakes it, now or as soon as its event loop gets to it; False where that loop has ended."""
        if here() == self._token:
            self.event.set()
            return True
        loop = self._token.native_token
        soon = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon  # type: ignore[attr-defined]
        try:
            soon(self.event.set)
        except RuntimeError:
            return False
        return True


def here() -> anyio.lowlevel.EventLoopToken | None:
    """The event loop that runs in this thread; None where there is none."""
    try:
        return anyio.lowlevel.current_token()
    except RuntimeError:
        return None
