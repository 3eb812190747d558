"""Quantities: exact, in any unit of a dimension, and never a guess at a currency."""

from __future__ import annotations

import sys
from fractions import Fraction

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import odd_texts

from fanin.answers import Answer, Number, Spoiled
from fanin.answers.quantity import CURRENCIES, Measure
from fanin.errors import InputError, MissingExtraError

SIZES = {"m": 1, "km": 1000, "cm": Fraction(1, 100)}
WEIGHTS = {"kg": 1, "g": Fraction(1, 1000)}


@attrs.frozen
class Few:
    """A table of five units."""

    def spelled(self, unit: str) -> str | None:
        unit = {"metres": "m", "kilometres": "km"}.get(unit, unit)
        return unit if unit in SIZES or unit in WEIGHTS else None

    def converted(self, value: Fraction, unit: str, into: str | None) -> tuple[Fraction, str] | None:
        table = SIZES if unit in SIZES else WEIGHTS
        into = into or next(iter(table))
        return (value * table[unit] / table[into], into) if into in table else None


ANY = Measure(Few())
IN_KM = Measure(Few(), "km")


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("1.5 km", "1.5 km"),
        ("**1,500 metres.**", "1500 m"),
        ("1500m", "1500 m"),
        ("-3 kg", "-3 kg"),
        ("1e3 g", "1000 g"),
        ("1/3 kg", "1/3 kg"),
        ("\u20ac1,000.50", "1000.5 EUR"),
        ("1,000.5 EUR", "1000.5 EUR"),
        ("5 eur", "5 EUR"),
        ("-\u00a35", "-5 GBP"),
        ("5 \u20ac", "5 EUR"),
        ("US$ 5", "5 USD"),
        ("5 Swiss francs", "5 CHF"),
    ],
)
def test_what_is_read(text: str, choice: str) -> None:
    assert ANY.read(text, ()) == choice
    assert ANY.read(choice, ()) == choice


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("5", "no unit"),
        ("km", "not a number with a unit"),
        ("5 zorks", "no unit that is known"),
        ("$5", "$ is the sign of several currencies"),
        ("5 million EUR", "no unit that is known"),
        ("3-5 km", "no unit that is known"),
        ("1,5 km", "not one plain number"),
        ("1e999 km", "a number of more than 300 digits"),
        ("5 k<m", "no unit that is known"),
        (f"5 {'m' * 41}", "no unit of at most 40 characters: "),
        (f"5 {'m' * 40}", "no unit that is known: "),
        ("\u20ac", "not a number with a unit"),
        ("", "not a number with a unit"),
        ("5 m" * 1000, "not a quantity"),
    ],
)
def test_what_is_spoiled(text: str, reason: str) -> None:
    read = ANY.read(text, ())
    assert isinstance(read, Spoiled)
    assert read.reason.startswith(reason)


@given(odd_texts())
def test_reading_never_raises_and_reads_what_it_read_as_itself(text: str) -> None:
    for answer in (ANY, IN_KM):
        choice = answer.read(text, ())
        if isinstance(choice, str):
            assert answer.read(choice, ()) == choice


def test_a_unit_that_is_asked_for_is_the_one_of_the_answer() -> None:
    assert IN_KM.read("1500 m", ()) == "1.5 km"
    assert IN_KM.read("5 kg", ()) == Spoiled('kg is no km: "5 kg"')
    assert IN_KM.read("5 EUR", ()) == Spoiled('EUR is no km: "5 EUR"')
    dollars = Measure(Few(), "USD")
    assert dollars.read("$5", ()) == "5 USD"
    assert dollars.read("CA$5", ()) == Spoiled('CAD is no USD: "CA$5"')
    assert dollars.read("5 km", ()) == Spoiled('km is no USD: "5 km"')
    assert "the unit km" in IN_KM.instruction(())


_READ = st.builds(
    lambda number, unit: f"{number} {unit}",
    st.integers(1, 3000),
    st.sampled_from([*SIZES, *WEIGHTS, "EUR", "USD"]),
)


@given(st.data(), st.lists(_READ, max_size=8), st.sampled_from([0, 50]))
def test_equal_values_are_one_whatever_the_unit_and_the_order(
    data: st.DataObject, choices: list[str], tolerance: float
) -> None:
    answer = Measure(Few(), tolerance=Number(abs_tol=tolerance))
    same = answer.same(choices)
    assert set(same) == set(choices) >= set(same.values())
    assert all(same[head] == head for head in same.values())
    assert answer.same(data.draw(st.permutations(choices))) == same


