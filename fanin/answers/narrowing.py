"""A schema narrowed to some of its fields, with the objects that they stand in.

What a narrowed document leaves out is somebody else's: the parents of a field are required in it and take no
null, since they are known to be there, and a list is taken as a whole, since its items can be told apart
only among themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fanin.answers.json_schema import target
from fanin.answers.json_shape import Node, Object
from fanin.answers.json_text import Path

_DEFINITIONS = ("$defs", "definitions")
_KEPT = ("title", "description")


def narrowed_schema(schema: Mapping[str, Any], paths: Sequence[Path]) -> Mapping[str, Any] | None:
    """The schema of the documents that have the fields at `paths` alone; None where it is the schema itself.

    A path that leads into a list, a map or a union stands for the whole of that. What the schema says of
    several fields together is not in it. `schema` is one that `read_shape` takes.
    """
    found = _narrowed(schema, schema, paths)
    if found is None:
        return None
    used = _definitions(found, schema)
    if used is None:
        return None
    head = {"$schema": schema["$schema"]} if "$schema" in schema else {}
    return {**head, **found, **used}


def _narrowed(schema: Any, root: Mapping[str, Any], paths: Sequence[Path]) -> dict[str, Any] | None:
    described = _object_of(schema, root)
    if described is None or () in paths:
        return None
    properties = described["properties"]
    below: dict[str, list[Path]] = {}
    for path in paths:
        below.setdefault(str(path[0]), []).append(path[1:])
    if below.keys() - properties.keys():
        return None
    found, required = {}, []
    for name, inner in properties.items():
        if name not in below:
            continue
        part = _narrowed(inner, root, below[name])
        found[name] = inner if part is None else part
        if part is not None or name in described.get("required", ()):
            required.append(name)
    kept = {word: described[word] for word in _KEPT if word in described}
    return {
        **kept,
        "type": "object",
        "properties": found,
        "required": required,
        "additionalProperties": False,
    }


def _object_of(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The object that a subschema describes in one place, whether or not null may be there too."""
    seen: set[str] = set()
    while isinstance(schema, Mapping):
        if "allOf" in schema:
            return None
        branches = [
            branch for branch in schema.get("anyOf", schema.get("oneOf", ())) if branch != {"type": "null"}
        ]
        reference = schema.get("$ref")
        if reference is not None and reference not in seen and "properties" not in schema:
            seen.add(reference)
            schema = target(root, reference)
        elif len(branches) == 1 and "properties" not in schema:
            schema = branches[0]
        else:
            return schema if "properties" in schema and not branches and reference is None else None
    return None


def _definitions(found: Any, root: Mapping[str, Any]) -> dict[str, Any] | None:
    """The definitions that are referred to, and those that these refer to; None where another place is."""
    used: dict[str, dict[str, Any]] = {}
    left = list(_references(found))
    while left:
        kind, _, name = left.pop().removeprefix("#/").partition("/")
        if kind not in _DEFINITIONS or "/" in name or "~" in name:
            return None
        if name not in used.setdefault(kind, {}):
            used[kind][name] = target(root, f"#/{kind}/{name}")
            left += _references(used[kind][name])
    return {kind: dict(sorted(names.items())) for kind, names in used.items()}


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for name, value in schema.items():
            if name == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def parts_of(whole: Node, part: Node, at: Path = ()) -> tuple[Path, ...]:
    """Where the documents of a narrowed shape have what those of the whole have: its topmost equal parts."""
    if whole == part or not (isinstance(whole, Object) and isinstance(part, Object)):
        return (at,)
    inner = {member.name: member.node for member in whole.members}
    if any(member.name not in inner for member in part.members):
        return (at,)
    return tuple(
        path
        for member in part.members
        for path in parts_of(inner[member.name], member.node, (*at, member.name))
    )


def stands_in_required(shape: Node, path: Path) -> bool:
    """Whether every object that leads to the field is required."""
    for step in path[:-1]:
        members = shape.members if isinstance(shape, Object) else ()
        member = next((each for each in members if each.name == step), None)
        if member is None or not member.required:
            return False
        shape = member.node
    return True
