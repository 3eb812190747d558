"""What all calls of one account and model share: their pace.

One `Limiter` an account and model, for the whole process (`fanin.limiters` holds them): every vote finds
the same one without being told. It holds a state of `fanin.policy.pacing` and one line of waiting
requests. Whoever stands first in the line sleeps until the state lets it go; nobody else has a timer, so
that nobody wakes together with anybody. Whoever goes tells the next how long it has to sleep on, so that a
request wakes up once. Whatever the state allows goes at once, oldest first.

Where other processes share the pace, the state is theirs too: whoever stands first looks into the store
that holds it, a few times a second, and takes tickets for those who may go in the next moments.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from typing import TypeAlias

import anyio
import anyio.lowlevel
import attrs

from fanin.clock import Clock
from fanin.places import Places
from fanin.policy import pacing
from fanin.policy.pacing import Happened, Load, Outlook, Pace, Refusal, Ticket
from fanin.sharing.joint import Given, limited_by
from fanin.sharing.share import Share
from fanin.waiter import TooLong, Waiter, Waiting
from fanin.waking import here, wake_here

_NOW_S = 1e-6
"""What may go so soon goes now: sums of times are no more exact than that."""
HEADS = 64
"""Tickets are taken for so many at one look."""
EARLY_S = 0.1
"""The next look comes so long before the last ticket's time, so that no pause lies between."""
STALE_S = 1.0
"""Nobody is turned away by a view that is older."""
BUSY_S = 0.01
"""So long whoever finds somebody else looking stands back, and so far apart two looks are at least."""

Headers: TypeAlias = tuple[tuple[str, str], ...]
_LINE = Outlook(math.inf, "line")
"""What holds those who do not stand first."""


