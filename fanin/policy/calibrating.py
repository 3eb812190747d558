"""From past votes with known answers to the chance that a vote is right, and how good such chances are.

A past vote may count in part: where a question has more stored answers than a vote has runs, several
votes are drawn from it, and together they are one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from math import fsum, pi, sqrt
from typing import TypeAlias

import attrs

from fanin.policy.confidence import wilson

BINS = 10
"""Bins of equal width for the expected calibration error."""

Foretold: TypeAlias = tuple[float, bool]
"""(the confidence in an answer, whether it was right)."""


@attrs.frozen(order=True)
class Shape:
    """The pattern of a vote: who said what does not matter, only how many said the same."""

    counts: tuple[int, ...]
    """Votes of every choice that has one, most first."""
    lost: int = 0
    """Runs that gave no vote: spoiled and failed."""

    @property
    def runs(self) -> int:
        """The runs of the vote."""
        return sum(self.counts) + self.lost

    def __str__(self) -> str:
        lost = f", {self.lost} lost" if self.lost else ""
        return "-".join(map(str, self.counts)) + lost


@attrs.frozen
class Past:
    """Past votes of one kind, and how many of them were right."""

    votes: float
    """How many there were."""
    right: float
    """How many of them had the right answer."""

    @property
    def chance(self) -> float:
        """(right + 1) / (votes + 2): the mean of the Beta posterior from a uniform prior."""
        return (self.right + 1) / (self.votes + 2)

    @property
    def interval(self) -> tuple[float, float]:
        """The Wilson interval at 95 % on the share that was right."""
        return wilson(min(self.right, self.votes), self.votes)

    def __str__(self) -> str:
        low, high = (round(100 * end) for end in self.interval)
        share = 100 * min(self.right, self.votes) / self.votes
        # 99.6 % is not all of them.
        shown = f"{share:.1f}" if 99.5 <= share < 99.95 else f"{share:.0f}"
        many = round(self.votes)
        past = {0: "less than one past vote", 1: "1 past vote"}.get(many, f"{many:,} past votes")
        return f"of {past} like this one, {shown} % [{low}, {high}] were right"


def count_shapes(votes: Iterable[tuple[Shape, bool, float]]) -> dict[Shape, Past]:
    """Shape -> the past votes of that shape, sorted, out of (shape, right, the part of a vote it counts)."""
    sums: dict[Shape, list[tuple[float, float]]] = {}
    for shape, right, part in votes:
        sums.setdefault(shape, []).append((part, part if right else 0.0))
    return {
        shape: Past(fsum(part for part, _ in sums[shape]), fsum(right for _, right in sums[shape]))
        for shape in sorted(sums)
    }


@attrs.frozen
class Isotonic:
    """A rising step function from a score to the chance of being right."""

    starts: tuple[float, ...]
    """The lowest score of every step, rising; below the first the first step holds."""
    steps: tuple[Past, ...]
    """The past votes with scores on every step; the share that was right never falls."""

    def past(self, score: float) -> Past:
        """The past votes on the step of a score."""
        return self.steps[max(0, bisect_right(self.starts, score) - 1)]

    def __call__(self, score: float) -> float:
        """The chance at a score, never falling with it.

        No step is surer than as many votes as there are in all can make one: from 1/(n+2) to (n+1)/(n+2).
        """
        least = 1 / (fsum(step.votes for step in self.steps) + 2)
        past = self.past(score)
        return min(1 - least, max(least, past.right / past.votes))


def isotonic(points: Iterable[tuple[float, bool, float]]) -> Isotonic | None:
    """The rising step function nearest to (score, right, part of a vote) by least squares; None for no point.

    Pool adjacent violators (Ayer et al. 1955).
    """
    by_score: dict[float, list[tuple[float, float]]] = {}
    for score, right, part in points:
        by_score.setdefault(score, []).append((part, part if right else 0.0))
    blocks: list[tuple[float, float, float]] = []  # start, votes, right
    for score in sorted(by_score):
        start = score
        votes, good = (fsum(column) for column in zip(*by_score[score], strict=True))
        while blocks and blocks[-1][2] * votes >= good * blocks[-1][1]:
            start, more, more_good = blocks.pop()
            votes, good = votes + more, good + more_good
        blocks.append((start, votes, good))
    if not blocks:
        return None
    return Isotonic(
        tuple(start for start, _, _ in blocks), tuple(Past(votes, good) for _, votes, good in blocks)
    )


@attrs.frozen
class Bin:
    """The answers of which one was about equally sure."""

    answers: int
    """How many there are."""
    confidence: float
    """Their mean confidence, 0 to 1."""
    accuracy: float
    """The share of them that was right, 0 to 1."""


def reliability(foretold: Sequence[Foretold], bins: int = BINS) -> tuple[Bin, ...]:
    """The bins of equal width that hold an answer, by rising confidence: a reliability diagram."""
    members = _binned(foretold, bins)
    return tuple(
        Bin(
            len(held),
            fsum(confidence for confidence, _ in held) / len(held),
            sum(right for _, right in held) / len(held),
        )
        for held in members
    )


def _binned(foretold: Sequence[Foretold], bins: int) -> list[list[Foretold]]:
    members: list[list[Foretold]] = [[] for _ in range(bins)]
    for confidence, right in foretold:
        members[min(bins - 1, int(confidence * bins))].append((confidence, right))
    return [held for held in members if held]


def calibration_error(foretold: Sequence[Foretold], bins: int = BINS) -> float:
    """The expected calibration error, 0 to 1: how far confidence and accuracy lie apart, weighted by bin.

    Naeini et al. 2015. Never 0 on few answers, even where every confidence is right: see `noise_floor`.
    """
    held = reliability(foretold, bins)
    return fsum(one.answers * abs(one.confidence - one.accuracy) for one in held) / max(1, len(foretold))


def noise_floor(foretold: Sequence[Foretold], bins: int = BINS) -> float:
    """The error to be expected by chance alone, were every confidence right.

    A bin's mean absolute deviation is sqrt(2/pi) times its standard deviation, by the normal
    approximation.
    """
    spreads = [fsum(p * (1 - p) for p, _ in held) for held in _binned(foretold, bins)]
    return fsum(sqrt(2 / pi * spread) for spread in spreads) / max(1, len(foretold))


def brier(foretold: Sequence[Foretold]) -> float:
    """The mean squared distance of the confidence from what came true, 0 to 1 (Brier 1950)."""
    return fsum((confidence - right) ** 2 for confidence, right in foretold) / max(1, len(foretold))
