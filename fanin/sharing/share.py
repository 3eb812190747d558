"""One limiter's part in a shared pace: what it has to tell, when it looks, and how it goes on alone."""

from __future__ import annotations

import math
import os
import uuid
from functools import partial

from fanin.clock import Clock
from fanin.policy import pacing
from fanin.policy.pacing import HORIZON_S, Booked, Happened, Load, Outlook, Pace, Ticket
from fanin.sharing.joint import Given, Joint, Member, Visit, exchanged, in_turn, present, under
from fanin.sharing.store import Found, Key, Store, StoreError

LATE_S = 0.1
"""So late the requests of others may be, until it is known how late they are."""
FLUSH_S = 0.25
"""News is told after this time, where nobody looks anyway."""
MOVED = 0.1
"""What moves a rate by so much of it is told at once: all others go by the old one."""
MOST_NEWS = 1000
"""The newest are kept where they cannot be told."""
MOST_ALONE_S = 60.0
"""The store is tried again this often at least."""
GRACE_S = 1.0
"""Whoever has an answer tries it, and nobody waits for that; where no answer comes for so long, the first
who waits does."""


class Share:
    """A member's view of what is joint. Times are seconds on the store's clock."""

    def __init__(self, store: Store, key: Key) -> None:
        self.store = store
        self.given = Given()
        """The limits that this process' user gave."""
        self._key = key
        self._name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._joint = Joint(key.account, key.model, Booked(Pace(late_s=LATE_S)))
        self._booked = Booked()
        self._whole: Pace | None = None
        self._news: list[Happened] = []
        self._urgent = False
        self._seen_s = -math.inf
        self._misses = 0
        self._alone_s = -math.inf
        self._alone_until_s = -math.inf
        self._retry_s = -math.inf

    @property
    def pace(self) -> Pace:
        """The pace as far as this process knows it."""
        return self._booked.pace

    def outlook(self, load: Load) -> Outlook:
        """When the next request may go, as far as this process knows."""
        if self._whole is None:
            self._whole = self._booked.whole
        return pacing.outlook(self._whole, load)

    def reach_s(self, outlook: Outlook) -> float:
        """How long before its time the first request may be taken."""
        return pacing.reach_s(outlook, in_turn=in_turn(self._joint.members, self._name))

    def holds(self, ticket: Ticket, now_s: float) -> bool:
        """Whether a ticket is still good at its time."""
        return pacing.holds(self._booked, ticket, now_s)

    def together(self, now_s: float) -> bool:
        """Whether the pace is shared now; False while the store cannot be used."""
        return now_s >= self._alone_until_s

    def age_s(self, now_s: float) -> float:
        """How long ago the last look was."""
        return now_s - self._seen_s

    def closed_until_s(self) -> float:
        """Until when all may send nothing, as another process may just have learnt."""
        return self.store.closed_until_s(self._key)

    def note(self, news: Happened) -> None:
        """Learns from what happened, and keeps it for the next look."""
        before = self._booked.pace
        self._set(pacing.learnt(self._booked, news))
        self._keep(news)
        self._urgent = self._urgent or _moved(before, self._booked.pace)

    def go(self, load: Load, now_s: float) -> Ticket:
        """Lets a request go without a look, while the store cannot be used."""
        pace, ticket = pacing.sent(self._booked.whole, load, now_s)
        self._set(Booked(pace))
        self._keep(Happened("sent", ticket, now_s))
        return ticket

    def _keep(self, news: Happened) -> None:
        self._news.append(news)
        del self._news[:-MOST_NEWS]
        self._urgent = self._urgent or news.what == "refused"

    def _set(self, booked: Booked) -> None:
        self._booked, self._whole = booked, None

    def due(self, now_s: float, *, idle: bool) -> bool:
        """Whether there is news to tell now: a refusal at once, all else soon, or before a pause; or a store
        to be tried again."""
        if not self.together(now_s):
            return now_s >= self._retry_s
        if not self._news:
            return False
        return self._urgent or idle or self.age_s(now_s) >= FLUSH_S

    async def look(self, loads: tuple[Load, ...], waiting: int, clock: Clock) -> tuple[Ticket, ...]:
        """Tells the news and takes tickets; none where the store cannot be used: `together` is then False
        for a while."""
        news = tuple(self._news)
        if not self.together(clock.now_s() + self.store.ahead_s):
            self._alone_until_s = self._retry_s = math.inf
        visit = Visit(Member(self._name, waiting=waiting, given=self.given), news, loads, self._alone_s)
        try:
            found: Found[tuple[Ticket, ...]] = await self.store.exchange(
                self._key, self._joint, partial(_step, visit), clock
            )
        except StoreError as error:
            self._miss(error, clock.now_s() + self.store.ahead_s)
            return ()
        self._misses = 0
        self._alone_until_s = self._retry_s = -math.inf
        self.store.found(self._key)
        self._joint = found.joint
        self._seen_s = clock.now_s() + self.store.ahead_s
        told = set(map(id, news))
        # What happened during the look has not been told yet.
        self._news = [one for one in self._news if id(one) not in told]
        self._urgent = any(one.what == "refused" for one in self._news)
        self._set(found.joint.booked)
        for one in self._news:
            self._set(pacing.learnt(self._booked, one))
        return found.result

    def _miss(self, error: StoreError, now_s: float) -> None:
        """Goes on alone, with this member's part of the pace where there are others."""
        self._misses += 1
        wait_s = min(MOST_ALONE_S, self.store.patience_s * 2 ** min(self._misses - 1, 10))
        self._retry_s = math.inf if error.for_good else now_s + wait_s
        self._alone_until_s = self._retry_s + GRACE_S
        members = 1 + len(present(self._joint.members, self._seen_s, but=self._name))
        if self._misses == 1:
            self._alone_s = now_s
            pace = under(self._booked.whole, (Member(self._name, given=self.given),), now_s)
            # Until then goes what others may just have taken.
            self._set(Booked(pacing.divided(pace, 1 / members, now_s + HORIZON_S)))
        if error.for_good or self._misses >= self.store.strikes:
            part = (
                f"each of {members} keeps to its part of the pace"
                if members > 1
                else "the pace is not shared"
            )
            again = "" if error.for_good else " until it is back"
            self.store.lost(self._key, error, f"{part}{again}")


def _moved(before: Pace, after: Pace) -> bool:
    """Whether a limit is new, or its rate quite another."""
    rates = {bucket.limit.name: bucket.limit.rate for bucket in before.buckets}
    limits = [bucket.limit for bucket in after.buckets]
    return any(abs(limit.rate - rates.get(limit.name, 0.0)) > MOVED * limit.rate for limit in limits)


def _step(visit: Visit, joint: Joint, now_s: float) -> tuple[Joint, tuple[Ticket, ...]]:
    return exchanged(joint, visit, now_s)
