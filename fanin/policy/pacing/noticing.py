"""What one answer tells of the provider's limits, brought to one form.

Sources: OpenAI, Groq and Azure OpenAI, documentation of the rate-limit headers and recorded answers;
RFC 9110 section 10.2.3 (Retry-After). What cannot be read tells nothing; nothing here raises.

| header | means |
| --- | --- |
| `x-ratelimit-limit-requests`, `-tokens` | what the bucket holds; -1: there is no limit (Azure) |
| `x-ratelimit-remaining-...` | what is left, rounded down |
| `x-ratelimit-reset-...` | when it is full again: `1m26.4s`, `26ms`, or a bare number of seconds |

A name may end in more than the unit (`-requests-day`, `-tokens-minute`): each is a bucket of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

import attrs

from fanin.policy import told
from fanin.policy.pacing.load import Unit

Headers: TypeAlias = Iterable[tuple[str, str]]

_PREFIX = "x-ratelimit-"
_GO_QUANTUM_S = 0.001
_BARE_QUANTUM_S = 1.0
_MOST_RESET_S = 40 * 86400.0
"""A bare number above this is a date, not a duration."""
KEPT = 1024
"""So much that was read is known again: a server tells the same over and over."""
LAYOUTS = 64
"""And so many sets of headers."""
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_PER = re.compile(r"\b(requests?|tokens?) per (second|sec|minute|min|hour|day)\b|\b([RT])P([SMD])\b")


@attrs.frozen
class Level:
    """A bucket's level as an answer told it."""

    name: str
    """The bucket: the header's ending, as `requests`."""
    unit: Unit
    """What it counts."""
    limit: float
    """What it holds when full; above 0."""
    remaining: float
    """What is left, rounded down."""
    reset_s: float | None
    """When it will be full again; None: not told."""
    quantum_s: float
    """The step in which that time is told."""


@attrs.frozen
class Refusal:
    """What the refusal of a request tells beside the levels."""

    wait_s: float | None = None
    """The wait that is asked for; None: none was told."""
    exact: bool = False
    """Whether that is the moment at which the request fits, not one rounded up to whole seconds."""
    unit: Unit | None = None
    """What the limit counts that refused; None: not told."""
    limit: float | None = None
    """What its bucket holds; None: not told."""
    used: float | None = None
    """What was used of it, rounded up; None: not told."""
    requested: float | None = None
    """What the request asked for; None: not told."""


NOTHING_TOLD = Refusal()


def levels(headers: Headers) -> tuple[Level, ...]:
    """The levels that the headers of an answer tell; names in lower case, order as they came."""
    pairs = tuple(headers)
    found = [
        _level(bucket, unit, pairs[limit][1], pairs[remaining][1], "" if reset is None else pairs[reset][1])
        for bucket, unit, limit, remaining, reset in _layout(tuple([name for name, _ in pairs]))
    ]
    return tuple([level for level in found if level is not None])


@lru_cache(LAYOUTS)
def _layout(names: tuple[str, ...]) -> tuple[tuple[str, Unit, int, int, int | None], ...]:
    """Which headers of an answer tell of which bucket: its name and unit, and the places of the limit, of
    what remains, and of the time to full, if that is told. The same for all answers of a server."""
    places: dict[str, dict[str, int]] = {}
    for place, name in enumerate(names):
        if name.startswith(_PREFIX):
            field, _, bucket = name[len(_PREFIX) :].partition("-")
            places.setdefault(bucket, {})[field] = place
    found = [(bucket, _unit(bucket), fields) for bucket, fields in places.items()]
    return tuple(
        [
            (bucket, unit, fields["limit"], fields["remaining"], fields.get("reset"))
            for bucket, unit, fields in found
            if unit is not None and "limit" in fields and "remaining" in fields
        ]
    )


def _level(bucket: str, unit: Unit, limit_text: str, remaining_text: str, reset: str) -> Level | None:
    limit, remaining = _number(limit_text), _number(remaining_text)
    if limit is None or remaining is None or limit <= 0:
        return None
    reset_s, quantum_s = _reset(reset)
    return Level(bucket, unit, limit, min(remaining, limit), reset_s, quantum_s)


def _unit(bucket: str) -> Unit | None:
    if bucket.startswith("requests"):
        return "requests"
    return "tokens" if bucket.startswith("tokens") else None


@lru_cache(KEPT)
def _number(text: str) -> float | None:
    """A number that is finite and not negative: Azure's -1 is no limit."""
    if _NUMBER.fullmatch(text) is None:
        return None
    number = float(text)
    return number if math.isfinite(number) else None


@lru_cache(KEPT)
def _reset(text: str) -> tuple[float | None, float]:
    """When a bucket is full again, and the step in which that is told."""
    duration_s = told.duration_s(text)
    if duration_s is not None:
        return duration_s, _GO_QUANTUM_S
    bare_s = _number(text.strip())
    if bare_s is None or bare_s > _MOST_RESET_S:
        return None, 0.0
    return bare_s, _BARE_QUANTUM_S if bare_s.is_integer() else _GO_QUANTUM_S


def refusal(headers: Headers, text: str, wait_s: float | None) -> Refusal:
    """What a refusal tells in its headers and its text; `wait_s` is the wait that was read from them.

    A wait in the text is exact, and so is one in `retry-after-ms`; `retry-after` is rounded up.
    """
    in_text_s = told.prose_wait_s(text)
    exact = in_text_s is not None or any(name == "retry-after-ms" for name, _ in headers)
    amounts = told.amounts(text)
    return Refusal(
        wait_s if in_text_s is None else in_text_s,
        exact,
        _unit_in(text),
        amounts.limit,
        amounts.used,
        amounts.requested,
    )


def _unit_in(text: str) -> Unit | None:
    per = _PER.search(text[: told.PROSE_CHARS])
    if per is None:
        return None
    return "requests" if (per[1] or per[3]).lower().startswith("r") else "tokens"
