"""What is voted on in a document, as its JSON Schema says: objects, lists and leaves.

Source: JSON Schema 2020-12 (Core: `$ref`, `$defs`, `properties`, `items`, `prefixItems`; Validation: `type`,
`enum`, `const`, `required`). The shape decides what is compared with what; whether a value is valid is left
to a validator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from fanin.answers.json_schema import check_parts, target
from fanin.answers.json_text import canonical_json
from fanin.errors import InputError

MAX_FIELDS = 2000
"""The most fields that a schema may name, objects and lists included."""
MAX_NESTING = 32
"""The deepest that fields may stand in one another."""

LeafKind: TypeAlias = Literal["choice", "number", "text", "date", "any"]


@attrs.frozen
class Leaf:
    """A value that is voted on as a whole."""

    kind: LeafKind
    """How two values are compared: `choice` exactly, `number` within the tolerance, `text` by its normal
    form, `date` by the day, `any` by whatever each value is."""
    options: tuple[str, ...] = ()
    """The legal values as canonical JSON in declared order; empty where they cannot be listed."""
    nullable: bool = False
    """Whether null is a value too."""


@attrs.frozen
class Member:
    """A property of an object."""

    name: str
    """Its key."""
    node: Node
    """What stands there."""
    required: bool
    """Whether every object has it."""


@attrs.frozen
class Object:
    """An object: each property is voted on by itself."""

    members: tuple[Member, ...]
    """In declared order."""
    rest: Node | None = None
    """What stands under every other key; None where there may be none."""
    nullable: bool = False
    """Whether null may stand in its place."""


@attrs.frozen
class Array:
    """A list: its length is voted on, and each of the items that are aligned between the runs."""

    item: Node
    """What stands at every place."""
    first: tuple[Node, ...] = ()
    """What stands at the first places, one by one: those are aligned by their place."""
    key: str | None = None
    """The property by which items are aligned; None: by what they have in common."""
    nullable: bool = False
    """Whether null may stand in its place."""


Node: TypeAlias = Leaf | Object | Array

_ANY = Leaf("any")
_SAYS_WHAT = frozenset(
    "additionalProperties anyOf const enum items oneOf prefixItems properties type".split()
)
_SCALARS: dict[str, Leaf] = {
    "boolean": Leaf("choice", ("true", "false")),
    "integer": Leaf("number"),
    "number": Leaf("number"),
    "string": Leaf("text"),
}


def read_shape(schema: Any, keys: Mapping[str, str] | None = None) -> Node:
    """The shape of the documents of a JSON Schema; `keys`: path of a list -> the property that aligns it.

    A path is a JSON Pointer with `*` for the items of a list and with or without the first slash, as
    `items` or `orders/*/items`. What refers to itself is voted on as a whole from its second level on.
    Raises InputError: no schema, a `$ref` to another document or to nothing, references in a circle, a schema
    that no document can ever fulfil, more than MAX_FIELDS fields or MAX_NESTING levels, a path that leads to
    no list, or a key that its items do not have.
    """
    if not isinstance(schema, Mapping):
        raise InputError("schema", "a JSON Schema, which is an object", schema)
    wanted = {f"/{path.strip('/')}".removesuffix("/"): key for path, key in (keys or {}).items()}
    check_parts(schema)
    reading = _Reading(schema, wanted)
    shape = reading.node(schema, (), ())
    for path in wanted.keys() - reading.met:
        known = ", ".join(sorted(place.removeprefix("/") for place in reading.lists)) or "none"
        raise InputError("key", f"the path of a list of the schema (there are: {known})", path[1:])
    return shape


@attrs.define
class _Reading:
    """One schema being read."""

    root: Mapping[str, Any]
    keys: Mapping[str, str]
    fields: int = 0
    met: set[str] = attrs.field(factory=set)
    lists: set[str] = attrs.field(factory=set)

    def node(self, schema: Any, at: tuple[str, ...], inside: tuple[str, ...]) -> Node:
        """What a subschema describes; `inside`: the references that lead here."""
        self.fields += 1
        if self.fields > MAX_FIELDS:
            raise InputError("schema", f"of at most {MAX_FIELDS:,} fields", f"{self.fields:,} or more")
        if len(at) > MAX_NESTING:
            raise InputError("schema", f"nested at most {MAX_NESTING} levels deep", "/".join(at))
        flat, entered = self.flat(schema, inside)
        if set(entered) & set(inside):
            return _ANY
        nullable, flat, more = self.without_null(flat, (*inside, *entered))
        return self.typed(flat, nullable, at, (*inside, *entered, *more))

    def typed(
        self,
        flat: Mapping[str, Any],
        nullable: bool,
        at: tuple[str, ...],
        inside: tuple[str, ...],
    ) -> Node:
        if "const" in flat or "enum" in flat:
            values = [flat["const"]] if "const" in flat else flat["enum"]
            return Leaf("choice", tuple(dict.fromkeys(map(canonical_json, values))), nullable)
        kind = _type(flat)
        if kind == "object" and ("properties" in flat or isinstance(flat.get("additionalProperties"), dict)):
            return self.object(flat, nullable, at, inside)
        if kind == "array":
            return self.array(flat, nullable, at, inside)
        if kind == "string" and flat.get("format") == "date":
            return Leaf("date", nullable=nullable)
        leaf = _SCALARS.get(kind, _ANY) if isinstance(kind, str) else _ANY
        return attrs.evolve(leaf, nullable=nullable)

    def object(
        self,
        flat: Mapping[str, Any],
        nullable: bool,
        at: tuple[str, ...],
        inside: tuple[str, ...],
    ) -> Object:
        required = set(flat.get("required", ()))
        members = tuple(
            Member(
                name,
                self.node(schema, (*at, name), inside),
                name in required,
            )
            for name, schema in flat.get("properties", {}).items()
        )
        rest = flat.get("additionalProperties", True)
        if rest is False:
            return Object(members, None, nullable)
        return Object(members, self.node(rest, (*at, "*"), inside), nullable)

    def array(
        self, flat: Mapping[str, Any], nullable: bool, at: tuple[str, ...], inside: tuple[str, ...]
    ) -> Array:
        items, first_items = flat.get("items", True), flat.get("prefixItems", ())
        if isinstance(items, list):  # as drafts before 2020-12 write it
            items, first_items = flat.get("additionalItems", True), items
        item = self.node(items, (*at, "*"), inside)
        first = tuple(
            self.node(schema, (*at, str(place)), inside) for place, schema in enumerate(first_items)
        )
        path = "".join(f"/{step}" for step in at)
        self.lists.add(path)
        key = self.keys.get(path)
        if key is not None:
            self.met.add(path)
            names = [member.name for member in item.members] if isinstance(item, Object) else []
            if key not in names:
                known = f"there are: {', '.join(names)}" if names else "they are no objects"
                raise InputError("key", f"a property of the items of {path[1:] or 'the list'} ({known})", key)
        return Array(item, first, key, nullable)

    def flat(self, schema: Any, inside: tuple[str, ...]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The subschema with its references and its `allOf` put into it, and the references' names."""
        if isinstance(schema, bool):
            return {}, ()
        if not isinstance(schema, Mapping):
            raise InputError("schema", "made of objects, true and false", schema)
        found: dict[str, Any] = {}
        entered: dict[str, None] = {}
        for part in self.parts(schema, entered, inside):
            properties = {**found.get("properties", {}), **part.get("properties", {})}
            required = [*found.get("required", ()), *part.get("required", ())]
            found |= part
            if properties:
                found["properties"] = properties
            found["required"] = required
        return found, tuple(entered)

    def parts(
        self, schema: Any, entered: dict[str, None], inside: tuple[str, ...]
    ) -> Iterator[Mapping[str, Any]]:
        """What the subschema is made of, what it refers to first."""
        if not isinstance(schema, Mapping):
            return
        reference = schema.get("$ref")
        if reference is not None:
            found = target(self.root, reference)
            entered[reference] = None
            # Where it leads back to what is being read, nobody looks at what stands there.
            if reference not in inside:
                yield from self.parts(found, entered, inside)
        for part in schema.get("allOf", ()):
            yield from self.parts(part, entered, inside)
        yield {name: value for name, value in schema.items() if name not in ("$ref", "allOf")}

    def without_null(
        self, flat: dict[str, Any], inside: tuple[str, ...]
    ) -> tuple[bool, dict[str, Any], tuple[str, ...]]:
        """Whether null is allowed, what else is, and the references on the way there."""
        for union in ("anyOf", "oneOf"):
            if union not in flat:
                continue
            branches = [self.flat(branch, inside) for branch in flat[union]]
            if not any(_SAYS_WHAT & branch.keys() for branch, _ in branches):
                continue  # only what of the fields may be there together, which is the validator's
            others = [branch for branch in branches if _type(branch[0]) != "null"]
            if len(others) != 1 or set(others[0][1]) & set(inside):
                return False, {}, ()
            beside = {name: value for name, value in flat.items() if name != union}
            more = {**beside, **others[0][0]}
            return len(others) < len(branches) or _null_in(more), more, others[0][1]
        return _null_in(flat), flat, ()


