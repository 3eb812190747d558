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
PROBING_S = 0.01
"""Both, while a limit is being found out."""
SAME_S = 0.001
"""Moments so near one another are one."""
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
    booked: Booked, loads: Sequence[Load], now_s: float, *, in_turn: bool = True
) -> tuple[Booked, tuple[Ticket, ...]]:
    """Takes what may go within the horizon, in the order of `loads`: the state, and a ticket each for as
    many of them as may. A ticket's time lies in the future where the request has to wait for it."""
    booked = brought(booked, now_s)
    whole, tickets = booked.whole, list[Ticket]()
    for load in loads:
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


def divided(pace: Pace, members: int, now_s: float) -> Pace:
    """The state of one of several who see each other no more: each keeps to its part of every rate.

    The parts are limits that no answer changes, beside what is known: what the provider tells holds
    for all of them together.
    """
    if members <= 1:
        return pace
    held = [probe for probe in pace.probes if probe.phase == "hold"]
    limits = [bucket.limit for bucket in pace.buckets]
    parts = [
        _part(limit.name, limit.unit, limit.size / members, limit.rate / members, now_s) for limit in limits
    ] + [_part("probing", probe.unit, probe.limit / members, probe.rate / members, now_s) for probe in held]
    return attrs.evolve(pace, buckets=(*pace.buckets, *parts))


def _part(name: str, unit: Unit, size: float, rate: float, now_s: float) -> Bucket:
    """It begins empty: how much of the whole is left now, nobody knows."""
    size = max(size, 1.0) if unit == "requests" else size
    return Bucket(Limit(f"part of {name}", unit, size, Bracket(rate, rate), given=True), now_s)
