"""`Quantity`: numbers with units, as pint knows them (the extra `units`)."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

import attrs

from fanin.answers.number import Number
from fanin.answers.protocol import Spoiled
from fanin.answers.quantity import Measure
from fanin.errors import InputError, MissingExtraError

# pint reads these as an angle times a difference of temperatures.
_DEGREES = re.compile(
    r"\bdeg(?:ree)?s? (?=celsius$|fahrenheit$|kelvin$)|\b(deg)(?:ree)?s? (?=[CFK]$)", re.IGNORECASE
)


@attrs.frozen(init=False)
class Quantity(Measure):
    """A number with a unit or a currency, exact; pint knows the units.

    `unit` is what is asked for: answers in other units of its dimension are converted into it, all others are
    spoiled. None: any unit or currency. `rel_tol`, `abs_tol`: when two values are one, as for `Number`, by
    the unit asked for, else by the base units (metres, seconds, kilograms). Raises InputError for a unit that
    there is not, MissingExtraError without the extra `units`.
    """

    def __init__(self, unit: str | None = None, *, rel_tol: float = 0.0, abs_tol: float = 0.0) -> None:
        spelled = None
        units = _units()
        if unit is not None:
            one = Measure(units).read(f"1 {unit}" if isinstance(unit, str) else "", ())
            if isinstance(one, Spoiled):
                raise InputError("unit", "a unit or a currency, such as km or EUR", unit)
            spelled = one.partition(" ")[2]
        self.__attrs_init__(units, spelled, Number(rel_tol=rel_tol, abs_tol=abs_tol))


class PintUnits:
    """Units by pint, exact: its registry is read with fractions in place of floats."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry

    def spelled(self, unit: str) -> str | None:
        """By pint's symbols, as `km`, `m/s` or `m**2`; None where it knows no such unit."""
        return _spelled(self._registry, _DEGREES.sub(lambda found: "deg" if found[1] else "", unit))

    def converted(self, value: Fraction, unit: str, into: str | None) -> tuple[Fraction, str] | None:
        """The exact value in another unit or in base units; None where they are of two dimensions."""
        nought, one = (_converted(self._registry, Fraction(number), unit, into) for number in (0, 1))
        # Of pint's kinds of units, neither those with an offset nor logarithmic ones leave nought at nought.
        if one is not None and nought is not None and not nought[0]:
            return value * one[0], one[1]
        return _converted(self._registry, value, unit, into)


@lru_cache(maxsize=1024)
def _converted(registry: Any, value: Fraction, unit: str, into: str | None) -> tuple[Fraction, str] | None:
    quantity = registry.Quantity(value, unit)
    try:
        found = quantity.to_base_units() if into is None else quantity.to(into)
    except Exception:  # noqa: BLE001 - whatever pint finds wrong, there is no such value
        return None
    return Fraction(found.magnitude), into or _symbols(registry, found.units)


@lru_cache(maxsize=1024)
def _spelled(registry: Any, unit: str) -> str | None:
    for written in (unit, unit.lower()):
        try:
            found = registry.parse_units(written)
            short = _symbols(registry, found)
            known = bool(short) and registry.parse_units(short) == found
        except Exception:  # noqa: BLE001 - its parser raises whatever Python's tokenizer does
            continue
        if known:
            return short
    return None


def _symbols(registry: Any, unit: Any) -> str:
    """The unit by its symbols. pint's own formats cannot write an exponent that is a fraction."""
    from pint.util import to_units_container

    container: Any = to_units_container(unit)
    powers = [(registry.get_symbol(name), power) for name, power in container.items()]
    above = "*".join(
        f"{name}**{power}" if power != 1 else name for name, power in sorted(powers) if power > 0
    )
    below = [f"{name}**{-power}" if power != -1 else name for name, power in sorted(powers) if power < 0]
    return "/".join([above or "1", *below]) if powers else ""


@lru_cache(maxsize=1)
def _units() -> PintUnits:
    try:
        import pint
    except ImportError:
        raise MissingExtraError("a quantity", "units") from None
    return PintUnits(pint.UnitRegistry(non_int_type=Fraction, cache_folder=None))
