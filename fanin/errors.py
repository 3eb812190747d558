"""Every error fanin raises, as one tree.

FaninError                 something is wrong before the first call, or with a tape
|-- InputError             a value that cannot be used: names the field, the bound and the value
|-- ConfigError            a configuration file that cannot be read or says something unusable
|-- UnknownBackendError    no backend of that name (with the nearest one there is)
|-- NoBackendError         no backend was named, and none is configured
|-- MissingKeyError        the backend needs a key and there is none          exit code 5
|-- MissingExtraError      the backend needs a package that is not installed
|-- EventLoopError         the backend does not run on this event loop
|-- CassetteError          a tape that cannot be read, written or trusted
|   `-- CassetteMissError  a request that the tape being replayed does not hold
|-- RecordError            a kept run that cannot be read, or is not there
|-- LogError               the log of kept runs that cannot be read or written
|-- JournalError           a batch's journal that cannot be read, written or had for oneself
|-- OutputError            rows that can be written no more                  exit code 1
|-- EngineError            the engine of a batch that cannot be started, or has no worker left
|-- NetworkBlockedError    a connection that leaves this machine, where that is not allowed
`-- CallError              one call failed; the conductor turns it into a `Failure`

Each class carries its facts as attributes, `mend` (what the reader can do about it, or None)
and `exit_code` (what the command ends with). `str(error)` is the fact and the mend in one text.
Two neighbours are not errors: a tie, a missing quorum and failed runs are values in a `Verdict`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

FailureKind: TypeAlias = Literal[
    "timeout",
    "connection",
    "rate_limit",
    "quota",
    "auth",
    "bad_request",
    "server",
    "malformed",
    "deadline",
    "interrupted",
    "budget",
    "turns",
]
"""Why a run gave no answer. `deadline` and `interrupted` are given by the conductor alone, `budget` where a
limit of cost left no room for a call, `turns` by an agent that still asked for tools when its turns were
spent."""


class FaninError(Exception):
    """Something is wrong before the first call, or with a tape: `message`, and `mend` where known."""

    exit_code: int = 2

    def __init__(self, message: str, *, mend: str | None = None) -> None:
        super().__init__(message if mend is None else f"{message}\n{mend}")
        self.message = message
        self.mend = mend


class InputError(FaninError):
    """A value that cannot be used: `field` names it, `bound` what it must be, `value` what it was."""

    def __init__(self, field: str, bound: str, value: object, *, mend: str | None = None) -> None:
        shown = "a number of thousands of digits" if _is_giant(value) else repr(value)
        if len(shown) > 80:
            shown = f"{shown[:77]}..."
        super().__init__(f"{field} must be {bound}, not {shown}", mend=mend)
        self.field = field
        self.bound = bound
        self.value = value


def _is_giant(value: object) -> bool:
    """Whether Python refuses to write the number out (its default limit is 4,300 digits)."""
    return isinstance(value, int) and value.bit_length() > 10_000


class ConfigError(FaninError):
    """The configuration file `path` cannot be read, or says something unusable."""

    def __init__(self, path: str, problem: str, *, mend: str | None = None) -> None:
        super().__init__(f"{path}: {problem}", mend=mend)
        self.path = path
        self.problem = problem


class UnknownBackendError(FaninError):
    """There is no backend called `name`; `known` lists those there are."""

    def __init__(self, name: str, known: tuple[str, ...], *, mend: str | None = None) -> None:
        super().__init__(f"there is no backend called {name!r} (there are: {', '.join(known)})", mend=mend)
        self.name = name
        self.known = known


class NoBackendError(FaninError):
    """No backend was named, and none is configured."""


class MissingKeyError(FaninError):
    """`backend` needs a key, and the environment variable `variable` is not set."""

    exit_code = 5

    def __init__(self, backend: str, variable: str) -> None:
        super().__init__(
            f"the backend {backend} needs a key, and {variable} is not set",
            mend=f"Set {variable} in the environment (never on the command line).",
        )
        self.backend = backend
        self.variable = variable


class MissingExtraError(FaninError):
    """`feature` needs a package of the extra `extra`, which is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs a package that is not installed",
            mend=f"Install it: pip install 'fanin[{extra}]'",
        )
        self.feature = feature
        self.extra = extra


