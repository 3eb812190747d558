"""Documents in a cascade: the next tier is asked for the open fields alone, and what was decided stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import attrs
import pytest
from doubles import Reply, Scripted
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from strategies_documents import DOCUMENTS, INVOICE
from virtual_time import LOOPS, costly, run_virtual

import fanin
from fanin import Json, Labels
from fanin.answers.json_shape import read_shape
from fanin.answers.json_text import Path, pointer
from fanin.answers.narrowing import narrowed_schema, parts_of, stands_in_required
from fanin.answers.protocol import Answer
from fanin.backend import Capabilities
from fanin.keeping.dissent import fields_still_open, thoughts, who_said
from fanin.keeping.record import read_record, record_of, record_text
from fanin.policy.escalating import When
from fanin.recounting import recount
from fanin.stages.cascade import cascade
from fanin.stages.tiered_fields import merged, open_parts
from fanin.values import Request, Usage
from fanin.verdict import Verdict

KEYED = Json(INVOICE, keys={"lines": "sku"})
FLAT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {"enum": ["x", "y"]},
        "b": {"type": "number"},
        "c": {"type": "string"},
        "in": {
            "type": "object",
            "description": "What is inside.",
            "properties": {"d": {"type": "boolean"}, "e": {"type": "string", "maxLength": 9}},
            "required": ["d"],
        },
    },
    "required": ["a", "b"],
}


def asked_schema(request: Request) -> dict[str, Any]:
    """The schema that a prompt shows."""
    text = request.messages[-1].content
    found: dict[str, Any] = json.loads(text.partition("```json\n")[2].partition("\n```")[0])
    return found


def cut_to(schema: Mapping[str, Any], document: Any) -> Any:
    """What of a document the schema asks for."""
    named = schema.get("properties")
    if not isinstance(document, dict) or named is None:
        return document
    return {name: cut_to(named[name], value) for name, value in document.items() if name in named}


def held(
    answer: Answer,
    tiers: Sequence[Sequence[Any]],
    *,
    loop: str = "asyncio",
    sent: list[Request] | None = None,
    **options: Any,
) -> Verdict:
    """A cascade in which run i of a tier says that tier's document i, or as much of it as is asked for."""
    names = [f"tier-{number}" for number in range(1, len(tiers) + 1)]

    def reply(request: Request) -> Reply:
        said = tiers[names.index(request.model)]
        document = said[request.index % len(said)]
        if isinstance(document, str):
            return document
        if sent is not None:
            sent.append(request)
        return f"```json\n{json.dumps(cut_to(asked_schema(request), document))}\n```"

    backend = Scripted(reply)
    backend.capabilities = Capabilities(limited=False, http=False)
    given = {"answer": answer, "runs": len(tiers[0]), "model": names[0], "escalate": names[1:], **options}
    return run_virtual(loop, lambda: fanin.vote("Extract it.", backend=backend, **given))


@pytest.mark.parametrize("loop", LOOPS)
def test_the_next_tier_is_asked_for_the_open_fields_alone(loop: str) -> None:
    first = [
        {"a": "x", "b": 1, "in": {"d": True, "e": "one"}},
        {"a": "y", "b": 1, "in": {"d": True, "e": "one"}},
    ]
    sent: list[Request] = []
    verdict = held(Json(FLAT), [first, [{"a": "y", "b": 7}] * 2], loop=loop, sent=sent)
    assert verdict.document == {"a": "y", "b": 1, "in": {"d": True, "e": "one"}}
    assert {place: field.tier for place, field in verdict.fields.items()} == {
        "/a": 2,
        "/b": 1,
        "/c": 1,
        "/in": 1,
        "/in/d": 1,
        "/in/e": 1,
    }
    assert verdict.fields["/a"].votes == {"y": 2}
    assert list(asked_schema(sent[-1])["properties"]) == ["a"]
    assert "Tier 2 of 2 (tier-2) was asked for /a: 1 field of 6 is from there." in verdict.advice
    assert verdict.to_dict()["fields"]["/a"]["tier"] == 2
    assert [tier.document for tier in verdict.tiers][1] == {"a": "y"}


@pytest.mark.parametrize(
    ("large", "gain", "whole"),
    [
        ({"tier-2": fanin.Price(10, 20)}, "About US$ 0.009600 were saved", "US$ 0.010000"),
        ({"tier-2": fanin.Price(0, 0)}, "Nothing was saved", "US$ 0.000000"),
        ({}, "What was saved is unknown", "price unknown"),
    ],
)
def test_what_was_saved_goes_by_the_whole_though_less_was_asked(
    large: dict[str, fanin.Price], gain: str, whole: str
) -> None:
    asked = held(Json(FLAT), [[{"a": "x", "b": 1}, {"a": "y", "b": 1}], [{"a": "y"}]]).tiers
    told = [Usage(800, 100), Usage(40, 5)]
    tiers = [
        attrs.evolve(tier, usage=usage, cost_usd=cost)
        for tier, usage, cost in zip(asked, told, (0.0001, 0.0003), strict=True)
    ]
    advice = cascade(tiers, [("tier-1",), ("tier-2",)], large).advice
    assert advice.endswith(
        f"{gain}: tier-2 at once and for the whole would have been about 2 runs (800 + 100 tokens, {whole}) "
        "of tier-2, and this was 4 runs (840 + 105 tokens, US$ 0.000400) of tier-1, tier-2."
    )


