"""Frozen values as plain JSON values, and back, by the types of their fields.

Writing loses nothing, and reading trusts nothing: a value of a wrong type is an error that says where. A
field that is left out is at its default, and one that is not known is passed by, so that a value may get
further fields without a new version of the format.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

import attrs

from fanin.answers.protocol import Answer
from fanin.errors import FaninError
from fanin.keeping.answer_types import answer_of, answer_to_plain

Read: TypeAlias = Callable[[Any, str], Any]
"""Makes the value of a plain one; the text says where that stands."""


class Misfit(ValueError):
    """What is wrong with a plain value, and where it stands."""


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


def from_plain(kind: Any, value: Any, where: str = "") -> Any:
    """The value of the type `kind` that `to_plain` made plain. Raises Misfit."""
    return _reader(kind)(value, where)


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
    def read(value: Any, where: str) -> Any:
        if not fits(value):
            shown = repr(value)
            shown = shown if len(shown) < 60 else f"{shown[:57]}..."
            raise Misfit(f"{where or 'it'} is {shown}, not {wanted}")
        return value

    return read


_SIMPLE: dict[Any, Read] = {
    str: _exactly("a text", lambda value: isinstance(value, str)),
    bool: _exactly("true or false", lambda value: isinstance(value, bool)),
    int: _exactly("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    float: _exactly("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool)),
}
_a_list = _exactly("a list", lambda value: isinstance(value, list))
_an_object = _exactly("an object", lambda value: isinstance(value, dict))


def _answer(value: Any, where: str) -> Any:
    """Fields of any type hold a type of answer, or nothing."""
    if value is None:
        return None
    try:
        return answer_of(_an_object(value, where))
    except FaninError as error:
        raise Misfit(f"{where}: {error.message}") from None


def _optional(kinds: tuple[Any, ...]) -> Read:
    """Several types are one type and None, in all that is kept."""
    [kind] = [kind for kind in kinds if kind is not type(None)]
    read = _reader(kind)
    return lambda value, where: None if value is None else read(value, where)


def _row(read: Read) -> Read:
    def read_all(value: Any, where: str) -> tuple[Any, ...]:
        return tuple([read(each, f"{where}[{place}]") for place, each in enumerate(_a_list(value, where))])

    return read_all


def _pair(kinds: tuple[Any, ...]) -> Read:
    readers = [_reader(kind) for kind in kinds]

    def read_each(value: Any, where: str) -> tuple[Any, ...]:
        if len(_a_list(value, where)) != len(readers):
            raise Misfit(f"{where} has {len(value)} parts, not {len(readers)}")
        return tuple([read(each, where) for read, each in zip(readers, value, strict=True)])

    return read_each


def _table(read: Read) -> Read:
    def read_all(value: Any, where: str) -> dict[str, Any]:
        return {key: read(each, f"{where}.{key}") for key, each in _an_object(value, where).items()}

    return read_all


def _value(kind: Any) -> Read:
    hints: dict[str, Any] = {}

    def read(value: Any, where: str) -> Any:
        if not hints:  # when it is first used: a type may hold others of its own kind
            hints.update(get_type_hints(kind))
        given = _an_object(value, where)
        found = {
            name: _reader(hints[name])(given[name], f"{where}.{name}" if where else name)
            for name in _names(kind)
            if name in given
        }
        try:
            return kind(**found)
        except FaninError as error:
            raise Misfit(f"{where or 'it'}: {error.message}") from None
        except TypeError:
            missing = ", ".join(name for name in _names(kind) if name not in given)
            raise Misfit(f"{where or 'it'} lacks {missing}") from None

    return read
