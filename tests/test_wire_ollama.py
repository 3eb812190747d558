"""Ollama's native wire: the request, the window it asks for, and how an answer is read."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.errors import CallError
from fanin.values import Completion, Finish, Message, Request, Usage
from fanin_backends.ollama import completion, parameters, request_body
from fanin_backends.ollama_window import (
    SMALLEST,
    STEP,
    check_fits,
    check_whole,
    most_tokens,
    trained_window,
    typical_tokens,
    window,
)
from fanin_backends.refusals import Asked
from fanin_backends.wire import Reply

REQUEST = Request(0, "m", (Message("user", "Why?"),), temperature=0.7, seed=5, max_tokens=9)
ENGLISH = "The quick brown fox jumps over the lazy dog and then goes home again. "


def asking(text: str, max_tokens: int | None = 2048) -> Request:
    return Request(0, "m", (Message("user", text),), max_tokens=max_tokens)


def read(value: object, request: Request = REQUEST) -> Completion:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    asked = Asked("ollama", "http://127.0.0.1:11434", "OLLAMA_API_KEY", "m", parameters(request))
    return completion(Reply(200, (), body), request, asked, 0.0)


def answer(content: object = "yes", **more: object) -> dict[str, Any]:
    return {"model": "m", "message": {"role": "assistant", "content": content}, "done": True, **more}


def test_the_request_asks_for_a_window_and_for_no_silent_cut() -> None:
    assert json.loads(request_body(REQUEST)) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Why?"}],
        "stream": False,
        "truncate": False,
        "shift": False,
        "options": {"temperature": 0.7, "seed": 5, "num_predict": 9, "num_ctx": 4096},
    }


def test_a_schema_is_the_format_and_what_is_refused_is_left_out() -> None:
    request = attrs.evolve(REQUEST, schema='{"type":"object"}', without=("max_tokens", "seed", "temperature"))
    body = json.loads(request_body(request))
    assert body["format"] == {"type": "object"}
    assert body["options"] == {"num_ctx": 4096}


texts = st.one_of(st.text(), st.text("0123456789.,;+-", max_size=50), st.text("abcd efg", max_size=50))


@given(texts, st.integers(1, 200), st.integers(1, 20_000))
def test_the_window_holds_the_prompt_and_the_answer_in_steps(text: str, times: int, max_tokens: int) -> None:
    request = asking(text * times, max_tokens)
    asked = window(request)
    assert asked >= SMALLEST
    assert asked % STEP == 0
    assert most_tokens(request.messages) + max_tokens <= asked
    assert asked <= SMALLEST or asked < most_tokens(request.messages) + max_tokens + STEP
    assert typical_tokens(request.messages) <= most_tokens(request.messages)


@given(texts, texts)
def test_a_longer_prompt_never_gets_a_smaller_window(text: str, more: str) -> None:
    assert most_tokens(asking(text).messages) <= most_tokens(asking(text + more).messages)


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("1234567890" * 10, 100),
        ("a1b2" * 10, 30),
        ("- | + " * 10, 30),
        ("\u4f60\u597d" * 10, 20),
        ("ab" * 10, 10),
    ],
)
def test_digits_signs_and_other_scripts_count_as_tokens_of_their_own(text: str, least: int) -> None:
    assert most_tokens(asking(text).messages) >= least


def test_the_window_is_the_same_for_every_attempt_and_every_run() -> None:
    assert request_body(attrs.evolve(REQUEST, index=7, attempt=3)) == request_body(REQUEST)


def test_an_answer_is_read_whole() -> None:
    value = answer(done_reason="stop", prompt_eval_count=26, eval_count=8, total_duration=1, new="?")
    assert read(value) == Completion("yes", "stop", Usage(26, 8), "m")


@pytest.mark.parametrize(
    ("value", "text", "finish"),
    [
        (answer("yes"), "yes", "stop"),
        (answer("ye", done_reason="length"), "ye", "length"),
        (answer("yes", done_reason="something new"), "yes", "other"),
        (answer("", done_reason="stop"), "", "stop"),
        (answer(None), "", "stop"),
        (answer("yes", done_reason=None, usage=5), "yes", "stop"),
        ({"message": {"content": "yes", "thinking": "hm"}}, "yes", "stop"),
        ({"message": {"content": "", "tool_calls": [{}]}, "done_reason": "stop"}, "", "tool_calls"),
    ],
)
def test_content_and_finish(value: object, text: str, finish: Finish) -> None:
    found = read(value)
    assert (found.text, found.finish) == (text, finish)


@pytest.mark.parametrize("absurd", [-1, True, 1.5, "7", 10**10, [], None])
def test_a_count_that_makes_no_sense_is_unknown(absurd: object) -> None:
    assert read(answer(prompt_eval_count=absurd, eval_count=absurd)).usage == Usage()
    assert read(answer()).usage == Usage()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"Ollama is running", "not JSON"),
        (b"{}", "no message"),
        (b"[]", "no message"),
        (b'{"message": "yes"}', "no message"),
        (b'{"message": {"content": 5}}', "neither a text"),
        (b'{"message": {"content": ""}, "done": true, "done_reason": "load"}', "ended before"),
        (b'{"message": {"content": "ye"}, "done": false}', "ended before"),
    ],
)
def test_what_is_no_answer_is_malformed(body: bytes, words: str) -> None:
    with pytest.raises(CallError, match=words) as caught:
        read(body)
    assert caught.value.kind == "malformed"


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":"the runner has stopped"}',
        b'{"message":{"content":"ye"},"done":false}\n{"error":"the runner has stopped"}\n',
    ],
)
def test_an_error_inside_a_200_is_an_error(body: bytes) -> None:
    with pytest.raises(CallError, match="the runner has stopped") as caught:
        read(body)
    assert caught.value.kind == "server"


@pytest.mark.parametrize(
    ("shown", "tokens"),
    [
        ({"model_info": {"general.architecture": "qwen2", "qwen2.context_length": 32768}}, 32768),
        ({"model_info": {"general.architecture": "qwen2", "llama.context_length": 32768}}, None),
        ({"model_info": {"general.architecture": "qwen2", "qwen2.context_length": "many"}}, None),
        ({"model_info": {"general.architecture": "qwen2", "qwen2.context_length": 0}}, None),
        ({"model_info": {"general.architecture": ["qwen2"]}}, None),
        ({"model_info": None}, None),
        ([], None),
    ],
)
def test_the_models_own_window(shown: object, tokens: int | None) -> None:
    assert trained_window(shown) == tokens


def test_a_prompt_that_the_model_cannot_hold_is_an_error_before_the_call() -> None:
    long = asking(ENGLISH * 1000)  # about 17,500 tokens
    with pytest.raises(CallError, match="longer than the window of m") as caught:
        check_fits(long, 8192)
    assert (caught.value.kind, caught.value.final) == ("bad_request", True)
    check_fits(long, 32768)
    check_fits(long, None)


@pytest.mark.parametrize("read_tokens", [2050, 2051, 4095, 4096, 8191, 8192, 4098, 4099])
def test_a_cut_prompt_is_found_out(read_tokens: int) -> None:
    with pytest.raises(CallError, match=f"read {read_tokens:,} tokens of about 17,500") as caught:
        check_whole(asking(ENGLISH * 1000), read_tokens)
    assert (caught.value.kind, caught.value.final) == ("bad_request", True)


def test_a_prompt_that_fills_the_window_was_cut() -> None:
    request = asking(ENGLISH)
    for read_tokens in (window(request) - 1, window(request), window(request) + 5):
        with pytest.raises(CallError, match="cut the prompt"):
            check_whole(request, read_tokens)


@pytest.mark.parametrize("read_tokens", [None, 0, 1, 5, 17_500, 14_000, 16_384, 16_383, 12_000, 2049, 4097])
def test_no_alarm_where_the_prompt_may_be_whole_or_was_cached(read_tokens: int | None) -> None:
    check_whole(asking(ENGLISH * 1000), read_tokens)


@given(st.integers(1, 3000), st.integers(0, 4000))
def test_no_alarm_for_a_short_prompt(words: int, read_tokens: int) -> None:
    request = asking("word " * words)
    if read_tokens >= typical_tokens(request.messages) * 2 // 3:
        check_whole(request, read_tokens)
