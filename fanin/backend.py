"""The Backend protocol, and the way from a name to a backend.

A backend turns one `Request` into one `Completion`. It does not retry, wait or count: that is the
conductor's. Backends are found by entry point (group `fanin.backends`), the built-in ones like
anybody else's: the entry point names a callable `(**options) -> Backend`.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import attrs

from fanin.values import Completion, Request


@attrs.frozen
class Capabilities:
    """What a backend can do, as plain facts."""

    structured: bool = False
    """Takes a JSON Schema for its output."""
    max_temperature: float = 2.0
    """The highest temperature it accepts."""
    limited: bool = True
    """Has rate limits: its calls are paced. False for backends that declare none."""
    http: bool = True
    """Sends HTTP, so that a tape can record it."""
    logprobs: bool = False
    """Tells the log-probabilities of an answer's tokens, at least for some models."""
    tools: bool = False
    """Passes on a request's tools and gives back tool calls; told in the prompt where the model has none."""
    at_once: int | None = None
    """Takes so many requests at once, as far as is known beforehand, and lets more of them wait without a
    word; how many it really takes is found out. None: as many as come."""


@runtime_checkable
class Backend(Protocol):
    """One client of one provider account, shared by all runs, on the event loop that opened it."""

    @property
    def name(self) -> str:
        """The name it is chosen by."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    @property
    def account(self) -> str:
        """Whose limits its calls share: the address and a fingerprint of the key, never the key."""
        ...

    @property
    def base_url(self) -> str | None:
        """Where it sends its calls, without secrets; None where it sends none."""
        ...

    async def resolve(self, models: tuple[str, ...]) -> tuple[str, ...]:
        """The models that will be asked: `models`, or the backend's default where that is empty.

        Raises FaninError where there is no default or a choice has to be made.
        """
        ...

    async def complete(self, request: Request) -> Completion:
        """One call. Raises CallError for everything that can go wrong with it."""
        ...

    async def aclose(self) -> None:
        """Closes the client; safe to call twice."""
        ...


class Forwarding:
    """A backend that hands everything on to another; a base for those that change one thing on the way."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    @property
    def account(self) -> str:
        return self.inner.account

    @property
    def base_url(self) -> str | None:
        return self.inner.base_url

    async def resolve(self, models: tuple[str, ...]) -> tuple[str, ...]:
        return await self.inner.resolve(models)

    async def complete(self, request: Request) -> Completion:
        return await self.inner.complete(request)

    async def aclose(self) -> None:
        await self.inner.aclose()
