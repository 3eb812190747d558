"""The crew: which worker has which call, and what becomes of the calls of one that is lost.

A call goes to the worker that has the fewest, and none has more than its part: who is ready first is not
to be buried in calls while the others start. What a worker tells is heard at once, call by call, so that
with a worker only those calls are lost that it had not told the end of: they are paid at their worst, and
asked again of others. Who comes back begins with an empty desk.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import anyio
import anyio.abc
import attrs

from fanin.batching.engines import Hear, Post
from fanin.batching.engines.blocks import (
    Allowed,
    Ask,
    Broke,
    Done,
    Drop,
    Noticed,
    Order,
    Paid,
    Rated,
    Told,
    Wants,
    Warned,
)
from fanin.batching.spending import Hold
from fanin.errors import EngineError, FaninError, SharedPaceWarning, first_error
from fanin.policy.budget import amount
from fanin.values import Outcome, Request

LOSSES = 6
"""A worker that is lost so often, one time after the other and with no call done, is given up."""


HIRING_S = 10.0
"""So long those who are ready leave their parts to those who are not yet."""
PAUSE_S = 1.0
"""It is begun anew after so long, after its second loss in a row twice as long, and so on."""


class WorkerLostError(Exception):
    """A worker is gone, and all it had with it; it may be begun anew."""


class Worker(Protocol):
    """A worker as the crew knows it; all methods raise WorkerLostError where it is gone."""

    async def begin(self) -> None:
        """Makes it ready, its desk empty. Raises EngineError where it never will be."""
        ...

    async def take(self, orders: tuple[Order, ...]) -> None:
        """Hands it a block of orders; comes back when it has them."""
        ...

    async def told(self) -> tuple[Told, ...]:
        """What happened since the last time; waits until something has, or for a while."""
        ...


@attrs.define(eq=False)
class _Call:
    """A call that somebody waits for."""

    ask: Ask
    hold: Hold
    hear: Hear
    seat: _Seat | None = None
    """Who has it; None while nobody does."""
    ended: anyio.Event = attrs.field(factory=anyio.Event)
    outcome: Outcome | None = None
    error: FaninError | None = None


@attrs.define(eq=False)
class _Seat:
    """A worker's place."""

    worker: Worker
    up: bool = False
    calls: dict[int, _Call] = attrs.field(factory=dict)
    orders: list[Order] = attrs.field(factory=list)
    """What it is to be handed next."""
    came: anyio.Event = attrs.field(factory=anyio.Event)
    losses: int = 0

    def give(self, order: Order) -> None:
        self.orders.append(order)
        self.came.set()


