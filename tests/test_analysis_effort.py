"""How much a model is to think, over every wire: sent where it is asked for, and left out where refused."""

from __future__ import annotations

import json

import pytest

from fanin.values import Message, Request
from fanin_backends import chat, ollama
from fanin_backends.refusals import Asked, refusal
from fanin_backends.wire import Reply

ASKED = Request(0, "m", (Message("user", "Is it?"),), reasoning_effort="low")
PLAIN = Request(0, "m", (Message("user", "Is it?"),))


def test_the_openai_wire() -> None:
    assert json.loads(chat.request_body(ASKED))["reasoning_effort"] == "low"
    assert "reasoning_effort" not in json.loads(chat.request_body(PLAIN))


@pytest.mark.parametrize(
    ("effort", "think"),
    [("none", False), ("minimal", "low"), ("low", "low"), ("medium", "medium"), ("high", "high")],
)
def test_ollama_s_wire(effort: str, think: str | bool) -> None:
    body = json.loads(ollama.request_body(Request(0, "m", ASKED.messages, reasoning_effort=effort)))
    assert body["think"] == think
    assert "think" not in body["options"]
    assert "think" not in json.loads(ollama.request_body(PLAIN))


def test_a_model_that_refused_it_is_asked_without() -> None:
    refused = Request(0, "m", ASKED.messages, reasoning_effort="low", without=("reasoning_effort",))
    assert "reasoning_effort" not in json.loads(chat.request_body(refused))
    assert "think" not in json.loads(ollama.request_body(refused))


@pytest.mark.parametrize("module", [chat, ollama])
@pytest.mark.parametrize(
    "words",
    [
        '"llama3.1:8b" does not support thinking',
        'think value "low" is not supported for this model',
        "Unsupported parameter: 'reasoning_effort' is not supported with this model.",
        "Unrecognized request argument supplied: reasoning_effort",
        "`reasoning_effort` is not supported with this model",
    ],
)
def test_its_refusal_is_understood(module: object, words: str) -> None:
    sent = module.parameters(ASKED)  # type: ignore[attr-defined]
    body = json.dumps({"error": {"message": words}}).encode()
    error = refusal(Reply(400, (), body), Asked("b", "http://127.0.0.1", "KEY", "m", sent), 0.0)
    assert (error.kind, error.refused) == ("bad_request", "reasoning_effort")


def test_another_refusal_is_not_taken_for_it() -> None:
    sent = chat.parameters(ASKED)
    body = b'{"error": {"message": "temperature is not supported with this model"}}'
    assert (
        refusal(Reply(400, (), body), Asked("b", "http://127.0.0.1", "KEY", "m", sent), 0.0).refused is None
    )
