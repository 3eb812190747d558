"""The conductor of one item of a batch: its calls go through what all items share."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import anyio
import attrs

from fanin.agent_run import ToolUse
from fanin.backend import Backend
from fanin.batching.calling import Calls, name_of
from fanin.batching.items import Item
from fanin.batching.journal import NO_MODEL
from fanin.batching.keys import call_key, place_of, read_back, read_back_use, tool_key, written_use
from fanin.batching.spending import HOLD, UNPAID, Hold, Metered
from fanin.batching.standing import NOTHING_USED
from fanin.conductor import Conducted, Conductor, Enough, Job, Progress
from fanin.errors import CallError, JournalError
from fanin.policy.pricing import Prices
from fanin.values import Completion, Event, Failure, Outcome, Plan, Request, Run, Sample, ToolCall
from fanin.verdict import Verdict

if TYPE_CHECKING:
    from fanin.admission import Admission
    from fanin.agent_run import ToolLimits
    from fanin.tools import Tool
    from fanin.waiter import TooLong

T = TypeVar("T")


@attrs.define
class Came:
    """What came of an item's calls so far, wherever they were made."""

    cut: bool = False
    """Whether one was left unasked because the batch is over: the item is not done."""
    answered: int = 0
    """Calls that were answered, by the journal too."""
    failures: list[Failure] = attrs.field(factory=list)
    """What the others failed for."""


