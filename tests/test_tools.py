"""From a plain function to what a model is told of it, and from a model's arguments to its call."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from fanin.errors import InputError, MissingExtraError
from fanin.tools import Tool, as_tools


def get_price_history(symbol: str, days: int = 30, *, adjusted: bool = True) -> list[float]:
    """Closing prices of a stock.

    Oldest first.

    Args:
        symbol: The ticker, as in NVDA.
        days: How many days back.

    Returns:
        The prices.
    """
    return [1.0] * days if adjusted else [len(symbol)]


class Side(Enum):
    BUY = "buy"
    SELL = "sell"


class Order(BaseModel):
    side: Side
    amount: int


@dataclass
class Span:
    begin: date
    end: date


def place(order: Order, spans: list[Span], kind: Literal["a", "b"] | None = None) -> str:
    return f"{order} {spans} {kind}"


def tool(function: Callable[..., Any]) -> Tool:
    [made] = as_tools([function])
    return made


def schema(function: Callable[..., Any]) -> dict[str, Any]:
    found = json.loads(tool(function).spec.parameters)
    assert isinstance(found, dict)
    return found


# what a model is told


def test_the_schema_comes_from_hints_and_docstring() -> None:
    spec = tool(get_price_history).spec
    assert (spec.name, spec.description) == (
        "get_price_history",
        "Closing prices of a stock.\n\nOldest first.",
    )
    assert json.loads(spec.parameters) == {
        "type": "object",
        "properties": {
            "symbol": {"type": "string", "description": "The ticker, as in NVDA."},
            "days": {"type": "integer", "default": 30, "description": "How many days back."},
            "adjusted": {"type": "boolean", "default": True},
        },
        "required": ["symbol"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "docstring",
    [
        "Closes.\n\n:param symbol: The ticker.",
        "Closes.\n\nParameters\n----------\nsymbol : str\n    The ticker.",
        "Closes.\n\n@param symbol: The ticker.",
    ],
)
def test_docstrings_of_every_style(docstring: str) -> None:
    def closes(symbol: str) -> None: ...

    closes.__doc__ = docstring
    assert tool(closes).spec.description == "Closes."
    assert schema(closes)["properties"]["symbol"]["description"] == "The ticker."


def test_a_tool_may_say_nothing_and_take_nothing() -> None:
    def now() -> str:
        return "now"

    assert tool(now).spec.description == ""
    assert schema(now) == {"type": "object", "properties": {}, "additionalProperties": False}


def test_a_description_in_the_hint_wins() -> None:
    def find(text: Annotated[str, Field(description="In the hint.", max_length=3)]) -> None:
        """Finds.

        Args:
            text: In the docstring.
        """

    assert schema(find)["properties"]["text"] == {
        "type": "string",
        "maxLength": 3,
        "description": "In the hint.",
    }


def test_types_of_ones_own_are_told_and_made() -> None:
    assert set(schema(place)["$defs"]) == {"Order", "Side", "Span"}
    given_ = tool(place).read(
        '{"order": {"side": "buy", "amount": "3"}, "spans": [{"begin": "2026-01-02", "end": "2026-01-03"}]}'
    )
    assert given_["order"] == Order(side=Side.BUY, amount=3)
    assert given_["spans"] == [Span(date(2026, 1, 2), date(2026, 1, 3))]
    assert given_["kind"] is None


def test_methods_and_wrapped_functions_are_tools() -> None:
    class Desk:
        def look_up(self, symbol: str) -> str:
            return symbol

    @functools.wraps(get_price_history)
    def wrapped(*args: Any, **options: Any) -> Any:
        return get_price_history(*args, **options)

    names = [made.spec.name for made in as_tools([Desk().look_up, wrapped])]
    assert names == ["look_up", "get_price_history"]


def test_of_a_partial_a_model_is_told_what_is_still_to_be_given() -> None:
    made = tool(functools.partial(get_price_history, days=7))
    assert made.spec.name == "get_price_history"
    assert made.spec.description == "Closing prices of a stock.\n\nOldest first."
    assert set(json.loads(made.spec.parameters)["properties"]) == {"symbol", "adjusted"}
    with pytest.raises(ValueError, match="days: Unexpected"):
        made.read('{"symbol": "A", "days": 1}')
    assert set(schema(functools.partial(get_price_history, "A"))["properties"]) == {"days", "adjusted"}


def test_an_object_that_can_be_called_is_a_tool_of_its_class_s_name() -> None:
    class Lookup:
        """Finds what there is."""

        def __call__(self, symbol: str) -> str:
            return symbol

    class Undocumented(Lookup):
        __doc__ = None

    assert (tool(Lookup()).spec.name, tool(Lookup()).spec.description) == ("Lookup", "Finds what there is.")
    assert tool(Undocumented()).spec.description == ""
    assert schema(functools.partial(Lookup()))["required"] == ["symbol"]


def test_a_default_that_json_cannot_hold_is_left_out_in_silence() -> None:
    nothing = object()

    def find(text: str, among: Any = nothing) -> None: ...

    assert schema(find)["properties"]["among"] == {}
    assert tool(find).read('{"text": "a"}') == {"text": "a", "among": nothing}


# arguments


@given(st.text(max_size=10), st.integers(-(2**70), 2**70), st.booleans())
def test_what_fits_arrives_as_it_was_sent(symbol: str, days: int, adjusted: bool) -> None:
    sent = {"symbol": symbol, "days": days, "adjusted": adjusted}
    if symbol.isprintable():
        assert HISTORY.read(json.dumps(sent)) == sent


@given(st.text(max_size=30))
def test_any_text_that_is_no_arguments_is_told_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^The arguments "):
        HISTORY.read(text or "7")


HISTORY = tool(get_price_history)


def test_defaults_are_filled_in_and_numbers_may_be_texts() -> None:
    assert HISTORY.read('{"symbol": "A", "days": "5"}') == {"symbol": "A", "days": 5, "adjusted": True}


@pytest.mark.parametrize("empty", ["", "  \n", "{}"])
def test_no_text_is_no_arguments(empty: str) -> None:
    def now(zone: str = "UTC") -> str:
        return zone

    assert tool(now).read(empty) == {"zone": "UTC"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("{", "The arguments are not JSON"),
        ('{"symbol": "A",}', "The arguments are not JSON"),
        ("[1, 2", "The arguments are not JSON"),
        ("7", "The arguments do not fit"),
        ('["A"]', "The arguments do not fit"),
        ("{}", "symbol: Missing"),
        ('{"symbol": 7}', "symbol: Input should be a valid string"),
        ('{"symbol": "A", "days": "many"}', "days: Input should be a valid integer"),
        ('{"symbol": "A", "until": 3}', "until: Unexpected keyword argument"),
        ('{"symbol": null}', "symbol: Input should be a valid string"),
    ],
)
def test_arguments_that_do_not_fit(arguments: str, said: str) -> None:
    with pytest.raises(ValueError, match="The arguments") as caught:
        HISTORY.read(arguments)
    assert said in str(caught.value)
    assert "http" not in str(caught.value)


def test_of_many_problems_some_are_told() -> None:
    def take(numbers: list[int]) -> None: ...

    with pytest.raises(ValueError, match="and 20 more"):
        tool(take).read(json.dumps({"numbers": ["x"] * 30}))


def test_reading_calls_nothing() -> None:
    called = []

    def act(what: str) -> None:
        called.append(what)

    tool(act).read('{"what": "x"}')
    assert called == []


# bad input


def unhinted(symbol, days: int = 3):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    return symbol


def starred(*symbols: str) -> None: ...


def double_starred(**symbols: str) -> None: ...


def by_place(symbol: str, /) -> None: ...


def unknown_hint(symbol: Missing) -> None:  # type: ignore[name-defined]  # noqa: F821
    ...


def no_json(symbol: Callable[[int], int]) -> None: ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (unhinted, "every parameter of the tool unhinted must be hinted, not 'symbol'"),
        (starred, "by name"),
        (double_starred, "by name"),
        (by_place, "by name"),
        (unknown_hint, "the hints of the tool unknown_hint"),
        (no_json, "the hints of the tool no_json"),
        (lambda symbol: symbol, "letters, digits"),
        (functools.partial(Order), "a function"),
        (functools.partialmethod(get_price_history), "a function"),
        (Order, "a function"),
        ("get_price", "a function"),
        (None, "a function"),
    ],
)
def test_what_is_no_tool(function: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        as_tools([function])
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


def test_two_tools_of_one_name() -> None:
    with pytest.raises(InputError, match="different names, not 'get_price_history'"):
        as_tools([get_price_history, get_price_history])


@pytest.mark.parametrize("package", ["pydantic", "docstring_parser"])
def test_the_extra_is_named_where_it_is_missing(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"fanin\[tools\]"):
        as_tools([get_price_history])


def test_without_tools_the_extra_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)
    assert as_tools([]) == ()
