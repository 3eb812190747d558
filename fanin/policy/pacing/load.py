"""What requests cost, and the record of what was sent when."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal, TypeAlias

import attrs

Unit: TypeAlias = Literal["requests", "tokens"]
"""What a limit counts."""

CHUNK = 64
"""Entries a chunk of the record: appending copies one chunk at most."""
KEPT_S = 900.0
"""How long a send is remembered, in seconds; hardly a call is in flight for longer."""
MOST_CHUNKS = 256
"""And so many chunks at most, whatever their age."""


@attrs.frozen
class Load:
    """A number of requests and of tokens."""

    requests: float = 1.0
    """How many requests."""
    tokens: float = 0.0
    """How many tokens, read and written together."""

    def of(self, unit: Unit) -> float:
        """The part that a limit of that unit counts."""
        return self.requests if unit == "requests" else self.tokens

    def __add__(self, other: Load) -> Load:
        return Load(self.requests + other.requests, self.tokens + other.tokens)

    def __sub__(self, other: Load) -> Load:
        return Load(self.requests - other.requests, self.tokens - other.tokens)


NOTHING = Load(0.0, 0.0)

_Chunk: TypeAlias = "tuple[tuple[float, ...], tuple[Load, ...]]"
"""Times, and everything sent until and with each of them; in columns, so that a time is found fast."""


def _chunk_time(chunk: _Chunk) -> float:
    return chunk[0][0]


@attrs.frozen
class History:
    """When how much had been sent, as a list that is appended to without being changed.

    An entry is (time, everything sent until and with then), oldest first.
    """

    total: Load = NOTHING
    """Everything ever sent; only ever grows, whatever was refused or given back afterwards."""
    _full: tuple[_Chunk, ...] = ()
    _open: _Chunk = ((), ())

    def sent(self, load: Load, now_s: float) -> History:
        """The record with one more request."""
        total = self.total + load
        times, totals = self._open
        if len(times) < CHUNK:
            return History(total, self._full, ((*times, now_s), (*totals, total)))
        full = (*self._full, self._open)
        while len(full) > MOST_CHUNKS or (len(full) > 1 and _chunk_time(full[1]) < now_s - KEPT_S):
            full = full[1:]
        return History(total, full, ((now_s,), (total,)))

    def until(self, at_s: float) -> Load:
        """Everything sent at `at_s` or before; of times that are forgotten, the oldest that is known."""
        times, totals = self._open
        if self._full and (not times or at_s < times[0]):
            times, totals = self._full[max(0, bisect_right(self._full, at_s, key=_chunk_time) - 1)]
        place = bisect_right(times, at_s)
        if place:
            return totals[place - 1]
        return totals[0] if self._full else NOTHING

    @property
    def last_s(self) -> float:
        """When the last request was sent; -inf where there was none."""
        times = self._open[0]
        return times[-1] if times else -math.inf

    def sent_after(self, at_s: float) -> float:
        """When the first request after `at_s` was sent; inf where there is none."""
        for times, _ in (*self._full, self._open):
            if times and times[-1] > at_s:
                return times[bisect_right(times, at_s)]
        return math.inf

    def newest(self, count: int) -> tuple[tuple[float, Load], ...]:
        """The newest entries, oldest first; so many, or all there are."""
        entries: list[tuple[float, Load]] = []
        for times, totals in (self._open, *reversed(self._full)):
            if len(entries) >= count:
                break
            entries = [*zip(times, totals, strict=True), *entries]
        return tuple(entries[-count:])

    @classmethod
    def of(cls, entries: Sequence[tuple[float, Load]], total: Load) -> History:
        """The record that holds these entries, oldest first; what was sent before them is forgotten."""
        times, totals = tuple([at_s for at_s, _ in entries]), tuple([sent for _, sent in entries])
        chunks = [(times[at : at + CHUNK], totals[at : at + CHUNK]) for at in range(0, len(times), CHUNK)]
        return cls(total, tuple(chunks[:-1]), chunks[-1]) if chunks else cls(total)


NOTHING_SENT = History()
