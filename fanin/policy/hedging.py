"""When a call that takes long is made a second time.

A straggler holds up the whole vote, and a second call is most often quicker than what is left of the
first (Dean and Barroso 2013, "The Tail at Scale": hedged requests).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

FEWEST = 3
"""Calls that have to be answered before it is known what is long."""
TIMES = 2.0
"""So many times the median is long."""


def hedge_after_s(took_s: Sequence[float]) -> float | None:
    """The seconds after which a call is a straggler: twice the median of what the others took.

    None where fewer than three have been answered.
    """
    return TIMES * median(took_s) if len(took_s) >= FEWEST else None