def test_a_list_that_came_longer_is_no_whole() -> None:
    lists = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "l": {"type": "array", "items": {"type": "number"}}},
        "required": ["a", "l"],
    }
    first = [{"a": "x", "l": []}, {"a": "x", "l": [1]}]
    verdict = held(Json(lists), [first, ["no document"]])
    assert "was asked for /l: 0 fields of 2 are from there" in verdict.advice
    verdict = held(Json(lists), [first, [{"l": [1, 2, 3]}]])
    assert "was asked for /l: 4 fields of 5 are from there" in verdict.advice


def test_a_field_within_is_asked_for_with_its_parents() -> None:
    first = [{"a": "x", "b": 1, "in": {"d": True, "e": text}} for text in ("one", "two")]
    sent: list[Request] = []
    verdict = held(Json(FLAT), [first, [{"in": {"e": "two"}}] * 2], sent=sent)
    # `e` may be left out, so the document is decided without it.
    assert len(sent) == 2
    verdict = held(Json({**FLAT, "required": ["a", "b", "in"]}), [first, first], sent=sent)
    assert len(verdict.tiers) == 1
    inner = {**FLAT["properties"]["in"], "required": ["d", "e"]}
    strict = {**FLAT, "properties": {**FLAT["properties"], "in": inner}, "required": ["a", "b", "in"]}
    verdict = held(Json(strict), [first, [{"in": {"e": "two"}}] * 2], sent=sent)
    assert verdict.document == {"a": "x", "b": 1, "in": {"d": True, "e": "two"}}
    assert asked_schema(sent[-1]) == {
        "type": "object",
        "properties": {
            "in": {
                "type": "object",
                "description": "What is inside.",
                "properties": {"e": {"type": "string", "maxLength": 9}},
                "required": ["e"],
                "additionalProperties": False,
            }
        },
        "required": ["in"],
        "additionalProperties": False,
    }


def test_what_is_open_in_a_list_has_the_list_asked_for_as_a_whole() -> None:
    first = [{"number": "A", "paid": True, "lines": [{"sku": "s", "n": n}]} for n in (1, 2)]
    schema = {
        "type": "object",
        "properties": {
            "number": {"type": "string"},
            "paid": {"type": "boolean"},
            "lines": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"sku": {"type": "string"}, "n": {"type": "integer"}},
                    "required": ["sku", "n"],
                },
            },
        },
        "required": ["number", "lines"],
    }
    lines = [{"sku": "t", "n": 5}, {"sku": "s", "n": 2}]
    sent: list[Request] = []
    verdict = held(Json(schema, keys={"lines": "sku"}), [first, [{"lines": lines}] * 2], sent=sent)
    assert list(asked_schema(sent[-1])["properties"]) == ["lines"]
    assert verdict.document == {"number": "A", "paid": True, "lines": lines}
    assert {place for place, field in verdict.fields.items() if field.tier == 2} == {
        "/lines",
        *(f"/lines/{place}/{name}" for place in (0, 1) for name in ("sku", "n")),
    }
    basis = verdict.tiers[1].basis
    assert basis is not None
    assert basis.plan.answer.keys == (("lines", "sku"),)


def test_three_tiers_each_take_what_is_left() -> None:
    first = [{"a": "x", "b": 1}, {"a": "y", "b": 2}]
    second = [{"a": "x", "b": 3}, {"a": "x", "b": 4}]
    sent: list[Request] = []
    verdict = held(Json(FLAT), [first, second, [{"b": 5}] * 2], sent=sent)
    assert [verdict.fields[place].tier for place in ("/a", "/b")] == [2, 3]
    assert verdict.document == {"a": "x", "b": 5}
    assert [list(asked_schema(sent[place])["properties"]) for place in (0, 2, 4)] == [
        ["a", "b", "c", "in"],
        ["a", "b"],
        ["b"],
    ]


