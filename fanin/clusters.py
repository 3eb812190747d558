"""The nouns of free text: clusters of answers that mean the same, and what a judge had to say of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import attrs

from fanin.values import StoppedBy, Usage

ClusterBy: TypeAlias = Literal["exact", "lexical", "judge", "embedding"]


NONE_USED = Usage(0, 0)


@attrs.frozen
class Cluster:
    """Answers that are counted as one."""

    representative: str
    """The member that is nearest to all others: the answer that the cluster is counted and shown as."""
    members: tuple[str, ...]
    """Every spelling in it: most votes first, then by text."""
    votes: int
    """Valid ballots for one of its members."""
    share: float
    """Its votes / runs that count, 0.0 to 1.0: the support it has."""


@attrs.frozen
class Selection:
    """A model's choice of the answer that is most consistent with the others.

    Universal self-consistency, Chen et al. 2023 (arXiv 2311.17311).
    """

    model: str
    """Who chose."""
    shown: tuple[str, ...]
    """The answers it was shown, in that order."""
    picked: str | None
    """The answer it named; None where it named none."""
    reasons: str
    """Its whole reply, or why there is none."""


@attrs.frozen
class Judging:
    """What was found out about answers after they had come: enough to conclude again without asking."""

    by: Literal["judge", "embedding"] | None = None
    """What told which answers mean the same; None where nothing was to be told."""
    groups: tuple[tuple[str, ...], ...] = ()
    """Answers that mean the same, the representative first."""
    model: str | None = None
    """The model that judged; None where none did."""
    calls: int = 0
    """Questions put to the judge."""
    unread: int = 0
    """Questions that the judge gave no usable answer to: they count as `different`."""
    usage: Usage = NONE_USED
    """Tokens of the judge's calls."""
    selection: Selection | None = None
    """The answer that was picked, where one was to be."""
    problem: str | None = None
    """Why nothing could be told, so that answers were compared word for word; None where all went well."""
    stopped: StoppedBy = "all"
    """What ended the judging: `all`, or what cut it short."""


def semantic_entropy(votes: Sequence[int]) -> float:
    """The entropy, in nats, of answers over their clusters of meaning: 0.0 where all mean the same.

    `votes` are the valid ballots of each cluster; the most for n ballots is ln n. The discrete estimate of
    Farquhar et al., Nature 630 (2024): each ballot weighs the same. Rounded to 9 digits.
    """
    ballots = sum(votes)
    terms = sorted(number / ballots * math.log(ballots / number) for number in votes if number)
    return round(math.fsum(terms), 9)