class Limiter:
    """The pace of one account and model; safe from several threads and event loops at once.

    With a `share`, the pace is shared with other processes.
    """

    def __init__(self, share: Share | None = None) -> None:
        self._lock = threading.Lock()
        self._pace = Pace()
        self._given = Given()
        self._share = share
        self._line: list[tuple[int, int, Waiter]] = []
        self._first: Waiter | None = None
        self._places = itertools.count()
        self._rooms: Places | None = None
        self._out = 0
        self._looking = False
        self._next_look_s = -math.inf
        self._wakes_s = -math.inf
        self._seen = self._pace, Load(), pacing.outlook(self._pace, Load())
        self._ahead: set[Waiter] = set()

    def places(self, at_once: int) -> Places:
        """The places of a server that lets what is too much wait; `at_once` are taken to be there first."""
        with self._lock:
            if self._rooms is None:
                self._rooms = Places(at_once)
            return self._rooms

    @property
    def pace(self) -> Pace:
        """The state as it is now, as far as this process knows."""
        return self._pace if self._share is None else self._share.pace

    def known(self, clock: Clock) -> tuple[Pace, float]:
        """The state as it is now, and the time on its own clock."""
        return self.pace, self._now_s(clock)

    @property
    def waiting(self) -> int:
        """How many requests stand in the line."""
        return sum(not waiter.left for _, _, waiter in self._line)

    def place(self) -> int:
        """The next place in the line; a request keeps it when it has to come again."""
        return next(self._places)

    def limit(
        self, now_s: float, *, rpm: float | None, tpm: float | None, stagger_s: float, cap_s: float
    ) -> None:
        """The user's own limits, from now on; `fanin.policy.pacing.limited` defines them."""
        given = Given(rpm, tpm, stagger_s, cap_s)
        if given == self._given:
            return
        with self._lock:
            self._given = given
            if self._share is None:
                self._pace = limited_by(self._pace, given, now_s)
            else:
                self._share.given = given
                self._next_look_s = -math.inf

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
        place = next(self._places) if place is None else place
        waiter = Waiter(load, place, clock, ends_s, max_wait_s, waiting)
        self._line_up(waiter)
        called = False
        try:
            while True:
                now_s = self._now_s(clock)
                outlook = self._pump(now_s, waiter)
                if waiter.ticket is not None:
                    if called:  # and may have been cancelled at the same time
                        await anyio.lowlevel.checkpoint_if_cancelled()
                    if late := self._late(waiter, now_s):
                        return late
                    if await self._kept(waiter, now_s):
                        return waiter.ticket
                elif outlook is not None:
                    seen, wait_s = self._here(outlook), outlook.at_s - now_s
                    if waiter.too_long(seen, wait_s) and not await self._looked(clock):
                        return TooLong(seen, wait_s)
                    if wait_s > 0:
                        waiter.tell(seen, wait_s)
                    await self._until(outlook, waiter)
                    called = True
                else:
                    if waiter.told is None:
                        waiter.tell(_LINE, 0.0)
                    await waiter.sleep()
                    called = waiter.ticket is not None
                if waiter.wake is not None:
                    waiter.wake.renew()
        except BaseException:
            if waiter.ticket is not None:
                self.returned(waiter.ticket, clock.now_s())
            raise
        finally:
            waiter.left = True
            if self._first is waiter:
                self._pump(self._now_s(clock), None, leaving=True)

    def answered(self, ticket: Ticket, headers: Headers, now_s: float, used_tokens: float | None) -> None:
        """An answer came, with these headers; `used_tokens` is what it took, None where unknown."""
        told = pacing.levels(headers)
        self._happened(Happened("answered", ticket, now_s + self._ahead_s, told, used_tokens=used_tokens))

    def refused(self, ticket: Ticket, headers: Headers, refusal: Refusal, now_s: float) -> None:
        """The request was refused for a rate limit."""
        told = pacing.levels(headers)
        self._happened(Happened("refused", ticket, now_s + self._ahead_s, told, refusal))

    def failed(self, ticket: Ticket, headers: Headers, now_s: float) -> None:
        """No usable answer came."""
        self._happened(Happened("failed", ticket, now_s + self._ahead_s, pacing.levels(headers)))

    def returned(self, ticket: Ticket, now_s: float) -> None:
        """The request was not sent after all, or counts for nobody."""
        self._happened(Happened("returned", ticket, now_s + self._ahead_s))

    async def settled(self, clock: Clock) -> None:
        """Tells those who share the pace what happened, where it is time for that."""
        share, now_s = self._share, self._now_s(clock)
        if share is not None and share.due(now_s, idle=not self._out and not self._line):
            await self._look(clock, lease=False)

    @property
    def _ahead_s(self) -> float:
        """The clock of the pace is so far ahead of this process' clocks."""
        return 0.0 if self._share is None else self._share.store.ahead_s

    def here_s(self, at_s: float) -> float:
        """A time of the pace, as a ticket's, on the clock of this process."""
        return at_s - self._ahead_s

    def _here(self, outlook: Outlook) -> Outlook:
        """An outlook on the clock of this process."""
        return outlook if self._share is None else Outlook(self.here_s(outlook.at_s), outlook.why)

    def _now_s(self, clock: Clock) -> float:
        return clock.now_s() + (0.0 if self._share is None else self._share.store.ahead_s)

    def _line_up(self, waiter: Waiter) -> None:
        waiter.left, waiter.ticket = False, None
        with self._lock:
            heapq.heappush(self._line, (waiter.place, id(waiter), waiter))

    async def _until(self, outlook: Outlook, first: Waiter) -> None:
        """What the first in the line does until its time has come: it sleeps, or looks."""
        clock, share = first.clock, self._share
        now_s = self._now_s(clock)
        at_s = outlook.at_s
        if share is not None and share.together(now_s):
            at_s = max(at_s - share.reach_s(outlook), self._next_look_s)
            if at_s <= now_s + _NOW_S:
                await self._look(clock, lease=True)
                return
            self._wakes_s = at_s
        assert first.wake is not None
        await clock.sleep(max(0.0, at_s - now_s), first.wake)

    def _late(self, waiter: Waiter, now_s: float) -> TooLong | None:
        """Where a ticket was taken for a time that is too late: it is given back."""
        ticket = waiter.ticket
        assert ticket is not None
        wait_s = ticket.sent_s - now_s
        if wait_s <= _NOW_S:
            return None
        seen = Outlook(self.here_s(ticket.sent_s), "line")
        if not waiter.too_long(seen, wait_s):
            return None
        waiter.ticket = None
        self.returned(ticket, waiter.clock.now_s())
        return TooLong(seen, wait_s)

    async def _kept(self, waiter: Waiter, now_s: float) -> bool:
        """Waits for the time of a ticket that was taken before it; False where the gate has closed
        meanwhile: the ticket is given back, and the waiter stands in its place again."""
        ticket, share, clock = waiter.ticket, self._share, waiter.clock
        assert ticket is not None
        closed_s = self.pace.gate.until_s
        while now_s + _NOW_S < ticket.sent_s >= closed_s - _NOW_S:
            if waiter.wake is None:
                waiter.wake = wake_here()
            waiter.wake.renew()
            self._ahead.add(waiter)
            try:
                await clock.sleep(ticket.sent_s - now_s, waiter.wake)
            finally:
                self._ahead.discard(waiter)
            now_s, closed_s = self._now_s(clock), self.pace.gate.until_s
        good = True
        if share is not None and share.together(now_s):
            closed_s, good = max(closed_s, share.closed_until_s()), share.holds(ticket, now_s)
        if good and closed_s <= max(now_s, ticket.sent_s) + _NOW_S:
            if now_s > ticket.sent_s + _NOW_S:
                waiter.ticket = attrs.evolve(ticket, late_s=now_s - ticket.sent_s)
            return True
        self.returned(ticket, clock.now_s())
        self._line_up(waiter)
        self._next_look_s = -math.inf
        return False

    async def _looked(self, clock: Clock) -> bool:
        """Looks, where the last look is too long ago to turn anybody away."""
        share, now_s = self._share, self._now_s(clock)
        if share is None or not share.together(now_s) or share.age_s(now_s) < STALE_S:
            return False
        await self._look(clock, lease=False)
        return True

    async def _look(self, clock: Clock, *, lease: bool) -> None:
        """Looks at what is shared; with `lease`, takes tickets for the heads of the line."""
        share = self._share
        assert share is not None
        with self._lock:
            busy, self._looking = self._looking, True
            heads = [] if busy or not lease else self._heads()
            waiting = len(self._line) + len(heads)
        if busy:
            await clock.sleep(BUSY_S)
            return
        tickets: tuple[Ticket, ...] = ()
        try:
            with anyio.CancelScope(shield=True):
                tickets = await share.look(tuple([head.load for head in heads]), waiting, clock)
        finally:
            now_s = self._now_s(clock)
            with self._lock:
                self._take(heads, tickets, now_s)
            self._pump(now_s, None)

    def _heads(self) -> list[Waiter]:
        """Takes those who stand first out of the line."""
        heads: list[Waiter] = []
        while self._line and len(heads) < HEADS:
            waiter = heapq.heappop(self._line)[2]
            if not waiter.left:
                heads.append(waiter)
        return heads

    def _take(self, heads: list[Waiter], tickets: tuple[Ticket, ...], now_s: float) -> None:
        """After a look: a ticket for each of the first heads, and the others back in the line."""
        self._looking, self._first = False, None
        for waiter, ticket in zip(heads, tickets, strict=False):
            waiter.ticket, self._out = ticket, self._out + 1
            waiter.left = True
            waiter.call(here())
        for waiter in heads[len(tickets) :]:
            heapq.heappush(self._line, (waiter.place, id(waiter), waiter))
        if tickets:
            more = len(tickets) == len(heads) == HEADS
            self._next_look_s = -math.inf if more else max(tickets[-1].sent_s - EARLY_S, now_s + BUSY_S)
        elif heads:
            self._next_look_s = now_s + BUSY_S

    def _happened(self, news: Happened) -> None:
        with self._lock:
            self._out -= 1
            if self._share is None:
                self._pace = pacing.applied(self._pace, news)
            else:
                self._share.note(news)
                self._reconsider(self._share, news.at_s)
        self._pump(news.at_s, None)

    def _reconsider(self, share: Share, now_s: float) -> None:
        """Wakes whoever planned with what has changed: those with tickets for a time at which the gate is
        closed now, and the first in the line where it may go earlier."""
        where, first = here(), self._first
        for waiter in self._ahead:
            if waiter.ticket is not None and waiter.ticket.sent_s < share.pace.gate.until_s:
                waiter.call(where)
        if first is not None and share.together(now_s):
            outlook = share.outlook(first.load)
            if outlook.at_s - share.reach_s(outlook) < self._wakes_s - _NOW_S:
                first.call(where)

    def _pump(self, now_s: float, caller: Waiter | None, *, leaving: bool = False) -> Outlook | None:
        """Lets go what may go now. What holds the caller, where it stands first.

        `leaving`: the first leaves without having been let go. Whoever comes after it is woken then, since
        it may have been cancelled together with it.
        """
        woken: list[Waiter] = []
        with self._lock:
            outlook, together = None, self._share is not None and self._share.together(now_s)
            # Whoever goes on without the store waits for nobody who tries it again.
            looking = self._looking and together
            while self._line and not looking:
                waiter = self._line[0][2]
                if not waiter.left:
                    outlook = self._outlook(waiter.load)
                    if outlook.at_s > now_s + _NOW_S or together:
                        break
                    self._let_go(waiter, now_s)
                    woken.append(waiter)
                heapq.heappop(self._line)
            first = self._line[0][2] if self._line and not looking else None
            if first is not None and first is not self._first:
                woken.append(first)
            self._first = first
            if caller is not None and caller.ticket is None and caller.wake is None:
                caller.wake = wake_here()  # before anybody can want to wake it
        others = [waiter for waiter in woken if waiter is not caller]
        where = None
        if others:
            where = here() if caller is None or caller.wake is None else caller.wake.loop
        for waiter in others:
            # To learn that it stands first now, a sleeper need not wake up.
            # To learn that it stands first now, a sleeper need not wake up.
            plan = outlook if waiter is first and not together and not leaving else None
            if plan is None or not waiter.plan(self._here(plan), plan.at_s - now_s, where):
                waiter.call(where)
        return outlook if first is not None and first is caller else None

    def _outlook(self, load: Load) -> Outlook:
        if self._share is not None:
            return self._share.outlook(load)
        if self._seen[0] is not self._pace or self._seen[1] is not load:
            self._seen = self._pace, load, pacing.outlook(self._pace, load)
        return self._seen[2]

    def _let_go(self, waiter: Waiter, now_s: float) -> None:
        if self._share is None:
            self._pace, waiter.ticket = pacing.sent(self._pace, waiter.load, now_s)
        else:
            waiter.ticket = self._share.go(waiter.load, now_s)
        waiter.left = True
        self._out += 1
