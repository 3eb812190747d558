"""The job of a batch of analyses: every item is worked on in several steps, each alone with its course."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import anyio
import attrs

from fanin.analysed import Mode
from fanin.backend import Backend
from fanin.batching.conducting import ItemConductor
from fanin.batching.items import Item
from fanin.batching.jobs import Setting
from fanin.batching.voted import Voting, opened_voting
from fanin.errors import FaninError, InputError, first_error
from fanin.inquiry import Inquiry, check_cost_limit
from fanin.opening import as_texts
from fanin.policy.analysing import MODES, as_mode
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

        try:
            ended = await conductor.conduct([run], job)
        except ExceptionGroup as errors:
            raise first_error(errors) from None
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


def _check_single(model: Any = None, system: Any = None) -> None:
    """Raises InputError for more than one, since nothing goes round them."""
    for name, value in (("model", model), ("system", system)):
        if len(as_texts(value, name)) > 1:
            raise InputError(name, "one with analyses, of which each is one run", value)
