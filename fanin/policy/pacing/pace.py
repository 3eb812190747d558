"""The pace of one account and model: what was learnt, and when the next request may go.

Every function takes the state, what happened and the time, and returns the next state. A limiter asks
`outlook` (when may this request go, and what holds it until then), tells `sent` when it goes, and then
what came of it: `answered`, `refused`, `failed` (it counted, and brought nothing) or `returned` (it
never reached a bucket).

What holds a request, in the order of trust:

| from | by |
| --- | --- |
| a wait that was told | the gate |
| the user's own limits | buckets that nothing moves |
| headers | buckets that mirror the provider's |
| refusals that no header foretold | a probe |
"""

from __future__ import annotations

import math

import attrs

from fanin.policy.pacing import explaining, mirror, probing
from fanin.policy.pacing import gate as gates
from fanin.policy.pacing.bracket import UNKNOWN, Bracket, of_reset
from fanin.policy.pacing.explaining import Seen
from fanin.policy.pacing.gate import NO_GATE, Gate
from fanin.policy.pacing.load import NOTHING, NOTHING_SENT, History, Load, Unit
from fanin.policy.pacing.mirror import MINUTE_S, Around, Bucket, Limit
from fanin.policy.pacing.noticing import Level, Refusal
from fanin.policy.pacing.probing import Hit, Probe

FIRST_TRIP_S = 0.25
"""A request arrives within this time, until a shorter one was measured."""
SHORTEST_TRIP_S = 0.004
"""And no shorter one is believed: arrivals vary by more."""
MOST_MARGIN_S = 0.02
"""A request goes half a trip after it should fit, and this at most, since trips differ."""
SHORT_WINDOW_S = 45.0
"""A bucket that headers tell to fill faster is enforced as told. One that is told per minute may be
enforced per second (OpenAI), so that its burst is let go as a probe lets it."""
LONGEST_MINUTE_S = 120.0
"""A bucket that takes longer to fill is a limit per hour or day."""
LATE_KEPT = 0.997
"""What is left of the greatest lateness after every answer; it is gone after a thousand."""
MOST_AT_ONCE = 16
"""So many refusals of one episode are thought over, each with all that was sent before it."""
MOST_SEEN = 512
"""After so many requests, what came of the first is not known any more."""
TOLD_DOUBLING_S = 0.03
"""The start doubles its pace in this time where a limit per minute is told."""


@attrs.frozen
class Ticket:
    """A request that was let go."""

    number: int
    """The how-manieth it is, from 1."""
    load: Load
    """What was reserved for it."""
    sent_s: float
    """When, as it was reserved."""
    late_s: float = 0.0
    """It really went so much later: whoever sent it was busy."""

    @property
    def went_s(self) -> float:
        """When it really went."""
        return self.sent_s + self.late_s


@attrs.frozen
class Outlook:
    """When the next request may go, and what holds it until then."""

    at_s: float
    """The time; in the past where it may go now."""
    why: str
    """`retry-after`, `stagger`, `probing`, or the name of the limit: `requests`, `tokens`, `rpm`, `tpm`."""


@attrs.frozen
class Pace:
    """The state. Times are seconds on one clock; where that goes back, the last time known holds."""

    gate: Gate = NO_GATE
    """What told waits hold."""
    buckets: tuple[Bucket, ...] = ()
    """The limits that are known: told by headers, or given by the user."""
    probes: tuple[Probe, ...] = (Probe(),)
    """The limits that are being found out, one a unit."""
    history: History = NOTHING_SENT
    """What was sent when."""
    refused: Load = NOTHING
    """What of it was taken from no bucket."""
    count: int = 0
    """Requests let go."""
    began_s: float = -math.inf
    """When the first of them went."""
    trip_s: float = FIRST_TRIP_S
    """The shortest time an answer took to come."""
    stagger_s: float = 0.0
    """So far apart requests go at least."""
    late_s: float = 0.0
    """So much later than reserved requests went lately."""


