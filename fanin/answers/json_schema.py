"""Where the parts of a JSON Schema stand and its references lead, and which schemas cannot be used for that.

Source: JSON Schema 2020-12, Core: 8.2 (`$id`, `$ref`, `$dynamicRef`), 10 (keywords that hold subschemas), and
what the drafts since 4 have in their place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from fanin.errors import InputError

MAX_IN_A_ROW = 64
"""The most references that may lead from one to the next for one value."""
MAX_APPLIED = 10_000
"""The most subschemas that references may bring together for one value."""

_ALONE = frozenset(
    "additionalItems additionalProperties contains contentSchema else if items not".split()
) | {*("propertyNames", "then", "unevaluatedItems", "unevaluatedProperties")}
_LISTED = frozenset("allOf anyOf items oneOf prefixItems".split())
_NAMED = frozenset("$defs definitions dependencies dependentSchemas patternProperties properties".split())
_SAME_VALUE = frozenset("allOf anyOf dependencies dependentSchemas else if not oneOf then".split())
_NOT_NAMED = ("enum", "required", "allOf", "anyOf", "oneOf", "prefixItems")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def check_parts(root: Mapping[str, Any]) -> None:
    """Raises InputError for a schema that cannot be used: with a keyword that is none, an `$id` within it, a
    reference to another document or to nothing, references that lead to one another in a circle or in too
    great a number, or what requires itself within itself, so that no document could ever end."""
    dialect = root.get("$schema", "")
    if not isinstance(dialect, str):
        raise InputError("schema", "a valid JSON Schema", f"with the $schema {dialect!r}")
    ids = ("$id", "id") if "draft-03" in dialect or "draft-04" in dialect else ("$id",)
    sizes: dict[str, tuple[int, int]] = {}
    followed: set[str] = set()
    left: list[tuple[str, Any]] = [("", root)]
    while left:
        at, part = left.pop()
        if not isinstance(part, Mapping):
            continue
        if part is not root and (named := next((name for name in ids if name in part), None)):
            mend = "References in it would count from there: take it out."
            raise InputError("schema", f"without an {named} within it", part[named], mend=mend)
        left += _within(part, at)
        for reference in _references(part):
            found = target(root, reference)
            if reference not in followed:
                followed.add(reference)
                left.append((reference[1:], found))
                _size(root, reference, sizes, ())
    _check_ends(root, followed)


def target(root: Mapping[str, Any], reference: Any) -> Any:
    """What a reference leads to. Raises InputError for one out of this schema, or to nothing."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise InputError(
            "schema",
            "whole in itself",
            reference,
            mend="A $ref to another document is not followed: put what it refers to under $defs.",
        )
    if "%" in reference:
        raise InputError("schema", "one whose references are written without %", reference)
    found: Any = root
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            raise InputError("schema", "one whose references lead somewhere", reference)
    if reference != "#" and not reference.startswith("#/"):
        raise InputError("schema", "one whose references are JSON Pointers", reference)
    return found


def _references(part: Mapping[str, Any]) -> Iterator[Any]:
    return (part[name] for name in _REFERENCES if name in part)


def _within(
    part: Mapping[str, Any], at: str, only: frozenset[str] | None = None
) -> Iterator[tuple[str, Any]]:
    """The subschemas of a part, each with where it stands; `only` those of these keywords."""
    for name, value in part.items():
        here = f"{at}/{name}"
        kind_is_wrong = (name in _NOT_NAMED and not isinstance(value, list)) or (
            name in _NAMED and not isinstance(value, Mapping)
        )
        if kind_is_wrong:
            mend = f"It is wrong at {here[1:]}."
            raise InputError("schema", "a valid JSON Schema", f"{name}: {value!r}", mend=mend)
        if only is not None and name not in only:
            continue
        if name in _NAMED:
            yield from ((f"{here}/{key}", below) for key, below in value.items())
        elif name in _LISTED and isinstance(value, list):
            yield from ((f"{here}/{place}", below) for place, below in enumerate(value))
        elif name in _ALONE:
            yield here, value


def _size(
    root: Mapping[str, Any], reference: str, known: dict[str, tuple[int, int]], trail: tuple[str, ...]
) -> tuple[int, int]:
    """How many references follow one another for one value, and how many subschemas they bring together."""
    if reference in trail:
        raise InputError("schema", "without references in a circle", reference)
    if reference not in known:
        longest, applied = 0, 1
        left = [target(root, reference)]
        while left:
            part = left.pop()
            if not isinstance(part, Mapping):
                continue
            left += [below for _, below in _within(part, "", _SAME_VALUE)]
            for further in _references(part):
                length, number = _size(root, further, known, (*trail, reference))
                longest, applied = max(longest, length), applied + number
        known[reference] = longest + 1, applied
    length, number = known[reference]
    if len(trail) + length > MAX_IN_A_ROW:
        raise InputError("schema", f"with at most {MAX_IN_A_ROW} references in a row", reference)
    if number > MAX_APPLIED:
        raise InputError("schema", f"with at most {MAX_APPLIED:,} subschemas for one value", reference)
    return known[reference]


def _check_ends(root: Mapping[str, Any], references: Collection[str]) -> None:
    """Raises InputError where what a reference leads to could be fulfilled by no finite document."""
    endless, before = sorted(references), -1
    while endless and len(endless) != before:
        before = len(endless)
        known = frozenset(endless)
        endless = [name for name in endless if not _can_end(root, target(root, name), known)]
    if endless:
        raise InputError("schema", "one that a document can fulfil", endless[0], mend=_ENDLESS)


_ENDLESS = "It requires itself within itself, so that no document could ever end."


def _can_end(root: Mapping[str, Any], part: Any, endless: Collection[str]) -> bool:
    """Whether a value can fulfil a part without anything that leads to an `endless` reference."""
    if not isinstance(part, Mapping) or "enum" in part or "const" in part:
        return True
    needed = list(part.get("allOf", ()))
    if part.get("type") == "object" or ("type" not in part and "properties" in part):
        properties = part.get("properties", {})
        needed += [properties[name] for name in part.get("required", ()) if name in properties]
    if part.get("type") == "array":
        first, items = part.get("prefixItems", []), part.get("items", True)
        first, items = (
            (items, part.get("additionalItems", True)) if isinstance(items, list) else (first, items)
        )
        least = part.get("minItems", 0)
        needed += [*first[:least], *([items] if least > len(first) else [])]
    return (
        not any(reference in endless for reference in _references(part))
        and all(_can_end(root, below, endless) for below in needed)
        and all(
            any(_can_end(root, below, endless) for below in part[union])
            for union in ("anyOf", "oneOf")
            if part.get(union)
        )
    )
