"""`certified:ALPHA`: an anytime-valid certificate that the leader is the one most common answer.

The ensemble gives answer i with chance p_i, runs are drawn independently, and neither the chances nor
the number of possible answers is known. For a votes of the leader and b of the runner-up, b = 0 while no
other answer was seen,

    E(a, b) = (64/15) 2^(a+b) Int_{1/2}^{1} t^(a+3) (1-t)^b dt
            = 4 sum_{i=b+1..n} C(n, i) / (15 n C(n-1, b)),   n = a + b + 4,

a likelihood ratio against a fair coin, mixed over Beta(4, 1) cut to (1/2, 1]. It grows with a and falls
with b. The rule certifies when E(leader, runner-up) >= c. Why that errs with probability ALPHA at most,
however often one looks:

1. Sort p_1 >= p_2 >= ...; to certify the answer j of rank r is wrong where a better or equal one k
   exists (ties: rank 1 too). It needs E(n_j, n_k) >= c against every k, so against all r - 1 better
   ones: an intersection, not a union over rivals; and an unseen answer is a rival with no vote.
2. Only the draws in the top r matter. There P(j) <= 1/r, and the votes of the better ones together are
   at most (r - 1) beta(n_j), where beta(a) is the largest b with E(a, b) >= c. So P(certify rank r) is at
   most pi_r, the chance that a walk of `cap` draws, each for j with chance 1/r, ever comes to that. (It
   grows with the chance for j, so 1/r is the worst case.)
3. The union is over the answer that is certified: P(wrong) <= 2 pi_2 + pi_3 + pi_4 + ..., for any
   chances and any number of answers, ties included. By Ville's inequality pi_2 <= 1/c for any cap.
4. Each pi_r is a dynamic programme free of the chances, and past some R the rest has a closed bound:
   `error_bound` computes all of it.

Up to `FITTED_RUNS` runs, c is the smallest multiple of 1/(50 ALPHA) whose bound for that very number of
runs is ALPHA at most. Past it, c = 2/ALPHA, which was checked by the same bound up to 1000 runs: for
every ALPHA up to 0.05 and for 0.1 itself; any other ALPHA is certified at the next smaller of these.

What is certified is the ensemble's mode, not the truth, and only of draws in random order: members
that are asked in blocks can be certified wrongly every time.

Sources: Ville 1939 (the inequality); Robbins 1970 (mixtures of likelihood ratios). The neighbour is
PPR-1v1 of Jain et al. 2022, which has to know the number of answers.
"""

from __future__ import annotations

from bisect import bisect_left
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate, count
from math import comb

import attrs

from fanin.policy.stopping.rule import Seen, Threshold

MOST_ALPHA = Fraction(1, 5)
"""A certificate at a larger error is not worth its name."""
FITTED_RUNS = 200
"""Up to this budget the constant is fitted to the budget; past it, it is 2/ALPHA."""
_STEPS = 50
"""The fitted constant is a multiple of 1 / (_STEPS * ALPHA)."""
_MOST_STEPS = 500
"""Larger constants are not tried: 10 / ALPHA."""
_ROUNDING = Fraction(10**9 - 1, 10**9)
"""Leaves room for the rounding of the bound, which is computed in floats."""


@attrs.frozen
class Certified(Threshold):
    """Stops when it is certified, at error `alpha`, that the leader is the one most common answer."""

    alpha: Fraction
    """The chance, at most, that the vote stops for an answer that is not the one most common."""

    def remark(self, seen: Seen, *, shuffled: bool) -> str:
        """What a verdict says of the certificate; `shuffled`: the members were asked in random order."""
        if not shuffled:
            return "Not certified: the members were asked in a fixed order."
        if not self.satisfied(seen):
            return f"Not certified: {seen.asked} runs did not settle it at error {float(self.alpha):g}."
        return (
            f"Certified at error {float(self.alpha):g}: the answer with the most votes is the most common one"
            " of this ensemble, which does not make it the truth."
        )


