"""Where the agents of a panel are asked: each backend is opened once, and everybody's model is known.

A desk is one open backend with one conductor. The pace of an account and model is shared by all desks of
the process, as by all votes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from typing import TypeAlias

import anyio
import attrs

from fanin.agent import Agent, carry_out
from fanin.agent_run import AgentRun
from fanin.backend import Backend
from fanin.conductor import Conductor, Watch
from fanin.connecting import connect
from fanin.context import tape_on
from fanin.errors import CallError, FailureKind, InputError
from fanin.policy.pricing import Prices, cost_usd, price_of, sum_usd
from fanin.policy.variation import seed_of
from fanin.seating import Seat
from fanin.terms import Interrupt, Terms
from fanin.values import Completion, Failure, Outcome, Run, Sample, StoppedBy, Usage, optional, whole

_Key: TypeAlias = "tuple[str | None, int]"

_NEVER_ASKED: dict[StoppedBy, tuple[FailureKind, str]] = {
    "deadline": ("deadline", "Never asked: the deadline came first."),
    "interrupt": ("interrupted", "Never asked: it was interrupted."),
    "limit": ("quota", "Never asked: the limit of its model was spent before."),
}
_WORST: tuple[StoppedBy, ...] = ("interrupt", "deadline", "limit")


def _text(_: object, field: attrs.Attribute[str | None], value: object) -> None:
    if not isinstance(value, str):
        raise InputError(field.name, "one text", value)


@attrs.define
class _Desk:
    """An open backend, and the conductor of its calls once one was needed."""

    backend: Backend
    conductor: Conductor | None = None


@attrs.frozen
class House:
    """What holds for everybody who is asked. Raises InputError for a field that cannot be."""

    terms: Terms
    """How long and how often; the deadline is the whole job's."""
    backend: str | Backend | None = None
    """The backend of those that name none; None is the configured one."""
    model: str | None = attrs.field(default=None, validator=optional(_text))
    """The model of those that name neither backend nor model; None is the backend's default."""
    base_url: str | None = attrs.field(default=None, validator=optional(_text))
    """Another address of that backend."""
    seed: int = attrs.field(default=0, validator=whole(0, 2**63 - 1))
    """What every run's own seed derives from."""


