"""Frozen values as plain JSON values, and back, by the types of their fields.

Writing loses nothing, and reading trusts nothing: a value of a wrong type is an error that says where. A
field that is left out is at its default, and one that is not known is passed by, so that a value may get
further fields without a new version of the format.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

import attrs

from fanin.answers.protocol import Answer
from fanin.errors import FaninError
from fanin.keeping.answer_types import answer_of, answer_to_plain

Read: TypeAlias = Callable[[Any], Any]
"""Makes the value of a plain one."""


class Misfit(ValueError):
    """What is wrong with a plain value, and where it stands, as in `plan.runs is 'many', not a number`."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(f"{path or 'it'}{problem}")
        self.problem = problem
        self.path = path

    def within(self, step: str) -> Misfit:
        """The same, as it stands in something larger: under a name, or in a `[place]`."""
        inside = self.path if not self.path or self.path.startswith("[") else f".{self.path}"
        return Misfit(self.problem, f"{step}{inside}")


def to_plain(value: Any) -> Any:
    """The value as dicts, lists, texts, numbers, booleans and None."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, tuple | list):
        return [to_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: to_plain(each) for key, each in value.items()}
    # Asking a protocol takes long, and a run of a thousand has many values.
    if hasattr(value, "instruction") and isinstance(value, Answer):
        return answer_to_plain(value)
    return {name: to_plain(getattr(value, name)) for name in _names(value.__class__)}


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(kind) if field.init)


def from_plain(kind: Any, value: Any) -> Any:
    """The value of the type `kind` that `to_plain` made plain. Raises Misfit."""
    return _reader(kind)(value)


@cache
def _reader(kind: Any) -> Read:
    if kind is Any:
        return _answer
    if kind is type(None):
        return _exactly("null", lambda value: value is None)
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _exactly(f"one of {', '.join(map(repr, inside))}", lambda value: value in inside)
    if origin in (Union, types.UnionType):
        return _optional(inside)
    if origin is tuple:
        return _row(_reader(inside[0])) if inside[1:] == (...,) else _pair(inside)
    if origin is dict:
        return _table(_reader(inside[1]))
    return _value(kind)


def _exactly(wanted: str, fits: Callable[[Any], bool]) -> Read:
    def read(value: Any) -> Any:
        if not fits(value):
            raise _misfit(value, wanted)
        return value

    return read


def _of(wanted: str, *kinds: type) -> Read:
    """JSON gives values of these very types, and `true` is no number."""

    def read(value: Any) -> Any:
        if type(value) not in kinds:
            raise _misfit(value, wanted)
        return value

    return read


def _misfit(value: Any, wanted: str) -> Misfit:
    shown = repr(value)
    return Misfit(f" is {shown if len(shown) < 60 else shown[:57] + '...'}, not {wanted}")


_SIMPLE: dict[Any, Read] = {
    str: _of("a text", str),
    bool: _of("true or false", bool),
    int: _of("a whole number", int),
    float: _of("a number", int, float),
}
_a_list = _of("a list", list)
_an_object = _of("an object", dict)


def _answer(value: Any) -> Any:
    """Fields of any type hold a type of answer, or nothing."""
    if value is None:
        return None
    try:
        return answer_of(_an_object(value))
    except FaninError as error:
        raise Misfit(f": {error.message}") from None


def _optional(kinds: tuple[Any, ...]) -> Read:
    """Several types are one type and None, in all that is kept."""
    [kind] = [kind for kind in kinds if kind is not type(None)]
    read = _reader(kind)
    return lambda value: None if value is None else read(value)


def _row(read: Read) -> Read:
    def read_all(value: Any) -> tuple[Any, ...]:
        found: list[Any] = []
        try:
            for each in _a_list(value):
                found.append(read(each))  # noqa: PERF401 - their number tells where one does not fit
        except Misfit as problem:
            raise (problem.within(f"[{len(found)}]") if isinstance(value, list) else problem) from None
        return tuple(found)

    return read_all


def _pair(kinds: tuple[Any, ...]) -> Read:
    readers = [_reader(kind) for kind in kinds]

    def read_each(value: Any) -> tuple[Any, ...]:
        if len(_a_list(value)) != len(readers):
            raise Misfit(f" has {len(value)} parts, not {len(readers)}")
        return tuple([read(each) for read, each in zip(readers, value, strict=True)])

    return read_each


def _table(read: Read) -> Read:
    return lambda value: {key: read(each) for key, each in _an_object(value).items()}


def _value(kind: Any) -> Read:
    fields: list[tuple[str, Read]] = []

    def read(value: Any) -> Any:
        if not fields:  # when it is first used: a type may hold others of its own kind
            hints = _hints(kind)
            fields.extend((name, _reader(hints[name])) for name in _names(kind))
        given, found, name = _an_object(value), {}, ""
        try:
            for name, of_field in fields:
                if name in given:
                    found[name] = of_field(given[name])
        except Misfit as problem:
            raise problem.within(name) from None
        try:
            return kind(**found)
        except FaninError as error:
            raise Misfit(f": {error.message}") from None
        except TypeError:
            missing = ", ".join(name for name, _ in fields if name not in given)
            raise Misfit(f" lacks {missing}") from None

    return read


def _hints(kind: Any) -> dict[str, Any]:
    try:
        return get_type_hints(kind)
    except NameError:
        late = {name: getattr(import_module(module), name) for name, module in _LATE.items()}
        return get_type_hints(kind, localns=late)


_LATE = {"Analysis": "fanin.analysed", "Report": "fanin.report"}
"""Types that a record names and a vote does not need: where they are, so that keeping one stays quick."""
