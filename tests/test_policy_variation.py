"""How runs differ: by index alone, the same on every machine, and each from all others."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.errors import InputError
from fanin.policy.variation import (
    RUNGS,
    order_of,
    places_of,
    seed_of,
    stable_hash,
    temperature_of,
    unit,
    vary,
)
from fanin.values import Variation

seeds = st.integers(0, 2**63 - 1)
indexes = st.integers(0, 999)
option_sets = st.lists(st.text(max_size=5), max_size=8, unique=True).map(tuple[str, ...])


@st.composite
def variations(draw: st.DrawFn) -> Variation:
    names = st.text("abc", min_size=1, max_size=3)
    return Variation(
        models=draw(st.lists(names, min_size=1, max_size=4, unique=True)),
        systems=draw(st.lists(st.none() | st.text(max_size=3), max_size=3, unique=True)),
        temperature=draw(st.none() | st.floats(0, 2)),
        temperature_step=draw(st.floats(0, 2)),
        max_temperature=draw(st.floats(0, 2)),
        seed=draw(seeds),
    )


@given(seeds)
def test_every_run_of_a_plan_has_a_seed_of_its_own(seed: int) -> None:
    drawn = [seed_of(seed, index) for index in range(1000)]
    assert len(set(drawn)) == 1000
    assert all(0 <= value < 2**31 for value in drawn)


@given(seeds, st.lists(st.integers(0, 2**31 - 1), min_size=2, max_size=50, unique=True))
def test_seeds_are_distinct_for_all_indexes_below_2_to_the_31(seed: int, some: list[int]) -> None:
    assert len({seed_of(seed, index) for index in some}) == len(some)


def test_seeds_stay_as_they_are_or_no_tape_replays() -> None:
    drawn = [seed_of(0, index) for index in range(5)]
    assert drawn == [1136485600, 1643437713, 2906178, 509858291, 1016810404]
    assert seed_of(7, 0) == 1481557843
    assert seed_of(2**63 - 1, 999) == 168426688


def test_orders_stay_as_they_are_or_no_tape_replays() -> None:
    fish = ("whale", "shark", "tuna")
    assert [order_of(fish, 0, index) for index in range(4)] == [
        ("whale", "shark", "tuna"),
        ("shark", "whale", "tuna"),
        ("tuna", "whale", "shark"),
        ("shark", "whale", "tuna"),
    ]
    assert order_of(fish, 1, 0) == ("tuna", "shark", "whale")


def test_the_hash_stays_as_it_is() -> None:
    assert stable_hash("a", 1) == 9331952569449725121
    assert stable_hash("\ud800") == 4758185216457903464
    assert unit("backoff", (0, 0), 0, "error") == 0.4298033883918472
    assert stable_hash("a", "b") != stable_hash("ab")
    assert stable_hash("a", "b") != stable_hash("b", "a")


@given(st.lists(st.text() | st.integers() | st.floats(), max_size=4))
def test_a_unit_lies_from_0_to_below_1(parts: list[object]) -> None:
    assert 0 <= unit(*parts) < 1
    assert unit(*parts) == unit(*parts)


def test_units_are_spread_over_the_whole_range() -> None:
    drawn = sorted(unit(index) for index in range(1000))
    assert drawn[0] < 0.01
    assert drawn[-1] > 0.99
    assert 0.45 < sum(drawn) / 1000 < 0.55


@given(option_sets, seeds, indexes)
def test_an_order_holds_every_option_once(options: tuple[str, ...], seed: int, index: int) -> None:
    assert sorted(order_of(options, seed, index)) == sorted(options)


@given(option_sets, seeds, indexes, st.randoms())
def test_an_order_does_not_depend_on_the_declared_one(
    options: tuple[str, ...], seed: int, index: int, random: object
) -> None:
    shuffled = list(options)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert order_of(tuple(shuffled), seed, index) == order_of(options, seed, index)


def test_every_option_comes_first_about_as_often() -> None:
    first = [order_of(("a", "b", "c"), 0, index)[0] for index in range(900)]
    assert all(250 < first.count(option) < 350 for option in "abc")


@given(variations(), indexes, option_sets)
def test_a_run_depends_on_the_plan_and_its_index_alone(
    variation: Variation, index: int, options: tuple[str, ...]
) -> None:
    run = vary(variation, index, options)
    assert run == vary(variation, index, options)
    assert (run.index, run.seed) == (index, seed_of(variation.seed, index))
    assert run.order == order_of(options, variation.seed, index)


@given(variations())
def test_every_model_is_asked_with_every_system_at_every_temperature(variation: Variation) -> None:
    once_round = len(variation.models) * len(variation.systems)
    runs = [vary(variation, index, ()) for index in range(once_round * RUNGS)]
    met = {(run.model, run.system, run.index // once_round) for run in runs}
    assert len(met) == len(runs)
    for run in runs:
        assert run.temperature == temperature_of(variation, run.index)
        # The rung is the same within one round, and comes again after the last.
        assert run.temperature == runs[run.index // once_round * once_round].temperature
        assert vary(variation, run.index + len(runs), ()).temperature == run.temperature


@given(variations(), indexes)
def test_no_temperature_lies_above_the_maximum(variation: Variation, index: int) -> None:
    temperature = temperature_of(variation, index)
    if variation.temperature is None:
        assert temperature is None
    else:
        assert temperature is not None
        assert 0 <= temperature <= variation.max_temperature


@given(variations(), st.integers(0, 60))
def test_shuffled_runs_take_one_another_s_places_and_no_other(variation: Variation, runs: int) -> None:
    assert places_of(variation, runs) == tuple(range(runs))
    shuffled = attrs.evolve(variation, shuffled=True)
    assert sorted(places_of(shuffled, runs)) == list(range(runs))


@given(variations(), indexes, indexes, option_sets)
def test_a_place_gives_model_system_and_rung_and_an_index_seed_and_order(
    variation: Variation, index: int, place: int, options: tuple[str, ...]
) -> None:
    run = vary(variation, index, options, place)
    own, other = vary(variation, index, options), vary(variation, place, options)
    assert (run.index, run.seed, run.order) == (index, own.seed, own.order)
    assert (run.model, run.system, run.temperature) == (other.model, other.system, other.temperature)


def test_shuffled_places_stay_as_they_are_or_no_tape_replays() -> None:
    assert places_of(Variation(("m",), shuffled=True), 6) == (2, 3, 0, 4, 5, 1)
    assert places_of(Variation(("m",), shuffled=True, seed=3), 6) == (0, 3, 4, 5, 1, 2)


def ladder(variation: Variation, runs: int) -> list[float | None]:
    return [vary(variation, index, ()).temperature for index in range(runs)]


def test_the_ladder_has_five_rungs_that_repeat() -> None:
    assert ladder(Variation(("m",)), 7) == [0.6, 0.7, 0.8, 0.9, 1.0, 0.6, 0.7]


def test_a_temperature_has_six_decimals() -> None:
    assert ladder(Variation(("m",), temperature=0.12345678, temperature_step=0), 1) == [0.123457]


def test_the_ladder_stops_at_the_backend_s_maximum() -> None:
    high = Variation(("m",), temperature=0.8, max_temperature=1.0)
    assert ladder(high, 5) == [0.8, 0.9, 1.0, 1.0, 1.0]


def test_without_a_step_every_run_has_the_same_temperature_and_without_a_base_none() -> None:
    assert ladder(Variation(("m",), temperature_step=0), 3) == [0.6, 0.6, 0.6]
    assert ladder(Variation(("m",), temperature=None), 3) == [None, None, None]


def test_several_models_climb_one_rung_a_round() -> None:
    runs = [vary(Variation(("x", "y")), index, ()) for index in range(6)]
    assert [(run.model, run.temperature) for run in runs] == [
        ("x", 0.6),
        ("y", 0.6),
        ("x", 0.7),
        ("y", 0.7),
        ("x", 0.8),
        ("y", 0.8),
    ]


def test_systems_go_round_after_the_models() -> None:
    runs = [vary(Variation(("x", "y"), systems=("s", None)), index, ()) for index in range(5)]
    assert [(run.model, run.system) for run in runs] == [
        ("x", "s"),
        ("y", "s"),
        ("x", None),
        ("y", None),
        ("x", "s"),
    ]
    assert [run.temperature for run in runs] == [0.6, 0.6, 0.6, 0.6, 0.7]


def test_no_system_prompt_at_all_is_one_run_kind_without() -> None:
    assert Variation(("m",), systems=()).systems == (None,)
    assert vary(Variation(("m",)), 3, ()).system is None


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"models": ()}, "models"),
        ({"models": (" ",)}, "models"),
        ({"models": (3,)}, "models"),
        ({"systems": (3,)}, "systems"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"temperature": 10**400}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": "0.5"}, "temperature"),
        ({"temperature_step": -1}, "temperature_step"),
        ({"temperature_step": float("nan")}, "temperature_step"),
        ({"temperature_step": None}, "temperature_step"),
        ({"max_temperature": 3}, "max_temperature"),
        ({"max_temperature": None}, "max_temperature"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"seed": 1.0}, "seed"),
        ({"seed": True}, "seed"),
        ({"seed": None}, "seed"),
    ],
)
def test_what_cannot_be_used_is_named(options: dict[str, object], field: str) -> None:
    with pytest.raises(InputError) as caught:
        Variation(**({"models": ("m",)} | options))  # type: ignore[arg-type]
    assert caught.value.field == field
    assert caught.value.value is options[field]
    assert caught.value.bound in str(caught.value)
