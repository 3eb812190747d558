"""Drift: what changed shape between a tape and today, and nothing that is only said in other words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_tape import interactions, json_values, unchanged

from fanin.taping.bodies import body_of
from fanin.taping.drift import drift, said
from fanin.taping.recording import TapedResponse


def answer(value: object, status: int = 200, **headers: str) -> TapedResponse:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return TapedResponse(status, headers, body_of(body, unchanged))


@given(interactions())
def test_what_is_the_same_has_not_drifted(interaction: Any) -> None:
    if isinstance(interaction.outcome, TapedResponse):
        assert drift(interaction.outcome, interaction.outcome) == []


@given(st.dictionaries(st.text(min_size=1), json_values(), min_size=1), st.data())
def test_a_field_that_is_gone_or_new_is_told(value: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(value)))
    less = {key: item for key, item in value.items() if key != name}
    shown = name if name.isidentifier() else json.dumps(name)
    assert f"the field {shown} is gone" in drift(answer(value), answer(less))
    assert f"the field {shown} is new" in drift(answer(less), answer(value))


@pytest.mark.parametrize(
    ("then", "now", "told"),
    [
        ({"a": "yes", "n": 1}, {"a": "no", "n": 2.5}, []),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 3}]}, []),
        ({"a": 1}, {"a": "1"}, ["the field a is string, on the tape number"]),
        ({"a": None}, {"a": True}, ["the field a is boolean, on the tape null"]),
        ({"a": [1, None]}, {"a": [1]}, ["the field a[] is number, on the tape null or number"]),
        ([], {}, ["the field (the whole) is object, on the tape array"]),
        ({"a": 1}, b"<p>bad gateway</p>", ["the body is no longer JSON"]),
        (b"words", {"a": 1}, ["the body has become JSON"]),
        (b"words", b"other words", []),
        (
            b'data: {"a": 1}\n\ndata: [DONE]\n\n',
            b'data: {"a": "x"}\n\ndata: [DONE]\n\n',
            ["the field a is string, on the tape number"],
        ),
        (b'{"a": 1}\n{"a": 2}\n', b'{"a": 5}\n{"b": 2}\n{"a": 6}\n', ["the field b is new"]),
    ],
)
def test_what_is_told(then: object, now: object, told: list[str]) -> None:
    assert drift(answer(then), answer(now)) == told


def test_headers_and_the_status_are_compared_first() -> None:
    assert drift(answer({}, a="1"), answer({}, b="1")) == ["the header a is gone", "the header b is new"]
    assert drift(answer({"a": 1}), answer({"b": 1}, 429)) == ["the status is 429, on the tape 200"]


@pytest.mark.parametrize(
    "value",
    [
        {"choices": [{"message": {"content": "yes"}}, {}]},
        {"message": {"content": "yes"}},
        {"response": "yes"},
        {"content": [{"type": "text", "text": "yes"}]},
    ],
)
def test_what_a_model_said_is_found_in_the_usual_apis(value: object) -> None:
    assert said(answer(value)) == "yes"
    assert said(answer([value])) is None
    assert said(answer(b"yes")) is None