class Crew:
    """Workers at work. `crew` makes it, and sends them home."""

    def __init__(self, workers: Sequence[Worker], post: Post, group: anyio.abc.TaskGroup) -> None:
        self._seats = [_Seat(worker) for worker in workers]
        self._post = post
        self._group = group
        self._numbers = itertools.count()
        self._unseated: dict[int, _Call] = {}
        """Calls that nobody has, oldest first."""
        self._hiring = True
        self._error: EngineError | None = None
        """Why nobody is left."""
        for seat in self._seats:
            group.start_soon(self._employ, seat)
        group.start_soon(self._hire)

    async def ask(self, request: Request, hold: Hold, seed: int, hear: Hear) -> Outcome | None:
        """One request to its end, by whoever has the fewest; `fanin.batching.engines.Asker` defines it."""
        call = _Call(Ask(next(self._numbers), request, seed), hold, hear)
        self._seat(call)
        try:
            await call.ended.wait()
        finally:
            if not call.ended.is_set():
                self._drop(call)
        if call.error is not None:
            raise call.error
        return call.outcome

    def _seat(self, call: _Call) -> None:
        """Hands the call to a worker, or keeps it until there is one."""
        if self._error is not None:
            self._end(call, error=self._error)
            return
        up = [seat for seat in self._seats if seat.up]
        parts = len(self._seats if self._hiring else up)
        seat = min(up, key=lambda seat: len(seat.calls), default=None)
        if seat is None or len(seat.calls) >= math.ceil(self._post.terms.concurrency / parts):
            self._unseated[call.ask.number] = call
            return
        call.seat = seat
        seat.calls[call.ask.number] = call
        seat.give(call.ask)

    def _seat_waiting(self) -> None:
        """Seats all that can be."""
        unseated, self._unseated = self._unseated, {}
        for call in unseated.values():
            self._seat(call)

    async def _hire(self) -> None:
        """After a while nobody is waited for any more."""
        await anyio.sleep(HIRING_S)
        self._hiring = False
        self._seat_waiting()

    def _drop(self, call: _Call) -> None:
        """Nobody waits for it any more; what it was to use may be used."""
        self._unseated.pop(call.ask.number, None)
        if call.seat is not None:
            call.seat.give(Drop(call.ask.number))
            self._post.lost(call.ask.request)
            self._pay_worst(call)
        self._end(call)

    def _pay_worst(self, call: _Call) -> None:
        held, call.hold.reserved = call.hold.reserved, None
        if held is not None:
            self._post.spending.settle(held, held)

    def _end(self, call: _Call, outcome: Outcome | None = None, error: FaninError | None = None) -> None:
        call.outcome, call.error = outcome, error
        if call.seat is not None:
            call.seat.calls.pop(call.ask.number, None)
        call.ended.set()
        if self._unseated and self._error is None:
            self._seat(self._unseated.pop(next(iter(self._unseated))))

    async def _employ(self, seat: _Seat) -> None:
        """A worker's whole life: as often as it is lost, it is begun anew."""
        while seat.losses < LOSSES:
            try:
                await seat.worker.begin()
                await self._work(seat)
            except WorkerLostError:
                seat.losses += 1
                self._leave(seat)
                await anyio.sleep(PAUSE_S * seat.losses)
            except EngineError as error:
                self._give_up(seat, error)
                return
        given_up = EngineError(
            "A worker was lost again and again, and did no call between.",
            mend="What is done is in the journal: --resume goes on.",
        )
        self._give_up(seat, given_up)

    async def _work(self, seat: _Seat) -> None:
        """Hands it orders and hears what it tells, until it is lost."""
        seat.up = True
        self._hiring = self._hiring and not all(seat.up for seat in self._seats)
        self._seat_waiting()
        try:
            async with anyio.create_task_group() as both:
                both.start_soon(self._order, seat)
                both.start_soon(self._hear, seat)
        except ExceptionGroup as errors:
            # Both of its tasks notice that it is lost.
            if errors.split(WorkerLostError)[1] is None:
                raise WorkerLostError from errors
            raise first_error(errors) from None

    async def _order(self, seat: _Seat) -> None:
        """One block after the other, each of all that has gathered while the last was on its way."""
        while True:
            seat.came = anyio.Event()
            if not seat.orders:
                await seat.came.wait()
            orders, seat.orders = seat.orders, []
            await seat.worker.take(tuple(orders))

    async def _hear(self, seat: _Seat) -> None:
        while True:
            for told in await seat.worker.told():
                if isinstance(told, Warned):
                    # Said once, since every worker says it.
                    warnings.warn(told.text, SharedPaceWarning, stacklevel=2)
                elif isinstance(told, Rated):
                    self._post.rated(told.rates)
                elif (call := seat.calls.get(told.number)) is not None:
                    self._heard(seat, call, told)

    def _heard(self, seat: _Seat, call: _Call, told: Noticed | Paid | Wants | Done | Broke) -> None:
        match told:
            case Noticed(event=event):
                call.hear(event)
            case Paid(usage=usage, answered=answered):
                spending, held = self._post.spending, call.hold.reserved
                assert held is not None
                request = call.ask.request
                used = None if usage is None else amount(usage, spending.price(request))
                spending.settle(held, used or held)
                spending.sent_to(self._post.account, request.model).add(used)
                if not answered:
                    self._post.failed(request, usage)
                call.hold.reserved = None
            case Wants():
                self._group.start_soon(self._allow, seat, call)
            case Done(outcome=outcome):
                seat.losses = 0
                self._end(call, outcome)
            case Broke(problem=problem):
                self._end(call, error=FaninError(problem.message, mend=problem.mend))

    async def _allow(self, seat: _Seat, call: _Call) -> None:
        """Pays for another attempt, when there is room, and says whether there was."""
        held = await self._post.spending.reserve(call.ask.request)
        if call.seat is not seat or call.ended.is_set():
            if held is not None:
                self._post.spending.release(held)
            return
        call.hold.reserved = held
        seat.give(Allowed(call.ask.number, held is not None))

    def _leave(self, seat: _Seat) -> None:
        """The worker is lost: its calls are others' now."""
        calls, seat.calls = seat.calls, {}
        seat.up, seat.orders = False, []
        for call in calls.values():
            call.seat = None
            self._post.lost(call.ask.request)
            self._pay_worst(call)
            self._group.start_soon(self._again, call)

    async def _again(self, call: _Call) -> None:
        """Pays for a call that was lost, and has it made again."""
        held = await self._post.spending.reserve(call.ask.request)
        if call.ended.is_set():
            if held is not None:
                self._post.spending.release(held)
            return
        call.hold.reserved = held
        if held is None:
            self._end(call)
        else:
            self._seat(call)

    def _give_up(self, seat: _Seat, error: EngineError) -> None:
        """That worker never comes back; where it was the last one, every call ends with the error."""
        self._leave(seat)
        self._seats.remove(seat)
        if not self._seats:
            self._error = error
        self._seat_waiting()


@asynccontextmanager
async def crew(workers: Sequence[Worker], post: Post) -> AsyncIterator[Crew]:
    """The workers at work, until the block ends."""
    failed: Exception | None = None
    async with anyio.create_task_group() as group:
        try:
            yield Crew(workers, post, group)
        except Exception as error:  # noqa: BLE001 - raised below: a task group would wrap it
            failed = error
        group.cancel_scope.cancel()
    if failed is not None:
        raise failed
