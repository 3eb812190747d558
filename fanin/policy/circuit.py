"""When a job of many parts has to give up as a whole: every part fails for the same reason.

A refused key or a model that does not exist fails a million rows as surely as twenty. A row that was
answered, or one that failed for another reason, starts the count again. A connection that fails may come
back, but one that has never been there is a server that is not there.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from fanin.values import Failure, whole

_FATAL = ("auth", "bad_request", "quota")
"""Kinds of failure that asking again does not mend."""


def fatal_error(failures: Iterable[Failure], *, reached: bool = True) -> str | None:
    """The one fatal error that all these failures share; None where there is none or more than one.

    `reached`: whether anybody was ever reached; until then a failed connection is fatal too.
    """
    fatal = _FATAL if reached else (*_FATAL, "connection")
    errors = {failure.message if failure.kind in fatal else None for failure in failures}
    return errors.pop() if len(errors) == 1 else None


@attrs.frozen
class Circuit:
    """How often the same fatal error came, one row after the other."""

    identical_errors: int = attrs.field(default=20, validator=whole(1, 10**9))
    """So many make it open."""
    error: str | None = None
    """The error of the last row, where that was fatal."""
    count: int = 0
    """Rows in a row that failed with it."""

    @property
    def open(self) -> bool:
        """Whether the job is to be given up."""
        return self.count >= self.identical_errors

    def after(self, error: str | None) -> Circuit:
        """The circuit after one more row; `error` None: it did not fail as a whole for one fatal error."""
        if error is None and self.error is None:  # as after nearly every row
            return self
        count = 0 if error is None else self.count + 1 if error == self.error else 1
        return Circuit(self.identical_errors, error, count)
