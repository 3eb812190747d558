"""Stage 5 for free text: the clusters that the ballots fall into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fanin.answers.protocol import Answer
from fanin.answers.text import Text
from fanin.clusters import Cluster
from fanin.values import Ballot, Tally

UNSETTLED = "Nobody was asked which answers mean the same: they are compared word for word."


def clusters_of(read: Sequence[Ballot], tally: Tally, answer: Answer) -> tuple[Cluster, ...]:
    """The clusters of a vote on texts that are not compared word for word, in the order of the tally.

    They are a partition of the valid ballots, whatever their order. Empty for every other answer.
    """
    if not isinstance(answer, Text) or answer.cluster == "exact":
        return ()
    votes = Counter(cast.choice for cast in read if cast.choice is not None)
    same = answer.same(list(votes.elements()))
    members: dict[str, list[str]] = {}
    for choice in sorted(votes, key=lambda choice: (-votes[choice], choice)):
        members.setdefault(same[choice], []).append(choice)
    return tuple(
        Cluster(answer.show(head), tuple(members[head]), number, number / tally.counting)
        for head, number in tally.counts
    )


def is_unsettled(answer: Answer, tally: Tally) -> bool:
    """Whether it has still to be found out which of several answers mean the same."""
    return isinstance(answer, Text) and answer.unsettled and len(tally.counts) > 1
