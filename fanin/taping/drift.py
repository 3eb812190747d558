"""Drift: how an answer of today differs in its shape from the one on the tape. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from fanin.taping.bodies import Body, exact_json
from fanin.taping.recording import TapedResponse

Shape = dict[str, frozenset[str]]
"""Where a value stands (`choices[].message.content`) -> the JSON types that were seen there."""

_NAMES = {str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}


def drift(taped: TapedResponse, live: TapedResponse) -> list[str]:
    """What changed shape, a sentence each; empty where nothing did.

    Compared are the status, the names of the headers that a tape keeps, and the names and types of
    the fields of JSON bodies, of event streams and of NDJSON. Values are not: a model may say the same
    thing in other words.
    """
    if taped.status != live.status:
        # An error has another shape than an answer: nothing more is worth telling.
        return [f"the status is {live.status}, on the tape {taped.status}"]
    found = _gone_and_new("header", taped.headers, live.headers)
    then, now = shape(taped.body), shape(live.body)
    if then is None or now is None:
        if (then is None) != (now is None):
            found.append(f"the body {'is no longer JSON' if now is None else 'has become JSON'}")
        return found
    found += _gone_and_new("field", then, now)
    return found + [
        f"the field {path} is {_listed(now[path])}, on the tape {_listed(then[path])}"
        for path in then
        if path in now and then[path] != now[path]
    ]


def shape(body: Body | None) -> Shape | None:
    """The shape of a JSON body, or of all the JSON in an event stream or in NDJSON; None for others."""
    if body is None:
        return None
    values = [body.value] if body.kind == "json" else _lines_of_json(body)
    if not values:
        return None
    seen: dict[str, set[str]] = {}
    for value in values:
        for path, kind in _fields(value, ""):
            seen.setdefault(path, set()).add(kind)
    return {path: frozenset(kinds) for path, kinds in seen.items()}


def said(response: TapedResponse) -> str | None:
    """The text that a model answered with in one of the usual chat APIs; None where there is none."""
    value = response.body.value if response.body is not None and response.body.kind == "json" else None
    match value:
        case {"choices": [{"message": {"content": str(text)}}, *_]}:
            return text
        case {"message": {"content": str(text)}} | {"response": str(text)}:
            return text
        case {"content": [{"text": str(text)}, *_]}:
            return text
    return None


def _lines_of_json(body: Body) -> list[object]:
    text = body.value if isinstance(body.value, str) else ""
    found = (exact_json(line.removeprefix("data:").strip()) for line in text.splitlines())
    return [value for value in found if value is not None]


def _fields(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        yield path or "(the whole)", "object"
        for name, item in value.items():
            shown = name if name.isidentifier() else json.dumps(name)
            yield from _fields(item, f"{path}.{shown}" if path else shown)
    elif isinstance(value, list):
        yield path or "(the whole)", "array"
        for item in value:
            yield from _fields(item, f"{path}[]")
    else:
        yield path, _NAMES[type(value)]


def _gone_and_new(what: str, then: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    gone = [f"the {what} {name} is gone" for name in then if name not in now]
    return gone + [f"the {what} {name} is new" for name in now if name not in then]


def _listed(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds))
