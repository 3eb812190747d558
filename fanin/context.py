"""What a call in hand may know of where it runs: its run's index, and the tape that is on.

A tape intercepts HTTP for the whole process, so the tape that is on is one value a process; the
index of the run belongs to the task that makes the call, so it is a context variable.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Literal

import attrs

from fanin.errors import CallError, CassetteMissError

RUN_INDEX: ContextVar[int | None] = ContextVar("fanin_run_index", default=None)
"""The index of the run whose call this task makes; None for calls that belong to no run."""


def _not_kept(error: CallError) -> None:
    """A replaying tape keeps no errors."""


@attrs.define
class TapeOn:
    """The tape that is on: what a backend and the conductor have to know of it."""

    mode: Literal["record", "replay"]
    """`replay`: nothing reaches the network, no key is asked for and nobody sleeps."""
    path: str
    """Where the tape lies, for messages."""
    backend: str | None = None
    """The backend the tape was made with; a recording tape is told it by the first `connect`."""
    base_url: str | None = None
    """The address the tape was made against, without secrets."""
    models: tuple[str, ...] = ()
    """The models that were asked, in the order of the plan."""
    refused: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    """Model -> request parameters it does not accept, as learnt while recording. A replay starts
    with this knowledge, so that it sends the same requests at any concurrency."""
    note_error: Callable[[CallError], None] = attrs.field(default=_not_kept, repr=False, eq=False)
    """Is told every failed call, in the task that made it: a recording tape keeps the errors that no
    answer came before (connection, timeout), and a replay raises them again."""
    adds: bool = False
    """A recording tape that answers what it can from what it held before."""
    served: set[int] = attrs.field(factory=set)
    """The places, from 0, of the recorded interactions that a request has been answered with."""
    missed: CassetteMissError | None = None
    """The first request of a replay that the tape does not hold. Some clients wrap what is raised
    inside them: whoever called one looks here."""


_on: TapeOn | None = None


def tape_on() -> TapeOn | None:
    """The tape that records or replays this process's HTTP now, or None."""
    return _on


def set_tape(tape: TapeOn | None) -> None:
    """Says which tape is on. For `fanin.taping` alone."""
    global _on
    _on = tape
