"""What the command line's words stand for."""

from __future__ import annotations

import math
import re
from typing import Any

import click

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]*\.?[0-9]+)\s*(ms|[smhd]?)")


class Duration(click.ParamType[float]):
    """Seconds, or a number with a unit: `90`, `1.5m`, `2h`; above 0."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = _DURATION.fullmatch(str(value).strip().lower())
        seconds = float(match[1]) * _UNITS[match[2]] if match else math.nan
        if not 0 < seconds < 1e9:
            self.fail(f"{value!r} is no time above 0: seconds, or a number with ms, s, m, h or d", param, ctx)
        return seconds


class ModelPrice(click.ParamType[Any]):
    """`IN/OUT` or `MODEL=IN/OUT`: US dollars per million tokens read and written, for all models or one.

    Gives (model, Price), the model None for all.
    """

    name = "in/out"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from fanin.errors import InputError
        from fanin.policy.pricing import Price

        if isinstance(value, tuple):
            return value
        # The last one: what stands before it is a model's name, and that may hold one too.
        model, equals, pair = str(value).rpartition("=")
        try:
            read, written = (float(part) for part in pair.split("/"))
            price = Price(read, written)
        except (ValueError, InputError):
            self.fail(f"{value!r} is no price: US$ per million tokens, as 0.15/0.60", param, ctx)
        if equals and not model.strip():
            self.fail(f"{value!r} names no model before the =", param, ctx)
        return (model.strip() if equals else None, price)


def comma_list(text: str) -> tuple[str, ...]:
    """The items of `a,b,c`, without space around them; `\\,` is a comma inside an item."""
    items = re.split(r"(?<!\\),", text)
    return tuple(item.replace("\\,", ",").strip() for item in items)
