"""`ahead:K`, `window:W` and `start:N,step:M`: habits. They are cheap, and promise nothing."""

from __future__ import annotations

from bisect import bisect_left

import attrs

from fanin.policy.stopping.rule import LeadRule, Seen, decides


def ahead_votes(lead: int, cap: int) -> tuple[int, ...]:
    """For b = 0, 1, ... the votes with which the leader is ahead by `lead`, as far as a + b <= `cap`."""
    return tuple(range(lead, lead + (cap - lead) // 2 + 1))


@attrs.frozen
class Window:
    """Stops when one window of `width` runs, 0 to W-1, W to 2W-1, ..., says the same throughout.

    Early-stopping self-consistency (Li et al. 2024). The answer is the whole vote's leader, so it goes
    on where there is none. It alone looks at the order of the runs.
    """

    text: str
    """The rule as it is written on the command line."""
    planned: int
    """The budget: all runs of the plan."""
    quorum: int | None
    """Valid ballots needed; None is more than half of the runs that count."""
    width: int
    """Runs in a window, 2 or more."""

    def satisfied(self, seen: Seen) -> bool:
        """Whether some window is complete and of one answer."""
        return self._agrees(seen) and decides(seen, self.quorum)

    def soonest(self, seen: Seen) -> int:
        """The runs that complete the window; where one was of one answer, the votes still needed."""
        left = self.planned - seen.asked
        if self._agrees(seen):
            return 1 + bisect_left(range(1, left), True, key=lambda more: decides(seen, self.quorum, more))
        return min(left, self.width - len(seen.order) % self.width)

    def _agrees(self, seen: Seen) -> bool:
        windows = range(0, len(seen.order) - self.width + 1, self.width)
        return any(_unanimous(seen.order[first : first + self.width]) for first in windows)


def _unanimous(came_to: tuple[str | None, ...]) -> bool:
    return came_to[0] is not None and all(choice == came_to[0] for choice in came_to)


@attrs.frozen
class StartStep(LeadRule):
    """Asks `start` runs, and `step` more while they differ: stops with `start` votes or more, all alike."""

    start: int
    """Runs of the first wave, 2 or more."""
    step: int
    """Runs of every further wave, 1 or more."""

    def settled(self, lead: int, second: int, asked: int) -> bool:
        """Whether a wave has just ended and all votes are alike."""
        return not second and lead >= self.start and (asked - self.start) % self.step == 0

    def soonest(self, seen: Seen) -> int:
        """The runs that complete the wave: this rule has waves of its own."""
        begun = seen.asked - self.start
        wave = -begun if begun < 0 else self.step - begun % self.step
        return min(self.planned - seen.asked, wave)
