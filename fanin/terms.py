"""How long and how often calls are tried, and the way to stop them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import attrs

from fanin.errors import InputError
from fanin.values import in_range, optional, whole

_POSITIVE = in_range(1e-9, 1e9, "a number of seconds above 0, and 1e9 at most")
_LIMIT = in_range(1e-3, 1e9, "a number above 0 a minute, and 1e9 at most")

_REDIS = ("redis://", "rediss://", "unix://")


def _pace(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if value in ("file", "off") or (isinstance(value, str) and value.startswith(_REDIS)):
        return
    # What is no address may hold a password all the same.
    shown = "***" if isinstance(value, str) and "@" in value else value
    raise InputError(field.name, "file, off, or a Redis address such as redis://localhost/0", shown)


@attrs.frozen
class Terms:
    """How long and how often calls are tried."""

    concurrency: int = attrs.field(default=8, validator=whole(1, 10_000))
    """Calls in flight at once."""
    timeout_s: float = attrs.field(default=120.0, validator=_POSITIVE)
    """The longest one call may take, as a whole."""
    deadline_s: float | None = attrs.field(default=None, validator=optional(_POSITIVE))
    """The longest the whole job may take; beats everything. None: no end."""
    retries: int = attrs.field(default=4, validator=whole(0, 100))
    """Calls after the first that errors may cost; waiting out a rate limit costs none."""
    max_wait_s: float = attrs.field(default=600.0, validator=_POSITIVE)
    """A told wait longer than this is not waited out."""
    rpm: float | None = attrs.field(default=None, validator=optional(_LIMIT))
    """Requests a minute and model that are allowed at most, whatever the provider says."""
    tpm: float | None = attrs.field(default=None, validator=optional(_LIMIT))
    """Tokens a minute and model, read and written."""
    stagger_s: float = attrs.field(default=0.0, validator=in_range(0, 3600, "a number of seconds, 0 to 3600"))
    """Calls of a model begin so far apart at least."""
    pace: str = attrs.field(default="file", validator=_pace)
    """Who shares the pace of an account and model: `file`, all processes of this user on this machine; the
    address of a Redis server, all that name it; `off`, this process alone. Nobody where the environment
    variable FANIN_SHARED_PACE is 0."""
    hedge: bool = False
    """A call that takes long is made a second time, where the limits have room; the first answer counts."""


USUAL = Terms()
"""The terms where none are given."""


class Interrupt:
    """A way to stop a job from outside: nothing new is asked, what is in flight is cut."""

    def __init__(self) -> None:
        self.requested = False
        self._scopes: list[anyio.CancelScope] = []
        self._before: list[Callable[[], None]] = []

    def stop(self) -> None:
        """Stops the job this was given to, now or when it begins. From its own event loop only."""
        self.requested = True
        for tell in self._before:
            tell()
        for scope in self._scopes:
            scope.cancel()

    def before(self, tell: Callable[[], None]) -> None:
        """That function is called first when the interrupt comes; at once where it came.

        What has not begun runs up to its first wait before it is cancelled: this is how it learns not to.
        """
        self._before.append(tell)
        if self.requested:
            tell()

    def covers(self, scope: anyio.CancelScope) -> None:
        """That scope is cancelled when the interrupt comes."""
        self._scopes.append(scope)
        if self.requested:
            scope.cancel()