def limited(
    pace: Pace,
    now_s: float,
    *,
    rpm: float | None = None,
    tpm: float | None = None,
    stagger_s: float = 0.0,
    cap_s: float = 600.0,
) -> Pace:
    """The state under the user's own limits: requests and tokens a minute, each a bucket that holds a
    minute's worth and refills evenly (as the providers' do), seconds between two starts, and the most
    that the delay may grow to.

    A limit that was given before and is the same keeps its level; None takes it away.
    """
    given: list[Bucket] = []
    for name, unit, size in (("rpm", "requests", rpm), ("tpm", "tokens", tpm)):
        old = next((b for b in pace.buckets if b.limit.given and b.limit.name == name), None)
        if old is not None and old.limit.size == size:
            given.append(old)
        elif size is not None:
            level = size if old is None else old.level(now_s) + size - old.limit.size
            rates = Bracket(size / MINUTE_S, size / MINUTE_S)
            limit = Limit(name, unit, size, rates, given=True)  # type: ignore[arg-type]
            given.append(Bucket(limit, limit.empty_s(level, now_s)))
    learnt = [b for b in pace.buckets if not (b.limit.given and b.limit.name in ("rpm", "tpm"))]
    gate = attrs.evolve(pace.gate, cap_s=cap_s, delay_s=min(cap_s, pace.gate.delay_s))
    return attrs.evolve(pace, gate=gate, buckets=(*given, *learnt), stagger_s=stagger_s)


def outlook(pace: Pace, load: Load) -> Outlook:
    """When a request may go, and what holds it longest."""
    at_s, why = pace.gate.until_s, "retry-after"
    if pace.stagger_s and pace.history.last_s + pace.stagger_s > at_s:
        at_s, why = pace.history.last_s + pace.stagger_s, "stagger"
    margin_s = min(pace.trip_s / 2, MOST_MARGIN_S)
    for bucket in pace.buckets:
        limit = bucket.limit
        amount = load.of(limit.unit)
        ready_s = bucket.ready_s(amount)
        if not limit.given:
            # What hardly holds one request is full before the next: nothing is left over for one that
            # comes early.
            roomy = limit.size >= 2 * amount
            ready_s += margin_s + limit.late_s(pace.late_s) if roomy else 2 * margin_s
        if ready_s > at_s:
            at_s, why = ready_s, limit.name
    for probe in pace.probes:
        ready_s = probe.ready_s(load.of(probe.unit)) + (margin_s if probe.phase == "hold" else 0.0)
        if ready_s > at_s and _active(pace, probe):
            at_s, why = ready_s, "probing"
    return Outlook(at_s, why)


def seeking(pace: Pace) -> bool:
    """Whether a limit that holds requests is still being looked for."""
    return any(probe.phase != "hold" and _active(pace, probe) for probe in pace.probes)


def _active(pace: Pace, probe: Probe) -> bool:
    """Whether the probe holds anybody: the start only where nothing better is known."""
    if probe.phase != "start":
        return True
    for bucket in pace.buckets:
        limit = bucket.limit
        if limit.unit == "requests" and (limit.given or limit.window_s <= SHORT_WINDOW_S):
            return False
    return True


def sent(pace: Pace, load: Load, now_s: float) -> tuple[Pace, Ticket]:
    """A request goes."""
    now_s = max(now_s, pace.history.last_s)
    ticket = Ticket(pace.count + 1, load, now_s)
    moved = Pace(
        pace.gate,
        tuple([bucket.taken(load.of(bucket.limit.unit), now_s, pace.late_s) for bucket in pace.buckets]),
        tuple([_passed(pace, probe, load, now_s) for probe in pace.probes]),
        pace.history.sent(load, now_s),
        pace.refused,
        pace.count + 1,
        pace.began_s if pace.count else now_s,
        pace.trip_s,
        pace.stagger_s,
        pace.late_s,
    )
    return moved, ticket


def _passed(pace: Pace, probe: Probe, load: Load, now_s: float) -> Probe:
    if not _active(pace, probe):
        return probe
    limits = [bucket.limit for bucket in pace.buckets]
    a_minute = any(limit.unit == "requests" and limit.window_s <= LONGEST_MINUTE_S for limit in limits)
    return probing.passed(
        probe,
        load.of(probe.unit),
        (pace.history.total - pace.refused).of(probe.unit),
        now_s,
        previous_s=pace.history.last_s,
        doubling_s=TOLD_DOUBLING_S if a_minute else probing.START_S,
    )