class ItemConductor(Conductor):
    """Carries out the runs of one item at one backend, each call as one of the batch's.

    Where there are items enough to fill the slots, the runs of one come one after the other: nothing is
    slower for it, no task has to be made for a run, and a stop rule spares what it can.
    """

    def __init__(
        self,
        calls: Calls,
        item: Item,
        *,
        occurrence: int,
        seed: int,
        backend: Metered | None = None,
        came: Came | None = None,
    ) -> None:
        asked = backend or calls.backend
        super().__init__(asked, calls.terms, clock=calls.clock, watch=self._notice, seed=seed)
        self.came = came or Came()
        self._calls = calls
        self._item = item
        self._occurrence = occurrence
        self._noted_at = 0
        self._place = place_of(item, name_of(asked), occurrence) if calls.journal is not None else ""
        self._prefix = item.question if item.context is None else item.context
        self._turns = calls.turns_at(asked)
        self._repeats: dict[bytes, int] = {}
        self._waits: dict[int, str] = {}

    def note_asked(self, plan: Plan, prices: Prices, judge: str | None) -> None:
        """Has the journal know how the item is asked, and by which model judged."""
        notes, calls = self._calls.notes, self._calls
        if notes is not None:
            self._noted_at = notes.asked(
                self._item, self._occurrence, plan, calls.backend.name, prices, judge
            )

    def note_ended(self, verdict: Verdict) -> None:
        """Has the journal know how the vote on the item ended, unless it was cut short."""
        if self._calls.notes is not None and not self.came.cut:
            self._calls.notes.ended(self._noted_at, verdict)

    def at(self, backend: Backend) -> ItemConductor:
        """A conductor of the same item's calls at another backend; what comes of them is this one's too."""
        if backend is self._calls.backend.inner:
            return self
        return ItemConductor(
            self._calls,
            self._item,
            occurrence=self._occurrence,
            seed=self._seed,
            backend=Metered(backend, self._calls.spending),
            came=self.came,
        )

    async def conduct(
        self,
        runs: Sequence[Run],
        job: Job,
        *,
        enough: Enough | None = None,
        settled: Enough | None = None,
    ) -> Conducted:
        """As every conductor; one run after the other for as long as the batch is crowded.

        `settled` is not looked at: a batch makes no call twice.
        """
        outcomes: list[Outcome] = []
        self._begin()
        left = deque(runs)
        while left and self._calls.crowded:
            run = left.popleft()
            outcome = await self._carry_out(run, job)
            if outcome is not None:
                outcomes.append(outcome)
                if enough is not None and enough(outcomes):
                    return Conducted(tuple(outcomes), "rule")
        if not left:
            return Conducted(tuple(outcomes), "limit" if self.came.cut else "all")
        together = await super().conduct(
            left, job, enough=None if enough is None else lambda came: enough([*outcomes, *came])
        )
        return attrs.evolve(together, outcomes=(*outcomes, *together.outcomes))

    async def ask(self, request: Request) -> Outcome | None:
        """One request to its end, from the journal where that has it. None: nothing new is asked."""
        calls = self._calls
        key = b"" if calls.journal is None else self._repeatable(partial(call_key, request, self._place))
        if calls.journal is not None and (kept := calls.journal.recall(key)) is not None:
            self.came.answered += 1
            calls.recalled += 1
            return self._read(lambda text: read_back(text, request.index), kept)
        warming = await calls.first_of(request.model, self._prefix) if calls.warms else None
        try:
            if self._turns is None:
                return await self._in_a_slot(request, key)
            await self._turns.take(request.model)
            try:
                return await self._in_a_slot(request, key)
            finally:
                self._turns.leave()
        finally:
            if warming is not None:
                warming.set()

    async def _in_a_slot(self, request: Request, key: bytes) -> Outcome | None:
        if not await self._calls.enter():
            self.came.cut = True
            return None
        try:
            return await self._called(request, key)
        finally:
            self._calls.leave()

    async def use_tools(
        self, index: int, calls: Sequence[ToolCall], tools: Sequence[Tool], limits: ToolLimits
    ) -> tuple[ToolUse, ...]:
        """As every conductor; what the journal holds is not done again, and nothing new once it is over."""
        journal = self._calls.journal
        if self._calls.ended is not None:
            return tuple(ToolUse(call.name, call.arguments, error="The batch is over.") for call in calls)
        if journal is None:
            return await super().use_tools(index, calls, tools, limits)
        keys = [self._repeatable(partial(tool_key, call, self._place, index)) for call in calls]
        kept = [journal.recall(key) for key in keys]
        new = [call for call, known in zip(calls, kept, strict=True) if known is None]
        done = iter(await super().use_tools(index, new, tools, limits) if new else ())
        uses = []
        for key, known in zip(keys, kept, strict=True):
            uses.append(next(done) if known is None else self._read(read_back_use, known))
            if known is None and not await self._calls.write((key, written_use(uses[-1]), NO_MODEL, 0, 0)):
                self.came.cut = True
        return tuple(uses)

    async def _called(self, request: Request, key: bytes) -> Outcome | None:
        calls = self._calls
        hold = Hold(await calls.spending.reserve(request))
        if hold.reserved is None:
            self.came.cut = True
            return None
        HOLD.set(hold)
        try:
            outcome = await self._outcome(request, hold)
        finally:
            if hold.reserved is not None:
                calls.spending.release(hold.reserved)
            self._forget_wait(request.index)
        if not isinstance(outcome, Sample):
            self._failed(outcome)
            return outcome
        if calls.journal is not None and not await calls.keep(key, request, outcome):
            self.came.cut = True
        self.came.answered += 1
        calls.count(outcome.completion.usage)
        return outcome

    async def _outcome(self, request: Request, hold: Hold) -> Outcome | None:
        if self._calls.asker is None:
            return await super().ask(request)
        self._progress.setdefault(request.index, Progress()).attempts = 1
        return await self._calls.asker.ask(request, hold, self._seed, partial(self._hear, request.index))

    async def _call(self, request: Request) -> Completion | CallError:
        """As every conductor; the journal is told of a call that came to nothing and may cost something."""
        try:
            answer = await super()._call(request)
        except anyio.get_cancelled_exc_class():
            self._calls.lost(request)
            raise
        if isinstance(answer, CallError) and answer.kind != "budget":
            self._calls.failed(request, NOTHING_USED if answer.kind in UNPAID else None)
        return answer

    def _hear(self, index: int, event: Event) -> None:
        """What happened elsewhere to a call of that run."""
        self._progress[index].attempts = event.attempt
        self._tell(event.kind, index, event.wait_s, event.detail)

    def _admission(self, request: Request) -> Admission | None:
        admission = super()._admission(request)
        if admission is not None:
            self._calls.limiters[self._backend.account, request.model] = admission.limiter
        return admission

    async def _granted(self, admission: Admission) -> TooLong | None:
        with anyio.CancelScope() as scope, self._calls.waits(scope):
            return await super()._granted(admission)
        from fanin.policy.pacing import Outlook
        from fanin.waiter import TooLong

        return TooLong(Outlook(math.inf, "line"), math.inf)

    async def _wait(self, index: int, not_before_s: float) -> bool:
        if not_before_s > self._clock.now_s():
            with anyio.CancelScope() as scope, self._calls.waits(scope):
                return await super()._wait(index, not_before_s)
            return False
        return True

    def _failed(self, failure: Failure | None) -> None:
        # The batch's deadline is none of its calls': this is what waited when nothing was asked any more.
        if failure is None or failure.kind in ("budget", "deadline"):
            self.came.cut = True
        elif failure.exhausted:
            self.came.cut = True
            self._calls.end("limit", failure.message)
        else:
            self.came.failures.append(failure)

    def _read(self, read: Callable[[str], T], kept: str) -> T:
        assert self._calls.journal is not None
        try:
            return read(kept)
        except ValueError as error:
            raise JournalError(str(self._calls.journal.path), f"it is damaged: {error}") from error

    def _repeatable(self, key_of: Callable[[int], bytes]) -> bytes:
        """The key of something, made with how many equal ones the item had before."""
        key = key_of(0)
        repeat = self._repeats.get(key, 0)
        self._repeats[key] = repeat + 1
        return key_of(repeat) if repeat else key

    def _tell(self, kind: str, index: int, wait_s: float = 0.0, detail: str = "") -> None:
        # Where nobody watches, the two events that every call has are worth a fiftieth of its time.
        if self._calls.watch is None and kind in ("asked", "answered"):
            self._forget_wait(index)
        else:
            super()._tell(kind, index, wait_s, detail)

    def _notice(self, event: Event) -> None:
        self._forget_wait(event.index)
        if event.kind in ("limit", "retry"):
            self._waits[event.index] = event.kind
            self._calls.waiting[event.kind] += 1
        if self._calls.watch is not None:
            self._calls.watch(self._item.number, event)

    def _forget_wait(self, index: int) -> None:
        if (kind := self._waits.pop(index, None)) is not None:
            self._calls.waiting[kind] -= 1
