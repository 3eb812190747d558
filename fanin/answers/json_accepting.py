"""A quick yes to documents that are plainly valid by a schema.

A validator that tells where a document is wrong takes ten times as long as one that need not. This one knows
the common keywords of JSON Schema (2020-12, and what the drafts since 4 mean alike) and says yes only where
they hold; whatever else a schema says, and every other document, is left to the validator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Accepts: TypeAlias = Callable[[Any], bool]
Conforms: TypeAlias = Callable[[Any, str], bool]
"""Whether a value has a format, as the validator judges it."""

_SAYS_NOTHING = frozenset(
    "$schema $comment $defs definitions title description default examples deprecated readOnly".split()
)
_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: type(value) is str,
    "integer": lambda value: type(value) is int,  # 1.0 is one too, in most drafts
    "number": lambda value: type(value) in (int, float),
    "boolean": lambda value: type(value) is bool,
    "null": lambda value: value is None,
    "object": lambda value: type(value) is dict,
    "array": lambda value: type(value) is list,
}
_BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "minLength": lambda value, bound: type(value) is not str or len(value) >= bound,
    "maxLength": lambda value, bound: type(value) is not str or len(value) <= bound,
    "minItems": lambda value, bound: type(value) is not list or len(value) >= bound,
    "maxItems": lambda value, bound: type(value) is not list or len(value) <= bound,
    "minimum": lambda value, bound: type(value) not in (int, float) or value >= bound,
    "maximum": lambda value, bound: type(value) not in (int, float) or value <= bound,
    "exclusiveMinimum": lambda value, bound: type(value) not in (int, float) or value > bound,
    "exclusiveMaximum": lambda value, bound: type(value) not in (int, float) or value < bound,
}


class _Unknown(Exception):
    """The schema says something that is not known here."""


def accepting(schema: Any, conforms: Conforms) -> Accepts | None:
    """Says yes to documents that are valid by the schema, though not to all; None where it knows too little.

    `schema` is one whose references lead somewhere in it. The documents are as `json.loads` makes them.
    """
    try:
        if isinstance(schema, Mapping):
            # At the root it only names the schema.
            schema = {word: said for word, said in schema.items() if word != "$id"}
        return _Reading(schema, conforms).accepts(schema, ())
    except _Unknown:
        return None


class _Reading:
    """One schema being made into a function."""

    def __init__(self, root: Any, conforms: Conforms) -> None:
        self._root = root
        self._conforms = conforms

    def accepts(self, schema: Any, inside: tuple[str, ...]) -> Accepts:
        """`inside`: the references that lead here."""
        if schema is True:
            return lambda value: True
        if not isinstance(schema, Mapping):
            raise _Unknown
        tests = [
            self.test(word, said, schema, inside)
            for word, said in schema.items()
            if word not in _SAYS_NOTHING and word not in ("required", "additionalProperties")
        ]
        if schema.keys() & {"required", "additionalProperties"} and "properties" not in schema:
            tests.append(self.members({}, schema, inside))
        if len(tests) == 1:
            return tests[0]
        return lambda value: all(test(value) for test in tests)

    def test(self, word: str, said: Any, schema: Mapping[str, Any], inside: tuple[str, ...]) -> Accepts:
        if word == "type":
            kinds = [_TYPES[kind] for kind in ([said] if isinstance(said, str) else said) if kind in _TYPES]
            return kinds[0] if len(kinds) == 1 else lambda value: any(kind(value) for kind in kinds)
        if word == "properties":
            return self.members(said, schema, inside)
        if word == "items" and not isinstance(said, list):
            item = self.accepts(said, inside)
            return lambda value: type(value) is not list or all(map(item, value))
        if word in ("anyOf", "allOf"):
            branches = [self.accepts(branch, inside) for branch in said]
            each = any if word == "anyOf" else all
            return lambda value: each(branch(value) for branch in branches)
        if word == "$ref" and isinstance(said, str) and said.startswith("#/") and said not in inside:
            return self.accepts(self.target(said), (*inside, said))
        if word == "format" and isinstance(said, str):
            return lambda value: self._conforms(value, said)
        return _plain(word, said)

    def members(self, said: Mapping[str, Any], schema: Mapping[str, Any], inside: tuple[str, ...]) -> Accepts:
        """The test of `properties`, `required` and `additionalProperties` together."""
        named = {name: self.accepts(inner, inside) for name, inner in said.items()}
        rest = schema.get("additionalProperties", True)
        other = None if rest is False else self.accepts(rest, inside)
        if not isinstance(schema.get("required", []), list):
            raise _Unknown
        needed = frozenset(schema.get("required", []))

        def test(value: Any) -> bool:
            if type(value) is not dict:
                return True
            for name, inner in value.items():
                accepts = named.get(name, other)
                if accepts is None or not accepts(inner):
                    return False
            return needed <= value.keys()

        return test

    def target(self, reference: str) -> Any:
        found = self._root
        for step in reference[2:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or name not in found:
                raise _Unknown
            found = found[name]
        return found


def _plain(word: str, said: Any) -> Accepts:
    """The test of a keyword that holds no schema."""
    if word in _BOUNDS and type(said) in (int, float):
        holds = _BOUNDS[word]
        return lambda value: holds(value, said)
    values = said if word == "enum" else [said]
    # Of equal values of two types (1, 1.0, true) the drafts think differently.
    if word in ("enum", "const") and all(value is None or type(value) is str for value in values):
        legal = frozenset(values)
        return lambda value: (value is None or type(value) is str) and value in legal
    raise _Unknown