def test_a_tier_that_gives_nothing_leaves_what_there_was() -> None:
    first = [{"a": "x", "b": 1}, {"a": "x", "b": 1}, {"a": "x", "b": 2}]
    verdict = held(Json(FLAT), [first, ["I cannot say."]])
    assert (verdict.document, verdict.grade) == ({"a": "x", "b": 1}, "medium")
    assert {field.tier for field in verdict.fields.values()} == {1}
    nothing = held(Json(FLAT), [["!", "?"], first])
    assert nothing.document == {"a": "x", "b": 1}
    assert {field.tier for field in nothing.fields.values()} == {2}
    neither = held(Json(FLAT), [["!", "?"], ["nor here"]])
    assert (neither.outcome, neither.fields) == ("failed", {})


def test_what_is_valid_only_together_is_looked_at_together() -> None:
    """The small model says y and the large one 9: each is valid, and both together are not."""
    schema = {
        **FLAT,
        "if": {"properties": {"a": {"const": "y"}}},
        "then": {"properties": {"b": {"maximum": 5}}},
    }
    first = [{"a": "y", "b": 1}, {"a": "y", "b": 2}]
    verdict = held(Json(schema), [first, [{"b": 9}] * 2])
    assert verdict.answer is None
    assert verdict.document == {"a": "y", "b": None}
    assert verdict.fields["/b"].outcome == "invalid"
    assert verdict.fields["/b"].tier == 2
    assert "beside the other fields it is not valid" in str(verdict.fields["/b"].reason)


def test_labels_are_asked_for_where_two_or_more_are_open() -> None:
    first = ["Answer: a, b", "Answer: a, c"]
    verdict = held(Labels(["a", "b", "c"]), [first, ["Answer: c"] * 2])
    assert (verdict.answer, [field.tier for field in verdict.fields.values()]) == ("a, c", [1, 2, 2])
    basis = verdict.tiers[1].basis
    assert basis is not None
    assert basis.plan.answer == Labels(["b", "c"])
    whole = held(Labels(["a", "b", "c"]), [["Answer: a, b", "Answer: a"], ["Answer: b, c"] * 2])
    assert (whole.answer, {field.tier for field in whole.fields.values()}) == ("b, c", {2})


class Inner(BaseModel):
    d: bool
    e: str


class Model(BaseModel):
    a: Literal["x", "y"]
    inner: Inner
    maybe: Inner | None = None


def test_a_model_is_narrowed_by_its_schema() -> None:
    first = [
        {"a": "x", "inner": {"d": True, "e": text}, "maybe": {"d": truth, "e": "m"}}
        for text, truth in (("one", True), ("two", False))
    ]
    sent: list[Request] = []
    second = [{"inner": {"e": "two"}, "maybe": {"d": True}}]
    verdict = held(Json(Model), [first, second], sent=sent)
    schema = asked_schema(sent[-1])
    assert list(schema["properties"]["maybe"]["properties"]) == ["d"]
    assert "$defs" not in schema
    assert verdict.document == {"a": "x", "inner": {"d": True, "e": "two"}, "maybe": {"d": True, "e": "m"}}


@costly
@given(
    st.lists(DOCUMENTS, min_size=1, max_size=3),
    st.lists(DOCUMENTS, min_size=1, max_size=3),
    st.sampled_from(get_args(When)),
)
def test_a_cascade_is_valid_keeps_what_was_decided_and_is_recounted(
    small: list[Any], large: list[Any], when: When
) -> None:
    verdict = held(KEYED, [small, large], escalate_when=when)
    reasons = {place for place, field in verdict.fields.items() if field.reason is not None}
    for path, why in KEYED.problems(verdict.document) if verdict.fields else ():
        assert any(_along(pointer(path), place) for place in reasons), (path, why, reasons)
    if verdict.answer is not None:
        assert not KEYED.problems(json.loads(verdict.answer))
    # What is open in a list has the whole list asked for.
    paths = open_parts(merged(verdict.tiers[:1]), when)
    calling = [pointer(path[: [*map(type, path), int].index(int)]) for path in paths]
    assert (len(verdict.tiers) == 2) is bool(calling)
    for place, field in verdict.tiers[0].fields.items():
        if not any(_along(place, other) for other in calling) and field.outcome != "invalid":
            now = verdict.fields[place]
            assert now.outcome == "invalid" or (now.votes, now.answer, now.tier) == (
                field.votes,
                field.answer,
                1,
            )
    record = read_record(record_text(record_of(verdict, "x", "", {})), "x")
    again = recount(record)
    assert isinstance(again, Verdict)
    assert again.to_json() == verdict.to_json()