def test_the_same_length_is_one_answer_and_the_same_sum_of_another_currency_is_not() -> None:
    same = ANY.same(["1.5 km", "1500 m", "1500 m", "1.5 kg", "5 EUR", "5 USD"])
    assert same == {
        **{choice: choice for choice in ("1500 m", "1.5 kg", "5 EUR", "5 USD")},
        "1.5 km": "1500 m",
    }
    close = Measure(Few(), tolerance=Number(abs_tol=1)).same(["1 km", "1001 m", "1 kg", "1001 g"])
    assert close == {"1 km": "1 km", "1001 m": "1 km", "1 kg": "1 kg", "1001 g": "1 kg"}


def test_a_quantity_is_an_answer() -> None:
    assert isinstance(ANY, Answer)
    assert (ANY.name, ANY.options, ANY.schema(())) == ("quantity", (), {"type": "string"})
    assert ANY.show("5 km") == "5 km"
    assert all(len(code) == 3 and code.isupper() for code in CURRENCIES)


def test_without_its_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    from fanin import units

    monkeypatch.setitem(sys.modules, "pint", None)
    units._units.cache_clear()
    with pytest.raises(MissingExtraError, match=r"pip install 'fanin\[units\]'"):
        units.Quantity()


@pytest.mark.slow
def test_pint_knows_the_units() -> None:
    from fanin.units import Quantity

    metres = Quantity()
    for text, choice in {
        "3 km/h": "3 km/h",
        "100 meters per second": "100 m/s",
        "3 m\u00b2": "3 m**2",
        "12 hours": "12 h",
        "20 \u00b0C": "20 \u00b0C",
        "1 MW": "1 MW",
        "1 mW": "1 mW",
    }.items():
        assert metres.read(text, ()) == choice
        assert metres.read(choice, ()) == choice
    assert isinstance(metres.read("5 m**99999999", ()), Spoiled)
    assert isinstance(metres.read("5 __import__", ()), Spoiled)
    assert metres.same(["36 km/h", "10 m/s"]) == {"36 km/h": "10 m/s", "10 m/s": "10 m/s"}
    assert metres.same(["5 kg", "5 m"]) == {"5 kg": "5 kg", "5 m": "5 m"}
    assert Quantity("km").read("1 mile", ()) == "1.609344 km"
    assert Quantity("celsius").read("68 \u00b0F", ()) == "20 \u00b0C"
    assert Quantity("eur").unit == "EUR"
    assert Quantity("km", abs_tol=1) == Quantity("kilometer", abs_tol=1)
    for unit in ("zork", "", 5, "2 km"):
        with pytest.raises(InputError, match="unit must be a unit or a currency"):
            Quantity(unit)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unit", "text", "choice"),
    [
        ("degC", "20 degrees Celsius", "20 \u00b0C"),
        ("degrees C", "68 Degrees F", "20 \u00b0C"),
        ("degC", "20 C", "20 \u00b0C"),
        ("K", "68 F", "293.15 K"),
        ("coulomb", "20 C", "20 C"),
        (None, "20 C", "20 C"),
        (None, "20 degrees", "20 deg"),
        ("degF", "-40 degrees celsius", "-40 \u00b0F"),
    ],
)
def test_temperatures_are_read_as_they_are_written(unit: str | None, text: str, choice: str) -> None:
    from fanin.units import Quantity

    assert Quantity(unit).read(text, ()) == choice
    assert Quantity(unit).read(choice, ()) == choice


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unit", "into"),
    [("km", "m"), ("km/h", "m/s"), ("in", None), ("degF", "K"), ("K", "degC")],
)
def test_a_value_is_converted_as_pint_converts_it(unit: str, into: str | None) -> None:
    from fanin.units import Quantity

    units = Quantity().units
    for value in (Fraction(0), Fraction(7, 3), Fraction(-40), Fraction(10**12)):
        quantity = units._registry.Quantity(value, unit)  # type: ignore[attr-defined]
        found = quantity.to(into) if into else quantity.to_base_units()
        assert units.converted(value, unit, into) == (Fraction(found.magnitude), into or "m")
