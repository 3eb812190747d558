"""Kept runs: what was asked, what came back and what was decided, so that it can be recounted.

    from fanin.keeping import Log

    run = Log().keep(verdict)      # a Verdict, an Analysis or a Report; gives the id
    again = Log().find(run)        # the Record, for `fanin.recounting.recount`

A program keeps what it asks to have kept; the command `fanin` keeps every run unless it is told not to.
"""

from __future__ import annotations

from fanin.keeping.log import Entry, Log
from fanin.keeping.record import Record

__all__ = ["Entry", "Log", "Record"]
