"""The job of a batch of panels: the same specialists and the same aggregator for every item."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import attrs

from fanin.backend import Backend
from fanin.batching.conducting import ItemConductor
from fanin.batching.items import Item
from fanin.batching.jobs import Setting, check_priced
from fanin.desks import Desks, House
from fanin.errors import FaninError, InputError
from fanin.opening import as_texts, listed_prices_of
from fanin.panels import hold, prompt_of
from fanin.policy.pricing import Prices
from fanin.seating import Panel, Round, Seat, arranged
from fanin.terms import Interrupt


def _a_panel(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, Panel):
        raise InputError(field.name, "a fanin.seating.Panel", value)


@attrs.frozen
class PanelJob:
    """A panel on every item; each row holds `fanin.panel/1` and the `question`.

    Of the batch's parameters only `backend`, `model` (one, for agents that name neither), `base_url`,
    `seed`, the prices and those of time and pace say anything to it. An item has a question and a context. A
    specialist that fails is in the row, and what the others said too where the aggregator fails. On a resume
    no call is made again but those that failed, and no tool that gave something.
    """

    panel: Panel = attrs.field(validator=_a_panel)
    """Who is asked."""

    async def ready(self, stack: AsyncExitStack, setting: Setting) -> Sitting:
        """Ready to sit. Raises FaninError where a backend, a parameter or a price is wrong, and CallError
        where a model that is asked cannot be found out."""
        _check(setting)
        asking = setting.asking
        [model] = as_texts(asking.model, "model") or (None,)
        terms = attrs.evolve(setting.terms, deadline_s=None)
        round_ = arranged(self.panel)
        seats = tuple(round_.seats())
        house = House(terms, setting.backend, model, setting.base_url, asking.seed)
        desks = Desks(house, Interrupt(), None)
        await desks.open(stack, seats)
        models = tuple(desks.model_of(seat) for seat in seats)
        prices = setting.prices or _listed(desks, seats)
        check_priced(models, prices, setting.max_cost)
        return Sitting(round_, desks, prices)


class Sitting:
    """Holds the panel at backends that are open."""

    def __init__(self, round_: Round, desks: Desks, prices: Prices) -> None:
        self.prices = dict(prices)
        """The prices of all models that are asked, as far as they are known."""
        self._round = round_
        self._desks = desks

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Whom the agents ask; the first one's first."""
        return self._desks.backends

    def content(self, item: Item) -> str:
        """The text that two items have in common where they are asked the same."""
        return f"{item.question}\x1f{item.context}"

    async def __call__(self, item: Item, conductor: ItemConductor) -> Mapping[str, Any]:
        """The object `fanin.panel/1` of that item. Raises FaninError for one that cannot be asked."""
        if not item.question.strip():
            raise InputError("question", "a text that is not blank", item.question)
        for name in ("answer",) * (item.answer is not None) + tuple(name for name, _ in item.options):
            raise FaninError(f"its {name} says nothing to a panel, whose agents have their own")
        prompt = prompt_of(item.question, item.context or ())
        report = await hold(self._round, item.question, prompt, self._desks.anew(conductor.at), self.prices)
        return {"question": item.question, **report.to_dict()}


def _check(setting: Setting) -> None:
    """Raises InputError for a parameter that says nothing to a panel."""
    asking = setting.asking
    if len(as_texts(asking.model, "model")) > 1:
        raise InputError("model", "one, for agents that name none", asking.model)
    names = ("answer", "system", "structured", "quorum", "judge", "embed")
    given = {name: getattr(asking, name) for name in names}
    given["stop"] = None if setting.stop == "all" else setting.stop
    for name, value in given.items():
        if value:
            raise InputError(name, "left out with a panel, whose agents have their own", value)


def _listed(desks: Desks, seats: tuple[Seat, ...]) -> Prices:
    prices: dict[str | None, Any] = {}
    for seat in seats:
        prices.update(listed_prices_of(desks.backend_of(seat), ((desks.model_of(seat),),)))
    return prices
