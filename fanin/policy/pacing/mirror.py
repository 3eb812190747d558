"""A bucket of the provider's, mirrored: how much of a limit is left, and how fast it comes back.

Providers refill continuously: a bucket of `limit` that fills at a rate, from which a request takes
one and a number of tokens. Its level is kept as one number, the moment at which it was empty, so that
the time at which a request fits is a sum.
"""

from __future__ import annotations

import math
from functools import cached_property

import attrs

from fanin.policy.pacing.bracket import UNKNOWN, Bracket, of_reset
from fanin.policy.pacing.load import Load, Unit
from fanin.policy.pacing.noticing import Level, Refusal

MINUTE_S = 60.0
"""The window of a limit that tells no rate: the providers' limits are per minute."""
QUANTUM_S = 0.001
"""The step in which providers tell times."""
CAUTION = 0.3
"""The rate assumed lies this share of the bracket below its fastest end,"""
CAUTION_MOST = 0.01
"""but no more than this share below the fastest."""


@attrs.frozen
class Limit:
    """What is known of one limit. It hardly ever changes, so that what follows from it is kept."""

    name: str
    """The header's ending, or what the text of a refusal named."""
    unit: Unit
    """What it counts."""
    size: float
    """What its bucket holds when full, in that unit; above 0."""
    rates: Bracket = UNKNOWN
    """How fast it may refill."""
    given: bool = False
    """The user's own: no answer changes it."""

    @cached_property
    def rate(self) -> float:
        """The rate assumed: the fastest that agrees with all signs, else the size a minute.

        The fastest, because what remains is told rounded down: the true rate lies near that end. Where
        it is too fast by a little, the next answer corrects the level.
        """
        slowest, fastest = self.rates.slowest, self.rates.fastest
        if not 0 < fastest < math.inf:
            return self.size / MINUTE_S
        return max(fastest - CAUTION * (fastest - slowest), fastest * (1 - CAUTION_MOST))

    @cached_property
    def window_s(self) -> float:
        """How long the whole bucket takes to fill."""
        return self.size / self.rate

    def late_s(self, late_s: float) -> float:
        """How much of a lateness is allowed for: no more than a quarter of the bucket is kept for it."""
        return 0.0 if self.given else min(late_s, self.window_s / 4)

    def empty_s(self, level: float, now_s: float) -> float:
        """When its bucket was empty, where it holds `level` now."""
        return now_s - min(level, self.size) / self.rate

    def told(self, level: Level) -> Limit:
        """The limit after an answer that tells it; the same one where it tells nothing new."""
        rates = self.rates if level.limit == self.size else UNKNOWN
        if level.reset_s is not None:
            rates = rates.narrowed(of_reset(level.limit - level.remaining, level.reset_s, level.quantum_s))
        if rates is self.rates and level.limit == self.size:
            return self
        return Limit(self.name, self.unit, level.limit, rates, self.given)


@attrs.frozen
class Bucket:
    """How much of a limit is left. Times are seconds, amounts are of its unit."""

    limit: Limit
    """The limit."""
    empty_s: float = -math.inf
    """When it held nothing, at the rate now assumed; far in the past where it is full."""
    heard: int = 0
    """The number of the newest request whose answer was mirrored."""

    def level(self, now_s: float) -> float:
        """What it holds; negative where more was taken."""
        limit = self.limit
        return min(limit.size, (now_s - self.empty_s) * limit.rate)

    def ready_s(self, amount: float) -> float:
        """When it holds `amount`; for more than it ever holds, when it is full."""
        limit = self.limit
        return self.empty_s + min(amount, limit.size) / limit.rate

    def taken(self, amount: float, now_s: float, late_s: float = 0.0) -> Bucket:
        """The bucket with so much less; what may arrive so late finds one that is no fuller than its size
        by then, so that what comes back meanwhile may be lost."""
        limit = self.limit
        full_s = now_s - limit.window_s
        least_s = full_s + limit.late_s(late_s) if late_s and limit.size >= 2 * amount else full_s
        return Bucket(limit, max(max(self.empty_s, least_s) + amount / limit.rate, full_s), self.heard)

    def holding(self, level: float, now_s: float) -> Bucket:
        """The bucket with that level."""
        return Bucket(self.limit, self.limit.empty_s(level, now_s), self.heard)


