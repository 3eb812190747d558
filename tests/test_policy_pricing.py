"""What a vote costs: exact where it is known, and unknown is never zero."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.errors import InputError
from fanin.policy.pricing import Price, cost_usd
from fanin.values import Usage

tokens = st.integers(0, 10**9)
prices = st.builds(Price, st.floats(0, 1000), st.floats(0, 1000))


@given(tokens, tokens, prices)
def test_cost_is_tokens_times_price(read: int, written: int, price: Price) -> None:
    cost = cost_usd(Usage(read, written), price)
    assert cost == pytest.approx(
        read * price.input_usd / 1e6 + written * price.output_usd / 1e6, rel=1e-9, abs=1e-9
    )


def test_prices_are_per_million_tokens() -> None:
    assert cost_usd(Usage(1_000_000, 2_000_000), Price(0.05, 0.4)) == 0.85
    assert cost_usd(Usage(1000, 10), Price(0.15, 0.6)) == 0.000156
    assert cost_usd(Usage(0, 0), Price(1, 1)) == 0.0


def test_a_cost_has_nine_decimals() -> None:
    assert cost_usd(Usage(1, 0), Price(0.0004, 0)) == 0.0
    assert cost_usd(Usage(1, 0), Price(0.0016, 0)) == 2e-9


def test_what_is_unknown_is_not_zero() -> None:
    assert cost_usd(Usage(1, 1), None) is None
    assert cost_usd(Usage(None, 1), Price(1, 1)) is None
    assert cost_usd(Usage(1, None), Price(1, 1)) is None


@pytest.mark.parametrize("usd", [-0.01, float("nan"), float("inf"), None, True, "1"])
def test_a_price_is_a_number_from_0(usd: object) -> None:
    for field in ("input_usd", "output_usd"):
        with pytest.raises(InputError) as caught:
            Price(**({"input_usd": 1, "output_usd": 1} | {field: usd}))  # type: ignore[arg-type]
        assert (caught.value.field, caught.value.value) == (field, usd)
