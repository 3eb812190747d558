"""Which buckets explain what was admitted and what was refused.

Where no header tells a limit, every answer still says something of it: what was admitted fitted, and what
was refused did not. What is missing from a bucket follows from what was admitted alone, whatever it holds
when it is full: it rises by each request, and falls at the rate for as long as it is above zero. So for each
rate the sizes that explain everything form a range: no less than was ever missing, and less than was missing
at a refusal, and one. A rate that leaves no size is impossible.

Unlike the time between two refusals, this knows what came back to a full bucket, and was lost.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import attrs

from fanin.policy.pacing.bracket import Bracket

JITTER_S = 0.004
"""Requests arrive at distances that differ by so much from those they were sent at."""
TRIES = 24
"""A rate is looked for so often, by halving, until one explains everything,"""
HALVINGS = 12
"""and each end of the range of such rates so often."""


@attrs.frozen
class Seen:
    """A request that arrived, and what came of it."""

    at_s: float
    """When it was sent."""
    admitted: bool
    """Whether it fitted."""


@attrs.frozen
class Untaken:
    """A request that was sent and took nothing from the bucket."""

    at_s: float
    """When it was sent."""
    refused: bool
    """The bucket refused it; else it never arrived, or another one did."""


@attrs.frozen
class Sizes:
    """What a bucket of one rate may hold when it is full, as far as all that was seen allows."""

    least: float
    """No less than was ever missing."""
    most: float
    """And no more than this, since something was refused."""
    later: bool
    """Whether what decides on the least came after what decides on the most: where they exclude each other,
    more came back between them than the rate tells, else less."""

    @property
    def possible(self) -> bool:
        """Whether there is such a size."""
        return self.least <= self.most


def seen(sent_s: Sequence[float], untaken: Sequence[Untaken]) -> tuple[Seen, ...]:
    """What came of the requests that were sent at these times, up to the last that was refused: what was
    sent later may still be. In the order of time; whatever took a refused one's place stands before it.

    Nothing where one of the refused is not among those sent: what came of the others is not known either.
    """
    refused = [one.at_s for one in untaken if one.refused]
    gone, last_s = Counter(one.at_s for one in untaken), max(refused, default=-math.inf)
    places = [(at_s + JITTER_S, Seen(at_s, admitted=False)) for at_s in refused]
    for at_s in sent_s:
        if at_s > last_s:
            break
        if gone[at_s]:
            gone[at_s] -= 1
        else:
            places.append((at_s, Seen(at_s, admitted=True)))
    if any(gone[at_s] for at_s in refused):
        return ()
    return tuple([one for _, one in sorted(places, key=lambda place: place[0])])


def sizes(seen: Sequence[Seen], rate: float) -> Sizes:
    """The sizes, 1 or more, with which a bucket of that rate explains everything seen."""
    missing, last_s, least, most, later = 0.0, -math.inf, 1.0, math.inf, False
    doubt = rate * JITTER_S
    for one in seen:
        elapsed_s = one.at_s - last_s
        if one.admitted:
            last_s = one.at_s
            missing = max(0.0, missing - rate * elapsed_s) + 1 if missing else 1.0
            if missing - doubt > least:
                least, later = missing - doubt, True
        elif missing - rate * max(0.0, elapsed_s - JITTER_S) + 1 < most:
            most, later = missing - rate * max(0.0, elapsed_s - JITTER_S) + 1, False
    return Sizes(least, most, later)


def rates(seen: Sequence[Seen], within: Bracket) -> Bracket | None:
    """The rates above 0 within these that some bucket explains everything seen with; None: none was found."""
    slowest, fastest = within.slowest, within.fastest
    for _ in range(TRIES):
        middle = math.sqrt(slowest * fastest)
        found = sizes(seen, middle)
        if found.possible:
            return Bracket(_farthest(seen, middle, slowest), _farthest(seen, middle, fastest))
        slowest, fastest = (middle, fastest) if found.later else (slowest, middle)
    return None


def _farthest(seen: Sequence[Seen], good: float, end: float) -> float:
    """The farthest possible rate from one that is possible toward an end."""
    if sizes(seen, end).possible:
        return end
    for _ in range(HALVINGS):
        middle = math.sqrt(good * end)
        good, end = (middle, end) if sizes(seen, middle).possible else (good, middle)
    return good