def answered(
    pace: Pace, ticket: Ticket, told: tuple[Level, ...], now_s: float, *, used_tokens: float | None = None
) -> Pace:
    """An answer came, with these levels; `used_tokens` is what it really took, None where unknown.

    What was reserved beyond that is given back to the user's own limit. Of their own buckets the
    providers tell the level.
    """
    times_s = _times_s(pace, ticket, now_s)
    buckets = _mirrored(pace, ticket, told, times_s, now_s)
    if used_tokens is not None:
        buckets = _given_back(buckets, ticket.load.tokens - used_tokens, now_s)
    return _moved(pace, gates.succeeded(pace.gate), buckets, times_s)


def failed(pace: Pace, ticket: Ticket, told: tuple[Level, ...], now_s: float) -> Pace:
    """No usable answer came: a server error, a broken connection. It never touches the gate."""
    if not told:
        return pace
    times_s = _times_s(pace, ticket, now_s)
    return _moved(pace, pace.gate, _mirrored(pace, ticket, told, times_s, now_s), times_s)


def returned(pace: Pace, ticket: Ticket, now_s: float) -> Pace:
    """The request was never sent, or counted by nobody: what was reserved for it is given back."""
    return _uncharged(pace, ticket, ticket.load, now_s)


def refused(pace: Pace, ticket: Ticket, told: tuple[Level, ...], refusal: Refusal, now_s: float) -> Pace:
    """The provider refused the request for a rate limit."""
    gate = gates.refused(pace.gate, sent_s=ticket.sent_s, told_s=refusal.wait_s or 0.0, now_s=now_s)
    # It was sent all the same: the user's own limit of requests counts it.
    uncharged = _uncharged(pace, ticket, Load(0, ticket.load.tokens), now_s)
    times_s = _times_s(pace, ticket, now_s)
    pace = _moved(uncharged, gate, _mirrored(uncharged, ticket, told, times_s, now_s), times_s)
    for bucket in pace.buckets:
        limit = bucket.limit
        if limit.unit == refusal.unit and limit.size == refusal.limit and not limit.given:
            reset_s = next((level.reset_s for level in told if level.name == limit.name), None)
            moved = mirror.named(bucket, refusal, ticket.load.of(limit.unit), reset_s, now_s)
            others = [moved if b.limit.name == limit.name else b for b in pace.buckets]
            return attrs.evolve(pace, buckets=tuple(others))
    if refusal.limit is None and any(level.remaining < ticket.load.of(level.unit) for level in told):
        return pace  # the headers say which bucket it was, and it is mirrored by now
    return _hit(pace, ticket, refusal, now_s)


def _hit(pace: Pace, ticket: Ticket, refusal: Refusal, now_s: float) -> Pace:
    """A refusal by a limit that no header tells."""
    unit: Unit = refusal.unit if refusal.limit is not None and refusal.unit is not None else "requests"
    probe = next((p for p in pace.probes if p.unit == unit), Probe(unit))
    unnamed = unit == "requests" and refusal.limit is None
    if unnamed:
        probe = probing.denied(probe)
    if probe.last is not None and ticket.sent_s <= probe.last.now_s:
        moved = probe  # of an episode that is known
    else:
        moved = probing.hit(
            probe,
            Hit(
                sent_s=ticket.sent_s,
                now_s=now_s,
                # Tickets may be taken ahead of their time: those do not count yet.
                spent=(pace.history.until(now_s) - pace.refused).of(unit),
                requested=ticket.load.of(unit),
                wait_s=refusal.wait_s,
                exact=refusal.exact,
                limit=refusal.limit,
                began_s=pace.began_s,
                resumed_s=math.inf if probe.last is None else pace.history.sent_after(probe.last.now_s),
            ),
        )
    if unnamed and moved.phase == "hold":
        moved = probing.explained(moved, _seen(pace, moved))
    return attrs.evolve(pace, probes=(*[p for p in pace.probes if p.unit != unit], moved))


