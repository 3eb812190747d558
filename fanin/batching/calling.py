"""The calls of a batch: a slot each, paid from one purse, written down before they count as done."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import anyio
import attrs

from fanin.agent_run import ToolUse
from fanin.backend import Backend
from fanin.batching.engines import Asker, Post
from fanin.batching.items import Item
from fanin.batching.journal import NO_MODEL, Journal, Record
from fanin.batching.keys import (
    call_key,
    place_of,
    read_back,
    read_back_use,
    tool_key,
    written,
    written_use,
)
from fanin.batching.noting import Notes
from fanin.batching.spending import HOLD, Hold, Metered, Spending
from fanin.batching.standing import Ended
from fanin.clock import BoundClock, Clock
from fanin.conductor import Conducted, Conductor, Enough, Job, Progress
from fanin.errors import JournalError
from fanin.policy.budget import worst_usage
from fanin.policy.pricing import Prices
from fanin.terms import Terms
from fanin.values import Event, Failure, Outcome, Plan, Request, Run, Sample, ToolCall, Usage
from fanin.verdict import Verdict

if TYPE_CHECKING:
    from fanin.agent_run import ToolLimits
    from fanin.tools import Tool

T = TypeVar("T")

_REMEMBERED_PREFIXES = 4096


class Calls:
    """What all items of a batch share: slots, purse, journal, and whether anything new may be asked."""

    def __init__(
        self,
        backend: Backend,
        spending: Spending,
        terms: Terms,
        journal: Journal | None,
        *,
        warm_prefix: bool,
        watch: Callable[[int, Event], None] | None,
    ) -> None:
        self.backend = Metered(backend, spending)
        self.spending = spending
        self.jobs = jobs = terms.concurrency
        # The deadline is that of the batch as a whole.
        self.terms = attrs.evolve(terms, deadline_s=None)
        self.journal = journal
        self.asker: Asker | None = None
        """Who makes the calls, where that is not this process."""
        self.watch = watch
        self.clock: Clock = BoundClock()
        self.open_items = 0
        """Items that are being asked about."""
        self.answered = 0
        self.recalled = 0
        self._read: int | None = 0
        self._written: int | None = 0
        self.ended: Ended | None = None
        self.why = ""
        self.on_end: Callable[[], None] = lambda: None
        self.waiting = {"limit": 0, "retry": 0, "prefix": 0}
        self.notes = None if journal is None else Notes(journal, name_of(backend))
        """Where the journal is told of the items."""
        self._slots = anyio.Semaphore(jobs, fast_acquire=True)
        self._warm: OrderedDict[Hashable, anyio.Event] | None = OrderedDict() if warm_prefix else None
        spending.over = lambda: self.end("budget", "The budget leaves no room for another call.")

    @property
    def warms(self) -> bool:
        """Whether the first call of each prefix goes ahead."""
        return self._warm is not None

    @property
    def in_flight(self) -> int:
        """Calls that hold a slot."""
        return self.jobs - self._slots.value

    @property
    def crowded(self) -> bool:
        """Whether there are items enough to fill every slot with a run of each."""
        return self.open_items >= self.jobs

    @property
    def usage(self) -> Usage:
        """Tokens of the runs that were answered by a call; None where one is unknown."""
        return Usage(self._read, self._written)

    def count(self, used: Usage) -> None:
        """One more run was answered."""
        self.answered += 1
        self._read = _sum(self._read, used.input_tokens)
        self._written = _sum(self._written, used.output_tokens)

    def end(self, ended: Ended, why: str = "") -> None:
        """Nothing new is asked from now on; the first reason stays."""
        if self.ended is None:
            self.ended, self.why = ended, why
            self.on_end()

    async def enter(self) -> bool:
        """Takes a slot; False, and none is taken, where nothing new is asked."""
        if self._slots.value:
            self._slots.acquire_nowait()
        else:
            await self._slots.acquire()
        if self.ended is not None:
            self.leave()
        return self.ended is None

    def leave(self) -> None:
        """Gives the slot back."""
        self._slots.release()

    def post(self) -> Post:
        """What an engine has to know to make these calls."""
        backend = self.backend
        watched = self.watch is not None
        return Post(backend.name, backend.base_url, self.terms, self.spending, watched, self.lost)

    def lost(self) -> None:
        """A call was cut short, and may have been paid for."""
        if self.journal is not None:
            self.journal.lost += 1

    async def keep(self, key: bytes, request: Request, sample: Sample) -> bool:
        """Writes the answer down; False where that failed, and the batch is over."""
        assert self.journal is not None
        used = sample.completion.usage
        if used.input_tokens is None or used.output_tokens is None:
            used = worst_usage(request, 0)
        charged = (used.input_tokens or 0, used.output_tokens or 0)
        return await self.write((key, written(sample), request.model, *charged))

    async def write(self, record: Record) -> bool:
        """Writes a record; False where that failed, and the batch is over."""
        assert self.journal is not None
        if await self.journal.keep(record):
            return True
        self.end("journal", self.journal.problem or "")
        return False

    async def first_of(self, prefix: Hashable) -> anyio.Event | None:
        """Waits until the first call with that prefix has ended; the event to set, where this is it."""
        assert self._warm is not None
        first = self._warm.get(prefix)
        if first is None:
            first = self._warm[prefix] = anyio.Event()
            if len(self._warm) > _REMEMBERED_PREFIXES:
                self._warm.popitem(last=False)
            return first
        if not first.is_set():
            self.waiting["prefix"] += 1
            try:
                await first.wait()
            finally:
                self.waiting["prefix"] -= 1
        return None


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
        warming = await calls.first_of((request.model, self._prefix)) if calls.warms else None
        try:
            if not await calls.enter():
                self.came.cut = True
                return None
            try:
                return await self._called(request, key)
            finally:
                calls.leave()
        finally:
            if warming is not None:
                warming.set()

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
        except anyio.get_cancelled_exc_class():
            calls.lost()
            raise
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

    def _hear(self, index: int, event: Event) -> None:
        """What happened elsewhere to a call of that run."""
        self._progress[index].attempts = event.attempt
        self._tell(event.kind, index, event.wait_s, event.detail)

    def _failed(self, failure: Failure | None) -> None:
        if failure is None or failure.kind == "budget":
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


def name_of(backend: Backend) -> str:
    """The backend as the keys name it."""
    return f"{backend.name} {backend.base_url or ''}"


def _sum(known: int | None, more: int | None) -> int | None:
    return None if known is None or more is None else known + more