@attrs.frozen
class Around:
    """What was sent about the time of a request, as far as it bears on what its answer tells."""

    number: int
    """The how-manieth request it was."""
    sent_s: float
    """When it was sent."""
    trip_s: float
    """It arrived at most so much later."""
    load: Load
    """What it took."""
    total: Load
    """Everything sent until now."""
    soon: Load
    """Of that, what may have arrived no later than the request, itself included: the rest came after it."""
    before: Load
    """And what certainly arrived before it: the rest may have come after it."""


def mirrored(bucket: Bucket, told: Level, around: Around, now_s: float) -> Bucket:
    """The bucket after an answer that tells its level as it was when the request arrived.

    The level of that moment is brought forward to now: less what was sent since, plus what was
    refilled. Both are known within bounds, so the present level is too, and the mirror is moved into
    those bounds and no further. An answer to a request sent before the newest one heard tells nothing
    new of the level.
    """
    limit, fresh = bucket.limit.told(told), around.number > bucket.heard
    level = bucket.level(now_s)
    if limit.size != bucket.limit.size:
        level += limit.size - bucket.limit.size
    if fresh:
        least, most = _bounds(limit, told, around, now_s)
        level = min(max(level, least), most)
    return Bucket(limit, limit.empty_s(level, now_s), around.number if fresh else bucket.heard)


def _bounds(limit: Limit, told: Level, around: Around, now_s: float) -> tuple[float, float]:
    """The least and the most that the bucket may hold now."""
    rates, elapsed_s = limit.rates, now_s - around.sent_s
    least, most = told.remaining, min(told.remaining + 1, limit.size)
    if told.reset_s is not None and 0 < rates.fastest < math.inf:
        # The time to full is told finer than what remains.
        least = max(least, limit.size - rates.fastest * (told.reset_s + told.quantum_s))
        most = max(least, min(most, limit.size - rates.slowest * (told.reset_s - told.quantum_s)))
    total = around.total.of(limit.unit)
    now_most = most - (total - around.soon.of(limit.unit)) + limit.rate * elapsed_s
    # A bucket that may have been full since has lost what it could not hold: no lower bound then.
    if told.reset_s is None or elapsed_s >= told.reset_s:
        return -math.inf, now_most
    refilled = rates.slowest * max(0.0, elapsed_s - around.trip_s)
    perhaps_after = total - around.before.of(limit.unit) - around.load.of(limit.unit)
    return least - perhaps_after + refilled, now_most


def named(bucket: Bucket, told: Refusal, requested: float, reset_s: float | None, now_s: float) -> Bucket:
    """The bucket after a refusal by it, of a request for `requested`, that told when it is full again.

    An exact wait gives away when the bucket will hold the request, and with the time to full its rate.
    """
    limit = bucket.limit
    requested = min(told.requested or requested, limit.size)
    wait_s = told.wait_s
    if wait_s is None or not told.exact:
        return bucket.holding(min(bucket.level(now_s), requested), now_s)
    if reset_s is not None and reset_s > wait_s + 4 * QUANTUM_S and limit.size > requested:
        rest, rest_s = limit.size - requested, reset_s - wait_s
        sign = Bracket(rest / (rest_s + 2 * QUANTUM_S), rest / (rest_s - 2 * QUANTUM_S))
        limit = attrs.evolve(limit, rates=limit.rates.narrowed(sign))
    return Bucket(limit, limit.empty_s(requested - wait_s * limit.rate, now_s), bucket.heard)
