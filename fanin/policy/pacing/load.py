"""What requests cost, and the record of what was sent when."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import chain
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

Columns: TypeAlias = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
"""Times, and the requests and the tokens sent until and with each of them; in columns, so that a time is
found fast, and the whole is handed on as it is."""


def _first_s(chunk: Columns) -> float:
    return chunk[0][0]


@attrs.frozen
class History:
    """When how much had been sent, as a list that is appended to without being changed.

    An entry is (time, everything sent until and with then), oldest first.
    """

    total: Load = NOTHING
    """Everything ever sent; only ever grows, whatever was refused or given back afterwards."""
    _full: tuple[Columns, ...] = ()
    _open: Columns = ((), (), ())

    def sent(self, load: Load, now_s: float) -> History:
        """The record with one more request."""
        total = self.total + load
        times, requests, tokens = self._open
        if len(times) < CHUNK:
            entry = (*times, now_s), (*requests, total.requests), (*tokens, total.tokens)
            return History(total, self._full, entry)
        full = (*self._full, self._open)
        while len(full) > MOST_CHUNKS or (len(full) > 1 and _first_s(full[1]) < now_s - KEPT_S):
            full = full[1:]
        return History(total, full, ((now_s,), (total.requests,), (total.tokens,)))

    def until(self, at_s: float) -> Load:
        """Everything sent at `at_s` or before; of times that are forgotten, the oldest that is known."""
        times, requests, tokens = self._open
        if self._full and (not times or at_s < times[0]):
            chunk = max(0, bisect_right(self._full, at_s, key=_first_s) - 1)
            times, requests, tokens = self._full[chunk]
        place = bisect_right(times, at_s)
        if not place and not self._full:
            return NOTHING
        entry = max(0, place - 1)
        return Load(requests[entry], tokens[entry])

    @property
    def last_s(self) -> float:
        """When the last request was sent; -inf where there was none."""
        times = self._open[0]
        return times[-1] if times else -math.inf

    def sent_after(self, at_s: float) -> float:
        """When the first request after `at_s` was sent; inf where there is none."""
        for times, _, _ in (*self._full, self._open):
            if times and times[-1] > at_s:
                return times[bisect_right(times, at_s)]
        return math.inf

    def newest(self, count: int) -> Columns:
        """The newest entries, oldest first; so many, or all there are."""
        chunks = [self._open]
        for chunk in reversed(self._full):
            if CHUNK * (len(chunks) - 1) + len(self._open[0]) >= count:
                break
            chunks.insert(0, chunk)
        times, requests, tokens = [
            tuple(chain.from_iterable(column))[-count:] for column in zip(*chunks, strict=True)
        ]
        return times, requests, tokens

    @classmethod
    def of(cls, entries: Columns, total: Load) -> History:
        """The record that holds these entries, oldest first; what was sent before them is forgotten."""
        times, requests, tokens = entries
        parts = [slice(at, at + CHUNK) for at in range(0, len(times), CHUNK)]
        chunks = [(times[part], requests[part], tokens[part]) for part in parts]
        return cls(total, tuple(chunks[:-1]), chunks[-1]) if chunks else cls(total)


NOTHING_SENT = History()
