"""A JSON Schema in the narrow form that providers take for their own schema output.

Source: OpenAI, "Structured Outputs", supported schemas: every property is required and no other is allowed; a
property that may be left out is given null instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fanin.answers.json_schema import target
from fanin.answers.json_shape import Array, Leaf, Node, Object

_NOT_TAKEN = frozenset(
    "allOf oneOf not if then else dependentRequired dependentSchemas patternProperties propertyNames"
    " minProperties maxProperties unevaluatedProperties unevaluatedItems prefixItems additionalItems contains"
    " minContains maxContains uniqueItems $dynamicRef".split()
)
_SAYS_WHAT = ("type", "enum", "const", "anyOf", "$ref")
_NULL = {"type": "null"}
_IN_THE_REPLY = "/properties/answer"


def is_closed(schema: Any) -> bool:
    """Whether providers take the schema: no keyword that they refuse, no open object, no recursion."""
    return isinstance(schema, Mapping) and _is_closed(schema, schema, ())


def _is_closed(schema: Any, root: Mapping[str, Any], trail: tuple[str, ...]) -> bool:
    if not isinstance(schema, Mapping) or _NOT_TAKEN & schema.keys():
        return False
    if "$ref" in schema:
        reference = schema["$ref"]
        return reference not in trail and _is_closed(target(root, reference), root, (*trail, reference))
    if not any(word in schema for word in _SAYS_WHAT):
        return False
    if schema.get("type") == "object" and (
        schema.get("additionalProperties") or not schema.get("properties")
    ):
        return False
    if schema.get("type") == "array" and "items" not in schema:
        return False
    below = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
    if "items" in schema:
        below.append(schema["items"])
    return all(_is_closed(part, root, trail) for part in below)


def asked_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with its references put in place, every object closed, and every property required: one that
    may be left out is nullable. One that is not closed (`is_closed`) stays as it is, but for its references,
    which lead to where it stands in the schema of the whole reply."""
    return _asked(schema, schema) if is_closed(schema) else _moved(schema)


def _moved(part: Any) -> Any:
    if isinstance(part, list):
        return [_moved(below) for below in part]
    if not isinstance(part, Mapping):
        return part
    return {
        name: f"#{_IN_THE_REPLY}{below[1:]}" if name == "$ref" and isinstance(below, str) else _moved(below)
        for name, below in part.items()
    }


def _asked(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        return _asked({**target(root, schema["$ref"]), **beside}, root)
    found = {name: value for name, value in schema.items() if name not in ("$defs", "definitions", "$schema")}
    if "properties" in schema:
        required = schema.get("required", ())
        found["properties"] = {
            name: _asked(part, root) if name in required else _nullable(_asked(part, root))
            for name, part in schema["properties"].items()
        }
        found["required"] = list(found["properties"])
        found["additionalProperties"] = False
    if "items" in schema:
        found["items"] = _asked(schema["items"], root)
    if "anyOf" in schema:
        found["anyOf"] = [_asked(part, root) for part in schema["anyOf"]]
    return found


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = schema.get("type")
    if "null" in (kinds if isinstance(kinds, list) else [kinds]) or None in schema.get("enum", ()):
        return schema
    if "anyOf" in schema:
        return {**schema, "anyOf": [*(part for part in schema["anyOf"] if part != _NULL), _NULL]}
    return {"anyOf": [schema, _NULL]}


def without_nulls(shape: Node, value: Any) -> Any:
    """The document without the nulls that stand for properties that were left out (`asked_schema`)."""
    if isinstance(shape, Object) and isinstance(value, dict):
        members = {member.name: member for member in shape.members}
        kept = {}
        for name, below in value.items():
            member = members.get(name)
            if member is None:
                kept[name] = below
            elif below is not None or member.required or _takes_null(member.node):
                kept[name] = without_nulls(member.node, below)
        return kept
    if isinstance(shape, Array) and isinstance(value, list):
        return [without_nulls(shape.item, below) for below in value]
    return value


def _takes_null(node: Node) -> bool:
    return node.nullable or (isinstance(node, Leaf) and (node.kind == "any" or "null" in node.options))
