"""Doubles for the tests of what waits: a backend that a test scripts, and a clock of one's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import anyio
import anyio.lowlevel

from fanin.backend import Capabilities
from fanin.clock import Sleeper, Waitable
from fanin.context import RUN_INDEX
from fanin.errors import CallError
from fanin.values import Completion, Request, Usage

Reply: TypeAlias = "str | Completion | BaseException"


class Scripted:
    """A backend that replies as `reply(request)` says, after `latency_s(request)` seconds.

    It keeps what was sent and when (by the event loop's time), what was in flight at once at most, and
    which run's index each call could see.
    """

    name = "scripted"

    def __init__(
        self,
        reply: Callable[[Request], Reply],
        *,
        latency_s: Callable[[Request], float] = lambda request: 0.0,
        limited: bool = True,
        http: bool = False,
        account: str = "scripted",
    ) -> None:
        self.capabilities = Capabilities(limited=limited, http=http)
        self.account = account
        self.base_url: str | None = None
        self._reply = reply
        self._latency_s = latency_s
        self.sent: list[Request] = []
        self.sent_s: list[float] = []
        self.refusals: list[tuple[int, float, float]] = []
        """(requests sent before it, time, told wait) of every refusal for the rate limit."""
        self.seen_indexes: list[int | None] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.closed = 0

    async def resolve(self, models: tuple[str, ...]) -> tuple[str, ...]:
        return models or ("default",)

    async def complete(self, request: Request) -> Completion:
        self.sent.append(request)
        self.sent_s.append(anyio.current_time())
        self.seen_indexes.append(RUN_INDEX.get())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await anyio.sleep(self._latency_s(request))
        finally:
            self.in_flight -= 1
        reply = self._reply(request)
        if isinstance(reply, CallError) and reply.kind == "rate_limit":
            self.refusals.append((len(self.sent), anyio.current_time(), reply.retry_after_s or 0.0))
        if isinstance(reply, BaseException):
            raise reply
        return reply if isinstance(reply, Completion) else Completion(reply, usage=Usage(3, 1))

    async def aclose(self) -> None:
        self.closed += 1


def always(reply: str) -> Callable[[Request], Reply]:
    """The same text for every request."""
    return lambda request: reply


def scripts(of_runs: Mapping[int, Sequence[Reply]], otherwise: str = "yes") -> Callable[[Request], Reply]:
    """Run -> the replies to its calls one after the other; the last one stays."""

    def reply(request: Request) -> Reply:
        replies = of_runs.get(request.index, [otherwise])
        return replies[min(request.attempt, len(replies)) - 1]

    return reply


def too_often(told_s: float | None = None) -> CallError:
    """A refusal for the rate limit."""
    return CallError("rate_limit", "asked too often", status=429, retry_after_s=told_s)


def down() -> CallError:
    """An error of the server's own."""
    return CallError("server", "the server is down", status=500)


class SharedClock:
    """A clock for several threads: it moves on where somebody sleeps, and nobody really does."""

    def __init__(self, now_s: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._now_s = now_s
        self.slept_s: list[float] = []

    def now_s(self) -> float:
        return self._now_s

    async def sleep(self, seconds: float, wake: Waitable | None = None) -> None:
        with self._lock:
            self.slept_s.append(seconds)
            self._now_s += seconds
        await anyio.lowlevel.checkpoint()

    def alarm(self, sleeper: Sleeper, seconds: float) -> bool:
        return False
