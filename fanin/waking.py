"""A sleeper that can be woken from any thread and any event loop."""

from __future__ import annotations

from typing import Any

import anyio
import attrs

from fanin.clock import running_loop


@attrs.define(eq=False)
class Wake:
    """One sleeper; made on the event loop that it sleeps on."""

    event: anyio.Event = attrs.field(factory=anyio.Event)
    """What it sleeps on: set when it is woken."""
    _loop: Any = attrs.field(factory=running_loop)

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
        if self.event.is_set():
            self.event = anyio.Event()


def here() -> object:
    """The event loop that runs in this thread; None where there is none."""
    try:
        return running_loop()
    except RuntimeError:
        return None
