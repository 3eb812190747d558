"""What a vote costs, where a price is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import attrs

from fanin.errors import InputError
from fanin.values import Usage, in_range

_MILLION = 1_000_000


@attrs.frozen
class Price:
    """The price of a model, in US dollars per million tokens."""

    input_usd: float = attrs.field(validator=in_range(0, 1e6, "US dollars per million tokens, 0 or more"))
    """Per million tokens read."""
    output_usd: float = attrs.field(validator=in_range(0, 1e6, "US dollars per million tokens, 0 or more"))
    """Per million tokens written."""


Prices: TypeAlias = Mapping["str | None", Price]
"""The price of each model by its name; None stands for every model that is not named."""


def as_prices(price: Price | Prices | Mapping[str, Price] | None) -> Prices:
    """One price for every model, one for each that is named, or none. Raises InputError."""
    if price is None:
        return {}
    if isinstance(price, Price):
        return {None: price}
    fits = isinstance(price, Mapping) and all(
        (model is None or isinstance(model, str)) and isinstance(each, Price) for model, each in price.items()
    )
    if not fits:
        raise InputError("price", "a Price, or a Price for each model by its name", price)
    return dict(price.items())


def price_of(model: str, prices: Prices) -> Price | None:
    """The price of a model; None where it is unknown."""
    return prices.get(model, prices.get(None))


def cost_usd(usage: Usage, price: Price | None) -> float | None:
    """US dollars for that usage; None where the price or one of the counts is unknown."""
    if price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    usd = usage.input_tokens * price.input_usd + usage.output_tokens * price.output_usd
    return round(usd / _MILLION, 9)


def total_usd(used: Iterable[tuple[str, Usage]], prices: Prices) -> float | None:
    """US dollars for the usage of all (model, usage); None where one is unknown, or there is none."""
    if not prices:
        return None
    by_price: dict[Price | None, Usage] = {}
    for model, usage in used:
        price = price_of(model, prices)
        by_price[price] = by_price.get(price, Usage(0, 0)) + usage
    return sum_usd([cost_usd(usage, price) for price, usage in by_price.items()])


def sum_usd(costs: Iterable[float | None]) -> float | None:
    """The sum of several costs in US dollars; None where one is unknown, or there is none."""
    known = list(costs)
    if not known or None in known:
        return None
    return round(sum(cost for cost in known if cost is not None), 9)
