"""An analysis while it is carried out: the edge between its pure course and the conductor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

import anyio
import anyio.abc

from fanin.analysed import Analysis, Course, Mode
from fanin.conductor import Conductor, Job
from fanin.errors import InputError, first_error
from fanin.policy.analysing import Action, fits, modes_of, next_action, unaffordable, worst_usd
from fanin.policy.pricing import Prices, cost_usd, price_of
from fanin.stages.account import analysis_of, outcome_of, with_analyses
from fanin.stages.advance import advance, counted
from fanin.stages.fan_out import fan_out
from fanin.stages.inquire import requests_for
from fanin.values import Event, Failure, Outcome, Plan, Request, Run, Sample
from fanin.verdict import Verdict

Tell: TypeAlias = Callable[[int, str], None]
"""Is told what an analysis does next, with the index of its run; must not block."""


class Hold(Protocol):
    """Holds the vote of a plan whose runs do `job`."""

    def __call__(
        self, plan: Plan, conductor: Conductor, *, job: Job, remarks: Sequence[str]
    ) -> Awaitable[Verdict]: ...


class Inquiry:
    """One analysis on one conductor. `course` is how far it has come, also where it was cut short.

    `slots` bounds the calls that it and its neighbours have in flight at once.
    """

    def __init__(
        self,
        plan: Plan,
        run: Run,
        mode: Mode,
        conductor: Conductor,
        *,
        slots: anyio.Semaphore,
        prices: Prices,
        tell: Tell | None = None,
    ) -> None:
        self.run = run
        self.course = Course(mode)
        self._plan = plan
        self._conductor = conductor
        self._slots = slots
        self._price = price_of(run.model, prices)
        self._spent_usd = 0.0
        self._tell = tell
        self._asking: list[Outcome | None] = []

    async def carry_out(self) -> Outcome | None:
        """Acts until nothing is left to do: the outcome of the run, None where no call could be made.

        Raises FaninError as the conductor does (a replay miss).
        """
        while (action := next_action(self.course)) != "end":
            requests = requests_for(self.course, action, self._plan, self.run)
            if not self._affords(requests):
                self.course = unaffordable(self.course, action, self.run.index)
                continue
            if self._tell is not None:
                self._tell(self.run.index, said(self.course, action))
            await self._ask(requests)
            outcomes, self._asking = self._asking, []
            if action == "plan" and not any(outcomes):
                return None
            self._pay(requests, outcomes)
            self.course = advance(self.course, action, [self._or_no_time(outcome) for outcome in outcomes])
        return outcome_of(self.course, self.run)

    def analysis(
        self, *, prices: Prices, cut: Failure | None = None, events: tuple[Event, ...] = ()
    ) -> Analysis:
        """What has come of it; `cut` is the failure of one that was ended from outside."""
        course = self.course
        if cut is not None and self._asking:
            # What came back before it was cut is paid for too.
            course = counted(course, [outcome or cut for outcome in self._asking])
        backend = self._conductor.backend.name
        return analysis_of(
            course, self._plan, self.run, backend=backend, prices=prices, cut=cut, events=events
        )

    def _affords(self, requests: Sequence[Request]) -> bool:
        if self._price is None or self.course.mode.cost_limit_usd is None:
            return True
        [synthesis] = requests_for(self.course, "synthesize", self._plan, self.run)
        return fits(self.course, requests, synthesis, self._price, self._spent_usd)

    def _pay(self, requests: Sequence[Request], outcomes: Sequence[Outcome | None]) -> None:
        if self._price is None:
            return
        for request, outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, Sample):
                usd = cost_usd(outcome.completion.usage, self._price)
                # What a provider does not tell is taken to be the most it can be.
                self._spent_usd += worst_usd([request], self._price) if usd is None else usd

    async def _ask(self, requests: Sequence[Request]) -> None:
        """Asks all at once, as far as there are slots; puts what comes in the order of the requests."""
        outcomes = self._asking = [None] * len(requests)

        async def one(place: int, *, task_status: anyio.abc.TaskStatus[None]) -> None:
            # Told before anything waits, so that the calls are made in order on trio as well.
            task_status.started()
            try:
                outcomes[place] = await self._conductor.ask(requests[place])
            finally:
                self._slots.release()

        try:
            async with anyio.create_task_group() as group:
                for place in range(len(requests)):
                    await self._slots.acquire()
                    await group.start(one, place)
        except ExceptionGroup as errors:
            raise first_error(errors) from None

    def _or_no_time(self, outcome: Outcome | None) -> Outcome:
        return outcome or Failure(self.run.index, "deadline", "The deadline came before this call.")


def said(course: Course, action: Action) -> str:
    """What an action is, in words for people."""
    match action:
        case "plan":
            plans = course.mode.candidate_plans
            return "making a plan" if plans == 1 else f"making {plans} plans"
        case "judge":
            return "choosing a plan"
        case "step":
            place = sum(step.iteration == course.iteration for step in course.steps) + 1
            of = place + len(course.todo) - 1
            return f"round {course.iteration}, step {place} of {of}: {course.todo[0]}"
        case "assess":
            return f"looking for what is missing after round {course.iteration}"
        case "synthesize":
            return "writing the final answer"
        case "focus":
            return "taking the focused answer from it"
    return ""


def first_request(plan: Plan, mode: Mode) -> Request:
    """The request that an analysis in that mode begins with."""
    return requests_for(Course(mode), "plan", plan, fan_out(plan)[0])[0]


def check_cost_limit(mode: Mode, plan: Plan, runs: Sequence[Run], prices: Prices) -> None:
    """Refuses a cost limit that cannot be kept: no price is known, or it is less than the least analysis.

    Raises InputError.
    """
    limit = mode.cost_limit_usd
    if limit is None:
        return
    for run in {run.model: run for run in runs}.values():
        price = price_of(run.model, prices)
        if price is None:
            raise InputError(
                "cost_limit_usd",
                f"left out where the price of {run.model} is unknown",
                limit,
                mend="Give the price: --price IN/OUT, or price=Price(...), in US$ per million tokens.",
            )
        course = Course(mode)
        plans = requests_for(course, "plan", plan, run)
        [synthesis] = requests_for(course, "synthesize", plan, run)
        if not fits(course, plans, synthesis, price, 0.0):
            bound = "enough for the plans, one step and the answer"
            mend = "Raise it, lower the most tokens of one call, or take a shallower mode."
            raise InputError("cost_limit_usd", bound, limit, mend=mend)


async def hold_analyses(
    plan: Plan,
    conductor: Conductor,
    *,
    modes: Sequence[Mode],
    concurrency: int,
    prices: Prices,
    hold: Hold,
) -> Verdict:
    """The vote of a plan whose runs are analyses, each alone with its own course; all are kept.

    `plan` has the system prompts of `systems_for(modes, ...)`. Raises FaninError where a call does (a
    replay miss); failed analyses are in the verdict, and in its `analyses`.
    """
    of_run = modes_of(plan, modes)
    slots = anyio.Semaphore(concurrency)
    begun: dict[int, Inquiry] = {}

    async def job(run: Run) -> Outcome | None:
        begun[run.index] = Inquiry(plan, run, of_run[run.index], conductor, slots=slots, prices=prices)
        return await begun[run.index].carry_out()

    left_out = [mode.name for mode in modes if mode not in of_run]
    remarks = [f"There are too few runs for the mode {', '.join(left_out)}."] if left_out else []
    verdict = await hold(plan, conductor, job=job, remarks=remarks)
    ended = {ballot.index: None for ballot in verdict.ballots}
    cut = {**ended, **{failure.index: failure for failure in verdict.failures}}
    analyses = [
        begun[index].analysis(prices=prices, cut=cut.get(index, _called_back(index)))
        for index in sorted(begun)
        if index in cut or verdict.stopped.by == "rule"
    ]
    return with_analyses(verdict, analyses)


def _called_back(index: int) -> Failure:
    return Failure(index, "interrupted", "Called back: the stop rule was satisfied without it.")
