"""One budget of runs for all questions of a batch: each next run goes where the votes are closest."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import anyio
import attrs

from fanin.batching.calling import Calls
from fanin.batching.conducting import ItemConductor
from fanin.batching.items import BadItem, Item
from fanin.batching.rows import Row
from fanin.batching.source import Source, Taken
from fanin.batching.voted import Voting
from fanin.batching.working import Working
from fanin.conductor import Job
from fanin.ensemble import Stopping, completion_job, seen_by
from fanin.errors import FaninError, InputError
from fanin.policy.circuit import Circuit
from fanin.policy.spreading import first_wave, turn
from fanin.stages.conclude import conclude
from fanin.stages.fan_out import fan_out
from fanin.stages.gather import gather
from fanin.values import Outcome, Plan, Run, Stopped
from fanin.verdict import Verdict

if TYPE_CHECKING:
    from fanin.settling import Settler

MOST_QUESTIONS = 100_000
"""All questions are kept in memory while their budget is shared."""


@attrs.define(eq=False)
class _Question:
    """One question while the budget is shared, and what its runs came to so far."""

    place: int
    item: Item
    plan: Plan
    runs: tuple[Run, ...]
    stopping: Stopping | None
    conductor: ItemConductor
    job: Job
    settler: Settler | None
    counted: Plan
    outcomes: list[Outcome] = attrs.field(factory=list)
    satisfied: bool = False

    def turn(self, first: int) -> tuple[int, int, int]:
        """Where it stands in line; the lowest is next."""
        return (*turn(seen_by(self.counted, self.runs, self.outcomes), first), self.place)

    async def ask(self, voting: Voting, first: int) -> bool:
        """Asks its next run; whether it is done. Texts are settled as soon as it has had the first wave."""
        asked = await self.conductor.conduct([self.runs[len(self.outcomes)]], self.job)
        self.outcomes += asked.outcomes
        if self.settler is not None and len(self.outcomes) >= first:
            self.counted = await self.settler.so_far(self._voted(voting).votes)
        seen = seen_by(self.plan, self.runs, self.outcomes)
        self.satisfied = self.stopping is not None and self.stopping.rule.satisfied(seen)
        return self.conductor.came.cut or self.satisfied or len(self.outcomes) == self.plan.runs

    async def verdict(self, voting: Voting) -> Verdict:
        """The verdict on the runs it got: those it did not get are spared."""
        verdict = self._voted(voting)
        return verdict if self.settler is None else await self.settler.settle(verdict)

    def _voted(self, voting: Voting) -> Verdict:
        """The same, texts compared as they stand."""
        rule = self.stopping.rule.text if self.stopping is not None else "all"
        return conclude(
            self.plan,
            self.runs,
            gather(self.outcomes, self.plan.runs),
            stopped=self._stopped(rule),
            backend=voting.backend,
            price=voting.prices,
            events=tuple(self.conductor.events),
        )

    def _stopped(self, rule: str) -> Stopped:
        if self.satisfied:
            return Stopped("rule", rule)
        return Stopped("all", rule) if len(self.outcomes) == self.plan.runs else Stopped("rule", "spread")


class Spread(Working):
    """Reads all questions, then asks one run after another, each of the question whose turn it is."""

    def __init__(
        self, source: Source, calls: Calls, voting: Voting, circuit: Circuit, seed: int, budget: int
    ) -> None:
        super().__init__(source, calls, voting, circuit, seed, ordered=False)
        self._voting = voting
        self._budget = budget
        self._first = 1
        self._line: list[tuple[tuple[int, int, int], _Question]] = []

    async def _ask_all(self) -> None:
        questions = await self._read()
        if questions:
            most = max(question.plan.runs for question in questions)
            self._first = first_wave(self._budget, len(questions), most)
        if not self._first:
            bound = f"at least one run for each of the {len(questions)} questions"
            raise InputError("budget_runs", bound, self._budget)
        self._line = [(question.turn(self._first), question) for question in questions]
        heapq.heapify(self._line)
        async with anyio.create_task_group() as working:
            for _ in range(self._calls.jobs):
                working.start_soon(self._take_turns)
        for _, question in sorted(self._line, key=lambda waiting: waiting[1].place):
            await self._finish(question)

    async def _read(self) -> list[_Question]:
        read: list[_Question] = []
        while (taken := await self._source.take()) is not None:
            if len(read) == MOST_QUESTIONS:
                raise InputError(
                    "budget_runs", f"left out with more than {MOST_QUESTIONS:,} questions", self._budget
                )
            question = await self._question(taken)
            if question is not None:
                read.append(question)
        return read

    async def _question(self, taken: Taken) -> _Question | None:
        """The item as a question in line; None where it is bad and has its row."""
        item = taken.item
        try:
            if isinstance(item, BadItem):
                raise FaninError(item.message)
            plan, stopping = await self._voting.prepared(item)
        except FaninError as error:
            await self._hand_out(taken.place, self._bad(item, error.message))
            return None
        conductor = self._conductor(taken, item)
        conductor.note_asked(plan, self._voting.prices, self._voting.judge)
        job = completion_job(plan, conductor)
        settler = self._voting.settler(plan, conductor)
        return _Question(taken.place, item, plan, fan_out(plan), stopping, conductor, job, settler, plan)

    async def _take_turns(self) -> None:
        while self._line and self._budget and self._calls.ended is None:
            _, question = heapq.heappop(self._line)
            self._budget -= 1
            if await question.ask(self._voting, self._first):
                await self._finish(question)
            else:
                heapq.heappush(self._line, (question.turn(self._first), question))

    async def _finish(self, question: _Question) -> None:
        row = None
        if self._calls.ended is None and not question.conductor.came.cut:
            row = await self._row_of(question)
        await self._hand_out(question.place, row)

    async def _row_of(self, question: _Question) -> Row | None:
        """The question's row; None where the last thing to be asked about it was cut short."""
        item, verdict = question.item, await question.verdict(self._voting)
        if question.conductor.came.cut:
            return None
        question.conductor.note_ended(verdict)
        row = Row(item.number, item.id, verdict.to_dict())
        self._count(row, question.conductor)
        return row
