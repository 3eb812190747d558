"""How fast a bucket refills, as what the provider gave away allows: from a slowest to a fastest rate.

No provider tells its rate. It tells what is left in whole numbers, and when the bucket will be full
again; or it refuses, and so gives away that the bucket is empty. Each such sign leaves a range of
rates, and the ranges of many signs overlap in a narrow one.
"""

from __future__ import annotations

import math

import attrs

SLACK_S = 0.004
"""Two moments that were given away may lie so much nearer or farther apart: arrivals vary, and told
times are rounded."""


@attrs.frozen
class Bracket:
    """A rate per second from `slowest` to `fastest`; the ends are possible."""

    slowest: float = 0.0
    fastest: float = math.inf

    def narrowed(self, sign: Bracket) -> Bracket:
        """What both allow; where they exclude each other the limit has changed, and the newer holds."""
        slowest = max(self.slowest, sign.slowest)
        fastest = min(self.fastest, sign.fastest)
        if slowest == self.slowest and fastest == self.fastest:
            return self
        return Bracket(slowest, fastest) if slowest <= fastest else sign


UNKNOWN = Bracket()


def of_reset(used: float, reset_s: float, quantum_s: float) -> Bracket:
    """The rates at which a bucket that lacks `used` is full again after `reset_s`.

    What remains is told in whole numbers, rounded down, so that up to 1 less may be lacking; the time
    is told in steps of `quantum_s`, rounded either way.
    """
    if used <= 0 or reset_s <= 0:
        return UNKNOWN
    shortest_s = reset_s - quantum_s
    fastest = used / shortest_s if shortest_s > 0 else math.inf
    return Bracket(max(0.0, used - 1) / (reset_s + quantum_s), fastest)


@attrs.frozen
class Mark:
    """A moment at which the provider gave away what a bucket held."""

    at_s: float
    """When."""
    spent: float
    """What had been taken from the bucket until then."""
    least: float = 0.0
    """It held at least that."""
    most: float = 1.0
    """And at most that."""
    slack_s: float = SLACK_S
    """The moment may lie so much earlier or later."""


def between(earlier: Mark, later: Mark) -> Bracket:
    """The rates that lead from one mark to the other; the slowest holds even if the bucket was full."""
    elapsed_s = later.at_s - earlier.at_s
    slack_s = max(earlier.slack_s, later.slack_s)
    spent = later.spent - earlier.spent
    if elapsed_s <= slack_s or spent <= 0:
        return UNKNOWN
    slowest = (spent + later.least - earlier.most) / (elapsed_s + slack_s)
    fastest = (spent + later.most - earlier.least) / (elapsed_s - slack_s)
    return Bracket(max(0.0, slowest), fastest) if fastest > 0 else UNKNOWN
