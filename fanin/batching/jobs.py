"""What is done for every item of a batch, before and after it was made ready for all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import attrs

from fanin.answers import Answer
from fanin.backend import Backend
from fanin.batching.conducting import ItemConductor
from fanin.batching.items import Item
from fanin.errors import InputError
from fanin.policy.pricing import Price, Prices, price_of
from fanin.terms import Terms

if TYPE_CHECKING:
    from fanin.policy.stopping import Waves
    from fanin.settling import Embed

ItemJob: TypeAlias = Callable[[Item, ItemConductor], Awaitable[Mapping[str, Any]]]
"""What is done for one item: gives the row's object, of plain values. Its calls go through the conductor's
`ask`; an error of `FaninError` is a bad row, any other ends the batch."""


@attrs.frozen
class Asking:
    """How every item is asked that sets nothing for itself; parameters as of `fanin.vote`."""

    answer: Answer | str | None
    runs: int
    quorum: int | None
    model: Any
    system: Any
    temperature: float | None
    temperature_step: float
    seed: int
    max_tokens: int
    structured: bool
    judge: str | None = None
    embed: Embed | str | PathLike[str] | None = None


@attrs.frozen
class Setting:
    """What a job is made ready with: the parameters of the batch that are about all of its items."""

    asking: Asking
    """How items are asked."""
    backend: str | Backend | None
    """Whom they are asked of: a name, an open one, or None for the configured one."""
    base_url: str | None
    """Another address of that backend."""
    terms: Terms
    """How long and how often a call is tried."""
    prices: Prices
    """The prices that were given; none: those that litellm's list has."""
    max_cost: float | None
    """The cap in US dollars, which needs every price."""
    stop: str
    """When a vote has enough."""
    waves: Waves
    """How many runs of a vote are asked between two looks at that."""


class Ready(Protocol):
    """A job that only needs an item."""

    prices: dict[str | None, Price]
    """Of the models that are asked, as far as they are known."""

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Whom it asks, opened; the one that most calls go to first."""
        ...

    def content(self, item: Item) -> str:
        """The text that two items have in common where they are asked the same."""
        ...

    async def __call__(self, item: Item, conductor: ItemConductor) -> Mapping[str, Any]:
        """An `ItemJob`."""
        ...


@runtime_checkable
class BatchJob(Protocol):
    """A job that is made ready once, for all items of a batch."""

    async def ready(self, stack: AsyncExitStack, setting: Setting) -> Ready:
        """Opens what it needs, to be closed with the stack. Raises FaninError for what is wrong with it."""
        ...


def check_priced(models: tuple[str, ...], prices: Prices, max_cost: float | None) -> None:
    """Raises InputError for a cap on money where the price of one of the models is unknown."""
    for model in models:
        if max_cost is not None and price_of(model, prices) is None:
            unknown = f"left out where no price is known, as of {model}"
            raise InputError("max_cost", unknown, max_cost, mend="Give the price.")
