"""JSON as models write it: found in a reply, parsed strictly, and written in one way.

The grammar is RFC 8259's and nothing wider: no NaN, no comments, no trailing comma, and a key that comes
twice with two values has none of them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

import attrs

from fanin.answers.normal import quote

MAX_CHARS = 1_000_000
"""The most characters of a document."""
MAX_DEPTH = 64
"""The deepest that lists and objects may stand in one another."""

Path: TypeAlias = "tuple[str | int, ...]"
"""The keys and places that lead to a value; empty for the whole."""

_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|([\[{])|([\]}])', re.DOTALL)
_FENCE = re.compile(r"^[ \t]{0,12}(`{3,}|~{3,})[ \t]*([\w+-]*)[ \t]*$", re.MULTILINE)


@attrs.frozen
class Broken:
    """Stands where a value of a document cannot be used."""

    reason: str
    """Why, in a few words."""
    said: tuple[Any, ...] = attrs.field(default=(), eq=False, repr=False)
    """The two values of a key that comes twice."""


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""Stands where a document has no value."""


_WRITER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


class BadJsonError(ValueError):
    """A text is no JSON document that can be used; its text says why."""


def parse_json(text: str) -> Any:
    """The document that a text is; where a key comes twice with two values stands a `Broken`.

    Raises BadJsonError: no JSON, longer than MAX_CHARS, nested deeper than MAX_DEPTH, or a number that is
    infinite or has thousands of digits. Takes time in proportion to the text.
    """
    if len(text) > MAX_CHARS:
        raise BadJsonError(f"longer than {MAX_CHARS:,} characters")
    if _depth(text) > MAX_DEPTH:
        raise BadJsonError(f"nested deeper than {MAX_DEPTH} levels")
    try:
        return json.loads(text, object_pairs_hook=_object, parse_float=_finite, parse_constant=_no_constant)
    except BadJsonError:
        raise
    except json.JSONDecodeError as error:
        raise BadJsonError(f"no JSON (line {error.lineno}, column {error.colno}: {error.msg})") from None
    except ValueError:
        raise BadJsonError("a number of thousands of digits") from None


def _depth(text: str) -> int:
    """How deep it is nested, or more where that is not too deep in any case."""
    depth = deepest = 0
    if (brackets := text.count("[") + text.count("{")) <= MAX_DEPTH:
        return brackets
    for found in _BRACKET.finditer(text):
        depth += bool(found[1]) - bool(found[2])
        deepest = max(deepest, depth)
    return deepest


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise BadJsonError(f"the number {quote(digits, 20)} is beyond all bounds")
    return number


def _no_constant(name: str) -> float:
    raise BadJsonError(f"{name} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen and repr(seen[key]) != repr(value):
                found[key] = Broken("the key comes twice, with two values", (seen[key], value))
            seen.setdefault(key, value)
    return found


def canonical_json(value: Any) -> str:
    """The one spelling of a value: sorted keys, no white space, every character as it is.

    Raises TypeError where a `Broken` is in it.
    """
    # The writer takes ten times as long for a single value, and most values of a document are.
    if type(value) is str:
        return json.encoder.encode_basestring(value)
    if type(value) is int:
        return str(value)
    if type(value) is float and math.isfinite(value):
        return repr(value)
    return _WRITER.encode(value)


def json_with_broken(value: Any) -> str:
    """JSON text that `parse_json` reads as this value: a key that came twice does so again."""
    if isinstance(value, dict):
        pairs = [
            f"{canonical_json(key)}:{json_with_broken(each)}"
            for key, below in value.items()
            for each in (below.said if isinstance(below, Broken) else (below,))
        ]
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(json_with_broken, value))}]"
    return canonical_json(value)


def read_canonical(written: str) -> Any:
    """The value that canonical JSON spells."""
    # What is a list or an object may be changed by whoever gets it.
    return json.loads(written) if written[0] in "[{" else _read_scalar(written)


_read_scalar = lru_cache(maxsize=4096)(json.loads)


def broken_at(document: Any, problems: Sequence[tuple[Path, str]]) -> Any:
    """The document with a `Broken` at every path, and below none; what is missing there is put there.

    It is changed in place. Where a path leads on into a value that is none of its kind, that is broken.
    """
    for path, reason in sorted(problems, key=lambda problem: len(problem[0])):
        place: Any = document
        for step in path[:-1]:
            below = _below(place, step)
            if below is None:
                break
            place = below
        else:
            if not path:
                return Broken(reason)
            _put(place, path[-1], reason)
    return document


def _below(place: Any, step: str | int) -> Any:
    if isinstance(place, dict):
        return place.get(str(step))
    return place[step] if isinstance(place, list) and isinstance(step, int) and step < len(place) else None


def _put(place: Any, step: str | int, reason: str) -> None:
    if isinstance(place, dict):
        if not isinstance(place.get(str(step)), Broken):
            place[str(step)] = Broken(reason)
    elif isinstance(place, list) and isinstance(step, int) and step < len(place):
        place[step] = Broken(reason)


def without_broken(value: Any) -> tuple[Any, list[tuple[Path, str]]]:
    """A copy without what is `Broken`, and where that was. A whole that is broken is None."""
    found: list[tuple[Path, str]] = []

    def copied(part: Any, path: Path) -> Any:
        if isinstance(part, dict):
            kept = {}
            for key, below in part.items():
                if isinstance(below, Broken):
                    found.append(((*path, key), below.reason))
                else:
                    kept[key] = copied(below, (*path, key))
            return kept
        return (
            [copied(below, (*path, at)) for at, below in enumerate(part)] if isinstance(part, list) else part
        )

    return copied(value, ()), found


def pointer(path: Path) -> str:
    """The path as a JSON Pointer (RFC 6901): `/items/0/unit~1price`."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


def json_block(reply: str) -> str | None:
    """The JSON text of a reply without thoughts: its last fenced block, else the reply itself where it
    begins as an object or a list; None where there is neither."""
    opened: re.Match[str] | None = None
    block = None
    for fence in _FENCE.finditer(reply):
        if opened is None:
            opened = fence
        elif fence[1].startswith(opened[1]) and not fence[2]:
            block = reply[opened.end() : fence.start()]
            opened = None
    if block is not None:
        return block.strip()
    alone = reply.strip()
    return alone if alone.startswith(("{", "[")) else None
