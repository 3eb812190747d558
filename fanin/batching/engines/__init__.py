"""Engines: who makes the calls of a batch, where one process is not enough.

The batch itself stays where it is: it reads, votes, keeps the one journal and the one purse, and each call
holds its slot there. An engine is handed single calls and brings back what came of them.

- `blocks`: what is said between the batch and a worker;
- `worker`: the worker's end;
- `crew`: the batch's end: who has which call, and what becomes of it when its worker is lost;
- `on_ray`: workers, and the limiter that they share, as actors of Ray.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

import attrs

from fanin.batching.rates import Rate
from fanin.batching.spending import Hold, Spending
from fanin.terms import Terms
from fanin.values import Event, Outcome, Request, Usage

Hear: TypeAlias = Callable[[Event], None]
"""Is told what happens to a call; the event's time counts from where the call was made."""


@attrs.frozen
class Post:
    """What an engine is to know of the batch it works for."""

    backend: str
    """The backend's name, by which every worker opens it."""
    base_url: str | None
    """Where that sends its calls; None where it sends none."""
    account: str
    """Whose limits its calls count against."""
    terms: Terms
    """How long and how often calls are tried."""
    spending: Spending
    """The purse that every call is paid from."""
    watched: bool
    """Whether every event is to be heard; else only those of waits and of what went wrong."""
    lost: Callable[[Request], None]
    """Is told of each call that was cut short, or lost with its worker, and may have been paid for."""
    failed: Callable[[Request, Usage | None], None]
    """Is told of each call that failed, and what that used; None where nobody knows."""
    rated: Callable[[tuple[Rate, ...]], None]
    """Is told what a worker knows of the limits."""


class Asker(Protocol):
    """An engine at work."""

    async def ask(self, request: Request, hold: Hold, seed: int, hear: Hear) -> Outcome | None:
        """One request to its end. `hold` pays for its first attempt; what is left in it was not used.

        None: the purse leaves no room to make it again. Raises EngineError where nobody is left to ask,
        and FaninError for what a worker could not do.
        """
        ...


class Engine(Protocol):
    """Makes calls elsewhere."""

    def open(self, post: Post) -> AbstractAsyncContextManager[Asker]:
        """At work until the block ends. Raises EngineError where it cannot be started."""
        ...
