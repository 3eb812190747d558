"""A calendar day."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import attrs

from fanin.answers.normal import MAX_ANSWER, normalise, quote
from fanin.answers.protocol import Spoiled
from fanin.errors import InputError

Order: TypeAlias = Literal["dmy", "mdy"]

_MONTHS = "january february march april may june july august september october november december".split()
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_MONTH = rf"(?P<name>{'|'.join(f'{name[:3]}(?:{name[3:]})?' for name in _MONTHS)}|sept)\.?"
_DAY = r"(?P<d>[0-9]{1,2})(?P<nth>st|nd|rd|th)?"
_YEAR = r"(?P<y>[0-9]{4})"
_WEEKDAY = re.compile(
    rf"(?:on )?(?P<day>{'|'.join(f'{name[:3]}(?:{name[3:]})?' for name in _DAYS)}|tues|thurs?)\.?,? "
)
_NAMED = (
    re.compile(rf"(?:the )?{_DAY}(?: of|[-.])?[ -]?{_MONTH},?[ -]?{_YEAR}"),
    re.compile(rf"{_MONTH} (?:the )?{_DAY},? {_YEAR}"),
    re.compile(rf"{_YEAR}[ -]{_MONTH}[ -]{_DAY}"),
)
_YEAR_FIRST = re.compile(rf"{_YEAR}([-/.])(?P<m>[0-9]{{1,2}})\2(?P<d>[0-9]{{1,2}})")
_YEAR_LAST = re.compile(rf"(?P<a>[0-9]{{1,2}})([-/.]) ?(?P<b>[0-9]{{1,2}})\2 ?{_YEAR}")


def _order(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and value not in get_args(Order):
        raise InputError(field.name, "dmy, mdy or None", value)


@attrs.frozen
class Date:
    """A day of the Gregorian calendar, 0001 to 9999, in a form that can mean one day only.

    Read are `2025-04-03`, `2025/4/3`, `3 April 2025`, `April 3rd, 2025`, a weekday before them where it is
    the right one, and numbers with the year last where they fit one day: `25/04/2025` does, `03/04/2025` only
    with a stated `order`. A year of two digits, a time of day and a day that there is not are spoiled. The
    canonical spelling is ISO 8601's, `2025-04-03`. Raises InputError for another order.
    """

    order: Order | None = attrs.field(default=None, validator=_order)
    """How `03/04/2025` is to be read: `dmy` is 3 April, `mdy` is 4 March; None: not at all."""

    @property
    def name(self) -> str:
        """`date`."""
        return "date"

    @property
    def options(self) -> tuple[str, ...]:
        """Empty: they cannot be listed."""
        return ()

    def instruction(self, order: Sequence[str]) -> str:
        """The form of the answer."""
        return (
            "First think step by step, in a few sentences. "
            'Then end with one last line: "Answer: " and one date in the form YYYY-MM-DD.'
        )

    def schema(self, order: Sequence[str]) -> Mapping[str, Any]:
        """A string that is a date."""
        return {"type": "string", "format": "date"}

    def read(self, text: str, order: Sequence[str]) -> str | Spoiled:
        """The day that the text is, as `YYYY-MM-DD`."""
        if len(text) > MAX_ANSWER:
            return Spoiled(f"not a date: {quote(text)}")
        form = normalise(text)
        weekday = _WEEKDAY.match(form)
        found = self._day(form[weekday.end() :] if weekday else form)
        if isinstance(found, str):
            return Spoiled(f"{found}: {quote(text)}")
        if weekday and not _DAYS[found.weekday()].startswith(weekday["day"]):
            return Spoiled(f"that day is a {_DAYS[found.weekday()].title()}: {quote(text)}")
        return found.isoformat()

    def _day(self, form: str) -> datetime.date | str:
        """The day, or why there is none."""
        for pattern in _NAMED:
            if named := pattern.fullmatch(form):
                month = next(place for place, name in enumerate(_MONTHS, 1) if name[:3] == named["name"][:3])
                return _date(int(named["y"]), month, int(named["d"]))
        if first := _YEAR_FIRST.fullmatch(form):
            return _date(int(first["y"]), int(first["m"]), int(first["d"]))
        last = _YEAR_LAST.fullmatch(form)
        if last is None:
            return "not a date"
        year, a, b = int(last["y"]), int(last["a"]), int(last["b"])
        if self.order is not None:
            return _date(year, b, a) if self.order == "dmy" else _date(year, a, b)
        days = {day for day in (_date(year, b, a), _date(year, a, b)) if not isinstance(day, str)}
        if len(days) > 1:
            return "a date that could be two days"
        return days.pop() if days else "no such day"

    def same(self, choices: Sequence[str]) -> Mapping[str, str]:
        """Each is its own."""
        return {choice: choice for choice in choices}

    def show(self, choice: str) -> str:
        """`YYYY-MM-DD`."""
        return choice


def _date(year: int, month: int, day: int) -> datetime.date | str:
    try:
        return datetime.date(year, month, day)
    except ValueError:
        return "no such day"
