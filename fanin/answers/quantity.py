"""A number with a unit or a currency."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Protocol

import attrs

from fanin.answers.normal import MAX_ANSWER, quote, spelling
from fanin.answers.number import Number, canonical
from fanin.answers.protocol import Spoiled

MAX_UNIT = 40
"""The most characters of a unit."""

CURRENCIES = frozenset(
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD "
    "CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP "
    "GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD "
    "KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN "
    "NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP "
    "SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND "
    "VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG".split()
)
"""Currencies in use, by their codes (ISO 4217)."""
_SIGNS = {
    "\u20ac": ("EUR",),
    "\u00a3": ("GBP",),
    "\u20b9": ("INR",),
    "\u20a9": ("KRW",),
    "\u20aa": ("ILS",),
    "\u20ab": ("VND",),
    "\u20ba": ("TRY",),
    "\u20bd": ("RUB",),
    "\u20b4": ("UAH",),
    "us$": ("USD",),
    "ca$": ("CAD",),
    "a$": ("AUD",),
    # One sign of several currencies: read only where the question asks for one of them.
    "$": ("USD", "CAD", "AUD", "NZD", "HKD", "SGD", "MXN", "TWD", "BRL", "ARS", "CLP", "COP"),
    "\u00a5": ("JPY", "CNY"),
}
_NAMES = {
    "euro": "EUR",
    "euros": "EUR",
    "us dollar": "USD",
    "us dollars": "USD",
    "swiss franc": "CHF",
    "swiss francs": "CHF",
    "pounds sterling": "GBP",
    "yen": "JPY",
}
_NUMBER = (
    r"[+-]?(?:[0-9][0-9 ,_']*)?(?:\.?[0-9]+)"
    r"(?:[eE][+-]?[0-9]+| ?[x\u00d7*] ?10\^[+-]?[0-9]+)?(?: ?/ ?[0-9]+)?"
)
_AFTER = re.compile(rf"(?P<number>{_NUMBER}) ?(?P<unit>[^\d\s.,'].*)?", re.DOTALL)
_BEFORE = re.compile(rf"(?P<sign>-?)(?P<unit>[^\d\s+.-]{{1,4}}) ?(?P<number>{_NUMBER})")
# Two digits in a row: no unit has such a power, and working one out could fill the memory.
_NO_UNIT = re.compile(r"[^\w\u00b5\u03bc\u00b0%\u2126\u03a9\u00b2\u00b3 ./*^()\u00b7\u22c5-]|[0-9]{2}")
_TEMPERATURES = ("\u00b0C", "\u00b0F", "K")


class Units(Protocol):
    """What knows of units."""

    def spelled(self, unit: str) -> str | None:
        """The one spelling of a unit; None where there is no such unit. Its own spelling is itself."""
        ...

    def converted(self, value: Fraction, unit: str, into: str | None) -> tuple[Fraction, str] | None:
        """The value in another unit, or for None in the base units of its dimension; None where they are of
        two dimensions. Both are spelled as `spelled` has them."""
        ...


@attrs.frozen
class Measure:
    """A number with a unit or a currency; `fanin.Quantity` makes it with a table of units.

    Quantities of one dimension are the same where their values are, whatever unit they are given in:
    `1.5 km` is `1500 m`. A currency is only ever itself. The canonical spelling is the exact number and the
    unit: the one that is asked for, else the one that was written.
    """

    units: Units = attrs.field(repr=False)
    """What knows of units."""
    unit: str | None = None
    """The unit that is asked for, in its one spelling, into which all others are converted; None: any."""
    tolerance: Number = attrs.field(factory=Number)
    """When two values are one, by their base units, or by `unit` where one is asked for."""

    @property
    def name(self) -> str:
        """`quantity`."""
        return "quantity"

    @property
    def options(self) -> tuple[str, ...]:
        """Empty: they cannot be listed."""
        return ()

    def instruction(self, order: Sequence[str]) -> str:
        """The form of the answer: digits and the unit."""
        unit = f"the unit {self.unit}" if self.unit else "its unit or currency"
        return (
            "First think step by step, in a few sentences. "
            f'Then end with one last line: "Answer: " and one number in digits with {unit}.'
        )

    def schema(self, order: Sequence[str]) -> Mapping[str, Any]:
        """A string: the number and the unit."""
        return {"type": "string"}

    def read(self, text: str, order: Sequence[str]) -> str | Spoiled:
        """The canonical spelling of the one quantity that the text is."""
        alone = text.strip()
        if len(alone) > MAX_ANSWER:
            return Spoiled(f"not a quantity: {quote(text)}")
        parts = _parts(spelling(alone))
        if parts is None:
            return Spoiled(f"not a number with a unit: {quote(text)}")
        number = Number().read(parts[0], ())
        if isinstance(number, Spoiled):
            return number
        unit = self._unit(parts[1])
        if isinstance(unit, Spoiled):
            return Spoiled(f"{unit.reason}: {quote(text)}")
        if self.unit is None:
            return f"{number} {unit}"
        value = self._converted(Fraction(number), unit, self.unit)
        if value is None:
            return Spoiled(f"{unit} is no {self.unit}: {quote(text)}")
        return f"{canonical(value[0])} {self.unit}"

    def _unit(self, written: str) -> str | Spoiled:
        """The unit or currency in its one spelling."""
        if not written:
            return Spoiled("no unit")
        currencies = _currencies(written)
        if self.unit in currencies:
            return str(self.unit)
        if len(currencies) == 1:
            return currencies[0]
        if currencies:
            return Spoiled(f"{written} is the sign of several currencies")
        if len(written) > MAX_UNIT:
            return Spoiled(f"no unit of at most {MAX_UNIT} characters")
        if _NO_UNIT.search(written):
            return Spoiled("no unit that is known")
        if self.unit in _TEMPERATURES and written in "CF":
            return f"\u00b0{written}"  # elsewhere they are the coulomb and the farad
        return self.units.spelled(written) or Spoiled("no unit that is known")

    def _converted(self, value: Fraction, unit: str, into: str | None) -> tuple[Fraction, str] | None:
        if unit in CURRENCIES or into in CURRENCIES:
            return (value, unit) if into in (None, unit) else None
        return self.units.converted(value, unit, into)

    def same(self, choices: Sequence[str]) -> Mapping[str, str]:
        """Those of one value in the base units of one dimension, within the tolerance.

        `choices` are the canonical answers of all ballots: they are counted as the most frequent of them, of
        equals the first by text. The order of `choices` never matters.
        """
        votes = Counter(choices)
        bases = self._in_base_units(votes)
        cast: dict[str, list[str]] = {}
        for choice, (value, base) in bases.items():
            cast.setdefault(base, []).extend([value] * votes[choice])
        close = {base: self.tolerance.same(values) for base, values in cast.items()}
        heads: dict[tuple[str, str], str] = {}
        one_of = {choice: (close[base][value], base) for choice, (value, base) in bases.items()}
        for choice in sorted(sorted(votes), key=votes.__getitem__, reverse=True):
            heads.setdefault(one_of[choice], choice)
        return {choice: heads[one] for choice, one in one_of.items()}

    def _in_base_units(self, choices: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Canonical answer -> its value and unit in base units, or in the unit that is asked for."""
        bases: dict[str, tuple[str, str]] = {}
        kept: dict[str, bool] = {}
        for choice in choices:
            number, _, unit = choice.partition(" ")
            if unit not in kept:
                kept[unit] = all(
                    self._converted(value, unit, self.unit) == (value, unit)
                    for value in (Fraction(0), Fraction(1))
                )
            value = None if kept[unit] else self._converted(Fraction(number), unit, self.unit)
            bases[choice] = (number, unit) if value is None else (canonical(value[0]), value[1])
        return bases

    def show(self, choice: str) -> str:
        """The canonical spelling."""
        return choice


def _parts(text: str) -> tuple[str, str] | None:
    """The number and what stands for its unit, which may be empty; None where it is neither."""
    if after := _AFTER.fullmatch(text):
        return after["number"], (after["unit"] or "").strip()
    before = _BEFORE.fullmatch(text)
    if before is None or not _currencies(before["unit"]):
        return None
    return before["sign"] + before["number"], before["unit"]


def _currencies(written: str) -> tuple[str, ...]:
    """The currencies that a code, a sign or a name stands for."""
    if written.upper() in CURRENCIES and (written.isupper() or written.islower()):
        return (written.upper(),)
    low = written.lower()
    return (_NAMES[low],) if low in _NAMES else _SIGNS.get(low, ())
