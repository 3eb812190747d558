"""Ctrl-C once stops the asking, twice leaves at once.

The handler stays until the process ends, so there is no moment at which a second Ctrl-C finds none, not
even while the report is being written.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from fanin.cli.progress import Progress
from fanin.conductor import Interrupt

_CODE = 130


def stop_on_ctrl_c(interrupt: Interrupt, shown: Progress) -> None:
    """From now on SIGINT and SIGTERM stop `interrupt`, and a second one ends the process.

    To be called in the event loop that the interrupt belongs to.
    """
    loop = asyncio.get_running_loop()
    came = False

    def stop() -> None:
        interrupt.stop()
        shown.stopping()

    def handle(*_: object) -> None:
        nonlocal came
        if came or loop.is_closed():
            shown.__exit__(None, None, None)
            sys.stderr.flush()
            os._exit(_CODE)
        came = True
        loop.call_soon_threadsafe(stop)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
