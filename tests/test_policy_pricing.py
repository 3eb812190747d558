"""What a vote costs: exact where it is known, and unknown is never zero."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.errors import InputError
from fanin.policy.pricing import Price, Prices, as_prices, cost_usd, price_of, sum_usd, total_usd
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


models = st.sampled_from(["a", "b", "c"])
price_lists = st.dictionaries(st.none() | models, prices, min_size=1)
used = st.lists(st.tuples(models, st.builds(Usage, tokens, tokens)), min_size=1, max_size=8)


@given(used, price_lists)
def test_every_run_is_paid_at_its_own_model_s_price(of_runs: list[tuple[str, Usage]], listed: Prices) -> None:
    costs = [cost_usd(usage, price_of(model, listed)) for model, usage in of_runs]
    total = total_usd(of_runs, listed)
    if None in costs:
        assert total is None
    else:
        assert total == pytest.approx(sum(filter(None, costs)), rel=1e-9, abs=1e-8)


@given(used, prices)
def test_one_price_for_all_is_the_price_of_the_sum(of_runs: list[tuple[str, Usage]], price: Price) -> None:
    whole = sum((usage for _, usage in of_runs), Usage(0, 0))
    assert total_usd(of_runs, as_prices(price)) == cost_usd(whole, price)


def test_the_model_s_own_price_goes_before_that_of_all() -> None:
    listed = as_prices({"a": Price(1, 1), None: Price(2, 2)})
    assert (price_of("a", listed), price_of("b", listed)) == (Price(1, 1), Price(2, 2))
    assert price_of("b", as_prices({"a": Price(1, 1)})) is None
    assert as_prices(None) == {}


def test_nothing_costs_nothing_that_is_known() -> None:
    assert total_usd([], as_prices(Price(1, 1))) is None
    assert sum_usd([]) is None
    assert sum_usd([1.0, None]) is None
    assert sum_usd([0.1, 0.2]) == 0.3


@pytest.mark.parametrize("price", ["1/1", 3, {"a": 3}, {1: Price(1, 1)}, [("a", Price(1, 1))]])
def test_no_prices(price: object) -> None:
    with pytest.raises(InputError, match="price must be"):
        as_prices(price)  # type: ignore[arg-type]
