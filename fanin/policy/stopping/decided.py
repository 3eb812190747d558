"""`decided`: lossless. It stops where no completion of the vote can change what was decided.

A completion gives each run that is left any choice, seen or not, or loses it. With r runs left of N, a
votes for the leader, b for the runner-up, v valid ballots and a quorum of K (more than N/2 unless given):

- `no_quorum` is certain where v + r < K and v > 0 (with no vote at all it may still be `failed`);
- the winner is certain where v >= K and a > b + r: the worst completions give all r to the runner-up,
  or lose all r;
- then the grade is certain where it is the same with no further vote for the winner and with r;
- a tie, and `failed`, are never certain before the last run: one more vote breaks them.

The verdict over the N - r runs that were asked is then the full vote's too: its support lies between
theirs, a/N <= a/(N - r) <= (a + r)/N, its valid ballots are v, and the grade grows with both.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache

import attrs

from fanin.policy.stopping.rule import Seen

LOW, MEDIUM, HIGH = range(3)


@attrs.frozen
class Decided:
    """Stops when outcome and answer, and unless `winner_only` the grade, are those of the full vote."""

    text: str
    """The rule as it is written on the command line."""
    planned: int
    """The budget: all runs of the plan."""
    quorum: int | None
    """Valid ballots needed; None is more than half of the planned runs, as in the full vote."""
    winner_only: bool = False
    """Whether the grade may still change."""

    def satisfied(self, seen: Seen) -> bool:
        """Whether every completion gives what a vote that ends here gives."""
        return self.certain(seen.lead, seen.second, seen.valid, self.planned - seen.asked)

    def soonest(self, seen: Seen) -> int:
        """The fewest further runs after which outcome, answer and grade could be certain."""
        return _soonest(self, seen.lead, seen.second, seen.valid, self.planned - seen.asked)

    def certain(self, lead: int, second: int, valid: int, left: int) -> bool:
        """Whether nothing that the `left` runs may come to changes what these counts decide."""
        if not left:
            return True
        quorum = self._full_quorum()
        if valid + left < quorum:
            return valid > 0
        if valid < quorum or lead <= second + left:
            return False
        return self.winner_only or self._grade(lead, valid) == self._grade(lead + left, valid + left)

    def could_be_certain(self, more: int, lead: int, second: int, valid: int, left: int) -> bool:
        """Whether some outcome of `more` further runs makes it certain.

        Enough to try: for the leader all of them, one, none, or just as many as clinch the win, or as
        make it more than half; of the others all votes, none, or just as many as the quorum needs.
        """
        after = left - more
        quorum = self._full_quorum()
        clinch = second + after + 1 - lead
        for votes in {0, 1, more, clinch, clinch + 1, self.planned // 2 + 1 - lead}:
            others = more - votes
            for ballots in {0, others, quorum - valid - votes}:
                if votes < 0 or not 0 <= ballots <= others:
                    continue
                # A vote for an answer that had none makes it a runner-up with one.
                rival = max(second, 1) if ballots else second
                if self.certain(lead + votes, rival, valid + votes + ballots, after):
                    return True
        return False

    def _full_quorum(self) -> int:
        return self.planned // 2 + 1 if self.quorum is None else self.quorum

    def _grade(self, votes: int, valid: int) -> int:
        """The grade of a full vote that is won with `votes`: the same thresholds as `stages.grade`."""
        if valid < 3:
            return LOW
        if 5 * votes >= 4 * self.planned:
            return HIGH
        return MEDIUM if 2 * votes > self.planned else LOW


@lru_cache(maxsize=4096)
def _soonest(rule: Decided, lead: int, second: int, valid: int, left: int) -> int:
    # What is certain stays certain, so the answers are False up to some point and True from there on.
    return 1 + bisect_left(
        range(1, left), True, key=lambda more: rule.could_be_certain(more, lead, second, valid, left)
    )
