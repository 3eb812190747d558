"""What the batch and a worker say to each other: frozen values in blocks, one block a message.

A call is known by a number of its own, which comes once in a batch.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from fanin.batching.rates import Rate
from fanin.terms import Terms
from fanin.values import Event, Outcome, Request, Usage


@attrs.frozen
class Opening:
    """What a worker opens its backend by. No key: every worker finds that in its own environment."""

    version: str
    """Of the batch's fanin."""
    backend: str
    base_url: str | None
    terms: Terms
    watched: bool
    """Whether every event is to be told."""


@attrs.frozen
class Problem:
    """Why a worker cannot work."""

    message: str
    mend: str | None = None
    exit_code: int = 2


@attrs.frozen
class Ask:
    """Make this call; its first attempt is paid."""

    number: int
    request: Request
    seed: int
    """Of its jitter."""


@attrs.frozen
class Allowed:
    """Whether the next attempt of a call is paid."""

    number: int
    paid: bool


@attrs.frozen
class Drop:
    """Nobody wants that call any more."""

    number: int


@attrs.frozen
class Noticed:
    """Something happened to a call."""

    number: int
    event: Event


@attrs.frozen
class Paid:
    """An attempt has ended."""

    number: int
    usage: Usage | None
    """What it used; None: nobody knows."""
    answered: bool
    """Whether it was answered."""


@attrs.frozen
class Wants:
    """A call has to be made again: may it?"""

    number: int


@attrs.frozen
class Done:
    """A call has come to its end."""

    number: int
    outcome: Outcome | None


@attrs.frozen
class Broke:
    """A call met an error that is none of its own."""

    number: int
    problem: Problem


@attrs.frozen
class Rated:
    """What the worker knows of the limits of the models that it asks; what was sent is not told."""

    rates: tuple[Rate, ...]


@attrs.frozen
class Warned:
    """The worker goes on otherwise than it should, as of a pace that it shares no more."""

    text: str


Order: TypeAlias = Ask | Allowed | Drop
"""From the batch to a worker."""
Told: TypeAlias = Noticed | Paid | Wants | Done | Broke | Rated | Warned
"""From a worker to the batch."""
