"""JSON in a reply, the shape of a schema, and when two values are one."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import odd_texts

from fanin.answers import Number
from fanin.answers.json_asking import asked_schema, is_closed, without_nulls
from fanin.answers.json_shape import Array, Leaf, Member, Object, is_fixed, read_shape
from fanin.answers.json_text import (
    MAX_CHARS,
    MAX_DEPTH,
    BadJsonError,
    Broken,
    broken_at,
    canonical_json,
    json_block,
    parse_json,
    without_broken,
)
from fanin.answers.json_values import counted_as
from fanin.errors import InputError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
TEXT = {"type": "string"}


@given(JSON)
def test_json_is_read_as_it_was_written(value: Any) -> None:
    assert parse_json(canonical_json(value)) == value
    assert canonical_json(parse_json(json.dumps(value, indent=2))) == canonical_json(value)


@given(JSON.filter(lambda value: isinstance(value, list | dict)), st.sampled_from(["```", "~~~~"]))
def test_the_last_block_of_a_reply_is_its_document(value: Any, fence: str) -> None:
    text = json.dumps(value, indent=1)
    reply = f"First:\n```json\n[0]\n```\nthen\n{fence}json\n{text}\n{fence}\nThat is it."
    assert json_block(reply) == text
    assert json_block(f" {text}\n") == text


@given(odd_texts())
def test_a_text_is_json_or_is_said_not_to_be_and_nothing_else(text: str) -> None:
    json_block(text)
    with suppress(BadJsonError):
        parse_json(text)


@pytest.mark.parametrize(
    ("reply", "block"),
    [
        ("no document", None),
        ("```json\n{}", None),
        ("  ```\n 1 \n  ```", "1"),
        ("```\n1\n```\n```json\n{}", "1"),
        ("", None),
    ],
)
def test_where_a_document_stands(reply: str, block: str | None) -> None:
    assert json_block(reply) == block


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "no JSON (line 1, column 2:"),
        ("NaN", "NaN is no JSON"),
        ("[1e999]", 'the number "1e999" is beyond all bounds'),
        ("1" * 5000, "a number of thousands of digits"),
        ("[" * (MAX_DEPTH + 1), "nested deeper than 64 levels"),
        ('{"a":' * 1000 + "1" + "}" * 1000, "nested deeper than 64 levels"),
        (f'"{"x" * MAX_CHARS}"', "longer than 1,000,000 characters"),
        ("{'a': 1}", "no JSON"),
        ('{"a": 1,}', "no JSON"),
    ],
)
def test_what_is_no_document(text: str, problem: str) -> None:
    with pytest.raises(BadJsonError) as raised:
        parse_json(text)
    assert str(raised.value).startswith(problem)


def test_brackets_in_texts_are_not_deep() -> None:
    assert parse_json(json.dumps(["[" * 100, '"', "\\"])) == ["[" * 100, '"', "\\"]


def test_a_key_that_comes_twice_has_its_value_or_none() -> None:
    assert parse_json('{"a": 1, "a": 1}') == {"a": 1}
    twice = parse_json('{"a": [{"b": 1, "b": true}], "c": 2}')
    assert twice == {"a": [{"b": Broken("the key comes twice, with two values")}], "c": 2}
    assert without_broken(twice) == (
        {"a": [{}], "c": 2},
        [(("a", 0, "b"), "the key comes twice, with two values")],
    )
    with pytest.raises(TypeError):
        canonical_json(twice)


def test_what_is_broken_is_marked_and_nothing_else() -> None:
    document = {"a": [1, {"b": 2}], "c": 3}
    problems: list[tuple[tuple[str | int, ...], str]] = [
        (("a", 1, "b"), "bad b"),
        (("d",), "left out"),
        (("a", 1), "bad item"),
        (("a", 2), "nowhere"),
        (("a", 2, "b"), "nowhere"),
        (("c", "x"), "nowhere"),
        (("e", "f"), "nowhere"),
    ]
    assert broken_at(document, problems) == {"a": [1, Broken("bad item")], "c": 3, "d": Broken("left out")}
    assert broken_at({}, [((), "all of it")]) == Broken("all of it")


@pytest.mark.parametrize(
    ("schema", "node"),
    [
        ({}, Leaf("any")),
        (TEXT, Leaf("text")),
        ({"type": "string", "format": "date"}, Leaf("date")),
        ({"type": "boolean"}, Leaf("choice", ("true", "false"))),
        ({"type": "integer"}, Leaf("number")),
        ({"const": 5}, Leaf("choice", ("5",))),
        ({"enum": ["b", None, "b"]}, Leaf("choice", ('"b"', "null"))),
        ({"type": ["string", "null"]}, Leaf("text", nullable=True)),
        ({"type": ["string", "number"]}, Leaf("any")),
        ({"anyOf": [TEXT, {"type": "null"}]}, Leaf("text", nullable=True)),
        ({"oneOf": [TEXT, {"type": "number"}]}, Leaf("any")),
        ({"type": "object"}, Leaf("any")),
        ({"type": "array", "items": TEXT}, Array(Leaf("text"))),
        ({"items": TEXT}, Array(Leaf("text"))),
        ({"items": [TEXT], "additionalItems": False}, Array(Leaf("any"), (Leaf("text"),))),
        ({"prefixItems": [TEXT]}, Array(Leaf("any"), (Leaf("text"),))),
        ({"additionalProperties": TEXT}, Leaf("any")),
        ({"type": "object", "additionalProperties": TEXT}, Object((), Leaf("text"))),
        (
            {"properties": {"a": TEXT}, "required": ["a"], "additionalProperties": False},
            Object((Member("a", Leaf("text"), True),)),
        ),
        (
            {"allOf": [{"properties": {"a": TEXT}}, {"properties": {"b": TEXT}, "required": ["b"]}]},
            Object((Member("a", Leaf("text"), False), Member("b", Leaf("text"), True)), Leaf("any")),
        ),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "number"}}}, Leaf("number")),
        ({"$ref": "#/anyOf/0", "anyOf": [TEXT]}, Leaf("text")),
    ],
)
def test_shapes(schema: dict[str, Any], node: object) -> None:
    assert read_shape(schema) == node


def test_what_refers_to_itself_is_voted_on_as_a_whole_from_its_second_level() -> None:
    tree = {"type": "object", "properties": {"below": {"type": "array", "items": {"$ref": "#"}}}}
    shape = read_shape({**tree, "additionalProperties": False})
    inner = Object((Member("below", Array(Leaf("any")), False),))
    assert shape == Object((Member("below", Array(inner), False),))


@pytest.mark.parametrize(
    "again",
    [
        {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        {"type": "array", "items": {"$ref": "#"}},
        {"type": "object", "additionalProperties": {"$ref": "#"}},
        {"type": "object", "properties": {"more": {"$ref": "#"}}},
    ],
)
def test_what_requires_itself_where_it_may_end_is_a_schema(again: dict[str, Any]) -> None:
    assert read_shape({"type": "object", "properties": {"next": again}, "required": ["next"]})


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = TEXT
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def within(part: dict[str, Any]) -> dict[str, Any]:
    """A schema with a field that refers to that part."""
    return {"type": "object", "properties": {"a": {"$ref": "#/$defs/p"}}, "$defs": {"p": part}}


def needing(part: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"n": part}, "required": ["n"]}


def chained(links: int, times: int) -> dict[str, Any]:
    """A schema with a field whose reference leads to another, so often, and on."""
    parts: dict[str, Any] = {
        str(place): {"allOf": [{"$ref": f"#/$defs/{place + 1}"}] * times} for place in range(links)
    }
    return {**within({}), "properties": {"a": {"$ref": "#/$defs/0"}}, "$defs": {**parts, str(links): TEXT}}


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (True, "schema must be a JSON Schema, which is an object"),
        ({"$ref": "https://example.org/a.json"}, "whole in itself, not 'https://example.org/a.json'"),
        ({"not": {"$ref": "other.json#/a"}}, "whole in itself"),
        ({"$ref": "#/$defs/x"}, "one whose references lead somewhere"),
        ({"$ref": "#name"}, "one whose references are JSON Pointers"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "without references in a circle"),
        ({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "one that a document can fulfil"),
        ({"properties": {f"f{i}": TEXT for i in range(10_000)}}, "of at most 2,000 fields"),
        (within({"oneOf": [{"$ref": "#/$defs/p"}, TEXT]}), "without references in a circle"),
        (within({"if": {"$ref": "#/$defs/p"}, "then": TEXT}), "without references in a circle"),
        (
            within({"dependentSchemas": {"x": {"not": {"$ref": "#/$defs/p"}}}}),
            "without references in a circle",
        ),
        (within({"$dynamicRef": "#/$defs/p"}), "without references in a circle"),
        (within({"type": "array", "items": {"$ref": "#/$defs/p"}, "minItems": 1}), "a document can fulfil"),
        (within({"type": "array", "prefixItems": [{"$ref": "#/$defs/p"}], "minItems": 1}), "can fulfil"),
        (within(needing({"oneOf": [{"$ref": "#/$defs/p"}]})), "one that a document can fulfil"),
        (within(needing({"allOf": [{}, {"$ref": "#/$defs/p"}]})), "one that a document can fulfil"),
        (within(needing({"anyOf": [{"$ref": "#/$defs/p"}, needing({"$ref": "#/$defs/p"})]})), "can fulfil"),
        (chained(70, 1), "with at most 64 references in a row"),
        (chained(30, 2), "with at most 10,000 subschemas for one value"),
        (within({"$id": "https://example.org/a", "$ref": "#/$defs/p"}), "without an $id within it"),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "not": {"id": "a"}}, "without an id within"),
        ({"$schema": 5}, "a valid JSON Schema, not 'with the $schema 5'"),
        ({"properties": [1]}, "a valid JSON Schema, not 'properties: [1]'"),
        ({"properties": {"a": {"anyOf": 5}}}, "not 'anyOf: 5'\nIt is wrong at properties/a/anyOf"),
        (
            {"properties": {"a": {"required": "b"}}},
            "not \"required: 'b'\"\nIt is wrong at properties/a/required",
        ),
        ({"properties": {"a": {"$ref": 5}}}, "whole in itself, not 5"),
        ({"$ref": "#/$defs/a%20b", "$defs": {"a b": {}, "a%20b": {}}}, "written without %"),
        ({"$ref": "#/x", "x": {"$ref": "#/y"}, "y": {"not": {"$ref": "http://[::1]/"}}}, "whole in itself"),
        (deep(40), "nested at most 32 levels deep"),
        ({"properties": {"a": 5}}, "made of objects, true and false"),
    ],
)
def test_schemas_that_cannot_be_used(schema: Any, problem: str) -> None:
    with pytest.raises(InputError, match=re.escape(problem)):
        read_shape(schema)


def test_what_only_looks_like_a_reference_leads_nowhere() -> None:
    told = {"$ref": "https://example.org/a.json", "$id": "https://example.org/b.json"}
    schema = {"properties": {"$ref": TEXT, "$id": TEXT, "a": {"enum": [told]}, "b": {"default": told}}}
    assert isinstance(read_shape(schema), Object)


def test_many_references_to_one_place_are_no_circle() -> None:
    schema = chained(9, 2)
    assert read_shape(schema) == Object((Member("a", Leaf("text"), False),), Leaf("any"))


def test_which_fields_are_there_together_is_no_union() -> None:
    schema = {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "additionalProperties": False}
    either = {**schema, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}
    assert read_shape(either) == read_shape(schema)


def test_as_many_fields_as_are_allowed() -> None:
    names = [f"f{place}" for place in range(1999)]
    schema = {"type": "object", "properties": dict.fromkeys(names, TEXT), "additionalProperties": False}
    shape = read_shape(schema)
    assert isinstance(shape, Object)
    assert len(shape.members) == 1999
    with pytest.raises(InputError, match="of at most 2,000 fields, not '2,001 or more'"):
        read_shape({**schema, "additionalProperties": TEXT})


ORDERS = {
    "type": "object",
    "properties": {
        "orders": {"type": "array", "items": {"properties": {"lines": {"items": {"properties": {"n": {}}}}}}},
        "tags": {"type": "array", "items": TEXT},
    },
}


@pytest.mark.parametrize("path", ["orders/*/lines", "/orders/*/lines"])
def test_a_key_may_be_that_of_a_list_within_a_list(path: str) -> None:
    shape = read_shape(ORDERS, {path: "n"})
    assert "key='n'" in repr(shape)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (
            {"order": "n"},
            r"key must be the path of a list of the schema "
            r"\(there are: orders, orders/\*/lines, tags\), not 'order'",
        ),
        ({"orders/*/lines": "m"}, r"a property of the items of orders/\*/lines \(there are: n\), not 'm'"),
        ({"tags": "n"}, r"a property of the items of tags \(they are no objects\), not 'n'"),
    ],
)
def test_keys_that_are_not_there(keys: dict[str, str], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read_shape(ORDERS, keys)


def test_which_documents_have_the_same_required_fields() -> None:
    part = {"type": "object", "properties": {"a": TEXT}, "required": ["a"]}
    whole = {"type": "object", "properties": {"p": part, "o": {"anyOf": [part, {"type": "null"}]}}}
    assert is_fixed(read_shape({**whole, "required": ["p"]}))
    assert not is_fixed(read_shape({**whole, "required": ["o"]}))
    assert not is_fixed(read_shape({"anyOf": [part, {"type": "null"}]}))
    assert not is_fixed(read_shape({**whole, "properties": {"l": {"items": TEXT}}}))
    assert not is_fixed(read_shape({**whole, "additionalProperties": part}))
    assert is_fixed(read_shape({**whole, "additionalProperties": {**part, "required": []}}))


@given(
    st.lists(st.sampled_from(['"A"', '"a."', '"b"', "5", "5.0", "5.4", "null", "true", "[1]"]), min_size=1),
    st.sampled_from([0, 0.5]),
)
def test_values_are_counted_as_one_of_their_own_in_any_order(written: list[str], tolerance: float) -> None:
    same = counted_as(Leaf("any"), written, Number(abs_tol=tolerance))
    assert set(same) == set(written) >= set(same.values())
    assert all(same[head] == head for head in same.values())
    assert counted_as(Leaf("any"), written[::-1], Number(abs_tol=tolerance)) == same
    if {"5", "5.0", "5.4"} <= set(written):
        assert same["5"] == same["5.0"]
        assert (same["5"] == same["5.4"]) == bool(tolerance)


def test_a_choice_is_exact_but_for_the_way_a_number_is_written() -> None:
    written = ["1", "1.0", "3", '"a"', '"A"']
    same = counted_as(Leaf("choice", ("1", "3", '"a"')), written, Number(abs_tol=5))
    assert same == {"1": "1", "1.0": "1", "3": "3", '"a"': '"a"', '"A"': '"A"'}


def test_long_texts_differ_by_more_than_white_space() -> None:
    one, other = json.dumps("x " * 2000), json.dumps("x  " * 2000)
    same = counted_as(Leaf("text"), [one, other, other], Number())
    assert same == {one: other, other: other}


CLOSED = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/a"}, "b": {"type": "array", "items": {"enum": [1, 2]}}},
    "required": ["b"],
    "$defs": {"a": {"type": "object", "properties": {"x": {"type": ["string", "null"]}}}},
}


def test_a_closed_schema_is_asked_for_as_providers_take_it() -> None:
    assert is_closed(CLOSED)
    part = {
        "type": "object",
        "properties": {"x": {"type": ["string", "null"]}},
        "required": ["x"],
        "additionalProperties": False,
    }
    assert asked_schema(CLOSED) == {
        "type": "object",
        "properties": {
            "a": {"anyOf": [part, {"type": "null"}]},
            "b": {"type": "array", "items": {"enum": [1, 2]}},
        },
        "required": ["a", "b"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"type": "object"},
        {"type": "array"},
        {"type": "object", "properties": {"a": TEXT}, "additionalProperties": True},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}},
        {"type": "array", "items": TEXT, "uniqueItems": True},
        {"anyOf": [{"oneOf": [TEXT]}]},
    ],
)
def test_other_schemas_are_asked_for_in_words(schema: Any) -> None:
    assert not is_closed(schema)
    if isinstance(schema, dict) and "$ref" not in str(schema):
        assert asked_schema(schema) == schema


def test_references_lead_to_where_the_schema_stands_in_that_of_the_reply() -> None:
    tree = {"type": "object", "properties": {"below": {"type": "array", "items": {"$ref": "#"}}}}
    assert asked_schema(tree)["properties"]["below"]["items"] == {"$ref": "#/properties/answer"}
    loose = {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {}}}
    assert asked_schema(loose)["allOf"] == [{"$ref": "#/properties/answer/$defs/a"}]


def test_nulls_that_stand_for_nothing_are_left_out() -> None:
    shape = read_shape(CLOSED)
    assert without_nulls(shape, {"a": None, "b": [1]}) == {"b": [1]}
    assert without_nulls(shape, {"a": {"x": None}, "b": None}) == {"a": {"x": None}, "b": None}
    lists = read_shape({"items": {"properties": {"a": TEXT, "b": {}}}})
    assert without_nulls(lists, [{"a": None, "b": None, "c": None}]) == [{"b": None, "c": None}]