class Desks:
    """The backends of a panel; asks who sits at them, as many at once as the terms allow."""

    def __init__(self, house: House, interrupt: Interrupt, watch: Watch | None) -> None:
        self._house = house
        self._interrupt = interrupt
        self._watch = watch
        self._desks: dict[_Key, _Desk] = {}
        self._models: dict[int, str | CallError] = {}
        self._slots = anyio.Semaphore(house.terms.concurrency)
        self._began_s = anyio.current_time()
        self.runs: dict[int, AgentRun] = {}
        """The work of everybody who was asked so far, by its index among all."""
        self.by: StoppedBy = "all"
        """What cut the asking short so far, the gravest of it."""

    async def open(self, stack: AsyncExitStack, seats: Sequence[Seat]) -> None:
        """Opens every distinct backend once, to be closed with the stack, and finds everybody's model.

        A backend whose models cannot be found out fails its own seats alone. Raises FaninError for what
        is wrong before the first call.
        """
        if self._house.base_url is not None and not any(self._is_usual(seat.agent) for seat in seats):
            mend = "Every agent names a backend, and none of them is the one that the address belongs to."
            raise InputError("base_url", "given together with its backend", self._house.base_url, mend=mend)
        for seat in seats:
            key = self._key(seat.agent)
            if key not in self._desks:
                self._desks[key] = _Desk(await self._opened(stack, seat.agent))
        self._began_s = anyio.current_time()
        found: dict[tuple[_Key, str | None], str | CallError] = {}
        for seat in seats:
            key = self._key(seat.agent)
            wanted = seat.agent.model or (self._house.model if self._is_usual(seat.agent) else None)
            if (key, wanted) not in found:
                found[key, wanted] = await self._model(self._desks[key].backend, wanted)
            self._models[seat.index] = found[key, wanted]
        self._tell_tape(seats)

    def anew(self, conductor: Callable[[Backend], Conductor]) -> Desks:
        """The same open backends for another query, whose calls go through the conductors that are given."""
        desks = Desks(self._house, self._interrupt, self._watch)
        desks._models = self._models
        desks._desks = {
            key: _Desk(desk.backend, conductor(desk.backend)) for key, desk in self._desks.items()
        }
        return desks

    @property
    def backends(self) -> tuple[Backend, ...]:
        """All that are open; the first seat's first."""
        return tuple(desk.backend for desk in self._desks.values())

    def backend_of(self, seat: Seat) -> Backend:
        """Whom that seat asks."""
        return self._desks[self._key(seat.agent)].backend

    def model_of(self, seat: Seat) -> str:
        """The model that is asked there. Raises CallError where it could not be found out."""
        model = self._models[seat.index]
        if isinstance(model, CallError):
            raise model
        return model

    def _is_usual(self, agent: Agent) -> bool:
        """Whether the agent sits at the backend of those that name none."""
        usual = self._house.backend
        return (
            agent.backend is None
            or agent.backend is usual
            or (isinstance(usual, str) and agent.backend == usual)
        )

    async def _opened(self, stack: AsyncExitStack, agent: Agent) -> Backend:
        usual = self._is_usual(agent)
        backend = self._house.backend if usual else agent.backend
        if backend is None or isinstance(backend, str):
            model, base_url = (self._house.model, self._house.base_url) if usual else (None, None)
            return await stack.enter_async_context(connect(backend, model=model, base_url=base_url))
        if not isinstance(backend, Backend) or isinstance(backend, type):
            raise InputError("backend", "a name or an open backend", backend)
        if usual and self._house.base_url is not None:
            raise InputError("base_url", "left out with an open backend", self._house.base_url)
        return backend

    def _key(self, agent: Agent) -> _Key:
        """The same for agents of one backend: its name, or which open one it is."""
        backend = self._house.backend if self._is_usual(agent) else agent.backend
        return (backend, 0) if backend is None or isinstance(backend, str) else (None, id(backend))

    async def _model(self, backend: Backend, wanted: str | None) -> str | CallError:
        """The model that is asked, or why it cannot be found out."""
        terms = self._house.terms
        by_deadline = terms.deadline_s is not None and terms.deadline_s < terms.timeout_s
        ends_s = terms.deadline_s if by_deadline else terms.timeout_s
        with anyio.move_on_after(ends_s) as scope:
            self._interrupt.covers(scope)
            try:
                return (await backend.resolve(() if wanted is None else (wanted,)))[0]
            except CallError as error:
                return error
        if self._interrupt.requested:
            self.by = "interrupt"
            return CallError("interrupted", "It was interrupted before anybody was asked.")
        if by_deadline:
            self.by = "deadline"
            return CallError("deadline", "The deadline came before anybody was asked.")
        return CallError("timeout", f"No list of models within {terms.timeout_s:g} s.")

    def _tell_tape(self, seats: Sequence[Seat]) -> None:
        """A recording tape keeps backend, address and models, those first that nobody named: a replay
        that names none takes the first."""
        tape = tape_on()
        if tape is None or tape.mode != "record":
            return

        def named(seat: Seat) -> tuple[bool, bool]:
            return (not self._is_usual(seat.agent), seat.agent.model is not None)

        for seat in sorted(seats, key=named):
            backend, model = self._desks[self._key(seat.agent)].backend, self._models[seat.index]
            if not backend.capabilities.http or isinstance(model, CallError):
                continue
            tape.backend = tape.backend or backend.name
            if tape.backend == backend.name:
                tape.base_url = tape.base_url or backend.base_url
                tape.models = tuple(dict.fromkeys((*tape.models, model)))

    def now_s(self) -> float:
        """Seconds since the asking could begin."""
        return anyio.current_time() - self._began_s

    async def slot(self) -> None:
        """Waits until one more may be asked; `ask` gives the place back.

        Taken before a task is started, since trio starts tasks in any order.
        """
        await self._slots.acquire()

    async def ask(self, seat: Seat, query: str) -> AgentRun:
        """The seat's whole work on the query; needs a `slot`. Raises FaninError where a replay misses."""
        try:
            model = self._models[seat.index]
            if isinstance(model, CallError):
                failure = Failure(seat.index, model.kind, str(model))
                run = AgentRun(seat.index, seat.agent.name, "failed", failure=failure)
            else:
                run = await self._conducted(seat, query, model)
            self.runs[seat.index] = run
            return run
        finally:
            self._slots.release()

    async def _conducted(self, seat: Seat, query: str, model: str) -> AgentRun:
        conductor = self._conductor(self._desks[self._key(seat.agent)])
        seed = seed_of(self._house.seed, seat.index)
        ended: list[AgentRun] = []

        async def job(run: Run) -> Outcome:
            came = await carry_out(
                seat.agent,
                query,
                conductor,
                index=run.index,
                tools=seat.tools,
                model=run.model,
                seed=self._house.seed,
            )
            ended.append(came)
            return came.failure or Sample(run.index, Completion(came.text))

        run = Run(seat.index, model, seat.agent.temperature, seed, seat.agent.system)
        conducted = await conductor.conduct([run], job)
        self.by = min(self.by, conducted.by, key=lambda by: (*_WORST, by).index(by))
        if ended:
            return ended[0]
        cut = next((each for each in conducted.outcomes if isinstance(each, Failure)), None)
        failure = cut or Failure(seat.index, *_NEVER_ASKED.get(conducted.by, _NEVER_ASKED["limit"]))
        return AgentRun(seat.index, seat.agent.name, "failed", failure=failure, model=model)

    def _conductor(self, desk: _Desk) -> Conductor:
        if desk.conductor is None:
            spent_s = self.now_s()
            desk.conductor = Conductor(
                desk.backend,
                _later(self._house.terms, spent_s),
                interrupt=self._interrupt,
                watch=self._watch,
                seed=self._house.seed,
                after_s=spent_s,
            )
        return desk.conductor

    def usage(self, seats: Iterable[Seat]) -> Usage:
        """The tokens of all completions that came back; None where one of them is unknown."""
        usages = [run.usage for _, run in self._answered(seats)]
        return sum(usages[1:], usages[0]) if usages else Usage()

    def cost_usd(self, seats: Iterable[Seat], prices: Prices | None) -> float | None:
        """US dollars for the completions that came back; None where one is unknown, or there is none.

        `prices` None: what litellm's list has, as for a vote.
        """
        return sum_usd(
            cost_usd(
                run.usage, price_of(run.model, prices if prices is not None else self._listed(seat, run))
            )
            for seat, run in self._answered(seats)
        )

    def _answered(self, seats: Iterable[Seat]) -> list[tuple[Seat, AgentRun]]:
        runs = [(seat, self.runs[seat.index]) for seat in seats if seat.index in self.runs]
        return [(seat, run) for seat, run in runs if run.turns]

    def _listed(self, seat: Seat, run: AgentRun) -> Prices:
        backend = self._desks[self._key(seat.agent)].backend
        if tape_on() is not None or not backend.capabilities.http:
            return {}
        from fanin.price_table import listed_prices

        return listed_prices(backend.name, backend.base_url, [run.model])


def _later(terms: Terms, spent_s: float) -> Terms:
    """The terms of a job of which `spent_s` are over."""
    if terms.deadline_s is None:
        return terms
    return attrs.evolve(terms, deadline_s=max(terms.deadline_s - spent_s, 1e-9))
