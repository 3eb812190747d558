"""What a vote costs, where a price is known."""

from __future__ import annotations

import attrs

from fanin.values import Usage, in_range

_MILLION = 1_000_000


@attrs.frozen
class Price:
    """The price of a model, in US dollars per million tokens."""

    input_usd: float = attrs.field(validator=in_range(0, 1e6, "US dollars per million tokens, 0 or more"))
    """Per million tokens read."""
    output_usd: float = attrs.field(validator=in_range(0, 1e6, "US dollars per million tokens, 0 or more"))
    """Per million tokens written."""


def cost_usd(usage: Usage, price: Price | None) -> float | None:
    """US dollars for that usage; None where the price or one of the counts is unknown."""
    if price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    usd = usage.input_tokens * price.input_usd + usage.output_tokens * price.output_usd
    return round(usd / _MILLION, 9)
