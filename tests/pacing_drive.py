"""The pure pace against a provider that enforces limits: a heap of events, no event loop."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Sequence

import attrs
from limited_provider import Fate, Offer, Provider

from fanin.policy import pacing, told
from fanin.policy.pacing import Load, Pace, Ticket

TRIP_S = 0.004
"""How long a request is on its way."""


@attrs.define
class Driven:
    """How a job went under a pace."""

    pace: Pace
    provider: Provider
    sent_s: list[float] = attrs.field(factory=list)
    """When requests went, in order."""
    told: list[tuple[int, float]] = attrs.field(factory=list)
    """Of every refusal: how many had gone before it was noticed, and until when it said to wait."""
    done_s: dict[int, float] = attrs.field(factory=dict)
    """Request -> when its answer came."""

    @property
    def refused(self) -> int:
        """How many requests were refused."""
        return len(self.provider.counts["m"].refused_s)

    @property
    def makespan_s(self) -> float:
        """When the last answer came."""
        return max(self.done_s.values())


def drive(
    offer: Offer,
    costs: Sequence[float],
    pace: Pace | None = None,
    until_s: float = 1e6,
    late_s: Callable[[int], float] = lambda number: 0.0,
) -> Driven:
    """Sends requests of these costs in tokens, all waiting from the first moment, oldest first; the
    how-manieth ticket is used so much later than reserved as `late_s` says."""
    driven = Driven(Pace() if pace is None else pace, Provider(offer))
    events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
    ties = itertools.count()
    waiting = list(range(len(costs)))
    alarms = [math.inf]
    now_s = 0.0

    def at(when_s: float, what: Callable[..., None], *facts: object) -> None:
        heapq.heappush(events, (when_s, next(ties), what, facts))

    def pump() -> None:
        while waiting:
            load = Load(1, costs[waiting[0]])
            opens_s = pacing.outlook(driven.pace, load).at_s
            if opens_s > now_s + 1e-9:
                if not now_s < alarms[0] <= opens_s:
                    alarms[0] = opens_s
                    at(opens_s, pump)
                return
            request = heapq.heappop(waiting)
            driven.pace, ticket = pacing.sent(driven.pace, load, now_s)
            ticket = attrs.evolve(ticket, late_s=late_s(ticket.number))
            if ticket.late_s:
                at(ticket.went_s, go, request, ticket)
            else:
                go(request, ticket)

    def go(request: int, ticket: Ticket) -> None:
        if driven.pace.gate.until_s > now_s:
            driven.pace = pacing.returned(driven.pace, ticket, now_s)
            heapq.heappush(waiting, request)
            pump()
        else:
            driven.sent_s.append(now_s)
            at(now_s + TRIP_S, arrive, request, ticket)

    def arrive(request: int, ticket: Ticket) -> None:
        fate = driven.provider.arrive("m", costs[request], now_s)
        at(now_s + (TRIP_S if fate.status == 429 else fate.after_s), back, request, ticket, fate)

    def back(request: int, ticket: Ticket, fate: Fate) -> None:
        levels = pacing.levels(fate.headers)
        if fate.status == 429:
            text = fate.body.decode()
            refusal = pacing.refusal(fate.headers, text, told.wait_s(fate.headers, text, 0.0))
            driven.pace = pacing.refused(driven.pace, ticket, levels, refusal, now_s)
            driven.told.append((len(driven.sent_s), now_s + (refusal.wait_s or 0.0)))
            heapq.heappush(waiting, request)
        else:
            driven.pace = pacing.answered(driven.pace, ticket, levels, now_s)
            driven.done_s[request] = now_s
        pump()

    pump()
    while events and len(driven.done_s) < len(costs):
        now_s, _, what, facts = heapq.heappop(events)
        if now_s > until_s:
            break
        what(*facts)
    return driven
