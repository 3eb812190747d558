"""What all calls of one account and model share: their pace, and what the model refuses.

One `Limiter` an account and model, for the whole process: every vote finds the same one without
being told. It holds a state of `fanin.policy.pacing` and one line of waiting requests. Whoever stands
first in the line sleeps until the state lets it go; nobody else has a timer, so that nobody wakes
together with anybody. Whatever the state allows goes at once, oldest first.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from collections.abc import Callable
from typing import TypeAlias

import anyio
import anyio.lowlevel
import attrs

from fanin.clock import Clock
from fanin.places import Places
from fanin.policy import pacing
from fanin.policy.pacing import Level, Load, Outlook, Pace, Refusal, Ticket

_NOW_S = 1e-6
"""What may go so soon goes now: sums of times are no more exact than that."""

Headers: TypeAlias = tuple[tuple[str, str], ...]
Waiting: TypeAlias = Callable[[Outlook, float], None]
"""Is told what holds a request, and for how many seconds."""


@attrs.frozen
class TooLong:
    """A request that will not be let go in time."""

    outlook: Outlook
    """When it could go, and what holds it."""
    wait_s: float
    """How long that would be from now."""


@attrs.define(eq=False)
class _Waiter:
    """A request in the line."""

    load: Load
    wake: anyio.Event = attrs.field(factory=anyio.Event)
    token: anyio.lowlevel.EventLoopToken = attrs.field(factory=anyio.lowlevel.current_token)
    ticket: Ticket | None = None
    left: bool = False

    def call(self, here: anyio.lowlevel.EventLoopToken | None) -> None:
        """Wakes it, from whatever thread or event loop this is."""
        if here == self.token:
            self.wake.set()
            return
        loop = self.token.native_token
        soon = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon  # type: ignore[attr-defined]
        try:
            soon(self.wake.set)
        except RuntimeError:
            self.left = True  # its event loop has ended, and it with it


class Limiter:
    """The pace of one account and model; safe from several threads and event loops at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pace = Pace()
        self._line: list[tuple[int, int, _Waiter]] = []
        self._first: _Waiter | None = None
        self._places = itertools.count()
        self._refused: tuple[str, ...] = ()
        self._rooms: Places | None = None

    def places(self, at_once: int) -> Places:
        """The places of a server that lets what is too much wait; `at_once` are taken to be there first."""
        with self._lock:
            if self._rooms is None:
                self._rooms = Places(at_once)
            return self._rooms

    @property
    def pace(self) -> Pace:
        """The state as it is now."""
        return self._pace

    @property
    def waiting(self) -> int:
        """How many requests stand in the line."""
        return sum(not waiter.left for _, _, waiter in self._line)

    @property
    def refused_parameters(self) -> tuple[str, ...]:
        """The request parameters that this model does not accept, as learnt in this process; sorted."""
        return self._refused

    def learn(self, parameters: tuple[str, ...]) -> None:
        """The model refuses these parameters, from now on and for everybody."""
        with self._lock:
            self._refused = tuple(sorted({*self._refused, *parameters}))

    def place(self) -> int:
        """The next place in the line; a request keeps it when it has to come again."""
        return next(self._places)

    def limit(
        self, now_s: float, *, rpm: float | None, tpm: float | None, stagger_s: float, cap_s: float
    ) -> None:
        """The user's own limits, from now on; `fanin.policy.pacing.limited` defines them."""
        with self._lock:
            self._pace = pacing.limited(self._pace, now_s, rpm=rpm, tpm=tpm, stagger_s=stagger_s, cap_s=cap_s)

    async def admit(
        self,
        load: Load,
        clock: Clock,
        *,
        place: int | None = None,
        ends_s: float = math.inf,
        max_wait_s: float = math.inf,
        waiting: Waiting = lambda outlook, wait_s: None,
    ) -> Ticket | TooLong:
        """Waits until a request may go, and reserves what it costs; whoever is given a ticket tells what
        came of it.

        First come, first served, by `place`. TooLong as soon as it is clear that a request would wait
        past `ends_s`, or longer than `max_wait_s` from then on. A cancelled waiter leaves the line and
        gives back what was reserved for it.
        """
        waiter = _Waiter(load)
        with self._lock:
            at = next(self._places) if place is None else place
            heapq.heappush(self._line, (at, id(waiter), waiter))
        told: tuple[str, float] | None = None
        try:
            while True:
                outlook = self._pump(clock.now_s(), waiter)
                if waiter.ticket is not None:
                    if told is None:
                        return waiter.ticket
                    await anyio.lowlevel.checkpoint_if_cancelled()
                    if self._pace.gate.until_s <= clock.now_s() + _NOW_S:
                        return waiter.ticket
                    # Between being let go and running, somebody was told to wait.
                    self._back_in_line(waiter, at, clock.now_s())
                    continue
                if outlook is not None:
                    now_s = clock.now_s()
                    wait_s = outlook.at_s - now_s
                    if outlook.at_s >= ends_s or wait_s > max_wait_s:
                        return TooLong(outlook, wait_s)
                    if told != (outlook.why, outlook.at_s):
                        told = (outlook.why, outlook.at_s)
                        waiting(outlook, wait_s)
                    await clock.sleep(max(0.0, wait_s), waiter.wake)
                else:
                    if told is None:
                        told = ("line", 0.0)
                        waiting(Outlook(math.inf, "line"), 0.0)
                    await waiter.wake.wait()
                if waiter.wake.is_set():
                    waiter.wake = anyio.Event()
        except BaseException:
            if waiter.ticket is not None:
                self.returned(waiter.ticket, clock.now_s())
            raise
        finally:
            waiter.left = True
            if self._first is waiter:
                self._pump(clock.now_s(), None)

    def answered(self, ticket: Ticket, headers: Headers, now_s: float, used_tokens: float | None) -> None:
        """An answer came, with these headers; `used_tokens` is what it took, None where unknown."""
        told = pacing.levels(headers)
        self._change(lambda pace: pacing.answered(pace, ticket, told, now_s, used_tokens=used_tokens), now_s)

    def refused(self, ticket: Ticket, headers: Headers, refusal: Refusal, now_s: float) -> None:
        """The request was refused for a rate limit."""
        told = pacing.levels(headers)
        self._change(lambda pace: pacing.refused(pace, ticket, told, refusal, now_s), now_s)

    def failed(self, ticket: Ticket, headers: Headers, now_s: float) -> None:
        """No usable answer came."""
        told: tuple[Level, ...] = pacing.levels(headers)
        self._change(lambda pace: pacing.failed(pace, ticket, told, now_s), now_s)

    def returned(self, ticket: Ticket, now_s: float) -> None:
        """The request was not sent after all, or counts for nobody."""
        self._change(lambda pace: pacing.returned(pace, ticket, now_s), now_s)

    def _back_in_line(self, waiter: _Waiter, place: int, now_s: float) -> None:
        assert waiter.ticket is not None
        ticket, waiter.ticket, waiter.left = waiter.ticket, None, False
        with self._lock:
            heapq.heappush(self._line, (place, id(waiter), waiter))
        self.returned(ticket, now_s)

    def _change(self, step: Callable[[Pace], Pace], now_s: float) -> None:
        with self._lock:
            self._pace = step(self._pace)
        self._pump(now_s, None)

    def _pump(self, now_s: float, caller: _Waiter | None) -> Outlook | None:
        """Lets go what may go now. What holds the caller, where it stands first."""
        woken: list[_Waiter] = []
        with self._lock:
            outlook = None
            while self._line:
                waiter = self._line[0][2]
                if not waiter.left:
                    outlook = pacing.outlook(self._pace, waiter.load)
                    if outlook.at_s > now_s + _NOW_S:
                        break
                    self._pace, waiter.ticket = pacing.sent(self._pace, waiter.load, now_s)
                    waiter.left = True
                    woken.append(waiter)
                heapq.heappop(self._line)
            first = self._line[0][2] if self._line else None
            if first is not None and first is not self._first:
                woken.append(first)
            self._first = first
        here = _here() if woken else None
        for waiter in woken:
            if waiter is not caller:
                waiter.call(here)
        return outlook if first is not None and first is caller else None


def _here() -> anyio.lowlevel.EventLoopToken | None:
    try:
        return anyio.lowlevel.current_token()
    except RuntimeError:
        return None


class Limiters:
    """The limiters of a process, one an account and model."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limiters: dict[tuple[str, str], Limiter] = {}

    def of(self, account: str, model: str) -> Limiter:
        """The one limiter of that account and model."""
        with self._lock:
            return self._limiters.setdefault((account, model), Limiter())

    def clear(self) -> None:
        """Forgets all that was learnt."""
        with self._lock:
            self._limiters.clear()


SHARED = Limiters()
"""The limiters that every vote of this process uses."""
