"""`voi`: the value of information. It stops when going on costs more than it is expected to mend.

A wrong winner is worth `LOSS` runs. The next run is a vote for the leader, for the runner-up, or neither
(another answer, or lost), with chances in proportion to the runs that came to each so far, plus 1, 1 and
1/2 (a Polya urn). In each state (asked, leader's votes, runner-up's votes), by backward induction from
the budget's end,

    risk = the chance that the runner-up ends ahead, where a tie at the end counts half,
    cost = min(LOSS * risk, 1 + the mean of the cost after one more run),

and the rule stops where the first is the smaller, or where the posterior of `fanin.policy.stopping.
posterior` is `SURE` or more: so it never asks a run that `posterior:0.95` spares. What a wrong winner is
worth comes from stored votes of several models, where the agreement with the full vote is that rule's but for
0.02 points. It is no promise for other votes.

By symmetry only leads of 0 and more are kept, and none that the runs left cannot turn. The states are
about planned^3/20: 2 ms at 40 runs, 0.2 s at `MOST_RUNS`.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias

import attrs

from fanin.policy.stopping.posterior import posterior_votes
from fanin.policy.stopping.rule import LeadRule

LOSS = 480.0
"""The runs that a wrong winner is worth."""
SURE = Fraction(95, 100)
"""With this posterior it stops, whatever a further run would cost."""
MOST_RUNS = 200
"""The largest budget that a table is built for."""

_NEUTRAL = 0.5

_PAST = [0.0, 0.0, 0.0]
"""Past the end of a column: leads that the runs left cannot turn."""
_Layer: TypeAlias = list[list[float]]
"""By the runner-up's votes, then by the lead over it; 0 past the end, where the lead cannot be turned."""


@attrs.frozen
class ValueOfInformation(LeadRule):
    """Stops when the expected cost of going on is no smaller than that of a wrong winner now."""

    needed: tuple[tuple[int, ...], ...]
    """The leader's votes needed, by the runs asked and then by the runner-up's votes."""

    def settled(self, lead: int, second: int, asked: int) -> bool:
        """Whether the leader has the votes that it needs against this runner-up at this time."""
        return lead >= self.needed[asked][second]


@lru_cache(maxsize=16)
def voi_votes(planned: int) -> tuple[tuple[int, ...], ...]:
    """The leader's votes at which it stops, by the runs asked (0 to `planned`) and the runner-up's votes.

    `planned` is 1 to `MOST_RUNS`.
    """
    sure = posterior_votes(SURE, planned) + (planned + 1,) * planned
    # `loss` is LOSS * risk.
    loss: _Layer = [[LOSS / 2, *_PAST]] * (planned // 2 + 1)
    cost: _Layer = [_PAST] * (planned // 2 + 1)
    table = [tuple(range(1, planned // 2 + 2))]  # with nothing left, any lead will do
    for asked in range(planned - 1, -1, -1):
        loss_after, cost_after = [*loss, _PAST], [*cost, _PAST]
        loss, cost, row = [], [], []
        for second in range(asked // 2 + 1):
            leads = 1 + min(asked - 2 * second, planned - asked)
            now = _after_one_run(loss_after, LOSS - loss_after[second][1], asked, second, leads)
            # From some lead on it stops anyway: not even one more run is worth it, or it is sure.
            worth, most = 1, min(leads, sure[second] - second)
            while worth < most and now[worth] > 1:
                worth += 1
            later = _after_one_run(cost_after, cost_after[second][1], asked, second, worth)
            stop = 1
            while stop < worth and now[stop] > 1 + later[stop]:
                stop += 1
            row.append(second + stop)
            loss.append(now + _PAST)
            cost.append([1 + mean for mean in later[:stop]] + now[stop:] + _PAST)
        table.append(tuple(row))
    return tuple(reversed(table))


def _after_one_run(after: _Layer, turned: float, asked: int, second: int, leads: int) -> list[float]:
    """The mean of `after` over what one more run may come to, for leads 0 to `leads` - 1 over `second`.

    `turned` is what it comes to where the runner-up of a tie takes the lead by one.
    """
    each = 1 / (asked + 2 + _NEUTRAL)
    either = (second + 1) * each
    neither = (asked - 2 * second + _NEUTRAL) * each
    same = after[second]
    less = [turned, *after[second + 1]]
    return [
        either * (same[lead + 1] + less[lead])
        + lead * each * (same[lead + 1] - same[lead])
        + neither * same[lead]
        for lead in range(leads)
    ]
