"""The job of a plain batch: a vote on each item, by the batch's options and the item's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from os import PathLike
from typing import TYPE_CHECKING, Any

import attrs

from fanin.answers.text import Text
from fanin.backend import Backend
from fanin.batching.conducting import ItemConductor
from fanin.batching.items import Item
from fanin.batching.jobs import Asking, Setting, check_priced
from fanin.ensemble import Stopping, hold_vote
from fanin.errors import InputError
from fanin.opening import as_texts, listed_prices_of, opened_backend, resolved_models, tell_tape
from fanin.policy.pricing import Prices
from fanin.terms import Interrupt, Terms
from fanin.values import Plan, Question, Variation
from fanin.voting import as_answer, prefers_schema, stopping_of

if TYPE_CHECKING:
    from fanin.conductor import Conductor
    from fanin.policy.stopping import Waves
    from fanin.settling import Embed, Settlement, Settler


class VoteJob:
    """A vote on every item."""

    async def ready(self, stack: AsyncExitStack, setting: Setting) -> Voting:
        """Ready to vote. Raises FaninError where the backend, a parameter or a price is wrong."""
        return await opened_voting(stack, setting)


async def opened_voting(stack: AsyncExitStack, setting: Setting) -> Voting:
    """The votes of a batch at its own backend, which is closed with the stack.

    Raises FaninError where the backend, a parameter or a price is wrong.
    """
    wanted = as_texts(setting.asking.model, "model")
    backend = await opened_backend(stack, setting.backend, wanted, setting.base_url)
    voting = Voting(
        setting.asking,
        backend,
        setting.terms,
        setting.prices,
        setting.max_cost,
        setting.stop,
        setting.waves,
    )
    await voting.check()
    return voting


class Voting:
    """Holds the votes of a batch at one backend. What several items share is made once."""

    def __init__(
        self,
        asking: Asking,
        backend: Backend,
        terms: Terms,
        prices: Prices,
        max_cost: float | None,
        stop: str,
        waves: Waves,
    ) -> None:
        self.prices = dict(prices)
        """The prices of the models met so far."""
        self._asking = asking
        self._asked = _asked(asking)
        self._backend = backend
        self._terms = terms
        self._max_cost = max_cost
        self._stop = stop
        self._waves = waves
        self._list_prices = not prices
        self._models: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._variation: Variation | None = None
        self._stoppings: dict[tuple[Any, ...], Stopping | None] = {}
        self._settlements: dict[tuple[Text, int], Settlement] = {}
        self._embed: Embed | str | PathLike[str] | None = asking.embed

    @property
    def backend(self) -> str:
        """The backend's name."""
        return self._backend.name

    @property
    def judge(self) -> str | None:
        """The model that judges texts; None is the first that is asked."""
        return self._asking.judge

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The one backend that is asked."""
        return (self._backend,)

    async def check(self) -> None:
        """Raises FaninError where the batch's own options, model or price are wrong."""
        plan, _ = await self.prepared(Item(1, None, "?"))
        judge, embed = self._asking.judge, self._asking.embed
        if judge is not None or embed is not None:
            from fanin.settling import settlement_of

            settlement = settlement_of(plan.answer, judge=judge, embed=embed, runs=plan.runs)
            self._embed = settlement.embed
            self._price([judge or plan.variation.models[0]])

    async def plan(self, item: Item) -> Plan:
        """The plan of that item's vote. Raises FaninError for an item that cannot be asked."""
        asking = attrs.evolve(self._asking, **dict(item.options)) if item.options else self._asking
        return await self._plan(item, asking)

    def content(self, item: Item) -> str:
        """The text that two items have in common where they are asked the same, in however many runs."""
        asked = self._asked
        if item.options:
            with suppress(TypeError, ValueError):  # such an item will be a bad row
                asked = _asked(attrs.evolve(self._asking, **dict(item.options)))
        answer: Any = item.answer or self._asking.answer
        with suppress(InputError):  # the same
            answer = as_answer(answer, item.question)
        return f"{item.question}\x1f{item.context}\x1f{answer!r}\x1f{asked}"

    async def __call__(self, item: Item, conductor: ItemConductor) -> Mapping[str, Any]:
        """The object `fanin.vote/1` of that item. Raises FaninError for an item that cannot be asked."""
        plan, stopping = await self.prepared(item)
        conductor.note_asked(plan, self.prices, self.judge)
        verdict = await hold_vote(
            plan, conductor, backend=self._backend.name, price=self.prices, stopping=stopping
        )
        if (settler := self.settler(plan, conductor)) is not None:
            verdict = await settler.settle(verdict)
        conductor.note_ended(verdict)
        return verdict.to_dict()

    async def prepared(self, item: Item) -> tuple[Plan, Stopping | None]:
        """The plan of that item, and when to stop. Raises FaninError for an item that cannot be asked."""
        asking = attrs.evolve(self._asking, **dict(item.options)) if item.options else self._asking
        plan = await self._plan(item, asking)
        self._settlement(plan)  # what is wrong with it is said before any call
        return plan, self._stopping(plan)

    def conductor(self) -> Conductor:
        """What carries out calls for an item whose runs were not asked here: a judge's."""
        from fanin.conductor import Conductor

        return Conductor(self._backend, self._terms)

    def settler(self, plan: Plan, conductor: Conductor) -> Settler | None:
        """What settles the texts of that vote; None where they are compared as they stand."""
        settlement = self._settlement(plan)
        if settlement is None:
            return None
        from fanin.settling import Settler

        return Settler(plan, conductor, settlement)

    def _settlement(self, plan: Plan) -> Settlement | None:
        """By what the texts are settled. Raises InputError for what cannot be settled."""
        answer = plan.answer
        if not isinstance(answer, Text) or not (answer.unsettled or answer.whole):
            return None
        known = (answer, plan.runs)
        if known not in self._settlements:
            from fanin.settling import settlement_of

            judged = answer.cluster == "judge" or answer.whole
            self._settlements[known] = settlement_of(
                answer,
                judge=self._asking.judge if judged else None,
                embed=self._embed if answer.cluster == "embedding" else None,
                runs=plan.runs,
                apart=(self._asking.structured,),
            )
        return self._settlements[known]

    async def _plan(self, item: Item, asking: Asking) -> Plan:
        answer = as_answer(item.answer or asking.answer, item.question)
        return Plan(
            Question(item.question, item.context),
            answer,
            await self._varied(asking),
            asking.runs,
            asking.quorum,
            asking.max_tokens,
            (asking.structured or prefers_schema(answer)) and self._backend.capabilities.structured,
        )

    async def _varied(self, asking: Asking) -> Variation:
        """How the runs differ; made once for all items that set nothing for themselves."""
        usual = asking is self._asking
        if usual and self._variation is not None:
            return self._variation
        variation = Variation(
            await self._resolved(as_texts(asking.model, "model")),
            as_texts(asking.system, "system"),
            asking.temperature,
            asking.temperature_step,
            self._backend.capabilities.max_temperature,
            asking.seed,
            self._stop.startswith("certified"),
        )
        if usual:
            self._variation = variation
        return variation

    async def _resolved(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        models = self._models.get(wanted)
        if models is None:
            [models] = await resolved_models(self._backend, (wanted,), self._terms, Interrupt())
            self._price(models)
            tell_tape(self._backend, models)
            self._models[wanted] = models
        return models

    def _price(self, models: Sequence[str]) -> None:
        """Looks the prices up. Raises InputError for one that is unknown where there is a limit of cost."""
        if self._list_prices:
            self.prices.update(listed_prices_of(self._backend, (tuple(models),)))
        check_priced(tuple(models), self.prices, self._max_cost)

    def _stopping(self, plan: Plan) -> Stopping | None:
        if self._stop == "all":
            return None
        tolerance = getattr(plan.answer, "abs_tol", None), getattr(plan.answer, "rel_tol", None)
        known = (plan.runs, plan.quorum, *tolerance)
        if known not in self._stoppings:
            self._stoppings[known] = stopping_of(self._stop, self._waves, plan.runs, plan.quorum, plan.answer)
        return self._stoppings[known]


def _asked(asking: Asking) -> str:
    """What of it is sent with every call."""
    return repr(attrs.evolve(asking, answer=None, runs=1, quorum=None, judge=None, embed=None))
