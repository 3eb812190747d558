"""The one place that waits: task group, deadline, limiter and retries. Runs in, outcomes out.

A failure is a value here: a call that fails never cancels another run. Cancellation is never
caught: what a deadline or an interrupt cut short is found out afterwards, from what is missing.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import anyio
import attrs

from fanin.backend import Backend
from fanin.clock import Clock, LoopClock, StillClock
from fanin.context import RUN_INDEX, tape_on
from fanin.errors import CallError, FaninError, first_error
from fanin.failing import cut_short, no_time
from fanin.limiters import SHARED, Limiters
from fanin.policy import retrying
from fanin.terms import USUAL, Interrupt, Terms
from fanin.values import Completion, Event, Failure, Outcome, Request, Run, Sample, StoppedBy, ToolCall

if TYPE_CHECKING:
    from fanin.admission import Admission
    from fanin.agent_run import ToolLimits, ToolUse
    from fanin.hedging import Hedge
    from fanin.policy.pacing import Outlook
    from fanin.tools import Tool
    from fanin.waiter import TooLong

Job: TypeAlias = Callable[[Run], Awaitable["Outcome | None"]]
"""What a run does: an outcome, or None where it was never asked. Raises nothing but FaninError."""
Watch: TypeAlias = Callable[[Event], None]
"""Is told every event as it happens; must not block."""
Enough: TypeAlias = Callable[[Sequence[Outcome]], bool]
"""Whether these outcomes, in the order they came, are all that is needed."""


@attrs.define
class Progress:
    """What a run has come to while it goes on: how many calls it has begun."""

    attempts: int = 0


@attrs.frozen
class Conducted:
    """How a job ended."""

    outcomes: tuple[Outcome, ...]
    """By index; runs that were never asked have none."""
    by: StoppedBy
    """What ended it: `all`, `rule`, `deadline`, `limit` or `interrupt`."""
    cancelled: int = 0
    """Runs that were called back because there was enough."""


class Conductor:
    """Carries out the runs of one vote against one backend.

    `after_s` is the time at which its first event happens, where it goes on with what others began.
    """

    def __init__(
        self,
        backend: Backend,
        terms: Terms = USUAL,
        *,
        clock: Clock | None = None,
        limiters: Limiters = SHARED,
        interrupt: Interrupt | None = None,
        watch: Watch | None = None,
        seed: int = 0,
        after_s: float = 0.0,
    ) -> None:
        self._backend = backend
        self._terms = terms
        self._tape = tape_on() if backend.capabilities.http else None
        self._replaying = self._tape is not None and self._tape.mode == "replay"
        self._clock: Clock = StillClock() if self._replaying else clock or LoopClock()
        self._limiters = limiters
        self._paced = backend.capabilities.limited and not self._replaying
        self._pace = terms.pace if self._paced else "off"
        self._interrupt = interrupt or Interrupt()
        self._watch = watch
        self._seed = seed
        self._after_s = after_s
        self._began_s = math.nan
        self._ends_s = math.inf
        self._progress: dict[int, Progress] = {}
        self._spent: set[str] = set()
        # A tape holds every call; which of two came first is nothing that a replay could repeat.
        self._hedge = _hedge(self._clock) if terms.hedge and self._tape is None else None
        self._matters: Callable[[], bool] = _always
        self.events: list[Event] = []
        """All events so far, in the order they happened."""

    @property
    def hedges(self) -> bool:
        """Whether a call that takes long is made a second time."""
        return self._hedge is not None

    @property
    def backend(self) -> Backend:
        """Whom it asks."""
        return self._backend

    async def use_tools(
        self, index: int, calls: Sequence[ToolCall], tools: Sequence[Tool], limits: ToolLimits
    ) -> tuple[ToolUse, ...]:
        """What came of the tool calls of run `index`, as `fanin.calling.call_tools` says."""
        from fanin.calling import call_tools

        self._progress.setdefault(index, Progress())
        return await call_tools(
            calls, tools, limits, tell=lambda name: self._tell("tool", index, detail=name)
        )

    async def conduct(
        self,
        runs: Sequence[Run],
        job: Job,
        *,
        enough: Enough | None = None,
        settled: Enough | None = None,
    ) -> Conducted:
        """Does `job` for every run, as many at once as the terms allow, the lowest index first.

        The deadline counts from the first call of this method. With `enough`, the runs still out are
        called back as soon as it says so; once `settled` says so, no call is made a second time because
        it takes long. Raises FaninError where a job does (a replay miss): the other
        runs are then cancelled.
        """
        outcomes: dict[int, Outcome] = {}
        slots = anyio.Semaphore(self._terms.concurrency)
        satisfied = False

        async def one(run: Run) -> None:
            nonlocal satisfied
            try:
                outcome = await self._carry_out(run, job)
            finally:
                slots.release()
            if outcome is not None:
                outcomes[run.index] = outcome
                if enough is not None and enough(tuple(outcomes.values())):
                    satisfied = True
                    scope.cancel()

        if settled is not None:
            self._matters = lambda: not settled(tuple(outcomes.values()))
        self._begin()
        try:
            with self._until_the_deadline() as scope:
                self._interrupt.covers(scope)
                async with anyio.create_task_group() as group:
                    for run in runs:
                        # Taken here and not in the task, since trio starts tasks in any order.
                        await slots.acquire()
                        group.start_soon(one, run)
        except ExceptionGroup as errors:
            raise first_error(errors) from None
        return self._ended(runs, outcomes, cut=scope.cancelled_caught, satisfied=satisfied)

    async def _carry_out(self, run: Run, job: Job) -> Outcome | None:
        if run.model in self._spent:
            return None
        RUN_INDEX.set(run.index)
        self._progress[run.index] = Progress()
        outcome = await job(run)
        if isinstance(outcome, Failure) and outcome.exhausted:
            self._spent.add(run.model)
        return outcome

    def _begin(self) -> None:
        if math.isnan(self._began_s):
            self._began_s = self._clock.now_s()
            if self._terms.deadline_s is not None:
                self._ends_s = self._began_s + self._terms.deadline_s

    def _until_the_deadline(self) -> anyio.CancelScope:
        if self._replaying or math.isinf(self._ends_s):
            return anyio.CancelScope()
        return anyio.move_on_after(max(0.0, self._ends_s - self._clock.now_s()))

    def _ended(
        self, runs: Sequence[Run], outcomes: dict[int, Outcome], *, cut: bool, satisfied: bool
    ) -> Conducted:
        out = [run.index for run in runs if run.index not in outcomes and self._attempts(run.index)]
        if satisfied and not self._interrupt.requested:
            return Conducted(_by_index(outcomes), "rule", len(out))
        by: StoppedBy = "all"
        if cut:
            by = "interrupt" if self._interrupt.requested else "deadline"
            for index in out:
                outcomes[index] = cut_short(index, by, self._attempts(index))
        elif any(isinstance(o, Failure) and o.kind == "deadline" for o in outcomes.values()):
            by = "deadline"
        elif self._spent:
            by = "limit"
        elif len(outcomes) < len(runs):
            by = "deadline"
        return Conducted(_by_index(outcomes), by)

    def _attempts(self, index: int) -> int:
        begun = self._progress.get(index)
        return 0 if begun is None else begun.attempts

    async def ask(self, request: Request) -> Outcome | None:
        """One request to its end: passes the gate, calls, retries. None: the deadline left no time.

        Raises FaninError other than CallError (a replay miss) as it comes.
        """
        admission = self._admission(request)
        begun = self._progress.setdefault(request.index, Progress())
        tried = retrying.Tried(without=self._known_refusals(request.model))
        not_before_s = self._clock.now_s()
        while await self._wait(request.index, not_before_s):
            too_long = await self._granted(admission) if admission is not None else None
            if too_long is not None:
                return self._too_long(request, too_long)
            begun.attempts += 1
            self._tell("asked", request.index)
            asked = request
            if begun.attempts > 1 or tried.without:
                asked = attrs.evolve(request, attempt=begun.attempts, without=tried.without)
            answer = await self._answer(asked, admission)
            if isinstance(answer, Completion):
                self._tell("answered", request.index)
                return Sample(request.index, answer, begun.attempts, tried.without)
            action = retrying.after(
                answer,
                tried,
                retries=self._terms.retries,
                max_wait_s=self._terms.max_wait_s,
                jitter=(self._seed, request.index),
            )
            if isinstance(action, retrying.Without):
                tried = action.tried
                self._learn(request, action.parameter)
                continue
            if isinstance(action, retrying.GiveUp):
                return self._give_up(request.index, begun.attempts, action.error)
            tried = action.tried
            if admission is None or answer.kind != "rate_limit":
                not_before_s = self._clock.now_s() + action.wait_s
                retry = f"retry {tried.retries} of {self._terms.retries}: " if tried.retries else ""
                self._tell("retry", request.index, action.wait_s, f"{retry}{answer.message}")
        return no_time(request.index, begun.attempts)

    def _admission(self, request: Request) -> Admission | None:
        """The request's way past the limiter; None where nothing is paced."""
        if not self._paced:
            return None
        from fanin.admission import Admission

        def waiting(outlook: Outlook, wait_s: float) -> None:
            self._tell("limit", request.index, wait_s, outlook.why)

        limiter = self._limiters.of(self._backend.account, request.model, self._pace)
        at_once = self._backend.capabilities.at_once
        return Admission(limiter, request, self._clock, self._terms, self._ends_s, waiting, at_once)

    async def _granted(self, admission: Admission) -> TooLong | None:
        return await admission.granted()

    def _too_long(self, request: Request, too_long: TooLong) -> Failure | None:
        """The outcome of a request that the limiter will not let go in time."""
        attempts = self._attempts(request.index)
        if too_long.outlook.at_s >= self._ends_s:
            return no_time(request.index, attempts)
        message = (
            f"The rate limit of {request.model} is reached ({too_long.outlook.why}): the next call may go in"
            f" {too_long.wait_s:.0f} s, more than the {self._terms.max_wait_s:.0f} s allowed."
        )
        self._tell("failed", request.index, detail=message)
        return Failure(request.index, "rate_limit", message, attempts, exhausted=True)

    async def _answer(self, asked: Request, admission: Admission | None) -> Completion | CallError:
        """What came of a call, or of a second one beside it where the first takes long."""
        if self._hedge is None:
            return await self._one_call(asked, admission)

        async def twin() -> Completion | CallError | None:
            second = self._admission(asked)
            if second is not None and not await second.at_once_granted():
                return None
            self._progress[asked.index].attempts += 1
            again = attrs.evolve(asked, attempt=self._attempts(asked.index))
            self._tell("hedge", asked.index)
            return await self._one_call(again, second)

        return await self._hedge.race(lambda: self._one_call(asked, admission), twin, self._matters)

    async def _one_call(self, asked: Request, admission: Admission | None) -> Completion | CallError:
        """What came of one call, told to the tape and to the limiter."""
        try:
            answer = await self._call(asked)
        except BaseException:
            if admission is not None:
                admission.dropped()
            raise
        self._note(answer)
        if admission is not None:
            await admission.settle(answer)
        return answer

    async def _call(self, request: Request) -> Completion | CallError:
        answer: object = None
        try:
            # What `fail_after` does, at half its cost: a batch makes very many calls.
            with anyio.move_on_after(None if self._replaying else self._terms.timeout_s) as scope:
                answer = await self._backend.complete(request)
            if scope.cancelled_caught:
                raise TimeoutError
        except TimeoutError:
            return CallError("timeout", f"No answer within {self._terms.timeout_s:g} s.")
        except CallError as error:
            return error
        except FaninError:
            raise
        except Exception as error:  # noqa: BLE001
            # A backend's own mistake must not take the other runs with it. Its text may hold
            # anything, a key too, so only the class is told.
            return CallError("malformed", f"The backend failed with {type(error).__name__}.", final=True)
        if not isinstance(answer, Completion):
            return CallError("malformed", f"The backend gave back a {type(answer).__name__}.", final=True)
        return answer

    def _note(self, answer: Completion | CallError) -> None:
        """Tells the tape of a failed call. Raises CassetteMissError where a replay has missed one."""
        if self._tape is None:
            return
        if self._tape.missed is not None:
            raise self._tape.missed
        if isinstance(answer, CallError):
            self._tape.note_error(answer)

    async def _wait(self, index: int, not_before_s: float) -> bool:
        """Waits for the run's own time; False where that lies past the deadline."""
        wait_s = not_before_s - self._clock.now_s()
        if wait_s <= 0 or self._replaying:
            return True
        if not_before_s >= self._ends_s:
            return False
        await self._clock.sleep(wait_s)
        return True

    def _known_refusals(self, model: str) -> tuple[str, ...]:
        known = self._limiters.refused(self._backend.account, model)
        if self._tape is not None and (self._replaying or not known):
            # A tape that is added to begins with what it knows too, so that it is asked what it holds.
            return self._tape.refused.get(model, ())
        if known and self._tape is not None:
            self._tape.refused[model] = known
        return known

    def _learn(self, request: Request, parameter: str) -> None:
        self._tell("adapted", request.index, detail=f"{request.model} does not accept {parameter}")
        if not self._replaying:
            self._limiters.learn(self._backend.account, request.model, (parameter,))
            self._known_refusals(request.model)

    def _give_up(self, index: int, attempts: int, error: CallError) -> Failure:
        self._tell("failed", index, detail=error.message)
        return Failure(index, error.kind, str(error), attempts, error.exhausted)

    def _tell(self, kind: str, index: int, wait_s: float = 0.0, detail: str = "") -> None:
        attempt = self._progress[index].attempts
        at_s = self._after_s + self._clock.now_s() - self._began_s
        event = Event(kind, index, at_s, attempt, wait_s, detail)  # type: ignore[arg-type]
        self.events.append(event)
        if self._watch is not None:
            self._watch(event)


def _hedge(clock: Clock) -> Hedge:
    from fanin.hedging import Hedge

    return Hedge(clock)


def _always() -> bool:
    return True


def _by_index(outcomes: dict[int, Outcome]) -> tuple[Outcome, ...]:
    return tuple(outcomes[index] for index in sorted(outcomes))