def _seen(pace: Pace, probe: Probe) -> tuple[Seen, ...]:
    """What came of everything sent; nothing where some of it is forgotten, or so much was refused at once
    that it would take too long to look at it again and again."""
    times, _, _ = pace.history.newest(MOST_SEEN)
    at_once = probing.refused_at_once(probe)
    if len(times) < pace.count or len(probe.untaken) >= probing.MOST_UNTAKEN or at_once > MOST_AT_ONCE:
        return ()
    return explaining.seen(times, probe.untaken)


def _uncharged(pace: Pace, ticket: Ticket, given: Load, now_s: float) -> Pace:
    """The state after a request turned out to have been taken from no bucket, and so much of it not
    from the user's own either."""
    return attrs.evolve(
        pace,
        buckets=tuple(
            [
                b.taken(-(given if b.limit.given else ticket.load).of(b.limit.unit), now_s)
                for b in pace.buckets
            ]
        ),
        probes=tuple([_recounted(probe, ticket) for probe in pace.probes]),
        refused=pace.refused + ticket.load,
    )


def _recounted(probe: Probe, ticket: Ticket) -> Probe:
    probe = probing.untaken(probe, ticket.sent_s)
    if probe.last is None or ticket.sent_s > probe.last.now_s:
        return probe
    return probing.recounted(probe, ticket.load.of(probe.unit))


def _times_s(pace: Pace, ticket: Ticket, now_s: float) -> tuple[float, float]:
    """The shortest time an answer took, and how late requests go, this one counted."""
    trip_s = max(SHORTEST_TRIP_S, min(pace.trip_s, now_s - ticket.went_s))
    return trip_s, max(ticket.late_s, pace.late_s * LATE_KEPT)


def _mirrored(
    pace: Pace, ticket: Ticket, told: tuple[Level, ...], times_s: tuple[float, float], now_s: float
) -> tuple[Bucket, ...]:
    """The buckets after an answer told the levels of some."""
    if not told:
        return pace.buckets
    (trip_s, late_s), history, went_s = times_s, pace.history, ticket.went_s
    soon = history.until(went_s + trip_s)
    # What was reserved before may have gone after, by as much as requests are late.
    before = history.until(went_s - trip_s - late_s)
    around = Around(ticket.number, went_s, trip_s, ticket.load, history.total, soon, before)
    buckets = list(pace.buckets)
    for level in told:
        for place, bucket in enumerate(buckets):
            if bucket.limit.name == level.name:
                buckets[place] = mirror.mirrored(bucket, level, around, now_s)
                break
        else:
            buckets.append(mirror.mirrored(_new(pace, level, now_s), level, around, now_s))
    return tuple(buckets)


def _given_back(buckets: tuple[Bucket, ...], tokens: float, now_s: float) -> tuple[Bucket, ...]:
    """The buckets with so many tokens more in the user's own."""
    if not any(bucket.limit.given for bucket in buckets):
        return buckets
    return tuple(
        [b.taken(-tokens, now_s) if b.limit.given and b.limit.unit == "tokens" else b for b in buckets]
    )


def _moved(pace: Pace, gate: Gate, buckets: tuple[Bucket, ...], times_s: tuple[float, float]) -> Pace:
    """The state with these; the same one where nothing is new. `attrs.evolve` would cost a lot more."""
    if gate is pace.gate and buckets is pace.buckets and times_s == (pace.trip_s, pace.late_s):
        return pace
    trip_s, late_s = times_s
    return Pace(
        gate,
        buckets,
        pace.probes,
        pace.history,
        pace.refused,
        pace.count,
        pace.began_s,
        trip_s,
        pace.stagger_s,
        late_s,
    )


def _new(pace: Pace, level: Level, now_s: float) -> Bucket:
    """A bucket that was full when the first request went."""
    used = level.limit - level.remaining
    rates = UNKNOWN if level.reset_s is None else of_reset(used, level.reset_s, level.quantum_s)
    limit = Limit(level.name, level.unit, level.limit, rates)
    charged = (pace.history.total - pace.refused).of(level.unit)
    refilled = limit.rate * (now_s - pace.began_s) if pace.began_s > -math.inf else 0.0
    return Bucket(limit, limit.empty_s(level.limit - charged + refilled, now_s))
