"""A pace that several share: each takes what it may send in the next moments, in one go.

| what holds the next request | its time is at most so far ahead |
| --- | --- |
| a limit that is known | `HORIZON_S`, or `REACH_S` where nothing was taken yet |
| a limit that is being found out | `PROBING_S`: a refusal may change everything |

So whoever looks takes one request at least where one may go soon, and nobody is starved by another who
looks more often; and what a member takes with it when it crashes is a horizon's worth.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from fanin.policy.pacing import pace as paces
from fanin.policy.pacing.bracket import Bracket
from fanin.policy.pacing.load import Load, Unit
from fanin.policy.pacing.mirror import Bucket
from fanin.policy.pacing.pace import Outlook, Pace, Ticket

HORIZON_S = 0.25
"""Requests are taken so far ahead."""
REACH_S = 1.0
"""And the first of them so far."""
PROBING_S = 0.03
"""Both, while a limit is being found out."""


def reach_s(pace: Pace, outlook: Outlook) -> float:
    """How far ahead the first request may be taken."""
    return PROBING_S if _seeking(pace, outlook) else REACH_S


def _seeking(pace: Pace, outlook: Outlook) -> bool:
    return outlook.why == "probing" and any(probe.phase != "hold" for probe in pace.probes)


def leased(pace: Pace, loads: Sequence[Load], now_s: float) -> tuple[Pace, tuple[Ticket, ...]]:
    """Takes what may go within the horizon, in the order of `loads`: the state, and a ticket each for as
    many of them as may. A ticket's time lies in the future where the request has to wait for it."""
    tickets: list[Ticket] = []
    for load in loads:
        outlook = paces.outlook(pace, load)
        horizon_s = HORIZON_S if tickets else REACH_S
        if outlook.at_s - now_s > (PROBING_S if _seeking(pace, outlook) else horizon_s):
            break
        pace, ticket = paces.sent(pace, load, max(now_s, outlook.at_s))
        tickets.append(ticket)
    return pace, tuple(tickets)


def divided(pace: Pace, members: int, now_s: float) -> Pace:
    """The state of one of several who see each other no more: each keeps to its part of every rate.

    The parts are limits that no answer changes, beside what is known: what the provider tells holds
    for all of them together.
    """
    if members <= 1:
        return pace
    held = [probe for probe in pace.probes if probe.phase == "hold"]
    parts = [
        _part(bucket.name, bucket.unit, bucket.limit / members, bucket.rate / members, now_s)
        for bucket in pace.buckets
    ] + [_part("probing", probe.unit, probe.limit / members, probe.rate / members, now_s) for probe in held]
    return attrs.evolve(pace, buckets=(*pace.buckets, *parts))


def _part(name: str, unit: Unit, limit: float, rate: float, now_s: float) -> Bucket:
    """It begins empty: how much of the whole is left now, nobody knows."""
    limit = max(limit, 1.0) if unit == "requests" else limit
    return Bucket(f"part of {name}", unit, limit, Bracket(rate, rate), now_s, given=True)
