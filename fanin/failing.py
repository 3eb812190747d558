"""The failures that the conductor makes itself, where time ran out or somebody stopped it."""

from __future__ import annotations

from fanin.values import Failure, StoppedBy


def cut_short(index: int, by: StoppedBy, attempts: int) -> Failure:
    """A run that was in flight when the deadline or an interrupt came."""
    if by == "interrupt":
        return Failure(index, "interrupted", "Cut short: it was interrupted.", attempts)
    return Failure(index, "deadline", "Cut short: the deadline came.", attempts)


def no_time(index: int, attempts: int) -> Failure | None:
    """A run whose next call would begin too late; None where it never was asked."""
    if not attempts:
        return None
    return Failure(index, "deadline", "The wait before the next call would end after the deadline.", attempts)
