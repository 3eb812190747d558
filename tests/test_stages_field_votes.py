"""Field by field: every leaf has its own tally, and the winners make one document."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies_documents import BY_LIKENESS, BY_SKU, DOCUMENTS, INVOICE, polled
from virtual_time import costly

from fanin.answers import Choice, Labels, Number
from fanin.answers.document import Document
from fanin.answers.json_text import Path, pointer
from fanin.documents import Json
from fanin.stages.field_votes import poll
from fanin.stages.grade import grade
from fanin.stages.vote import count
from fanin.values import Runs, Tally

ANSWERS = st.sampled_from([BY_SKU, BY_LIKENESS, Json(INVOICE, keys={"lines": "sku"}, abs_tol=3)])


@costly
@given(st.data(), ANSWERS, st.lists(DOCUMENTS, max_size=5))
def test_the_order_of_the_runs_never_matters(
    data: st.DataObject, answer: Document, documents: list[Any]
) -> None:
    turned = data.draw(st.permutations(documents))
    assert polled(answer, turned) == polled(answer, documents)


@costly
@given(ANSWERS, st.lists(DOCUMENTS, min_size=1, max_size=5), st.integers(0, 2))
def test_the_document_is_valid_or_says_where_and_why_it_is_not(
    answer: Document, documents: list[Any], failed: int
) -> None:
    found = polled(answer, documents, failed=failed)
    reasons = {place: field.reason for place, field in found.fields.items() if field.reason is not None}
    for path, why in answer.problems(found.document):
        assert any(_along(pointer(path), place) for place in reasons), (path, why, reasons)
    for place, field in found.fields.items():
        assert (field.reason is None) == (field.outcome == "decided")
        if field.what == "value" and field.reason is None and "(absent)" not in field.votes:
            assert at(found.document, place) == field.answer
    assert found.decided == all(field.reason is None for field in found.fields.values() if field.required)
    assert not (found.decided and answer.problems(found.document))


def _along(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def at(document: Any, place: str) -> Any:
    for step in place.split("/")[1:]:
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


@costly
@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=9), st.booleans())
def test_one_field_is_a_plain_vote(came_to: list[str | None], nested: bool) -> None:
    leaf: dict[str, Any] = {"enum": ["b", "a", "c"]}
    schema = {"type": "object", "properties": {"x": leaf}, "required": ["x"]} if nested else leaf
    found = polled(Json(schema), [{"x": one} if nested else one for one in came_to])
    choices = [one for one in came_to if one is not None]
    runs = Runs(len(came_to), len(choices), len(came_to) - len(choices), 0)
    plain = Tally(count(choices, Choice(["b", "a", "c"])), runs, len(came_to), len(came_to) // 2 + 1)
    if not nested and not choices:
        assert found.fields == {}
        return
    field = found.fields["/x" if nested else ""]
    assert list(field.votes.items()) == list(plain.counts)
    assert (field.outcome, field.answer) == (plain.outcome, plain.winner)
    assert (field.grade, field.confidence) == (grade(plain), float(plain.support))


def test_every_leaf_is_voted_on_by_its_type() -> None:
    first = {"number": "F-1", "total": 10, "currency": "EUR", "paid": True, "day": "2025-04-03", "lines": []}
    second = {**first, "number": "**f-1.**", "total": 10.0, "paid": False}
    third = {**first, "total": 11, "currency": "GBP", "day": "3 April 2025", "note": None}
    found = polled(BY_SKU, [first, second, third])
    assert {place: field.votes for place, field in found.fields.items()} == {
        "/number": {"F-1": 3},
        "/total": {"10": 2, "11": 1},
        "/currency": {"EUR": 2},
        "/paid": {"true": 2, "false": 1},
        "/day": {"2025-04-03": 2},
        "/note": {"(absent)": 2, "null": 1},
        "/buyer": {"(absent)": 3},
        "/lines": {"0": 3},
        "/tags": {"(absent)": 3},
    }
    assert found.document == first
    assert found.weakest == "/currency"


def test_a_tolerance_holds_for_numbers() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
    documents = [{"x": 10}, {"x": 10.2}, {"x": 12}]
    assert polled(Json(schema), documents).fields["/x"].outcome == "tie"
    assert polled(Json(schema, abs_tol=0.5), documents).fields["/x"].votes == {"10": 2, "12": 1}


def invoice(**changes: Any) -> dict[str, Any]:
    whole = {"number": "1", "total": 1, "currency": "EUR", "paid": True, "day": "2025-04-03", "lines": []}
    return {**whole, **changes}


def line(sku: str, pieces: int) -> dict[str, Any]:
    return {"sku": sku, "pieces": pieces}


def test_items_are_aligned_by_their_key_whatever_their_order() -> None:
    found = polled(
        BY_SKU,
        [
            invoice(lines=[line("a", 1), line("b", 2)]),
            invoice(lines=[line("B", 2), line("a", 3)]),
            invoice(lines=[line("b", 2), line("a", 1), line("c", 9)]),
        ],
    )
    assert found.document["lines"] == [line("b", 2), line("a", 1)]
    assert found.fields["/lines"].votes == {"2": 2, "3": 1}
    assert found.fields["/lines/1/pieces"].votes == {"1": 2, "3": 1}


def test_items_without_a_key_are_aligned_by_what_they_share() -> None:
    found = polled(
        BY_LIKENESS,
        [
            invoice(lines=[line("a", 1), line("b", 2)]),
            invoice(lines=[line("b", 2), line("x", 1)]),
            invoice(lines=[line("a", 1), line("b", 7)]),
        ],
    )
    assert found.document["lines"] == [line("a", 1), line("b", 2)]
    assert found.fields["/lines/0/sku"].votes == {"a": 2, "x": 1}
    assert found.fields["/lines/1/pieces"].votes == {"2": 2, "7": 1}


def test_items_share_a_value_where_its_normal_form_is_one() -> None:
    found = polled(
        BY_LIKENESS,
        [invoice(lines=[line("a", 1), line("b", 2)]), invoice(lines=[line("B.", 9), line("x", 8)])],
    )
    assert found.fields["/lines/1/pieces"].votes == {"2": 1, "9": 1}


def test_the_first_items_of_a_tuple_are_aligned_by_their_place() -> None:
    schema = {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]}
    found = polled(Json(schema), [["x", 1], ["x", 1, "more"], ["y", 1], ["x"], ["x", 2]])
    assert found.document == ["x", 1]
    assert found.fields["/0"].votes == {"x": 4, "y": 1}
    assert found.fields["/1"].votes == {"1": 3, "2": 1}
    assert found.tallies["/1"].runs.valid == 5


def test_a_key_that_comes_twice_is_told_apart_by_the_time_it_comes() -> None:
    twice = invoice(lines=[line("a", 1), line("a", 2)])
    assert polled(BY_SKU, [twice] * 3).document == twice


def test_scalars_of_a_list_go_by_their_value() -> None:
    lists = [["red", "blue"], ["blue", "Red"], ["red", "green"], ["red", "Blue"]]
    found = polled(BY_SKU, [invoice(tags=tags) for tags in lists])
    assert found.document["tags"] == ["red", "blue"]
    assert found.fields["/tags/0"].confidence == 1.0
    assert found.fields["/tags/1"].votes == {"blue": 3}
    assert found.fields["/tags/1"].confidence == 0.75


def test_an_item_that_is_one_of_several_as_good_is_null_with_its_reason() -> None:
    found = polled(BY_SKU, [invoice(tags=tags) for tags in (["a", "b"], ["a", "c"], ["a", "d"])])
    assert found.document["tags"] == ["a", None]
    assert found.fields["/tags/1"].reason == "a tie: 3 items that 1 of 3 lists have, and room for 1"
    assert (found.fields["/tags/1"].confidence, found.fields["/tags/1"].grade) == (0.0, "none")
    assert found.fields["/tags"].required is False
    assert (found.fields["/tags/1"].required, found.decided) == (True, False), "a list with null is not valid"


def test_what_an_object_needs_that_may_be_left_out_itself_is_required_where_that_is_there() -> None:
    found = polled(BY_SKU, [invoice(buyer={"name": "x"}), invoice(buyer={"name": "y"})])
    assert found.document["buyer"] == {"name": None}
    assert (found.fields["/buyer"].required, found.fields["/buyer/name"].required) == (False, True)
    assert (found.weakest, found.decided) == ("/buyer/name", False)
    agreed = polled(BY_SKU, [invoice(buyer={"name": "x"})] * 2)
    assert (agreed.fields["/buyer/name"].required, agreed.decided) == (False, True)


def test_what_an_object_would_hold_is_voted_on_by_those_that_have_it() -> None:
    found = polled(
        BY_SKU,
        [invoice(buyer={"name": "x"}), invoice(buyer={"name": "x"}), invoice(buyer={"name": "y"}), invoice()],
    )
    assert found.fields["/buyer"].votes == {"present": 3, "(absent)": 1}
    assert found.fields["/buyer/name"].votes == {"x": 2, "y": 1}
    assert found.fields["/buyer/name"].confidence == 0.5
    assert found.document["buyer"] == {"name": "x"}
    left_out = polled(BY_SKU, [invoice(), invoice(buyer=None), invoice()])
    assert "buyer" not in left_out.document
    assert "/buyer/name" not in left_out.fields


def test_a_required_field_without_a_winner_is_null_and_an_optional_one_is_left_out() -> None:
    found = polled(BY_SKU, [invoice(total=1, note="a"), invoice(total=2, note="b")])
    assert (found.document["total"], "note" in found.document) == (None, False)
    assert found.fields["/total"].reason == 'a tie between "1", "2"'
    assert found.fields["/note"].reason == 'a tie between "a", "b"'
    assert (found.weakest, found.decided) == ("/total", False)


def test_an_invalid_field_spoils_only_itself() -> None:
    found = polled(BY_SKU, [invoice(total="1"), invoice(total="1"), invoice()])
    assert found.fields["/number"].confidence == 1.0
    assert found.fields["/total"].outcome == "no_quorum"
    assert found.fields["/total"].reason == (
        "only 1 of 3 runs are valid here, 2 are needed ('1' is not of type 'number')"
    )
    nowhere = polled(BY_SKU, [invoice(total="1")])
    assert nowhere.fields["/total"].reason == "no run gave a valid value ('1' is not of type 'number')"


def test_a_key_that_comes_twice_spoils_only_itself() -> None:
    schema = {"type": "object", "properties": {"x": {}, "y": {"type": "integer"}}, "required": ["x", "y"]}
    answer = Json(schema)
    choice = answer.read('{"x": 1, "y": 5, "x": 2}', ())
    assert isinstance(choice, str)
    whole = Tally((), Runs(1, 1, 0, 0), 1, 1)
    found = poll([choice], whole, answer)
    assert found.document == {"x": None, "y": 5}
    assert "the key comes twice, with two values" in str(found.fields["/x"].reason)
    both = answer.read('{"x": 1, "y": "5", "x": 2}', ())
    assert isinstance(both, str)
    assert {place for place, field in poll([both], whole, answer).fields.items() if field.reason} == {
        "/x",
        "/y",
    }


def test_winners_that_do_not_go_together_are_null() -> None:
    schema = {
        "type": "object",
        "properties": {"low": {"type": "integer"}, "high": {"type": "integer"}},
        "required": ["low", "high"],
        "not": {"properties": {"low": {"const": 5}, "high": {"const": 1}}},
    }
    documents = [{"low": 5, "high": 6}, {"low": 5, "high": 7}, {"low": 0, "high": 1}, {"low": 2, "high": 1}]
    found = polled(Json(schema), documents)
    assert found.document is None
    whole = found.fields[""]
    assert (whole.outcome, whole.grade, whole.confidence) == ("invalid", "none", 0.0)
    assert (whole.answer, whole.votes) == (None, {})
    assert str(whole.reason).startswith("beside the other fields it is not valid: ")
    assert not found.decided


def test_other_keys_are_voted_on_where_they_are_allowed() -> None:
    open_object = Json({"type": "object", "properties": {"x": {"type": "integer"}}})
    found = polled(open_object, [{"x": 1, "y": 2}, {"x": 1, "y": 2}, {"x": 1, "z": 1}])
    assert found.document == {"x": 1, "y": 2}
    assert found.fields["/z"].votes == {"(absent)": 2, "1": 1}
    assert "/more" not in polled(BY_SKU, [invoice(more=1)]).fields


def test_choices_that_look_alike_are_told_apart() -> None:
    schema = {"type": "object", "properties": {"x": {}}, "required": ["x"]}
    found = polled(Json(schema), [{"x": 5}, {"x": "5"}, {"x": "a"}])
    assert found.fields["/x"].votes == {'"5"': 1, "5": 1, "a": 1}


@given(st.lists(st.sets(st.sampled_from(["a", "b", "c"])), min_size=1, max_size=7))
@example([set(), {"a"}, {"a", "b"}])
def test_each_label_has_its_own_vote(chosen: list[set[str]]) -> None:
    answer = Labels(["a", "b", "c"])
    choices = [answer.written({label: label in one for label in answer.labels}) for one in chosen]
    assert [answer.read(choice, ()) for choice in choices] == choices
    whole = Tally((), Runs(len(choices), len(choices), 0, 0), len(choices), len(choices) // 2 + 1)
    found = poll(choices, whole, answer)
    for label in answer.labels:
        yes = sum(label in one for one in chosen)
        field = found.fields[f"/{label}"]
        assert field.votes.get("true", 0) == yes
        assert field.required
        if 2 * yes != len(chosen):
            assert field.answer is (2 * yes > len(chosen))
        else:
            assert field.outcome == "tie"


def test_the_tolerance_of_labels_is_none() -> None:
    assert Labels(["a", "b"]).tolerance == Number()


@pytest.mark.parametrize(("path", "text"), [((), ""), (("a/b", 0, "c~"), "/a~1b/0/c~0")])
def test_pointers(path: Path, text: str) -> None:
    assert pointer(path) == text
