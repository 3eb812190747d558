"""Caps on what a job may use: the worst case is reserved before a call and settled to the real usage after.

Promises, each a law in the tests:

- spent + reserved never passes a cap, so where no call uses more than was reserved for it, spent never does;
- a reservation that does not fit waits while others are held, since these may settle for less; where none is
  held it never will fit, and only then is the job over;
- what was never called costs nothing.

Amounts are whole numbers: money is in picodollars (US$ 1e-12), so that sums are exact in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from fractions import Fraction
from functools import cached_property, lru_cache
from math import ceil, floor

import attrs

from fanin.policy.pricing import Price
from fanin.values import Message, Request, Usage, in_range, optional, whole

PICO = 10**12
"""Picodollars in a US dollar."""


@attrs.frozen
class Limits:
    """The most a job may use as a whole; None is no cap."""

    max_cost: float | None = attrs.field(
        default=None, validator=optional(in_range(0, 1e9, "a number of US dollars, 0 or more"))
    )
    """US dollars."""
    max_total_tokens: int | None = attrs.field(default=None, validator=optional(whole(0, 10**15)))
    """Tokens read and written together."""
    max_calls: int | None = attrs.field(default=None, validator=optional(whole(0, 10**15)))
    """Calls, repeated ones too."""

    @property
    def none(self) -> bool:
        """Whether there is no cap at all."""
        return self.max_cost is self.max_total_tokens is self.max_calls is None

    @cached_property
    def max_picodollars(self) -> int:
        """`max_cost` as a whole number, rounded down. Raises TypeError where there is none."""
        return floor(Fraction(str(self.max_cost)) * PICO)


NO_LIMITS = Limits()


@attrs.frozen
class Amount:
    """What calls use."""

    calls: int = 0
    """Calls made."""
    tokens: int = 0
    """Tokens read and written."""
    picodollars: int = 0
    """Money; 0 where no price is known."""

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.calls + other.calls, self.tokens + other.tokens, self.picodollars + other.picodollars
        )

    def __sub__(self, other: Amount) -> Amount:
        return Amount(
            self.calls - other.calls, self.tokens - other.tokens, self.picodollars - other.picodollars
        )


def amount(usage: Usage, price: Price | None) -> Amount | None:
    """What one call of that usage comes to; None where a count of tokens is unknown."""
    read, written = usage.input_tokens, usage.output_tokens
    if read is None or written is None:
        return None
    if price is None:
        return Amount(1, read + written)
    read_price, written_price = _per_token(price)
    return Amount(1, read + written, read * read_price + written * written_price)


@lru_cache(maxsize=1024)
def _per_token(price: Price) -> tuple[int, int]:
    """Picodollars per token read and written, rounded up."""
    return _picodollars(price.input_usd, 10**6), _picodollars(price.output_usd, 10**6)


def _picodollars(usd: float, parts: int = 1) -> int:
    """Picodollars in a part of that many US dollars, as the number is written, rounded up."""
    return ceil(Fraction(str(usd)) * PICO / parts)


def worst_usage(request: Request, max_tokens: int) -> Usage:
    """The most tokens that one call can use.

    No tokenizer in use makes more tokens of a text than it has bytes of UTF-8 (byte-level BPE begins with
    one token a byte); a chat adds a few to each message. Thoughts are part of `max_tokens`.
    """
    parts = [text for message in request.messages for text in _texts(message)]
    parts += [text for tool in request.tools for text in attrs.astuple(tool)]
    if request.schema is not None:
        parts.append(request.schema)
    read = sum(_AROUND_A_TEXT + len(text.encode("utf-8", "surrogatepass")) for text in parts)
    return Usage(read, max_tokens if request.max_tokens is None else request.max_tokens)


_AROUND_A_TEXT = 16


def _texts(message: Message) -> Iterator[str]:
    yield message.content
    for call in message.tool_calls:
        yield from attrs.astuple(call)


class Next(Enum):
    """What a call that wants to be made has to do."""

    GO = "go"
    WAIT = "wait"
    STOP = "stop"


@attrs.frozen
class Purse:
    """What was spent of the caps, and what is reserved for calls in flight."""

    limits: Limits = NO_LIMITS
    """The caps."""
    spent: Amount = Amount()
    """What ended calls used."""
    held: Amount = Amount()
    """What calls in flight may come to use; its calls are those in flight."""

    def next(self, wanted: Amount) -> Next:
        """Whether a call that may use `wanted` can be made now, later or never."""
        if self._fits(self.spent + self.held + wanted):
            return Next.GO
        return Next.WAIT if self.held.calls else Next.STOP

    def reserve(self, wanted: Amount) -> Purse:
        """The purse with that much held."""
        return Purse(self.limits, self.spent, self.held + wanted)

    def settle(self, held: Amount, used: Amount) -> Purse:
        """The purse after the call for which `held` was reserved has used `used`."""
        return Purse(self.limits, self.spent + used, self.held - held)

    def _fits(self, total: Amount) -> bool:
        limits = self.limits
        return (
            (limits.max_calls is None or total.calls <= limits.max_calls)
            and (limits.max_total_tokens is None or total.tokens <= limits.max_total_tokens)
            and (limits.max_cost is None or total.picodollars <= limits.max_picodollars)
        )
