"""The OpenAI-shaped wire, without a network: what is sent, and how any answer is read."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.errors import CallError
from fanin.values import Completion, Finish, Message, Request, Usage
from fanin_backends.chat import completion, request_body
from fanin_backends.refusals import Asked
from fanin_backends.wire import Reply, count, decompressed, kept_headers, read_json

ASKED = Asked("openai", "http://x/v1", "OPENAI_API_KEY", "m")
REQUEST = Request(
    3, "m", (Message("system", "Be brief."), Message("user", "Why?")), temperature=0.7, seed=5, max_tokens=9
)


def read(value: object, status: int = 200) -> Completion:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return completion(Reply(status, (), body), ASKED, 0.0)


def answer(message: object = None, finish: object = "stop", **more: object) -> dict[str, Any]:
    message = {"role": "assistant", "content": "yes"} if message is None else message
    return {"choices": [{"message": message, "finish_reason": finish}], **more}


def body_of(request: Request, limit: str = "max_tokens") -> dict[str, Any]:
    value = json.loads(request_body(request, limit))
    assert isinstance(value, dict)
    return value


def test_a_request_holds_what_was_planned_and_nothing_else() -> None:
    assert body_of(REQUEST) == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}],
        "temperature": 0.7,
        "seed": 5,
        "max_tokens": 9,
    }
    bare = Request(0, "m", (Message("user", "Why?"),))
    assert set(body_of(bare)) == {"model", "messages"}


def test_index_and_attempt_are_not_sent_so_that_identical_calls_are_identical_bytes() -> None:
    again = attrs.evolve(REQUEST, index=8, attempt=2)
    assert request_body(again) == request_body(REQUEST)


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_what_a_model_refuses_is_left_out_and_the_limit_takes_its_other_name(limit: str) -> None:
    without = attrs.evolve(REQUEST, without=("max_tokens", "seed", "temperature"))
    body = body_of(without, limit)
    other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}[limit]
    assert set(body) == {"model", "messages", other}
    assert body[other] == 9
    assert body_of(REQUEST, limit)[limit] == 9


def test_a_schema_is_asked_for_strictly() -> None:
    request = Request(0, "m", (Message("user", "Why?"),), schema='{"type":"object"}')
    assert body_of(request)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": {"type": "object"}},
    }


def test_text_that_is_no_valid_unicode_is_sent_escaped() -> None:
    body = request_body(Request(0, "m", (Message("user", "a\ud800\x00b"),)))
    assert b"a\\ud800\\u0000b" in body


def test_an_answer_is_read_whole() -> None:
    headers = (("x-ratelimit-limit-requests", "5"), ("location", "/"), ("retry-after", "1"))
    value = answer(usage={"prompt_tokens": 7, "completion_tokens": 3}, model="m-2026", system="?")
    reply = Reply(200, headers, json.dumps(value).encode())
    assert completion(reply, ASKED, 0.0) == Completion(
        "yes", "stop", Usage(7, 3), "m-2026", (headers[0], headers[2])
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("yes", "yes"),
        ("", ""),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "ye"}, {"type": "text", "text": "s"}], "yes"),
        (["ye", "s"], "yes"),
        ([{"type": "thinking", "thinking": [{"text": "hm"}]}, {"type": "text", "text": "yes"}], "yes"),
        ([{"type": "image_url", "image_url": {}}, 5, None, {"text": 5}, {"text": "yes"}], "yes"),
        ("a\x00b", "a\x00b"),
        ("\ud800", "\ud800"),
    ],
)
def test_content(content: object, text: str) -> None:
    assert read(answer({"content": content, "reasoning": "because"})).text == text


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("end_turn", "stop"),
        ("something new", "other"),
        (None, "stop"),
        (5, "stop"),
    ],
)
def test_finish(reason: object, finish: Finish) -> None:
    assert read(answer(finish=reason)).finish == finish


def test_a_refusal_is_a_refusal_whatever_the_finish_says() -> None:
    refused = read(answer({"content": None, "refusal": "I cannot."}))
    assert (refused.text, refused.finish) == ("I cannot.", "refusal")
    assert read(answer({"content": "yes", "refusal": None})).finish == "stop"


@pytest.mark.parametrize("absurd", [None, -1, True, 1.5, "7", 10**10, [], {}, {"a": 1}])
def test_a_usage_that_makes_no_sense_is_unknown_and_costs_nothing(absurd: object) -> None:
    assert count(absurd) is None
    read_back = read(answer(usage={"prompt_tokens": absurd, "completion_tokens": 3}))
    assert (read_back.text, read_back.usage) == ("yes", Usage(None, 3))
    assert read(answer(usage=absurd)).usage == Usage()


def test_an_integer_of_6000_digits_costs_nothing() -> None:
    body = json.dumps(answer(usage={"prompt_tokens": "N", "completion_tokens": 3})).replace('"N"', "9" * 6000)
    assert read(body.encode()) == Completion("yes", "stop", Usage(None, 3))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b'{"choices": [{"message": {"cont', "cut off"),
        (b"\xff\xfe\x00", "cut off or damaged"),
        (b"data: {}\n\n", "stream"),
        (b"[" * 200_000 + b"]" * 200_000, "nested too deep"),
        (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "nested too deep"),
        (b"[]", "no message"),
        (b"5", "no message"),
        (b"null", "no message"),
        (b'"text"', "no message"),
        (b"{}", "no message"),
        (b'{"choices": []}', "no message"),
        (b'{"choices": {"0": {}}}', "no message"),
        (b'{"choices": [5]}', "no message"),
        (b'{"choices": [{"message": "yes"}]}', "no message"),
        (b'{"choices": [{"message": {"content": 5}}]}', "neither a text"),
        (b'{"choices": [{"message": {"content": {"text": "yes"}}}]}', "neither a text"),
    ],
)
def test_what_is_no_answer_is_malformed_in_a_sentence(body: bytes, words: str) -> None:
    with pytest.raises(CallError, match=words) as caught:
        read(body)
    assert caught.value.kind == "malformed"
    assert not caught.value.final


def test_a_byte_order_mark_is_passed_over() -> None:
    assert read_json(b"\xef\xbb\xbf{}") == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "error", "usage", "code", "detail", "text", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.one_of(st.binary(), json_values.map(lambda value: json.dumps(value).encode())), st.integers(100, 999)
)
def test_any_body_with_any_status_is_an_answer_or_a_call_error(body: bytes, status: int) -> None:
    try:
        found: object = completion(Reply(status, (), body), ASKED, 0.0)
    except CallError as error:
        found = error.message
    assert isinstance(found, Completion) or (found and "\n" not in str(found))


@given(st.binary(max_size=2000), st.sampled_from(["gzip", "x-gzip", "deflate", "", "identity", " GZIP "]))
def test_a_compressed_body_is_unpacked(body: bytes, coding: str) -> None:
    packed = {"gzip": gzip.compress(body), "x-gzip": gzip.compress(body), "deflate": zlib.compress(body)}
    assert decompressed(packed.get(coding.strip().lower(), body), coding, 2000) == body


def test_deflate_without_its_header_is_unpacked_too() -> None:
    assert decompressed(zlib.compress(b"yes")[2:-4], "deflate", 10) == b"yes"


@given(st.integers(0, 400), st.sampled_from(["gzip", "deflate"]))
def test_a_body_that_swells_stops_at_the_limit(more: int, coding: str) -> None:
    body = b"\0" * (100 + more)
    packed = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    if more:
        with pytest.raises(CallError, match="longer than") as caught:
            decompressed(packed, coding, 100)
        assert caught.value.final
    else:
        assert decompressed(packed, coding, 100) == body


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"nope", "gzip"),
        (gzip.compress(b"yes", mtime=0)[:-9], "gzip"),
        (b"", "deflate"),
        (b"x", "br"),
        (b"x", "gzip, gzip"),
    ],
)
def test_a_body_that_cannot_be_unpacked_is_malformed(body: bytes, coding: str) -> None:
    with pytest.raises(CallError, match="cannot be unpacked") as caught:
        decompressed(body, coding, 100)
    assert caught.value.kind == "malformed"


def test_headers_that_are_kept() -> None:
    raw = [
        (b"X-RateLimit-Limit-Requests", b"5"),
        (b"Date", b"x"),
        (b"Retry-After-Ms", b"\xff"),
        (b"Location", b"/"),
    ]
    assert kept_headers(raw) == (
        ("x-ratelimit-limit-requests", "5"),
        ("retry-after-ms", "\xff"),
        ("location", "/"),
    )