def _along(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


@costly
@given(st.lists(DOCUMENTS, min_size=1, max_size=4))
def test_one_tier_is_as_a_plain_vote(documents: list[Any]) -> None:
    plain = held(KEYED, [documents], escalate=None)
    polled = merged([plain])
    assert polled.document == plain.document
    assert {place: field.votes for place, field in polled.fields.items()} == {
        place: field.votes for place, field in plain.fields.items()
    }


@costly
@given(st.lists(DOCUMENTS, min_size=1, max_size=4), st.lists(DOCUMENTS, min_size=1, max_size=2))
def test_who_said_what_of_a_field_adds_up_to_its_votes(small: list[Any], large: list[Any]) -> None:
    verdict = held(KEYED, [small, large])
    for place, field in verdict.fields.items():
        said = who_said(verdict, place)
        assert said == {} or {choice: len(casts) for choice, casts in said.items()} == field.votes
        known = place.count("/") == 1 and field.votes
        assert bool(said) is bool(known) or place == "/buyer/name"


def test_who_could_have_changed_what_goes_by_field_and_tier() -> None:
    first = [*({"a": name, "b": 1} for name in "xyx"), {"a": "y", "b": "one"}, "nothing"]
    verdict = held(Json(FLAT), [first, [{"a": "y"}, {"a": "y"}, {"a": "x"}, {"a": "y"}, {"a": "z"}]])
    assert verdict.document == {"a": "y", "b": 1}
    assert fields_still_open(verdict) == (
        "Of tier 1: 1 run cast no vote (1 spoiled). Some say nothing valid for /a, /b. "
        "They could have changed no field."
    )
    close = [{"a": "x", "b": number} for number in (1, 2, 1, "one")]
    assert fields_still_open(held(Json(FLAT), [close])) == (
        "Some say nothing valid for /b. Had all of them said one thing, they could have changed /b."
    )
    assert fields_still_open(held(Json(FLAT), [first[:2], [{"a": "y"}] * 2])) == (
        "Every run that counts cast a vote, so nothing was left open."
    )


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ("It is so.\n```json\n{}\n```", "It is so."),
        ("It is so.\n```json\n{}\n```\nNot?\n````\n[1]\n````\n", "It is so.\n```json\n{}\n```\nNot?"),
        ('{"reasoning": " It is so. ", "answer": {}}', "It is so."),
        ('{"answer": {}}', ""),
        ("```json\n{}\n```", ""),
        ("It is so.", "It is so."),
    ],
)
def test_what_a_reply_says_beside_its_document(reply: str, told: str) -> None:
    assert thoughts(reply) == told


def leaves(schema: Mapping[str, Any], at: Path = ()) -> list[Path]:
    """Every place of a schema that names properties."""
    found: list[Path] = []
    for name, inner in schema.get("properties", {}).items():
        found += [(*at, name), *leaves(inner, (*at, name))]
    return found


@given(st.data())
def test_a_narrowed_schema_has_the_fields_that_were_named_and_no_others(data: st.DataObject) -> None:
    paths = data.draw(st.lists(st.sampled_from(leaves(FLAT)), min_size=1, unique=True))
    narrowed = narrowed_schema(FLAT, paths)
    assert narrowed is not None
    whole, part = read_shape(FLAT), read_shape(narrowed)
    for place in leaves(narrowed):
        assert any(place[: len(path)] == path or path[: len(place)] == place for path in paths)
    assert all(any(_starts(path, place) for place in parts_of(whole, part)) for path in paths)


def _starts(path: Path, place: Path) -> bool:
    return path[: len(place)] == place or place[: len(path)] == path


@pytest.mark.parametrize(
    "change",
    [
        lambda schema: {**schema, "allOf": [{"required": ["c"]}]},
        lambda schema: {"$ref": "#/$defs/it", "$defs": {"it": {"anyOf": [schema, {"type": "string"}]}}},
        lambda schema: {**schema, "properties": {**schema["properties"], "a": {"$ref": "#/properties/c"}}},
        lambda schema: {"type": "array", "items": schema},
    ],
)
def test_what_cannot_be_narrowed_is_asked_for_as_a_whole(change: Callable[[Any], Any]) -> None:
    schema = change(FLAT)
    read_shape(schema)
    assert narrowed_schema(schema, [("a",)]) is None


def test_definitions_come_along_with_what_they_refer_to() -> None:
    word = {"type": "string"}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": "#/$defs/it",
        "$defs": {
            "it": {"type": "object", "properties": {"a": {"$ref": "#/$defs/pair"}, "b": word}},
            "pair": {"type": "object", "properties": {"one": {"$ref": "#/$defs/word"}}, "required": ["one"]},
            "word": word,
            "other": word,
        },
    }
    narrowed = narrowed_schema(schema, [("a",)])
    assert narrowed is not None
    assert list(narrowed["$defs"]) == ["pair", "word"]
    assert narrowed["$schema"] == schema["$schema"]
    shape = read_shape(narrowed)
    assert parts_of(read_shape(schema), shape) == (("a",),)
    assert not stands_in_required(read_shape(schema), ("a", "one"))
    assert narrowed_schema(schema, [()]) is None
    assert narrowed_schema(schema, [("nowhere",)]) is None
