"""The laws of caps: what is spent never passes them, and they never stop a job that has room."""

from __future__ import annotations

import heapq
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.errors import InputError
from fanin.policy.budget import PICO, Amount, Limits, Next, Purse, amount, worst_usage
from fanin.policy.pricing import Price
from fanin.values import Message, Request, ToolCall, ToolSpec, Usage

amounts = st.builds(Amount, st.just(1), st.integers(0, 500), st.integers(0, 10**9))
caps = st.builds(
    Limits,
    st.none() | st.floats(0, 0.005),
    st.none() | st.integers(0, 5000),
    st.none() | st.integers(0, 20),
)


def within(purse: Purse) -> bool:
    """Whether what was spent and what is held are within the caps."""
    total, limits = purse.spent + purse.held, purse.limits
    return (
        (limits.max_calls is None or total.calls <= limits.max_calls)
        and (limits.max_total_tokens is None or total.tokens <= limits.max_total_tokens)
        and (limits.max_cost is None or total.picodollars <= limits.max_picodollars)
    )


@given(caps, st.lists(st.tuples(amounts, st.floats(0, 1), st.booleans()), max_size=30))
def test_no_cap_is_ever_passed(limits: Limits, calls: list[tuple[Amount, float, bool]]) -> None:
    purse, flying = Purse(limits), []
    for wanted, share, ends in calls:
        if purse.next(wanted) is Next.GO:
            purse = purse.reserve(wanted)
            flying.append((wanted, Amount(1, int(wanted.tokens * share), int(wanted.picodollars * share))))
        if ends and flying:
            purse = purse.settle(*flying.pop(0))
        assert within(purse)
    for held, used in flying:
        purse = purse.settle(held, used)
    assert within(purse)
    assert purse.held == Amount()


@given(caps, amounts, amounts)
def test_only_an_empty_air_stops(limits: Limits, held: Amount, wanted: Amount) -> None:
    purse = Purse(limits)
    assert purse.next(wanted) is not Next.WAIT
    assert purse.reserve(held).next(wanted) is not Next.STOP


@given(st.lists(amounts, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_settling_changes_nothing(used: list[Amount], random: Random) -> None:
    ends = []
    for _ in range(2):
        purse = Purse()
        for each in used:
            purse = purse.reserve(each)
        random.shuffle(used)
        for each in used:
            purse = purse.settle(each, each)
        ends.append(purse)
    assert ends[0] == ends[1]


def course(seed: int, cap: float) -> tuple[Purse, int]:
    """A job of 70 calls, 64 in flight at most, that end in random order: its purse, and the calls made."""
    random = Random(seed)
    price = Price(0.59, 0.79)
    purse, clock, made = Purse(Limits(max_cost=cap)), 0.0, 0
    flying: list[tuple[float, int, Amount, Amount]] = []
    usages = [(random.randint(1, 400), random.randint(1, 2048)) for _ in range(70)]
    while made < len(usages) or flying:
        if made < len(usages) and len(flying) < 64:
            read, written = usages[made]
            held = amount(Usage(read, 2048), price)
            used = amount(Usage(read, written), price)
            assert held is not None
            assert used is not None
            decided = purse.next(held)
            if decided is Next.GO:
                purse = purse.reserve(held)
                heapq.heappush(flying, (clock + random.random(), made, held, used))
                made += 1
                continue
            if decided is Next.STOP:
                break
        clock, _, held, used = heapq.heappop(flying)
        purse = purse.settle(held, used)
        assert within(purse)
    return purse, made


def test_64_in_flight_never_pass_the_cost_in_a_thousand_courses() -> None:
    for seed in range(1000):
        cap = 0.001 * (1 + seed % 40)
        purse, made = course(seed, cap)
        assert purse.spent.picodollars <= cap * PICO
        assert purse.held == Amount()
        if made < 70:  # stopped because not even one call alone was sure to fit
            assert purse.next(amount(Usage(400, 2048), Price(0.59, 0.79)) or Amount()) is Next.STOP


def test_twice_the_true_cost_always_finishes() -> None:
    for seed in range(8):
        free, _ = course(seed, 1e6)
        _, made = course(seed, 2 * free.spent.picodollars / PICO)
        assert made == 70


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_money_is_exact(read: int, written: int) -> None:
    found = amount(Usage(read, written), Price(0.1, 0.2))
    assert found == Amount(1, read + written, read * 100_000 + written * 200_000)


def test_a_fraction_of_a_picodollar_is_rounded_up() -> None:
    found = amount(Usage(1, 0), Price(1e-9, 0))
    assert found == Amount(1, 1, 1)


def test_unknown_tokens_are_no_amount() -> None:
    assert amount(Usage(None, 3), None) is None
    assert amount(Usage(3, None), Price(1, 1)) is None


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_text_has_no_more_tokens_than_bytes(system: str, user: str) -> None:
    request = Request(0, "m", (Message("system", system), Message("user", user)), max_tokens=7)
    worst = worst_usage(request, 99)
    assert worst.output_tokens == 7
    assert worst.input_tokens == len((system + user).encode("utf-8", "surrogatepass")) + 32


def test_everything_that_is_sent_counts() -> None:
    call = ToolCall("1", "look", "{}")
    plain = Request(0, "m", (Message("user", "x"),))
    assert worst_usage(plain, 99) == Usage(17, 99)
    for more in (
        Request(0, "m", (Message("user", "x"), Message("assistant", "", (call,)))),
        Request(0, "m", plain.messages, tools=(ToolSpec("look", "looks", "{}"),)),
        Request(0, "m", plain.messages, schema="{}"),
    ):
        assert (worst_usage(more, 99).input_tokens or 0) > 17


@pytest.mark.parametrize(
    "bad", [{"max_cost": -1}, {"max_cost": float("nan")}, {"max_total_tokens": 1.5}, {"max_calls": -1}]
)
def test_a_cap_that_is_none_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        Limits(**bad)  # type: ignore[arg-type]


def test_no_cap_at_all() -> None:
    assert Limits().none
    assert not Limits(max_calls=0).none
    assert Purse(Limits(max_calls=0)).next(Amount(1)) is Next.STOP
