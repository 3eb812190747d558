"""`posterior:P` and `predictive:P`: how probable it is that the leader is ahead, or stays so.

Both look at the leader and the runner-up only, a and b votes, with a uniform prior on the leader's share
of their votes. Both are exact: whole numbers decide.

The posterior is Adaptive-Consistency's Beta rule (Aggarwal et al. 2023): the share is Beta(a+1, b+1), so

    P(share > 1/2) = 1 - sum_{i=0..b} C(n, i) / 2^n,   n = a + b + 1.

It is no promise: looked at again and again, it stops on the wrong answer far more often than 1 - P.

The predictive chance is that the leader is still strictly ahead when the budget ends, with each of the r
runs that are left a vote for one of the two. The leader's share of them is beta-binomial, which is a
hypergeometric tail in disguise (the a-th smallest of old uniform draws among the new ones):

    P(not ahead) = sum_{i=0..b} C(n, i) C(r, k-b+i) / C(n+r, a+k+1),   k = (b+r-a) div 2.

With many runs left it comes near the posterior; it is 1 where no completion helps the runner-up.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import comb

import attrs

from fanin.policy.stopping.rule import LeadRule


def posterior_votes(chance: Fraction, cap: int) -> tuple[int, ...]:
    """For b = 0, 1, ... the smallest a whose posterior is `chance` or more, as far as a + b <= `cap`."""
    needed = []
    lead, second = 0, 0
    n, tail = 1, 1  # tail = C(n, 0) + ... + C(n, second)
    while lead + second <= cap:
        if tail * chance.denominator > (chance.denominator - chance.numerator) << n:
            tail = 2 * tail - comb(n, second)
            n, lead = n + 1, lead + 1
        else:
            needed.append(lead)
            tail = 2 * tail - comb(n, second)
            n, second = n + 1, second + 1
            tail += comb(n, second)
    return tuple(needed)


@attrs.frozen
class Predictive(LeadRule):
    """Stops when the leader still leads at the end with probability `chance` or more."""

    chance: Fraction
    """Above 1/2 and below 1."""

    def settled(self, lead: int, second: int, asked: int) -> bool:
        """Whether the leader stays ahead with that probability."""
        return _stays_ahead(lead, second, self.planned - asked, self.chance)


@lru_cache(maxsize=65536)
def _stays_ahead(lead: int, second: int, left: int, chance: Fraction) -> bool:
    overtaken, total = overtaking(lead, second, left)
    return overtaken * chance.denominator <= (chance.denominator - chance.numerator) * total


def overtaking(lead: int, second: int, left: int) -> tuple[int, int]:
    """The probability that the leader is not strictly ahead after `left` more runs: (part, whole)."""
    n = lead + second + 1
    needed = (second + left - lead) // 2  # with so many further votes it is not ahead, with one more it is
    total = comb(n + left, max(0, lead + needed + 1))
    # The summand, from each to the next by a ratio; the first with a place in the table is the start.
    first = max(0, second - needed)
    if needed < 0 or first > second:
        return 0, total
    term = comb(n, first) * comb(left, needed - second + first)
    part = 0
    for i in range(first, second + 1):
        part += term
        taken = needed - second + i
        term = term * (n - i) * (left - taken) // ((i + 1) * (taken + 1))
    return part, total
