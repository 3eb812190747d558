"""How a cascade is expected to go before anything is asked: how often each tier is, and what it takes.

Every tier is taken to meet the same question, with the same share of runs that give the common answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from fanin.policy.escalating import Came, When, calls_for_next
from fanin.policy.planning import QUESTIONS, Assumed, Expected, expected, in_all
from fanin.policy.stopping import Rule, forecast
from fanin.stages.grade import grade, pattern
from fanin.values import Runs, Tally


@attrs.frozen
class Foreseen:
    """What to expect of a vote, or of a cascade of votes."""

    tiers: tuple[tuple[Expected, ...], ...]
    """For each tier: what its vote takes where it is held, for an easy, a usual and a close question, and at
    most."""
    reached: tuple[tuple[float, ...], ...]
    """For each tier: the chance that its vote is held, 0 to 1, for the same questions; 1 for the first."""
    in_all: tuple[Expected, ...]
    """What all tiers take together."""


def foresee(
    rule: Rule, tiers: Sequence[Assumed], max_tokens: int, *, when: When = "split", quorum: int | None = None
) -> Foreseen:
    """What to expect of a cascade whose tiers are all asked under `rule`; a plain vote is one of one tier.

    Failed and unreadable runs are left out. Raises InputError as `expected` does.
    """
    rows = tuple(expected(rule, assumed, max_tokens) for assumed in tiers)
    passed_on = [passes_on(rule, share, when, quorum) for _, share in QUESTIONS]
    reached = tuple((*(round(chance**place, 9) for chance in passed_on), 1.0) for place in range(len(tiers)))
    return Foreseen(rows, reached, in_all(rows, reached))


def passes_on(rule: Rule, share: float, when: When, quorum: int | None = None) -> float:
    """The chance, 0 to 1, that a vote under `rule` calls for the next tier, where every run gives one answer
    with chance `share` and else another. Exact but for ways of less than 1e-12."""
    return min(
        1.0,
        sum(
            chance
            for votes, asked, chance in forecast(rule, share).ends
            if calls_for_next(_came(votes, asked, rule.planned, quorum), when)
        ),
    )


def _came(votes: int, asked: int, planned: int, quorum: int | None) -> Came:
    """What a vote came to that ended after `asked` runs, `votes` of them for the one answer."""
    counted = [(name, many) for name, many in (("one", votes), ("other", asked - votes)) if many]
    tally = Tally(
        counts=tuple(sorted(counted, key=lambda item: -item[1])),
        runs=Runs(planned, valid=asked, spoiled=0, failed=0, unasked=planned - asked),
        counting=asked,
        quorum=asked // 2 + 1 if quorum is None else quorum,
    )
    return Came(tally.outcome, len(counted), pattern(tally), grade(tally))