class EventLoopError(FaninError):
    """The backend does not run on the event loop in use."""


class CassetteError(FaninError):
    """The tape `path` cannot be read, written or trusted."""

    def __init__(self, path: str, problem: str, *, mend: str | None = None) -> None:
        super().__init__(f"{path}: {problem}", mend=mend)
        self.path = path
        self.problem = problem


class CassetteMissError(CassetteError):
    """A request that the tape `path` does not hold; `problem` names the nearest one and what differs."""


class RecordError(FaninError):
    """A kept run that cannot be read, or that there is none of."""


class LogError(FaninError):
    """The log `path` of kept runs cannot be read or written."""

    def __init__(self, path: str, problem: str, *, mend: str | None = None) -> None:
        super().__init__(f"{path}: {problem}", mend=mend)
        self.path = path
        self.problem = problem


class JournalError(FaninError):
    """The journal `path` of a batch cannot be read, written or had for oneself."""

    def __init__(self, path: str, problem: str, *, mend: str | None = None) -> None:
        super().__init__(f"{path}: {problem}", mend=mend)
        self.path = path
        self.problem = problem


class OutputError(FaninError):
    """Rows can be written to `path` no more: the disk is full, or the file system failed."""

    exit_code = 1

    def __init__(self, path: str, problem: str, *, mend: str | None = None) -> None:
        super().__init__(f"{path} cannot be written: {problem}", mend=mend)
        self.path = path
        self.problem = problem


class EngineError(FaninError):
    """The engine of a batch cannot be started, or has no worker left."""


class SharedPaceWarning(UserWarning):
    """The pace is not shared as it should be; the runs go on, with a pace of their own."""


class NetworkBlockedError(FaninError):
    """Something tried to reach `host`, which is not this machine, while the network was blocked."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"the network is blocked, and something tried to reach {host!r}",
            mend="While tapes are replayed nothing is sent: put this call on a tape too, or leave"
            " --fanin-block-network out.",
        )
        self.host = host


class CallError(FaninError):
    """One call to a model failed. Backends raise it; the conductor retries it or makes it a `Failure`.

    - `kind`: what went wrong, one of `FailureKind`.
    - `status`: the HTTP status, None where no answer came.
    - `retry_after_s`: the wait that the server asks for, in seconds; None where it told none.
    - `refused`: the request parameter that the model does not accept; the call may be made again
      without it.
    - `final`: no repetition can mend it, whatever the kind says.
    - `exhausted`: a daily limit or the account's quota is spent: further calls of this model fail too.
    - `headers`: the rate-limit headers of the answer, lower-case names, in the order they came.
    """

    exit_code = 1

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        refused: str | None = None,
        final: bool = False,
        exhausted: bool = False,
        headers: tuple[tuple[str, str], ...] = (),
        mend: str | None = None,
    ) -> None:
        super().__init__(message, mend=mend)
        self.kind = kind
        self.status = status
        self.retry_after_s = retry_after_s
        self.refused = refused
        self.final = final
        self.exhausted = exhausted
        self.headers = headers


def first_error(errors: ExceptionGroup[Exception]) -> Exception:
    """The first error of a group that is not a group itself; a FaninError before all others."""
    leaves = _leaves(errors)
    return next((error for error in leaves if isinstance(error, FaninError)), leaves[0])


def _leaves(errors: ExceptionGroup[Exception]) -> list[Exception]:
    return [
        leaf
        for error in errors.exceptions
        for leaf in (_leaves(error) if isinstance(error, ExceptionGroup) else [error])
    ]
