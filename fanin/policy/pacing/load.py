"""What requests cost, and the record of what was sent when."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
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

_Entry: TypeAlias = "tuple[float, Load]"


def _time(entry: _Entry) -> float:
    return entry[0]


def _chunk_time(chunk: tuple[_Entry, ...]) -> float:
    return chunk[0][0]


@attrs.frozen
class History:
    """When how much had been sent, as a list that is appended to without being changed.

    An entry is (time, everything sent until and with then), oldest first.
    """

    total: Load = NOTHING
    """Everything ever sent; only ever grows, whatever was refused or given back afterwards."""
    _full: tuple[tuple[_Entry, ...], ...] = ()
    _open: tuple[_Entry, ...] = ()

    def sent(self, load: Load, now_s: float) -> History:
        """The record with one more request."""
        total = self.total + load
        if len(self._open) < CHUNK:
            return History(total, self._full, (*self._open, (now_s, total)))
        full = (*self._full, self._open)
        while len(full) > MOST_CHUNKS or (len(full) > 1 and full[1][0][0] < now_s - KEPT_S):
            full = full[1:]
        return History(total, full, ((now_s, total),))

    def until(self, at_s: float) -> Load:
        """Everything sent at `at_s` or before; of times that are forgotten, the oldest that is known."""
        chunk = self._chunk(at_s)
        place = bisect_right(chunk, at_s, key=_time)
        if place:
            return chunk[place - 1][1]
        return chunk[0][1] if self._full else NOTHING

    @property
    def last_s(self) -> float:
        """When the last request was sent; -inf where there was none."""
        return self._open[-1][0] if self._open else -math.inf

    def sent_before(self, at_s: float) -> float:
        """When the last request before `at_s` was sent; -inf where none is known."""
        chunk = self._chunk(at_s)
        place = bisect_left(chunk, at_s, key=_time)
        if place:
            return chunk[place - 1][0]
        return max((c[-1][0] for c in self._full if c[-1][0] < at_s), default=-math.inf)

    def sent_after(self, at_s: float) -> float:
        """When the first request after `at_s` was sent; inf where there is none."""
        for chunk in (*self._full, self._open):
            if chunk and chunk[-1][0] > at_s:
                return chunk[bisect_right(chunk, at_s, key=_time)][0]
        return math.inf

    def newest(self, count: int) -> tuple[tuple[float, Load], ...]:
        """The newest entries, oldest first; so many, or all there are."""
        entries: list[_Entry] = []
        for chunk in (self._open, *reversed(self._full)):
            if len(entries) >= count:
                break
            entries = [*chunk, *entries]
        return tuple(entries[-count:])

    @classmethod
    def of(cls, entries: Sequence[tuple[float, Load]], total: Load) -> History:
        """The record that holds these entries, oldest first; what was sent before them is forgotten."""
        chunks = [tuple(entries[at : at + CHUNK]) for at in range(0, len(entries), CHUNK)]
        if not chunks:
            return cls(total)
        return cls(total, tuple(chunks[:-1]), chunks[-1])

    def _chunk(self, at_s: float) -> tuple[_Entry, ...]:
        if self._full and (not self._open or at_s < self._open[0][0]):
            return self._full[max(0, bisect_right(self._full, at_s, key=_chunk_time) - 1)]
        return self._open


NOTHING_SENT = History()
