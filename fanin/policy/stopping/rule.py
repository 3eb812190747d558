"""What a stop rule may look at, what it says, and how many runs to ask next.

A rule looks at what the ended runs came to and never at which answer it is: the same votes under other
names stop at the same run. It sees counts only; `window` alone sees the order of the runs as well.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias

import attrs

Waves: TypeAlias = Literal["one", "fit", "all"]
WAVES: tuple[Waves, ...] = ("one", "fit", "all")
"""How runs are asked: one at a time, just as many as could settle it next, or all at once."""


@attrs.frozen
class Seen:
    """What the runs that have ended came to."""

    counts: tuple[int, ...] = ()
    """Votes of every choice that has one, most first."""
    lost: int = 0
    """Runs that gave no vote: spoiled and failed."""
    order: tuple[str | None, ...] = ()
    """What runs 0, 1, 2, ... came to, as far as none of them is still out; None is a lost run."""

    @property
    def valid(self) -> int:
        """Runs that gave a vote."""
        return sum(self.counts)

    @property
    def asked(self) -> int:
        """Runs that have ended."""
        return sum(self.counts) + self.lost

    @property
    def lead(self) -> int:
        """Votes of the leader; 0 where there is no vote."""
        return self.counts[0] if self.counts else 0

    @property
    def second(self) -> int:
        """Votes of the runner-up, as many as the leader's in a tie; 0 where there is none."""
        return self.counts[1] if len(self.counts) > 1 else 0


def seen_of(came_to: Mapping[int, str | None]) -> Seen:
    """What a rule sees of ended runs: index -> the choice it is counted as, None for a lost run.

    In any order: what is seen depends on the indexes alone.
    """
    votes = Counter(choice for choice in came_to.values() if choice is not None)
    order: list[str | None] = []
    while len(order) in came_to:
        order.append(came_to[len(order)])
    return Seen(
        counts=tuple(sorted(votes.values(), reverse=True)),
        lost=len(came_to) - sum(votes.values()),
        order=tuple(order),
    )


class Rule(Protocol):
    """A stop rule for one budget. Implementations are frozen and pure."""

    @property
    def text(self) -> str:
        """The rule as it is written on the command line."""
        ...

    @property
    def planned(self) -> int:
        """The budget: all runs of the plan."""
        ...

    def satisfied(self, seen: Seen) -> bool:
        """Whether the runs that are left may be spared."""
        ...

    def soonest(self, seen: Seen) -> int:
        """The fewest further runs that could satisfy the rule, were they all to come out for it.

        At least 1 and at most the runs that are left, which it is where no fewer could; asked only
        while runs are left and the rule is not satisfied.
        """
        ...


def next_wave(rule: Rule, seen: Seen, waves: Waves = "fit") -> int:
    """How many runs to ask next; 0 is the end: the rule is satisfied, or every planned run was asked.

    `fit` asks no run that `one` would have spared: fewer runs than its wave cannot satisfy the rule.
    """
    left = rule.planned - seen.asked
    if left <= 0 or rule.satisfied(seen):
        return 0
    if waves == "one":
        return 1
    return left if waves == "all" else rule.soonest(seen)


def decides(seen: Seen, quorum: int | None, more: int = 0) -> bool:
    """Whether a vote that ends here has a winner; with `more` further votes for the leader.

    `quorum` is the number of valid ballots needed, None more than half of the runs that were asked.
    """
    needed = (seen.asked + more) // 2 + 1 if quorum is None else quorum
    return seen.lead + more > seen.second and seen.valid + more >= needed


@attrs.frozen
class LeadRule:
    """A rule that looks at the leader, the runner-up and the number of runs asked.

    It never stops a vote without a winner, so never before a quorum that was asked for.
    """

    text: str
    """The rule as it is written on the command line."""
    planned: int
    """The budget: all runs of the plan."""
    quorum: int | None
    """Valid ballots needed; None is more than half of the runs that count."""

    def settled(self, lead: int, second: int, asked: int) -> bool:
        """Whether these counts satisfy the rule, a winner and the quorum apart.

        Once it is True, more votes for the leader keep it True.
        """
        raise NotImplementedError

    def satisfied(self, seen: Seen) -> bool:
        """Whether the runs that are left may be spared."""
        return decides(seen, self.quorum) and self.settled(seen.lead, seen.second, seen.asked)

    def soonest(self, seen: Seen) -> int:
        """The fewest further votes for the leader that satisfy the rule, at most the runs left."""
        lead, second, asked = seen.lead, seen.second, seen.asked

        def satisfied_after(more: int) -> bool:
            return decides(seen, self.quorum, more) and self.settled(lead + more, second, asked + more)

        return 1 + bisect_left(range(1, self.planned - asked), True, key=satisfied_after)


@attrs.frozen
class Threshold(LeadRule):
    """Stops when the leader has as many votes as the runner-up's votes ask for."""

    needed: tuple[int, ...]
    """The leader's votes needed, by the runner-up's votes from 0 up; past its end nothing suffices."""

    def settled(self, lead: int, second: int, asked: int) -> bool:
        """Whether the leader has the votes that it needs against this runner-up."""
        return second < len(self.needed) and lead >= self.needed[second]


@attrs.frozen
class All:
    """`all`: every planned run is asked."""

    text: str
    """The rule as it is written on the command line."""
    planned: int
    """The budget: all runs of the plan."""

    def satisfied(self, seen: Seen) -> bool:
        """Never: nothing is spared."""
        return False

    def soonest(self, seen: Seen) -> int:
        """All runs that are left."""
        return self.planned - seen.asked
