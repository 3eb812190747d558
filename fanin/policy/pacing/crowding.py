"""How many requests a server takes at once, where it tells nothing and refuses nobody.

A local server lets what is too much wait, so that asking more at once only makes every answer take
longer. While a width is tried, the answers to requests that went with all places taken are timed: by
Little's law (Little 1961) the throughput is the width over the mean time. A wider crowd that brings no
more is narrowed again, and after a while it is tried anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import attrs

GAIN = 1.1
"""A width is worth it where it brings so much more than the narrower one."""
ANSWERS = 4
"""So many answers for each place are timed before a width is judged,"""
FEWEST_ANSWERS = 4
"""and no fewer than these."""
HOLD = 30
"""So many answers for each place pass before a wider crowd is tried again."""
WIDEST = 10_000


@attrs.frozen
class Crowd:
    """The places of a server, and how many are taken."""

    width: int
    """Requests that are let in at once; 1 or more."""
    inside: int = 0
    """Requests that were let in and have not come back."""
    answers: int = 0
    """Answers timed at this width."""
    busy_s: float = 0.0
    """How long they took together, in seconds."""
    narrower: tuple[int, float] | None = None
    """The last width that was worth it, and its throughput in requests per second."""
    holding: bool = False
    """A wider crowd was tried and brought no more."""

    @property
    def full(self) -> bool:
        """Whether nobody is let in."""
        return self.inside >= self.width


Learn: TypeAlias = Callable[[Crowd], Crowd]
"""What an ended request teaches."""


def entered(crowd: Crowd) -> Crowd:
    """One more is inside."""
    return attrs.evolve(crowd, inside=crowd.inside + 1)


def left(crowd: Crowd) -> Crowd:
    """One fewer is inside, whatever came of it."""
    return attrs.evolve(crowd, inside=max(0, crowd.inside - 1))


def answered(crowd: Crowd, took_s: float, beside: int) -> Crowd:
    """The crowd after an answer that took so long, to a request that went with `beside` inside, itself
    counted. `left` is told apart."""
    if beside < crowd.width or took_s <= 0:
        return crowd
    crowd = attrs.evolve(crowd, answers=crowd.answers + 1, busy_s=crowd.busy_s + took_s)
    if crowd.holding:
        return _wider(attrs.evolve(crowd, holding=False)) if crowd.answers >= HOLD * crowd.width else crowd
    if crowd.answers < max(FEWEST_ANSWERS, ANSWERS * crowd.width):
        return crowd
    throughput = crowd.width * crowd.answers / crowd.busy_s
    if crowd.narrower is not None and throughput < GAIN * crowd.narrower[1]:
        return attrs.evolve(crowd, width=crowd.narrower[0], answers=0, busy_s=0.0, holding=True)
    return _wider(attrs.evolve(crowd, narrower=(crowd.width, throughput)))


def _wider(crowd: Crowd) -> Crowd:
    if crowd.narrower is None or crowd.narrower[0] != crowd.width:
        narrower = (crowd.width, crowd.width * crowd.answers / crowd.busy_s)
        crowd = attrs.evolve(crowd, narrower=narrower)
    width = min(WIDEST, crowd.width + max(1, crowd.width // 2))
    return attrs.evolve(crowd, width=width, answers=0, busy_s=0.0)


def overrun(crowd: Crowd) -> Crowd:
    """The crowd after the server was too busy, or let a request wait for too long."""
    width = max(1, min(crowd.width, crowd.inside) // 2)
    return attrs.evolve(crowd, width=width, answers=0, busy_s=0.0, narrower=None, holding=True)
