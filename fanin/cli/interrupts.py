"""Ctrl-C once stops the asking; once more than there are steps, it leaves at once.

The handler stays until the process ends, so there is no moment at which a second Ctrl-C finds none, not
even while the report is being written.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from fanin.terms import Interrupt

_CODE = 130


class Shown(Protocol):
    """What is on the screen while something runs."""

    def __exit__(self, *_: object) -> None: ...
    def stopping(self) -> None:
        """The first Ctrl-C came."""
        ...


def stop_on_ctrl_c(interrupt: Interrupt, shown: Shown) -> None:
    """From now on SIGINT and SIGTERM stop `interrupt`, and a second one ends the process.

    To be called in the event loop that the interrupt belongs to.
    """

    def stop() -> None:
        interrupt.stop()
        shown.stopping()

    on_ctrl_c([stop], lambda: shown.__exit__(None, None, None))


def on_ctrl_c(steps: Sequence[Callable[[], None]], leave: Callable[[], None]) -> None:
    """From now on each SIGINT and SIGTERM takes the next step, in the event loop that runs now.

    One that finds no step left, or the loop closed, calls `leave` and ends the process at once.
    """
    loop = asyncio.get_running_loop()
    left = list(reversed(steps))

    def handle(*_: object) -> None:
        if not left or loop.is_closed():
            leave()
            sys.stderr.flush()
            os._exit(_CODE)
        loop.call_soon_threadsafe(left.pop())

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
