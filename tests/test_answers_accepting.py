"""The quick yes to documents: to none that the validator finds wrong, and to those that plainly are right."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft4Validator, Draft7Validator, Draft202012Validator
from strategies_documents import DOCUMENTS, INVOICE

from fanin.answers.json_accepting import accepting

DRAFTS = (Draft4Validator, Draft7Validator, Draft202012Validator)
SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 9) | st.sampled_from([0.0, 1.0, 2.5, "", "a", "2024-02-30"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
KINDS = ("string", "integer", "number", "boolean", "null", "object", "array")
_WORDS = {
    "type": st.sampled_from(KINDS) | st.lists(st.sampled_from(KINDS), min_size=1, max_size=2, unique=True),
    "enum": st.lists(st.none() | st.sampled_from(["a", "", 1, 1.0, True]), min_size=1, max_size=3),
    "minLength": st.integers(0, 2),
    "maxLength": st.integers(0, 2),
    "minItems": st.integers(0, 2),
    "maxItems": st.integers(0, 2),
    "minimum": st.integers(-2, 3),
    "maximum": st.integers(-2, 3),
    "format": st.sampled_from(["date", "nonsense"]),
    "pattern": st.just("a"),
    "title": st.just("what it is"),
    "required": st.lists(st.sampled_from("abc"), min_size=1, max_size=2, unique=True),
}


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    holding = {
        "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
        "additionalProperties": st.booleans() | inner,
        "items": inner,
        "anyOf": st.lists(inner, min_size=1, max_size=2),
        "allOf": st.lists(inner, min_size=1, max_size=2),
        "not": inner,
        "$ref": st.just("#/definitions/word"),
    }
    return st.fixed_dictionaries({}, optional=_WORDS | holding)


SCHEMAS = st.recursive(st.fixed_dictionaries({}, optional=_WORDS), _schemas, max_leaves=4)


@given(SCHEMAS, VALUES, st.sampled_from(DRAFTS))
def test_what_is_accepted_the_validator_finds_valid(schema: Any, value: Any, draft: Any) -> None:
    schema = {**schema, "definitions": {"word": {"type": "string"}}}
    accepts = accepting(schema, draft.FORMAT_CHECKER.conforms)
    if accepts is not None and accepts(value):
        found = draft(schema, format_checker=draft.FORMAT_CHECKER).iter_errors(value)
        assert [error.message for error in found] == []


@given(DOCUMENTS)
def test_a_usual_schema_is_known_whole(document: Any) -> None:
    accepts = accepting(INVOICE, Draft202012Validator.FORMAT_CHECKER.conforms)
    assert accepts is not None
    validator = Draft202012Validator(INVOICE, format_checker=Draft202012Validator.FORMAT_CHECKER)
    assert accepts(document) is validator.is_valid(document)


@pytest.mark.parametrize(
    "schema",
    [
        {"patternProperties": {"a": True}},
        {"$dynamicRef": "#a"},
        {"properties": {"a": {"unevaluatedItems": False}}},
        {"$ref": "#"},
        {"properties": {"a": {"$ref": "#/properties/a"}}},
        {"items": [{"type": "string"}]},
        {"enum": [1, True]},
        {"exclusiveMinimum": True, "minimum": 3},
        {"required": True},
        {"properties": {"a": {"$id": "other"}}},
        {"$ref": "#/nowhere"},
        False,
    ],
)
def test_what_it_does_not_know_is_left_to_the_validator(schema: Any) -> None:
    assert accepting(schema, Draft202012Validator.FORMAT_CHECKER.conforms) is None


def test_the_name_of_a_schema_is_no_hindrance() -> None:
    accepts = accepting(json.loads('{"$id": "https://example.org/s", "type": "string"}'), lambda *_: True)
    assert accepts is not None
    assert accepts("a")
    assert not accepts(1)
