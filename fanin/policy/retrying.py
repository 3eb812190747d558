"""What to do about a failed call: ask again, ask without a parameter, or give up.

One layer of retries for all backends, decided from the error and what was tried before.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from fanin.errors import CallError
from fanin.policy.variation import unit

MAX_REFUSALS = 20
"""Refusals for the rate limit, one after the other, that fail a run."""
FIRST_BACKOFF_S = 0.25
MAX_BACKOFF_S = 8.0
JITTER = 0.25
"""At most this share is added to a backoff, so that runs do not come back in step."""

_RETRIED = ("timeout", "connection", "malformed", "server")


@attrs.frozen
class Tried:
    """What a run has gone through so far."""

    retries: int = 0
    """Retries used up; waiting out a rate limit uses none."""
    refusals: int = 0
    """Refusals for the rate limit since the last other outcome."""
    without: tuple[str, ...] = ()
    """Parameters left out because the model refuses them."""


@attrs.frozen
class Again:
    """Ask again after `wait_s` seconds."""

    wait_s: float
    tried: Tried


@attrs.frozen
class Without:
    """Ask again at once, without `parameter`, from now on."""

    parameter: str
    tried: Tried


@attrs.frozen
class GiveUp:
    """Make it a failure."""

    error: CallError
    wait_s: float | None = None
    """How long the rate limit asks everybody else to wait; None where it asks nothing of them."""


Action: TypeAlias = Again | Without | GiveUp


def backoff_s(retry: int, *jitter: object) -> float:
    """The wait before retry 0, 1, ...: 0.25 s doubling to 8 s, and up to a quarter more.

    The extra derives from the `jitter` parts alone, so that a plan waits the same on every machine.
    """
    base = min(FIRST_BACKOFF_S * 2.0**retry, MAX_BACKOFF_S)
    return base * (1 + JITTER * unit("backoff", *jitter))


def after(error: CallError, tried: Tried, *, retries: int, max_wait_s: float, jitter: object) -> Action:
    """What to do about `error` after what was `tried`, with `retries` allowed after the first call."""
    if error.refused is not None and error.refused not in tried.without:
        without = tuple(sorted({*tried.without, error.refused}))
        return Without(error.refused, attrs.evolve(tried, without=without, refusals=0))
    if error.final or error.exhausted:
        return GiveUp(error)
    if error.kind == "rate_limit":
        return _after_refusal(error, tried, max_wait_s=max_wait_s, jitter=jitter)
    if error.kind in _RETRIED and tried.retries < retries:
        wait = backoff_s(tried.retries, jitter, tried.retries, "error")
        if error.retry_after_s is not None:
            wait = max(wait, min(error.retry_after_s, max_wait_s))
        return Again(wait, attrs.evolve(tried, retries=tried.retries + 1, refusals=0))
    return GiveUp(error)


def _after_refusal(error: CallError, tried: Tried, *, max_wait_s: float, jitter: object) -> Action:
    told = error.retry_after_s
    if told is None or not told >= 0:  # nan is not either
        told = backoff_s(tried.refusals, jitter, tried.refusals, "limit")
    if told > max_wait_s:
        return GiveUp(
            CallError(
                "rate_limit",
                f"{error.message} (it asks to wait {told:.0f} s, more than the {max_wait_s:.0f} s allowed)",
                exhausted=True,
            )
        )
    if tried.refusals + 1 >= MAX_REFUSALS:
        return GiveUp(error, told)
    return Again(told, attrs.evolve(tried, refusals=tried.refusals + 1))
