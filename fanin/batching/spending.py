"""The purse that all calls of a batch are paid from: whoever finds no room waits in line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar

import anyio
import attrs

from fanin.backend import Backend, Forwarding
from fanin.batching.journal import Used
from fanin.batching.rates import Sent
from fanin.errors import CallError, FailureKind
from fanin.policy.budget import PICO, Amount, Limits, Next, Purse, amount, worst_usage
from fanin.policy.pricing import Price, Prices, price_of
from fanin.values import Completion, Request, Usage

UNPAID: frozenset[FailureKind] = frozenset({"rate_limit", "quota", "auth", "bad_request", "server"})
"""Failures by which the provider says that it did not answer; any other may have been paid for."""


@attrs.define(eq=False)
class Hold:
    """What one run has reserved for the call that it makes next."""

    reserved: Amount | None = None
    """None: nothing is reserved, so the next call has to."""


HOLD: ContextVar[Hold] = ContextVar("fanin_batch_hold")
"""The hold of the run whose calls this task makes."""


_ONE_CALL = Amount(1)


class Spending:
    """A purse with a line of waiters before it."""

    def __init__(self, limits: Limits, prices: Prices, max_tokens: int) -> None:
        self.purse = Purse(limits)
        self.prices = prices
        self.waiting = 0
        """Calls that wait for others to settle."""
        self.unpriced = False
        """Whether a call was made of a model whose price is unknown."""
        self.sent: dict[tuple[str, str], Sent] = {}
        """(account, model) -> what this session has sent."""
        self.over: Callable[[], None] = lambda: None
        """Is told when a call found that it never will fit."""
        self._max_tokens = max_tokens
        self._capped = not limits.none
        self._before = Amount()
        self._uncapped = 0
        self._line = anyio.Lock()
        self._settled = anyio.Event()

    async def reserve(self, request: Request) -> Amount | None:
        """Holds the most that the call may use, when it is its turn; None where it never will fit."""
        if not self._capped:
            return _ONE_CALL
        wanted = self._worst(request)
        if not self.waiting and self.purse.next(wanted) is Next.GO:
            self.purse = self.purse.reserve(wanted)
            return wanted
        self.waiting += 1
        try:
            async with self._line:
                while (decided := self.purse.next(wanted)) is Next.WAIT:
                    self._settled = anyio.Event()
                    await self._settled.wait()
                if decided is Next.STOP:
                    self.over()
                    return None
                self.purse = self.purse.reserve(wanted)
                return wanted
        finally:
            self.waiting -= 1

    def settle(self, held: Amount, used: Amount) -> None:
        """The call for which `held` was reserved used that much."""
        if not self._capped:
            self._uncapped += used.picodollars
            return
        self.purse = self.purse.settle(held, used)
        if self.waiting:
            self._settled.set()

    def release(self, held: Amount) -> None:
        """The call for which `held` was reserved was never made."""
        self.settle(held, Amount())

    def begin_with(self, used: Iterable[Used], uncharged: int) -> None:
        """Counts what earlier sessions used against the caps.

        `uncharged` calls may have been made besides, nobody knows of what: each counts like the dearest one
        that was answered.
        """
        tokens = picodollars = 0
        for part in used:
            price = price_of(part.model, self.prices)
            spent = amount(Usage(part.input_tokens, part.output_tokens), price)
            most = amount(Usage(part.most_input_tokens, part.most_output_tokens), price)
            assert spent is not None, "a journal holds the tokens as they were charged"
            assert most is not None, "the same"
            self._before += attrs.evolve(spent, calls=part.calls)
            tokens, picodollars = max(tokens, most.tokens), max(picodollars, most.picodollars)
        self._before += Amount(uncharged, uncharged * tokens, uncharged * picodollars)
        self.purse = attrs.evolve(self.purse, spent=self._before)

    def sent_to(self, account: str, model: str) -> Sent:
        """Where the calls of that model are counted."""
        return self.sent.setdefault((account, model), Sent())

    @property
    def cost_usd(self) -> float | None:
        """US dollars spent in this session; None where a price is unknown."""
        spent = self._uncapped + (self.purse.spent - self._before).picodollars
        return None if self.unpriced else spent / PICO

    def price(self, request: Request) -> Price | None:
        """The price of the model that is asked."""
        price = price_of(request.model, self.prices)
        self.unpriced = self.unpriced or price is None
        return price

    def _worst(self, request: Request) -> Amount:
        used = amount(worst_usage(request, self._max_tokens), self.price(request))
        assert used is not None, "the worst case is known"
        return used


class Metered(Forwarding):
    """A backend whose calls are paid from a purse, each one of its own: repeated ones too."""

    def __init__(self, inner: Backend, spending: Spending) -> None:
        super().__init__(inner)
        self._spending = spending
        self._sent: dict[str, Sent] = {}

    async def complete(self, request: Request) -> Completion:
        """One call. Raises CallError of kind `budget` where a repeated one finds no room."""
        hold = HOLD.get()
        held = hold.reserved or await self._spending.reserve(request)
        if held is None:
            raise CallError("budget", "The budget leaves no room for another attempt.", final=True)
        hold.reserved = None
        used: Amount | None = None
        sent = self._sent.get(request.model) or self._counted(request.model)
        sent.calls += 1
        try:
            completion = await self.inner.complete(request)
            used = amount(completion.usage, self._spending.price(request))
            sent.tokens += 0 if used is None else used.tokens
        except CallError as error:
            if error.kind in UNPAID:
                used = Amount(1)
            raise
        finally:
            # Of a call that was cut short nobody knows what it cost.
            self._spending.settle(held, held if used is None else used)
        return completion

    def _counted(self, model: str) -> Sent:
        """Where calls of that model are counted, with those that others make of it."""
        sent = self._spending.sent_to(self.inner.account, model)
        self._sent[model] = sent
        return sent
