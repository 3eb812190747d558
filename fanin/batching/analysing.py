"""The jobs of a batch whose items are worked on in several steps: one analysis of each, or a vote over
several, each alone with its course."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import anyio
import attrs

from fanin.analysed import Mode
from fanin.answers.text import Text
from fanin.backend import Backend
from fanin.batching.conducting import ItemConductor
from fanin.batching.items import Item
from fanin.batching.jobs import Setting
from fanin.batching.voted import Voting, opened_voting
from fanin.ensemble import Stopping, hold_vote
from fanin.errors import FaninError, InputError
from fanin.inquiry import Inquiry, check_cost_limit, hold_analyses
from fanin.opening import as_texts
from fanin.policy.analysing import MODES, as_mode, as_modes, systems_for
from fanin.stages.fan_out import fan_out
from fanin.values import Failure, Outcome, Plan, Run

_OF_VOTES = frozenset({"runs", "quorum", "temperature_step"})


@attrs.frozen
class AnalysisJob:
    """An analysis of every item; each row holds `fanin.analysis/1`. Raises InputError for an unknown mode.

    Of the batch's parameters, `runs`, `quorum`, `temperature_step`, `stop` and `budget_runs` say nothing to
    it; `model` and `system` are one. An item may set its answer, model, system, temperature, seed and
    max_tokens. On a resume a call that failed is made again, and so are those that followed from it.
    """

    mode: Mode = attrs.field(default=MODES["balanced"], converter=as_mode)
    """How deep each goes: a Mode, or the name of one; `as_mode("quick", max_steps=3)` for other settings."""

    async def ready(self, stack: AsyncExitStack, setting: Setting) -> Analysing:
        """Ready to analyse. Raises FaninError where the backend, a parameter or a price is wrong."""
        usual = {"stop": "all", "judge": None, "embed": None}
        given = {"stop": setting.stop, "judge": setting.asking.judge, "embed": setting.asking.embed}
        for name, value in given.items():
            if value != usual[name]:
                raise InputError(name, "left out with analyses, of which each is one run", value)
        asking = attrs.evolve(setting.asking, runs=1, quorum=None)
        _check_single(asking.model, asking.system)
        voting = await opened_voting(stack, attrs.evolve(setting, asking=asking))
        plan = await voting.plan(Item(1, None, "?"))
        check_cost_limit(self.mode, plan, fan_out(plan), voting.prices)
        return Analysing(self.mode, voting)


class Analysing:
    """Analyses items at one backend."""

    def __init__(self, mode: Mode, voting: Voting) -> None:
        self.prices = voting.prices
        """The prices of the models met so far."""
        self._mode = mode
        self._voting = voting

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The one backend that is asked."""
        return self._voting.backends

    def content(self, item: Item) -> str:
        """The text that two items have in common where they are asked the same."""
        # Only the last call tells the type of the answer: until then both are asked the same.
        return self._voting.content(attrs.evolve(item, answer=None))

    async def __call__(self, item: Item, conductor: ItemConductor) -> Mapping[str, Any]:
        """The object `fanin.analysis/1` of that item. Raises FaninError for one that cannot be asked."""
        plan = await self._plan(item)
        [run] = fan_out(plan)
        slots = anyio.Semaphore(self._mode.candidate_plans)
        inquiry = Inquiry(plan, run, self._mode, conductor, slots=slots, prices=self.prices)

        async def job(_: Run) -> Outcome | None:
            return await inquiry.carry_out()

        ended = await conductor.conduct([run], job)
        cut = next((outcome for outcome in ended.outcomes if isinstance(outcome, Failure)), None)
        return inquiry.analysis(prices=self.prices, cut=cut).to_dict()

    async def _plan(self, item: Item) -> Plan:
        for name, value in item.options:
            if name in _OF_VOTES:
                raise FaninError(f"its {name} is about votes, and it is analysed once")
            if name in ("model", "system"):
                _check_single(**{name: value})
        plan = await self._voting.plan(item)
        check_cost_limit(self._mode, plan, fan_out(plan), self.prices)
        return plan


@attrs.frozen
class AnalysesJob:
    """A vote on every item whose runs are analyses; each row holds `fanin.vote/1` with its `analyses`.

    Every call of each of them stands in the journal: on a resume only those that failed are made again, and
    those that followed from them. An item may set what it may for a vote. Raises InputError for a mode that
    is none.
    """

    modes: tuple[Mode, ...] = attrs.field(converter=as_modes)
    """How deep each goes: a Mode or the name of one, or several that the runs go round."""

    async def ready(self, stack: AsyncExitStack, setting: Setting) -> AnalysesVoting:
        """Ready to vote. Raises FaninError where the backend, a parameter or a price is wrong."""
        asking = setting.asking
        if isinstance(asking.answer, Text) and asking.answer.whole:
            raise InputError("mode", "left out where a judge selects the answer", self.modes[0].name)
        systems = systems_for(self.modes, as_texts(asking.system, "system"))
        asked = attrs.evolve(setting, asking=attrs.evolve(asking, system=systems))
        opened = await opened_voting(stack, asked)
        voting = AnalysesVoting(self.modes, opened, setting.terms.concurrency)
        await voting.prepared(Item(1, None, "?"))
        return voting


class AnalysesVoting:
    """Holds votes over analyses at one backend."""

    def __init__(self, modes: tuple[Mode, ...], voting: Voting, concurrency: int) -> None:
        self.prices = voting.prices
        """The prices of the models met so far."""
        self._modes = modes
        self._voting = voting
        self._concurrency = concurrency

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The one backend that is asked."""
        return self._voting.backends

    def content(self, item: Item) -> str:
        """The text that two items have in common where they are asked the same."""
        return self._voting.content(attrs.evolve(item, answer=None))

    async def prepared(self, item: Item) -> tuple[Plan, Stopping | None]:
        """The plan of that item, and when to stop. Raises FaninError for an item that cannot be asked."""
        options = [
            (name, systems_for(self._modes, as_texts(value, name)) if name == "system" else value)
            for name, value in item.options
        ]
        plan, stopping = await self._voting.prepared(attrs.evolve(item, options=tuple(options)))
        for mode in self._modes:
            check_cost_limit(mode, plan, fan_out(plan), self.prices)
        return plan, stopping

    async def __call__(self, item: Item, conductor: ItemConductor) -> Mapping[str, Any]:
        """The object `fanin.vote/1` of that item. Raises FaninError for one that cannot be asked."""
        plan, stopping = await self.prepared(item)
        hold = partial(hold_vote, backend=self._voting.backend, price=self.prices, stopping=stopping)
        verdict = await hold_analyses(
            plan,
            conductor,
            modes=self._modes,
            concurrency=self._concurrency,
            prices=self.prices,
            hold=hold,
        )
        if (settler := self._voting.settler(plan, conductor)) is not None:
            verdict = await settler.settle(verdict)
        return verdict.to_dict()


def _check_single(model: Any = None, system: Any = None) -> None:
    """Raises InputError for more than one, since nothing goes round them."""
    for name, value in (("model", model), ("system", system)):
        if len(as_texts(value, name)) > 1:
            raise InputError(name, "one with analyses, of which each is one run", value)