def _null_in(flat: Mapping[str, Any]) -> bool:
    # An enumeration lists its null among its values.
    kinds = flat.get("type")
    return isinstance(kinds, list) and "null" in kinds and "enum" not in flat


def _type(flat: Mapping[str, Any]) -> Any:
    """The one type other than null; what the keywords suggest where none is said; else None."""
    kinds = flat.get("type")
    if isinstance(kinds, list):
        kinds = [kind for kind in kinds if kind != "null"] or ["null"]
        return kinds[0] if len(kinds) == 1 else None
    if kinds is None and "properties" in flat:
        return "object"
    if kinds is None and ("items" in flat or "prefixItems" in flat):
        return "array"
    return kinds


def is_fixed(node: Node) -> bool:
    """Whether it can be told from some documents which fields all of them need: no list is among them, no
    object that may be null, optional ones apart, and none that needs something under keys of any name."""
    return not (isinstance(node, Object) and node.nullable) and _has_fixed_parts(node)


def _has_fixed_parts(node: Node) -> bool:
    if not isinstance(node, Object):
        return isinstance(node, Leaf)
    parts = (
        is_fixed(member.node) if member.required else _has_fixed_parts(member.node) for member in node.members
    )
    return all(parts) and (node.rest is None or not needs(node.rest))


def needs(node: Node) -> bool:
    """Whether something in it is required wherever it is there itself."""
    if isinstance(node, Object):
        return any(member.required or needs(member.node) for member in node.members)
    return isinstance(node, Array)
