"""How fast the calls of a batch go, beside what their limits allow. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from fanin.policy.budget import Amount
from fanin.policy.pacing import Pace
from fanin.policy.pacing.load import Unit
from fanin.policy.pacing.mirror import MINUTE_S, Bucket, Limit
from fanin.policy.pacing.pace import LONGEST_MINUTE_S

_UNITS: tuple[Unit, ...] = ("requests", "tokens")


@attrs.frozen
class Rate:
    """One limit of a model, and what this session has sent of what it counts."""

    account: str
    """Whose limit it is, as `Backend.account` has it."""
    model: str
    """The model."""
    unit: Unit
    """What the limit counts: `requests` or `tokens`."""
    sent: int
    """Of this session's calls of the model so far: how many, or the tokens of those that were answered."""
    limit: float
    """What may go in a minute; of a limit whose window is longer, what it holds."""
    left: float | None = None
    """What is left of a limit whose window is longer than a minute; None of others."""
    found: bool = False
    """Whether it was found by trying, and is about right."""


@attrs.define
class Sent:
    """What one model was sent in this session."""

    calls: int = 0
    tokens: int = 0

    def add(self, used: Amount | None) -> None:
        """Counts a call that has ended; None where nobody knows what it used."""
        self.calls += 1
        self.tokens += 0 if used is None else used.tokens

    def of(self, unit: Unit) -> int:
        """The part that a limit of that unit counts."""
        return self.calls if unit == "requests" else self.tokens


def rates_of(account: str, model: str, pace: Pace, now_s: float, sent: Sent) -> Iterator[Rate]:
    """What is known of the model's limits: of each unit the lowest a minute, then those of longer windows.

    `now_s` is a time on the clock of the pace.
    """
    for unit in _UNITS:
        short = [bucket.limit for bucket in pace.buckets if _short(bucket)]
        minutes = [(_a_minute(limit), False) for limit in short if limit.unit == unit]
        minutes += [
            (probe.rate * MINUTE_S, True)
            for probe in pace.probes
            if probe.unit == unit and probe.phase == "hold"
        ]
        if minutes:
            limit, found = min(minutes)
            yield Rate(account, model, unit, sent.of(unit), limit, found=found)
    for bucket in pace.buckets:
        if not _short(bucket):
            left = max(0.0, bucket.level(now_s))
            unit = bucket.limit.unit
            yield Rate(account, model, unit, sent.of(unit), bucket.limit.size, left)


def _short(bucket: Bucket) -> bool:
    return bucket.limit.window_s <= LONGEST_MINUTE_S


def _a_minute(limit: Limit) -> float:
    """What refills in a minute: the limit itself where its window is about one, since rates are measured."""
    return limit.size if limit.window_s >= 0.75 * MINUTE_S else limit.rate * MINUTE_S
