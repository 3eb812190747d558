"""A pace that several share: each takes what it may send in the next moments, in one go.

| what holds the next request | its time is at most so far ahead |
| --- | --- |
| a limit that is known | `HORIZON_S`, or `REACH_S` for the first |
| a limit that is being found out | `PROBING_S`: a refusal may change everything |

While it is not found yet, one look takes one request: a process that is late with all it does must not
take what it is late with at once.

Who is in turn, since all others that wait were served later, reaches farther, so that nobody is starved
by one who looks more often; and what a member takes with it when it crashes is a horizon's worth.

What was taken for later stands beside the pace until its time has come: the pace knows of no future.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from fanin.policy.pacing import pace as paces
from fanin.policy.pacing.bracket import Bracket
from fanin.policy.pacing.happening import Happened, applied
from fanin.policy.pacing.load import Load, Unit
from fanin.policy.pacing.mirror import Bucket, Limit
from fanin.policy.pacing.pace import Outlook, Pace, Ticket

HORIZON_S = 0.25
"""Requests are taken so far ahead."""
REACH_S = 1.0
"""And the first of them so far."""
BLOCK = 64
"""Tickets that are taken at one look at most, by all who wait: one who takes very many at once is late with
them."""
PROBING_S = 0.01
"""Both, while a limit is being found out."""
SAME_S = 0.001
"""Moments so near one another are one."""
PART = "part of "
"""So begins the name of a part's limit."""
LATE_S = 0.02
"""A ticket is given back where the pace, as it is now, would let the request go so much later."""


@attrs.frozen
class Booked:
    """A pace, and the tickets that were taken for later."""

    pace: Pace = attrs.field(factory=Pace)
    """The state, as far as requests have gone."""
    ahead: tuple[Ticket, ...] = ()
    """Tickets whose time has not come, the earliest first."""

    @property
    def whole(self) -> Pace:
        """The state after all that was taken has gone."""
        return _gone(self.pace, self.ahead)


def _gone(pace: Pace, tickets: tuple[Ticket, ...]) -> Pace:
    for ticket in tickets:
        pace = paces.sent(pace, ticket.load, ticket.sent_s)[0]
    return pace


def brought(booked: Booked, now_s: float) -> Booked:
    """The state now: what was taken for a time that has come has gone."""
    if not booked.ahead or booked.ahead[0].sent_s > now_s:
        return booked
    due = tuple([ticket for ticket in booked.ahead if ticket.sent_s <= now_s])
    return Booked(_gone(booked.pace, due), booked.ahead[len(due) :])


def learnt(booked: Booked, news: Happened) -> Booked:
    """The state after that has happened; a ticket that is given back before its time is simply gone."""
    booked = brought(booked, news.at_s)
    if news.what == "returned" and news.ticket in booked.ahead:
        return Booked(booked.pace, tuple([t for t in booked.ahead if t != news.ticket]))
    return Booked(applied(booked.pace, news), booked.ahead)


def reach_s(outlook: Outlook, *, in_turn: bool) -> float:
    """How far ahead the first request may be taken; not so far by one who was served later than others
    that wait."""
    if outlook.why == "probing":
        return PROBING_S if in_turn else 0.0
    return REACH_S if in_turn else HORIZON_S


def leased(
    booked: Booked, loads: Sequence[Load], now_s: float, *, in_turn: bool = True, waiting: int = 1
) -> tuple[Booked, tuple[Ticket, ...]]:
    """Takes what may go within the horizon, in the order of `loads`: the state, and a ticket each for as
    many of them as may. A ticket's time lies in the future where the request has to wait for it.

    `waiting` members wait, this one included: it takes its part of `BLOCK` at most.
    """
    booked = brought(booked, now_s)
    whole, tickets = booked.whole, list[Ticket]()
    for load in loads[: max(1, BLOCK // waiting)]:
        if tickets and paces.seeking(whole):
            break
        outlook = paces.outlook(whole, load)
        horizon_s = min(HORIZON_S if tickets else REACH_S, reach_s(outlook, in_turn=in_turn))
        # In the order of their times, even after what others took under limits that hold no more.
        at_s = max(now_s, outlook.at_s, whole.history.last_s)
        if at_s - now_s > horizon_s + SAME_S:
            break
        whole, ticket = paces.sent(whole, load, at_s)
        tickets.append(ticket)
    taken = Booked(booked.pace, (*booked.ahead, *tickets))
    return brought(taken, now_s), tuple(tickets)


def holds(booked: Booked, ticket: Ticket, now_s: float) -> bool:
    """Whether a ticket whose time has come is still good, after what was learnt since it was taken."""
    if ticket not in booked.ahead:
        return True
    before = booked.ahead[: booked.ahead.index(ticket)]
    return paces.outlook(_gone(booked.pace, before), ticket.load).at_s <= max(now_s, ticket.sent_s) + LATE_S


def divided(pace: Pace, part: float, from_s: float) -> Pace:
    """The state of some who share the pace with others whom they do not see: they keep to their part of
    every rate; 1: of those who see everybody.

    The parts are limits that no answer changes, beside what is known: what the provider tells holds
    for all of them together. A part that is new is empty at `from_s`: how much of the whole is left,
    nobody knows.
    """
    whole = tuple([bucket for bucket in pace.buckets if not bucket.limit.name.startswith(PART)])
    if part >= 1:
        return pace if len(whole) == len(pace.buckets) else attrs.evolve(pace, buckets=whole)
    old = {bucket.limit.name: bucket for bucket in pace.buckets if bucket.limit.name.startswith(PART)}
    limits = [(b.limit.name, b.limit.unit, b.limit.size, b.limit.rate) for b in whole]
    limits += [("probing", p.unit, p.limit, p.rate) for p in pace.probes if p.phase == "hold"]
    parts = [
        _part(old.get(PART + name), PART + name, unit, size * part, rate * part, from_s)
        for name, unit, size, rate in limits
    ]
    return attrs.evolve(pace, buckets=(*whole, *parts))


def _part(old: Bucket | None, name: str, unit: Unit, size: float, rate: float, from_s: float) -> Bucket:
    size = max(size, 1.0) if unit == "requests" else size
    limit = Limit(name, unit, size, Bracket(rate, rate), given=True)
    return Bucket(limit, from_s if old is None else limit.empty_s(old.level(from_s), from_s))