@lru_cache(maxsize=256)
def certified_votes(alpha: Fraction, cap: int) -> tuple[int, ...]:
    """The votes the leader needs, by the runner-up's, for error `alpha` within `cap` runs (1 to 1000).

    Empty where `cap` runs can never certify. `alpha` is above 0 and at most `MOST_ALPHA`.
    """
    if cap > FITTED_RUNS:
        return votes_needed(2 / _checked(alpha), cap)

    def votes(step: int) -> tuple[int, ...]:
        return votes_needed(step / (_STEPS * alpha), cap)

    def smallest(least: int, rest: float) -> int:
        """The smallest step, `least` or more, at which 2 pi_2 + `rest` is at most `alpha`."""

        def holds(step: int) -> bool:
            needed = votes(step)
            return not needed or 2 * hitting_chance(2, needed, cap) + rest <= alpha * _ROUNDING

        return bisect_left(range(_MOST_STEPS), True, lo=least, key=holds)

    step = smallest(1, 0.0)
    if not votes(step):
        return ()
    # The ranks from 3 on are costly, and a larger constant only makes them rarer: once is enough.
    step = smallest(step, worse_ranks(votes(step), cap, alpha))
    return votes(step) if step < _MOST_STEPS else ()


def least_runs(alpha: Fraction) -> int:
    """The smallest budget that can certify at error `alpha`."""
    return next(cap for cap in count(1) if certified_votes(alpha, cap))


def error_bound(needed: tuple[int, ...], cap: int, alpha: Fraction) -> float:
    """The proof's bound on P(wrong certificate) within `cap` runs; exact up to alpha/200 for the tail."""
    return 2 * hitting_chance(2, needed, cap) + worse_ranks(needed, cap, alpha)


def votes_needed(constant: Fraction, cap: int) -> tuple[int, ...]:
    """For b = 0, 1, ... the smallest a with E(a, b) >= `constant`, as far as a + b <= `cap`. Exact."""
    needed: list[int] = []
    lead, second = 0, 0
    n, tail = 4, 15  # tail = C(n, second + 1) + ... + C(n, n)
    while True:
        while 4 * tail * constant.denominator < constant.numerator * 15 * n * comb(n - 1, second):
            tail = 2 * tail + comb(n, second)
            n, lead = n + 1, lead + 1
            if lead + second > cap:
                return tuple(needed)
        needed.append(lead)
        tail = 2 * tail + comb(n, second)
        n, second = n + 1, second + 1
        tail -= comb(n, second)
        if lead + second > cap:
            return tuple(needed)


def hitting_chance(rank: int, needed: tuple[int, ...], cap: int) -> float:
    """pi_r: the chance that the answer of that rank (2 or more), at a tie of the top `rank`, is certified.

    The walk is followed from vote to vote of that answer: `others[i]` is the chance of standing at
    `low + i` votes for the better ones just after its latest vote, never certified before.
    """
    chance = 1 / rank
    lead = needed[0]
    most = (rank - 1) * (len(needed) - 1)  # from more votes for the others no way leads to a certificate
    others = [chance**lead]
    for votes in range(1, min(most, cap - lead) + 1):
        others.append(others[-1] * (lead + votes - 1) / votes * (1 - chance))
    hit, low, second = 0.0, 0, 0
    while others:
        while second + 1 < len(needed) and needed[second + 1] <= lead:
            second += 1
        certified = max(0, (rank - 1) * second + 1 - low)
        hit += sum(others[:certified])
        low += certified
        lead += 1
        room = max(0, min(most, cap - lead) + 1 - low)
        reached = accumulate(others[certified:], lambda chance_here, new: chance_here * (1 - chance) + new)
        others = [chance * here for here in reached][:room]
    return hit


def worse_ranks(needed: tuple[int, ...], cap: int, alpha: Fraction) -> float:
    """pi_3 + pi_4 + ...: term by term until a bound on all that follow is below alpha/200, and that."""
    total = 0.0
    for rank in count(3):
        total += hitting_chance(rank, needed, cap)
        rest = _ranks_after(rank, needed, cap)
        if rest < alpha / 200:
            return total + rest
    raise AssertionError("the bound falls to 0")


def _ranks_after(rank: int, needed: tuple[int, ...], cap: int) -> float:
    """At least pi_r summed over r > `rank`: the answer either has the first votes, or draws `again` of them.

    pi_r <= r^-first + C(cap, again) r^-again, each summed as an integral.
    """
    first = needed[0]
    rest: float = rank ** (1.0 - first) / (first - 1)
    if len(needed) > 1:
        again = needed[1]
        rest += comb(cap, again) * rank ** (1.0 - again) / (again - 1)
    return rest


def _checked(alpha: Fraction) -> Fraction:
    """The largest error, `alpha` at most, at which 2/ALPHA was checked up to 1000 runs."""
    twentieth, tenth = Fraction(1, 20), Fraction(1, 10)
    if alpha < tenth:
        return min(alpha, twentieth)
    return tenth
