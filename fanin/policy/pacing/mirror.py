"""A bucket of the provider's, mirrored: how much of a limit is left, and how fast it comes back.

Providers refill continuously: a bucket of `limit` that fills at a rate, from which a request takes
one and a number of tokens. Its level is kept as one number, the moment at which it was empty, so that
the time at which a request fits is a sum.
"""

from __future__ import annotations

import math

import attrs

from fanin.policy.pacing.bracket import UNKNOWN, Bracket, of_reset
from fanin.policy.pacing.load import Unit
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
class Bucket:
    """What is known of one limit. Times are seconds, amounts are of `unit`."""

    name: str
    """The header's ending, or what the text of a refusal named."""
    unit: Unit
    """What it counts."""
    limit: float
    """What it holds when full; above 0."""
    rates: Bracket = UNKNOWN
    """How fast it may refill."""
    empty_s: float = -math.inf
    """When it held nothing, at the rate now assumed; far in the past where it is full."""
    heard: int = 0
    """The number of the newest request whose answer was mirrored."""
    given: bool = False
    """The user's own limit: no answer changes it."""

    @property
    def rate(self) -> float:
        """The rate assumed: the fastest that agrees with all signs, else the limit a minute.

        The fastest, because what remains is told rounded down: the true rate lies near that end. Where
        it is too fast by a little, the next answer corrects the level.
        """
        slowest, fastest = self.rates.slowest, self.rates.fastest
        if not 0 < fastest < math.inf:
            return self.limit / MINUTE_S
        return max(fastest - CAUTION * (fastest - slowest), fastest * (1 - CAUTION_MOST))

    @property
    def window_s(self) -> float:
        """How long the whole bucket takes to fill."""
        return self.limit / self.rate

    def level(self, now_s: float) -> float:
        """What it holds; negative where more was taken."""
        return min(self.limit, (now_s - self.empty_s) * self.rate)

    def ready_s(self, amount: float) -> float:
        """When it holds `amount`; for more than it ever holds, when it is full."""
        return self.empty_s + min(amount, self.limit) / self.rate

    def taken(self, amount: float, now_s: float) -> Bucket:
        """The bucket with so much less."""
        return self.holding(self.level(now_s) - amount, now_s)

    def holding(self, level: float, now_s: float) -> Bucket:
        """The bucket with that level."""
        empty_s = now_s - min(level, self.limit) / self.rate
        return Bucket(self.name, self.unit, self.limit, self.rates, empty_s, self.heard, self.given)


@attrs.frozen
class Around:
    """What was sent about the time of a request, as far as it bears on what its answer tells."""

    number: int
    """The how-manieth request it was."""
    sent_s: float
    """When it was sent."""
    trip_s: float
    """It arrived at most so much later."""
    certainly_after: float
    """What was sent so late that it arrived after the request."""
    perhaps_after: float
    """What may have arrived after it, the certain ones included."""


def mirrored(bucket: Bucket, told: Level, around: Around, now_s: float) -> Bucket:
    """The bucket after an answer that tells its level as it was when the request arrived.

    The level of that moment is brought forward to now: less what was sent since, plus what was
    refilled. Both are known within bounds, so the present level is too, and the mirror is moved into
    those bounds and no further. An answer to a request sent before the newest one heard tells nothing
    new of the level.
    """
    limit = told.limit
    rates = bucket.rates if limit == bucket.limit else UNKNOWN
    if told.reset_s is not None:
        rates = rates.narrowed(of_reset(limit - told.remaining, told.reset_s, told.quantum_s))
    level = min(limit, bucket.level(now_s) + limit - bucket.limit)
    heard = bucket.heard
    fresh = Bucket(bucket.name, bucket.unit, limit, rates, bucket.empty_s, heard, bucket.given)
    if around.number > heard:
        heard = around.number
        level = _within(level, *_bounds(fresh, told, around, now_s))
    empty_s = now_s - min(level, limit) / fresh.rate
    return Bucket(bucket.name, bucket.unit, limit, rates, empty_s, heard, bucket.given)


def _within(level: float, least: float, most: float) -> float:
    return min(max(level, least), most)


def _bounds(bucket: Bucket, told: Level, around: Around, now_s: float) -> tuple[float, float]:
    rates, elapsed_s = bucket.rates, now_s - around.sent_s
    least, most = told.remaining, min(told.remaining + 1, bucket.limit)
    if told.reset_s is not None and 0 < rates.fastest < math.inf:
        # The time to full is told finer than what remains.
        least = max(least, bucket.limit - rates.fastest * (told.reset_s + told.quantum_s))
        most = max(least, min(most, bucket.limit - rates.slowest * (told.reset_s - told.quantum_s)))
    now_most = most - around.certainly_after + bucket.rate * elapsed_s
    # A bucket that may have been full since has lost what it could not hold: no lower bound then.
    full_since = told.reset_s is None or elapsed_s >= told.reset_s
    slowest = rates.slowest
    if full_since:
        return -math.inf, now_most
    refilled = slowest * max(0.0, elapsed_s - around.trip_s)
    return least - around.perhaps_after + refilled, now_most


def named(bucket: Bucket, told: Refusal, requested: float, reset_s: float | None, now_s: float) -> Bucket:
    """The bucket after a refusal by it, of a request for `requested`, that told when it is full again.

    An exact wait gives away when the bucket will hold the request, and with the time to full its rate.
    """
    requested = min(told.requested or requested, bucket.limit)
    wait_s = told.wait_s
    if wait_s is None or not told.exact:
        return bucket.holding(min(bucket.level(now_s), requested), now_s)
    if reset_s is not None and reset_s > wait_s + 4 * QUANTUM_S and bucket.limit > requested:
        rest, rest_s = bucket.limit - requested, reset_s - wait_s
        sign = Bracket(rest / (rest_s + 2 * QUANTUM_S), rest / (rest_s - 2 * QUANTUM_S))
        bucket = attrs.evolve(bucket, rates=bucket.rates.narrowed(sign))
    return bucket.holding(requested - wait_s * bucket.rate, now_s)
