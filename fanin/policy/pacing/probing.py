"""A limit that no header tells: found by asking ever faster, and from where the provider refuses.

| phase | pace | a request that had to wait raises it |
| --- | --- | --- |
| start | 4 at once, then ever more | so that it doubles each `START_S` |
| search, from a hit on | a quarter of the fastest that it leaves | so that it doubles each `SEARCH_S` |
| hold, from the next hit on | what the bracket of rates allows | after a long calm, by a little |

The start grows on silence, not on success: refusals come within a round trip and answers take
seconds, so a request that is not refused counts as admitted.

A hit gives away that the bucket is empty, so two hits bracket its rate: what was admitted between
them, give or take one, over the time. Where a hit is cheap, the hold keeps to the fastest rate of the
bracket: it hits again when the excess has added up to one request, each time later, and the bracket
is each time half as wide. Where a hit is dear (the bucket is full again long before the wait is
over, so that the wait is lost), it keeps to the middle.

From the second hit on, the bracket is what `explaining` finds in everything sent so far, where it finds
something: it is far narrower, above all for small buckets and where the search began too low.

A text that names the limit ("Limit 30, Used 30, Requested 1. Please try again in 1.2s") spares the
search: the bucket was full when the first request went, and will hold one in 1.2 s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import attrs

from fanin.policy.pacing import explaining
from fanin.policy.pacing.bracket import UNKNOWN, Bracket, Mark, between
from fanin.policy.pacing.explaining import Seen, Untaken
from fanin.policy.pacing.load import Unit

AT_ONCE = 4.0
"""Requests that go at once before anything is known."""
START_S = 1 / 16
"""The start doubles its pace in this time."""
SEARCH_S = 0.5
"""The search doubles its pace in this time."""
SEARCH_FROM = 1 / 4
"""The search begins at this share of the fastest rate that the first hit leaves."""
UNTOLD_PER_S = 4.0
"""Where the first hit leaves every rate and tells no wait, the search begins here."""
MINUTE_S = 60.0
"""The window of a limit whose text tells how much it holds, but not how fast it refills."""
MOST_SILENCE_S = 60.0
"""One request is tried this often at least, where no told wait forbids it."""
MISCOUNT = 2.0
"""Two stretches that end with a hit may differ by so much in what they admitted."""
SHORTEST_WINDOW_S = 0.25
"""No bucket is taken to fill faster than in this time."""
SURE = 0.25
"""A pause that brings in less than this share of the bucket has not filled it."""
CALM_REQUESTS = 30.0
"""The hold tries a faster pace after it has let so many requests go without a hit,"""
CALM_S = 10.0
"""or after this time where the bracket is narrow,"""
CALM_WAITS = 5.0
"""and so many times the told wait later where a hit is dear,"""
CALM_LOST = 30.0
"""and the time that such a hit loses."""
FASTER = 0.05
"""It is then raised by this share a request, and more as the calm goes on;"""
FASTER_DEAR = 0.02
"""by this where a hit is dear."""
FASTEST = 1000.0
"""No rate above this is looked for."""
MOST_UNTAKEN = 256
"""So many requests that took nothing are remembered."""


Phase: TypeAlias = Literal["start", "search", "hold"]


@attrs.frozen
class Hit:
    """A refusal that opened an episode, and what was sent about that time. Times in seconds."""

    sent_s: float
    """When the request was sent."""
    now_s: float
    """When its refusal came."""
    spent: float
    """What had been admitted until then, of what the limit counts."""
    requested: float = 1.0
    """What the request asked for."""
    wait_s: float | None = None
    """The wait that was told."""
    exact: bool = False
    """Whether the wait ends just when the request fits."""
    limit: float | None = None
    """What the bucket holds, where the refusal tells it."""
    began_s: float = -math.inf
    """When the first request of all was sent."""
    resumed_s: float = math.inf
    """When the first request after the last hit was sent."""


@attrs.frozen
class Probe:
    """The pace found so far. Times are seconds, rates are per second."""

    unit: Unit = "requests"
    """What the limit counts."""
    phase: Phase = "start"
    """How far the search has come."""
    rate: float = AT_ONCE * math.log(2) / START_S
    """The pace now."""
    limit: float = AT_ONCE
    """So much may go at once after a pause."""
    empty_s: float = -math.inf
    """When nothing may go at all, at the pace now; far in the past after a pause."""
    rates: Bracket = UNKNOWN
    """The rates that no hit excludes."""
    mark: Mark | None = None
    """The last moment at which the level was given away."""
    base: Mark | None = None
    """A moment since when the bucket cannot have been full, so that nothing it got was lost."""
    full: Mark | None = None
    """The last request went from a full bucket: the next `base`, if it is not refused."""
    first: Mark | None = None
    """The first such moment; its time counts from the first request."""
    last: Hit | None = None
    """The last hit."""
    before: Probe | None = None
    """The probe before the last hit."""
    untaken: tuple[Untaken, ...] = ()
    """The requests that took nothing, oldest first."""

    def level(self, now_s: float) -> float:
        """So much may go now; negative where more went."""
        return min(self.limit, (now_s - self.empty_s) * self.rate)

    def ready_s(self, amount: float) -> float:
        """When so much may go."""
        return self.empty_s + min(amount, self.limit) / self.rate


def passed(
    probe: Probe, amount: float, spent: float, now_s: float, *, previous_s: float, doubling_s: float = START_S
) -> Probe:
    """The probe after `amount` went, when `spent` was admitted before, the last of it at `previous_s`.

    `doubling_s` is for the start alone.
    """
    level = probe.level(now_s)
    bound = level < 2 * amount
    rate, rates, base, full = probe.rate, probe.rates, probe.base, None
    if probe.phase == "start":
        rate += math.log(2) / doubling_s if bound else 0.0
    elif probe.phase == "search":
        rate += min(math.log(2) / SEARCH_S, rate) if bound else 0.0
    else:
        base, full = probe.full or base, None
        if level >= probe.limit * (1 - 1e-9):
            # A full bucket loses what it cannot hold: the rate is measured from here on.
            doubt = min(amount, probe.limit - amount)
            full = Mark(now_s, spent, probe.limit - doubt, probe.limit + doubt)
        rates = _unrefused(probe, amount, spent, previous_s, bound)
        if rates.fastest > probe.rates.fastest:
            full = Mark(now_s, spent, amount, math.inf)
        rate = _held(rates, probe)
    empty_s = now_s - (level - amount) / rate
    return Probe(
        probe.unit,
        probe.phase,
        rate,
        probe.limit,
        empty_s,
        rates,
        probe.mark,
        base,
        full,
        probe.first,
        probe.last,
        probe.before,
        probe.untaken,
    )


def _unrefused(probe: Probe, amount: float, spent: float, now_s: float, bound: bool) -> Bracket:
    """The bracket, as raised by what went since the last hit without a refusal."""
    mark, rates = probe.mark, probe.rates
    assert mark is not None
    assert probe.last is not None
    elapsed_s = now_s - mark.at_s
    if elapsed_s <= 0 or math.isinf(rates.fastest):
        return rates
    here = Mark(now_s, spent, 0.0, math.inf, mark.slack_s)
    proven = between(mark, here).slowest
    if probe.base is not None and probe.base.most <= amount:
        last = Mark(now_s, spent - amount, amount, math.inf)
        proven = max(proven, between(probe.base, last).slowest)
    slowest = max(rates.slowest, min(proven, rates.fastest))
    fastest = rates.fastest
    calm_s = max(CALM_REQUESTS * amount / probe.rate, min(CALM_S, 3 * amount / max(fastest - slowest, 1e-9)))
    faster = FASTER
    if not _cheap(probe, probe.last):
        faster = FASTER_DEAR
        wait_s = probe.last.wait_s or 0.0
        calm_s += CALM_WAITS * wait_s + CALM_LOST * max(0.0, wait_s - probe.limit / probe.rate)
    over_s = now_s - probe.last.now_s - calm_s
    if bound and over_s > 0:
        fastest *= 1 + min(faster * (1 + over_s / calm_s), 0.2 * over_s * amount / probe.rate)
    if slowest == rates.slowest and fastest == rates.fastest:
        return rates
    return Bracket(slowest, fastest)


def _held(rates: Bracket, probe: Probe, hit: Hit | None = None) -> float:
    """The pace of the hold."""
    last = hit or probe.last
    assert last is not None
    if not 0 < rates.fastest < math.inf:
        return probe.limit / MINUTE_S
    middle = math.sqrt(max(rates.slowest, rates.fastest / 4) * rates.fastest)
    return max(rates.fastest if _cheap(probe, last) else middle, last.requested / MOST_SILENCE_S)


def _cheap(probe: Probe, last: Hit) -> bool:
    """Whether a hit costs next to nothing: the bucket is not full again before the wait is over."""
    lost_s = (last.wait_s or 0.0) * min(probe.rates.fastest, 1e9)
    return probe.limit >= max(3 * last.requested, lost_s)


def hit(probe: Probe, new: Hit) -> Probe:
    """The probe after a hit."""
    mark = _mark(new)
    if probe.mark is not None and new.spent <= probe.mark.spent:
        return _nothing_admitted(probe, new)
    first = probe.first or attrs.evolve(mark, at_s=mark.at_s - new.began_s)
    limit, base = new.limit or probe.limit, probe.base
    if probe.mark is None or base is None:
        full = 1.0 if new.limit is None else new.limit
        base = Mark(new.began_s, 0.0, full, math.inf if new.limit is None else full, mark.slack_s)
        sign = between(base, mark)
        limit = new.limit or new.requested
        base = mark if new.limit is None else base
    else:
        sign, limit = _sign(probe, first, mark, new)
        limit = new.limit or limit
        if probe.phase == "search":
            base = mark
    if probe.phase != "start" and not _cheap(attrs.evolve(probe, limit=limit), new):
        base = Mark(new.now_s + (new.wait_s or 0.0), new.spent, new.requested, max(limit, new.requested))
    rates = probe.rates.narrowed(sign)
    if rates is sign and probe.rates is not UNKNOWN:
        base = mark
    phase: Phase = "search" if probe.phase == "start" and new.limit is None else "hold"
    fresh = Probe(
        probe.unit,
        phase,
        1.0,
        limit,
        0.0,
        rates,
        mark,
        base,
        None,
        first,
        new,
        attrs.evolve(probe, before=None),
        probe.untaken,
    )
    rate = _search_from(rates, new.wait_s) if phase == "search" else _held(rates, fresh)
    return attrs.evolve(fresh, rate=rate, empty_s=_empty_s(new, limit, rates, rate))


def _empty_s(new: Hit, limit: float, rates: Bracket, rate: float) -> float:
    """When the bucket was empty, so that after the told wait it holds what the wait brought in.

    At the slowest rate: the burst after the pause must not hit again.
    """
    wait_s = new.wait_s or 0.0
    most = max(limit - new.requested, new.requested)
    level = min(most, max(rates.slowest * wait_s, new.requested if wait_s else 0.0))
    return new.now_s + wait_s - level / rate


def _mark(new: Hit) -> Mark:
    slack_s = (new.now_s - new.sent_s) / 2 + 0.001
    if new.wait_s is not None and new.exact:
        return Mark(new.sent_s + new.wait_s, new.spent, new.requested, new.requested, slack_s)
    if new.wait_s is not None and new.wait_s >= 2:
        # Rounded up to whole seconds.
        return Mark(new.sent_s + new.wait_s - 0.5, new.spent, new.requested, new.requested, slack_s + 0.5)
    return Mark(new.sent_s, new.spent, 0.0, new.requested, slack_s)


def _sign(probe: Probe, first: Mark, mark: Mark, new: Hit) -> tuple[Bracket, float]:
    """The rates since the last hit, and the limit, as seen from this one."""
    assert probe.mark is not None
    assert probe.last is not None
    assert probe.base is not None
    if probe.phase == "search":
        return _first_sign(probe, first, mark, new, between(probe.mark, mark))
    since = mark.spent - probe.base.spent
    if new.requested < probe.base.most < math.inf and since <= probe.limit - 0.5 and new.limit is None:
        return UNKNOWN, max(new.requested, since)
    sign = between(probe.base, mark)
    fastest = sign.fastest
    if not _cheap(probe, new):
        fastest = min(fastest, probe.rate)
    slowest = max(sign.slowest, between(probe.mark, mark).slowest)
    if fastest < probe.rates.slowest * 1.02:
        fastest = min(fastest, probe.rates.slowest * 0.99)
    return Bracket(min(fastest, slowest), fastest), probe.limit


def _first_sign(probe: Probe, first: Mark, mark: Mark, new: Hit, sign: Bracket) -> tuple[Bracket, float]:
    """The rates and the limit as seen from the second hit, the first that closes a stretch of time.

    At the first hit the bucket had given `first.spent` in `first.at_s`: its limit, and what came back.
    """
    assert probe.mark is not None
    since = mark.spent - probe.mark.spent
    rate = since / max(mark.at_s - probe.mark.at_s, 1e-3)
    limit = max(1.0, first.spent - rate * first.at_s)
    resumed_s = min(new.resumed_s, mark.at_s)
    if rate * (resumed_s - probe.mark.at_s) <= limit * SURE:
        return sign, limit
    fastest = _fastest_if_full(first, since, mark.at_s - resumed_s)
    return Bracket(sign.slowest, max(sign.fastest, fastest)), limit


def _fastest_if_full(first: Mark, since: float, burst_s: float) -> float:
    """The fastest rate at which the bucket may have been full before the pause was over.

    If it was, it gave `since` in `burst_s` just as it gave `first.spent` in `first.at_s` to begin with:
    in both cases its limit, and what came back meanwhile. 0 where that cannot be.
    """
    longer_s = first.at_s - burst_s
    more = first.spent - since if longer_s > 0 else since - first.spent
    plausible = since / SHORTEST_WINDOW_S
    if more + MISCOUNT <= 0:
        return 0.0
    return min(plausible, (more + MISCOUNT) / abs(longer_s)) if longer_s else plausible


def _search_from(rates: Bracket, wait_s: float | None) -> float:
    told_rate = 1 / wait_s if wait_s else 0.0
    if math.isinf(rates.fastest):
        return told_rate or UNTOLD_PER_S
    return max(told_rate, rates.fastest * SEARCH_FROM, 1 / MOST_SILENCE_S)


def _nothing_admitted(probe: Probe, new: Hit) -> Probe:
    """Refused again and again: as much time as since the first of these hits passes before the next.

    But no more than the wait that is told, which the gate lengthens, or `MOST_SILENCE_S` where none is.
    """
    assert probe.mark is not None
    fastest = new.requested / max(new.now_s - probe.mark.at_s, 1e-3)
    rates = probe.rates.narrowed(Bracket(0.0, fastest))
    rate = max(min(probe.rate, fastest / 1.5), new.requested / (new.wait_s or MOST_SILENCE_S))
    return attrs.evolve(
        probe, rate=rate, empty_s=new.now_s, rates=rates, last=new, before=attrs.evolve(probe, before=None)
    )


def recounted(probe: Probe, amount: float) -> Probe:
    """The probe after so much, sent before the last hit was noticed, was refused as well."""
    if probe.before is None or probe.last is None:
        return probe
    again = hit(probe.before, attrs.evolve(probe.last, spent=probe.last.spent - amount))
    return attrs.evolve(again, empty_s=max(again.empty_s, probe.empty_s), untaken=probe.untaken)


def untaken(probe: Probe, at_s: float) -> Probe:
    """The probe after a request that was sent at that time turned out to have taken nothing."""
    return attrs.evolve(probe, untaken=(*probe.untaken, Untaken(at_s, refused=False))[-MOST_UNTAKEN:])


def denied(probe: Probe) -> Probe:
    """The probe where the last request that took nothing was refused by its limit."""
    *others, last = probe.untaken
    return attrs.evolve(probe, untaken=(*others, Untaken(last.at_s, refused=True)))


def refused_at_once(probe: Probe) -> int:
    """How many requests were refused in the last episode."""
    if probe.last is None:
        return 0
    since_s = min(probe.last.resumed_s, probe.last.sent_s)
    return sum(one.refused and one.at_s >= since_s for one in probe.untaken)


def explained(probe: Probe, seen: Sequence[Seen]) -> Probe:
    """The probe with the rates that explain everything seen, where there are such rates."""
    if probe.last is None or not seen:
        return probe
    rates = explaining.rates(seen, Bracket(1 / MOST_SILENCE_S, FASTEST))
    if rates is None:
        return probe
    size = explaining.sizes(seen, math.sqrt(rates.slowest * rates.fastest)).least
    moved = attrs.evolve(probe, rates=rates, limit=max(size, probe.last.requested))
    rate = _held(rates, moved)
    return attrs.evolve(moved, rate=rate, empty_s=_empty_s(probe.last, moved.limit, rates, rate))
