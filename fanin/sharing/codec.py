"""What is held jointly as bytes, and back: one line of JSON, values as lists in the order of their fields.

The version is a fingerprint of all the fields' names and types: a state that was written by a fanin
that knew other fields is recognized, and never misread.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

import attrs

from fanin.policy.pacing.bracket import UNKNOWN, Bracket
from fanin.policy.pacing.load import History, Load
from fanin.sharing.joint import Joint

KEPT_SENDS = 1024
"""Of what was sent when, so much is handed on."""

Reader: TypeAlias = Callable[[Any], Any]

_UNKNOWN = [UNKNOWN.slowest, UNKNOWN.fastest]


def encode(joint: Joint) -> bytes:
    """The state as bytes, without a line break."""
    return json.dumps(_plain(joint), separators=(",", ":")).encode()


def decode(data: bytes) -> Joint:
    """The state that `encode` wrote. Raises ValueError for anything else."""
    try:
        joint: Joint = _reader(Joint)(json.loads(data))
    except (TypeError, LookupError, RecursionError, OverflowError) as error:
        raise ValueError(f"not a state: {error}") from None
    return joint


def _plain(value: Any) -> Any:
    if isinstance(value, History):
        return [_plain(value.total), value.newest(KEPT_SENDS)]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    kind: Any = type(value)
    fields = _fields(kind)
    return value if fields is None else [_plain(getattr(value, name)) for name in fields]


@cache
def _fields(kind: Any) -> tuple[str, ...] | None:
    return tuple(field.name for field in attrs.fields(kind)) if attrs.has(kind) else None


@cache
def _reader(kind: Any) -> Reader:
    """What makes a value of that type of what JSON has for it. Raises ValueError, TypeError, LookupError."""
    if kind is History:
        return _history
    if isinstance(kind, type) and attrs.has(kind):
        return _object(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        item = _later(arguments[0])
        return lambda found: tuple([item(value) for value in _list(found)])
    if origin is Literal:
        return lambda found: arguments[arguments.index(found)]
    if origin in (Union, types.UnionType):
        inner = _later(next(argument for argument in arguments if argument is not type(None)))
        return lambda found: None if found is None else inner(found)
    return _simple(kind)


def _simple(kind: type) -> Reader:
    kinds = (int, float) if kind is float else (kind,)

    def read(found: Any) -> Any:
        if type(found) not in kinds or found != found:  # nan decides nothing
            raise ValueError(f"{found!r} is not {kind.__name__}")
        return found

    return read


def _later(kind: Any) -> Reader:
    """The reader of a type that may hold itself."""

    def read(found: Any) -> Any:
        return _reader(kind)(found)

    return read


def _object(kind: type) -> Reader:
    hints = get_type_hints(kind)
    readers = [_later(hints[field.name]) for field in attrs.fields(kind)]

    def read(found: Any) -> Any:
        if kind is Bracket and found == _UNKNOWN:
            return UNKNOWN  # which is told from one that only equals it
        return kind(*[reader(value) for reader, value in zip(readers, _list(found), strict=True)])

    return read


def _history(found: Any) -> History:
    total, columns = _list(found)
    times, requests, tokens = [_numbers(column) for column in _list(columns)]
    if not len(times) == len(requests) == len(tokens):
        raise ValueError("entries that are not whole")
    return History.of((times, requests, tokens), _reader(Load)(total))


def _numbers(found: Any) -> tuple[float, ...]:
    # One by one they would take as long as all the rest together.
    if not set(map(type, _list(found))) <= {int, float} or any(map(math.isnan, found)):
        raise ValueError("something else among numbers")
    return tuple(found)


def _list(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise ValueError(f"{found!r} is no list")
    return found


def _shape(kind: Any, seen: frozenset[Any] = frozenset()) -> str:
    if not (isinstance(kind, type) and attrs.has(kind)):
        inner = ",".join(_shape(argument, seen) for argument in get_args(kind))
        return f"{getattr(kind, '__name__', kind)}[{inner}]"
    if kind in seen:
        return kind.__name__
    hints = get_type_hints(kind)
    fields = [f"{f.name}:{_shape(hints[f.name], seen | {kind})}" for f in attrs.fields(kind)]
    return f"{kind.__name__}({','.join(fields)})"


@cache
def version() -> str:
    """The version of the bytes: the same for every fanin that reads and writes them alike."""
    return blake2b(_shape(Joint).encode(), digest_size=4).hexdigest()
