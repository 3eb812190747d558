"""The tape that a command is run under, as --record, --record-new and --replay ask for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import click

T = TypeVar("T")


def check_tapes(options: dict[str, Any]) -> None:
    """Raises click.UsageError where more than one tape is asked for."""
    if sum(options[name] is not None for name in ("record", "record_new", "replay")) > 1:
        raise click.UsageError("--record, --record-new and --replay exclude one another")


class _Interrupted(BaseException):
    """Leaves the tape's block without saving; carries what there is. BaseException: nobody catches it."""

    def __init__(self, result: Any) -> None:
        self.result = result


def under_tape(options: dict[str, Any], hold: Callable[[], T], *, interrupted: Callable[[T], bool]) -> T:
    """What `hold` gives, held under the tape that was asked for; an interrupted one keeps no tape."""
    try:
        with _taped(options):
            result = hold()
            if interrupted(result):
                raise _Interrupted(result)
            return result
    except _Interrupted as early:
        kept: T = early.result
        return kept


def _taped(options: dict[str, Any]) -> AbstractContextManager[Any]:
    if options["record"] is options["record_new"] is options["replay"] is None:
        return nullcontext()
    from fanin.taping import tape

    if options["record"] is not None:
        return tape(options["record"], mode="all")
    if options["record_new"] is not None:
        return tape(options["record_new"], mode="new")
    return tape(options["replay"], mode="none")
