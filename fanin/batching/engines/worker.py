"""A worker's desk: calls come in, each is made with its waits and retries, and all that happens is told."""

from __future__ import annotations

import math
from functools import partial

import anyio
import attrs

from fanin.backend import Backend, Forwarding
from fanin.batching.engines.blocks import (
    Allowed,
    Ask,
    Broke,
    Done,
    Drop,
    Noticed,
    Order,
    Paid,
    Problem,
    Rated,
    Told,
    Wants,
)
from fanin.batching.rates import Rate, Sent, rates_of
from fanin.batching.spending import UNPAID
from fanin.clock import LoopClock
from fanin.conductor import Conductor
from fanin.errors import CallError, FaninError
from fanin.limiters import Limiters
from fanin.terms import Terms
from fanin.values import Completion, Event, Outcome, Request, Usage

BEAT_S = 5.0
"""A worker that has nothing to tell says so after this time."""


RATED_S = 1.0
"""What is known of the limits is told this often at most."""


@attrs.define(eq=False)
class _Call:
    """A call that is under way here."""

    scope: anyio.CancelScope = attrs.field(factory=anyio.CancelScope)
    answered: anyio.Event = attrs.field(factory=anyio.Event)
    paid: bool = True
    """Whether its next attempt is."""


class Desk:
    """Makes calls against one backend for as long as `run` runs."""

    def __init__(self, backend: Backend, terms: Terms, limiters: Limiters, *, watched: bool) -> None:
        self._backend = backend
        self._terms = terms
        self._limiters = limiters
        self._watched = watched
        self._clock = LoopClock()
        self._ready = set[str]()
        """The models that the backend is ready for."""
        self._calls: dict[int, _Call] = {}
        self._orders: list[Order] = []
        self._came = anyio.Event()
        self._told: list[Told] = []
        self._news = anyio.Event()
        self._rated: tuple[Rate, ...] = ()
        self._rated_s = -math.inf

    async def run(self) -> None:
        """Does what it is ordered to, until it is cancelled."""
        async with anyio.create_task_group() as group:
            while True:
                orders, self._orders = self._orders, []
                for order in orders:
                    if isinstance(order, Ask):
                        call = self._calls[order.number] = _Call()
                        group.start_soon(self._make, order, call)
                    else:
                        self._heed(order)
                self._came = anyio.Event()
                await self._came.wait()

    def take(self, orders: tuple[Order, ...]) -> None:
        """Takes a block of orders, to be done in their order."""
        self._orders += orders
        self._came.set()

    async def told(self, beat_s: float = BEAT_S) -> tuple[Told, ...]:
        """All that happened since the last time, in order; waits until there is something, or so long."""
        if not self._told:
            self._news = anyio.Event()
            with anyio.move_on_after(beat_s):
                await self._news.wait()
        self._tell_rates()
        told, self._told = self._told, []
        return tuple(told)

    def _tell_rates(self) -> None:
        now_s = self._clock.now_s()
        if now_s < self._rated_s + RATED_S or not self._backend.capabilities.limited:
            return
        self._rated_s, account = now_s, self._backend.account
        rates = tuple(
            [
                rate
                for model in sorted(self._ready)
                for rate in rates_of(
                    account,
                    model,
                    *self._limiters.of(account, model, self._terms.pace).known(self._clock),
                    Sent(),
                )
            ]
        )
        if rates != self._rated:
            self._rated = rates
            self.tell(Rated(rates))

    def tell(self, told: Told) -> None:
        """Keeps it for whoever asks next."""
        self._told.append(told)
        self._news.set()

    async def allowed(self, number: int) -> bool:
        """Whether another attempt of that call is paid; waits until the batch has said so."""
        call = self._calls[number]
        call.answered = anyio.Event()
        self.tell(Wants(number))
        await call.answered.wait()
        return call.paid

    def _heed(self, order: Allowed | Drop) -> None:
        call = self._calls.get(order.number)
        if call is None:
            return
        if isinstance(order, Drop):
            call.scope.cancel()
        else:
            call.paid = order.paid
            call.answered.set()

    async def _make(self, order: Ask, call: _Call) -> None:
        number = order.number
        made = _Made(
            _Paying(self._backend, self, number),
            self._terms,
            clock=self._clock,
            limiters=self._limiters,
            watch=partial(self._notice, number),
            seed=order.seed,
        )
        try:
            with call.scope:
                await self._get_ready(order.request.model)
                self.tell(Done(number, await made.outcome(order.request)))
        except FaninError as error:
            self.tell(Broke(number, Problem(error.message, error.mend, error.exit_code)))
        finally:
            del self._calls[number]

    async def _get_ready(self, model: str) -> None:
        """Loads what calls need before the first is paced: the time that takes is no answer's, and all
        whose time came meanwhile would go late, and together."""
        if model not in self._ready:
            await self._backend.resolve((model,))
            self._ready.add(model)

    def _notice(self, number: int, event: Event) -> None:
        # Every call is asked and answered, which its end tells too.
        if self._watched or event.kind not in ("asked", "answered"):
            self.tell(Noticed(number, event))


class _Made(Conductor):
    """One call, as every other is made: admission, attempts, retries."""

    async def outcome(self, request: Request) -> Outcome | None:
        self._begin()
        return await self.ask(request)


class _Paying(Forwarding):
    """The backend as one call sees it: every attempt is paid before it and settled after."""

    def __init__(self, inner: Backend, desk: Desk, number: int) -> None:
        super().__init__(inner)
        self._desk = desk
        self._number = number
        self._first = True

    async def complete(self, request: Request) -> Completion:
        """One attempt. Raises CallError of kind `budget` where a repeated one finds no room."""
        if not self._first and not await self._desk.allowed(self._number):
            raise CallError("budget", "The budget leaves no room for another attempt.", final=True)
        self._first = False
        used: Usage | None = None
        answered = False
        try:
            completion = await self.inner.complete(request)
            used, answered = completion.usage, True
        except CallError as error:
            if error.kind in UNPAID:
                used = Usage(0, 0)
            raise
        finally:
            self._desk.tell(Paid(self._number, used, answered))
        return completion

    async def aclose(self) -> None:
        """Nothing: the worker's backend outlives its calls."""
