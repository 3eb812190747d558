"""The calls of a batch: a slot each, paid from one purse, written down before they count as done."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING

import anyio
import attrs

from fanin.backend import Backend
from fanin.batching.engines import Asker, Post
from fanin.batching.journal import Journal, Record
from fanin.batching.keys import written
from fanin.batching.noting import Notes
from fanin.batching.rates import Rate, Sent, rates_of
from fanin.batching.spending import Metered, Spending
from fanin.batching.standing import Ended
from fanin.batching.turns import Turns
from fanin.clock import Clock, LoopClock
from fanin.policy.budget import worst_usage
from fanin.terms import Terms
from fanin.values import Event, Request, Sample, Usage

if TYPE_CHECKING:
    from fanin.limiter import Limiter

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
        self.clock: Clock = LoopClock()
        self.open_items = 0
        """Items that are being asked about."""
        self.answered = 0
        self.recalled = 0
        self._read: int | None = 0
        self._written: int | None = 0
        self.ended: Ended | None = None
        self.why = ""
        self.on_end: Callable[[], None] = lambda: None
        self._turns: dict[str, Turns] = {}
        self.limiters: dict[tuple[str, str], Limiter] = {}
        """(account, model) -> what holds its pace."""
        self._rates_elsewhere: dict[str, tuple[Rate, ...]] = {}
        self.waiting = {"limit": 0, "retry": 0, "prefix": 0}
        self.notes = None if journal is None else Notes(journal, name_of(backend))
        """Where the journal is told of the items."""
        self._unsent: set[anyio.CancelScope] = set()
        self._slots = anyio.Semaphore(jobs, fast_acquire=True)
        self._warm: OrderedDict[bytes, anyio.Event] | None = OrderedDict() if warm_prefix else None
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

    @property
    def awaiting_turns(self) -> int:
        """Calls that wait for those of another model."""
        return sum(turns.waiting for turns in self._turns.values())

    @property
    def rates(self) -> tuple[Rate, ...]:
        """What is known of the limits of the models that are asked."""
        here = [
            rate
            for key in sorted(self.limiters)
            for rate in rates_of(
                *key, *self.limiters[key].known(self.clock), self.spending.sent.get(key) or Sent()
            )
        ]
        account = self.backend.account
        elsewhere = [
            attrs.evolve(rate, account=account, sent=self.spending.sent_to(account, model).of(rate.unit))
            for model in sorted(self._rates_elsewhere)
            for rate in self._rates_elsewhere[model]
        ]
        return (*here, *elsewhere)

    def rated(self, rates: tuple[Rate, ...]) -> None:
        """Whoever makes the calls elsewhere knows this of the limits."""
        for model in {rate.model for rate in rates}:
            self._rates_elsewhere[model] = tuple([rate for rate in rates if rate.model == model])

    def count(self, used: Usage) -> None:
        """One more run was answered."""
        self.answered += 1
        self._read = _sum(self._read, used.input_tokens)
        self._written = _sum(self._written, used.output_tokens)

    def end(self, ended: Ended, why: str = "") -> None:
        """Nothing new is asked from now on; the first reason stays."""
        if self.ended is None:
            self.ended, self.why = ended, why
            for scope in self._unsent:
                scope.cancel()
            self.on_end()

    @contextmanager
    def waits(self, scope: anyio.CancelScope) -> Iterator[None]:
        """Within it a call waits that is not sent yet: that scope is cut where nothing new is asked."""
        if self.ended is not None:
            scope.cancel()
        self._unsent.add(scope)
        try:
            yield
        finally:
            self._unsent.discard(scope)

    def turns_at(self, backend: Backend) -> Turns | None:
        """The turns of the models at a server that loads one in the place of another; None at others."""
        if backend.capabilities.at_once is None:
            return None
        return self._turns.setdefault(backend.account, Turns())

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
        return Post(
            backend.name,
            backend.base_url,
            backend.account,
            self.terms,
            self.spending,
            watched,
            self.lost,
            self.failed,
            self.rated,
        )

    def lost(self, request: Request) -> None:
        """A call was cut short, and may have been paid for."""
        if self.journal is not None:
            self.journal.note_unanswered(request.model, worst_usage(request, 0), lost=True)

    def failed(self, request: Request, used: Usage | None) -> None:
        """A call failed; None: nobody knows what it used."""
        if self.journal is not None:
            charged = worst_usage(request, 0) if used is None else used
            self.journal.note_unanswered(request.model, charged, lost=False)

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

    async def first_of(self, model: str, prefix: str) -> anyio.Event | None:
        """Waits until the model's first call with that prefix has ended; the event to set, where first."""
        assert self._warm is not None
        text = f"{model}\x1f{prefix}".encode("utf-8", "surrogatepass")
        known = blake2b(text, digest_size=16).digest()  # a prefix may be long, and thousands are remembered
        first = self._warm.get(known)
        if first is None:
            first = self._warm[known] = anyio.Event()
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


def name_of(backend: Backend) -> str:
    """The backend as the keys name it."""
    return f"{backend.name} {backend.base_url or ''}"


def _sum(known: int | None, more: int | None) -> int | None:
    return None if known is None or more is None else known + more
