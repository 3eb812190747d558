"""Recordings of the real providers, read with the pure functions of the adapters.

They are not part of the repository: `FANIN_REAL_RECORDINGS` names a folder with cassettes of vcrpy
(YAML) from traceloop/openllmetry and pydantic/pydantic-ai, `package__module__test.yaml`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import attrs
import pytest

from fanin.errors import CallError
from fanin.policy.told import duration_s
from fanin.values import Completion, Message, Request
from fanin_backends import chat, ollama
from fanin_backends.connections import MAX_BODY_BYTES
from fanin_backends.refusals import Asked
from fanin_backends.wire import Reply, decompressed, kept_headers

FOLDER = os.environ.get("FANIN_REAL_RECORDINGS")

pytestmark = pytest.mark.skipif(
    FOLDER is None, reason="FANIN_REAL_RECORDINGS names no folder with recordings of the real providers"
)

STREAMED = ("*streaming*",)
"""Streams are not asked for, so that none has to be read."""


@attrs.frozen
class Taped:
    """One exchange of a recording."""

    name: str
    request: dict[str, Any]
    reply: Reply
    native: bool

    def read(self) -> Completion:
        """The answer as the adapter of its wire reads it."""
        model = str(self.request.get("model", ""))
        sent: dict[str, str] = {
            name: name for name in ("temperature", "seed", "max_tokens") if name in self.request
        }
        asked = Asked("recorded", "https://provider/v1", "SOME_KEY", model, sent)
        if not self.native:
            return chat.completion(self.reply, asked, 0.0)
        messages = tuple(Message(m["role"], m["content"]) for m in self.request["messages"])
        return ollama.completion(self.reply, Request(0, model, messages), asked, 0.0)


def taped(path: Path) -> Iterator[Taped]:
    """The exchanges of one recording."""
    import yaml

    for exchange in yaml.safe_load(path.read_text("utf-8"))["interactions"]:
        request, response = exchange["request"], exchange["response"]
        sent = request.get("parsed_body") or json.loads(request["body"])
        raw = [
            (name.encode(), text.encode()) for name, texts in response["headers"].items() for text in texts
        ]
        coding = next((text.decode() for name, text in raw if name.lower() == b"content-encoding"), "")
        if "parsed_body" in response:
            body = json.dumps(response["parsed_body"]).encode()
        else:
            body = response["body"]["string"]
            body = decompressed(body.encode() if isinstance(body, str) else body, coding, MAX_BODY_BYTES)
        reply = Reply(response["status"]["code"], kept_headers(raw), body)
        yield Taped(path.name, sent, reply, native=request["uri"].endswith("/api/chat"))


@pytest.fixture(scope="module")
def recordings() -> list[Taped]:
    assert FOLDER is not None
    paths = sorted(Path(FOLDER).glob("*.yaml"))
    whole = [path for path in paths if not any(fnmatch(path.name, pattern) for pattern in STREAMED)]
    assert len(whole) >= 10
    return [exchange for path in whole for exchange in taped(path)]


def of(recordings: list[Taped], pattern: str, status: int) -> list[Taped]:
    found = [one for one in recordings if fnmatch(one.name, pattern) and one.reply.status == status]
    assert found, f"no recording like {pattern} with status {status}"
    return found


def test_every_200_is_an_answer_with_its_tokens_and_its_model(recordings: list[Taped]) -> None:
    for exchange in of(recordings, "*", 200):
        answer = exchange.read()
        assert (answer.finish == "tool_calls") == (not answer.text), exchange.name
        assert answer.finish in ("stop", "length", "tool_calls"), exchange.name
        assert answer.usage.input_tokens, exchange.name
        assert answer.usage.output_tokens, exchange.name
        assert answer.model, exchange.name


def test_every_other_status_is_an_error_in_the_servers_words(recordings: list[Taped]) -> None:
    for exchange in (one for one in recordings if one.reply.status != 200):
        with pytest.raises(CallError) as caught:
            exchange.read()
        words = json.loads(exchange.reply.body)["error"]["message"]
        assert words[:40] in caught.value.message, exchange.name
        assert caught.value.status == exchange.reply.status


def test_the_rate_limit_headers_of_openai_and_groq_are_kept_and_their_times_read(
    recordings: list[Taped],
) -> None:
    names = {
        f"x-ratelimit-{fact}-{kind}"
        for fact in ("limit", "remaining", "reset")
        for kind in ("requests", "tokens")
    }
    for pattern in ("openllmetry__openai__*", "openllmetry__test_chat_tracing__test_chat_legacy*"):
        for exchange in of(recordings, pattern, 200):
            headers = dict(exchange.read().headers)
            assert set(headers) == names, exchange.name
            for kind in ("requests", "tokens"):
                assert duration_s(headers[f"x-ratelimit-reset-{kind}"]) is not None
                assert int(headers[f"x-ratelimit-limit-{kind}"]) >= int(
                    headers[f"x-ratelimit-remaining-{kind}"]
                )


def test_structured_answers_are_json(recordings: list[Taped]) -> None:
    for pattern in ("*test_groq_native_output*", "*ollama_local_native_output*"):
        for exchange in of(recordings, pattern, 200):
            assert set(json.loads(exchange.read().text)) == {"city", "country"}


def test_ollamas_own_wire(recordings: list[Taped]) -> None:
    [exchange] = of(recordings, "*test_ollama_chat_legacy*", 200)
    answer = exchange.read()
    assert exchange.native
    assert answer.text.startswith("A joke about OpenTelemetry!")
    assert (answer.finish, answer.usage.input_tokens, answer.usage.output_tokens) == ("stop", 17, 66)


@pytest.mark.parametrize(
    ("pattern", "status", "kind", "final", "words"),
    [
        ("*tool_use_failed*", 400, "bad_request", True, "does not accept the request"),
        ("*model_name_suggestion*", 404, "bad_request", True, "has no model 'llama-3.3-70b-versatlie'"),
        ("*openai_o1_mini_system_role*", 400, "bad_request", True, "does not accept the request"),
        ("*openrouter_errors_raised*", 429, "rate_limit", False, "temporarily rate-limited upstream"),
    ],
)
def test_refusals(
    recordings: list[Taped], pattern: str, status: int, kind: str, final: bool, words: str
) -> None:
    for exchange in of(recordings, pattern, status):
        with pytest.raises(CallError) as caught:
            exchange.read()
        error = caught.value
        assert (error.kind, error.final, error.exhausted, error.refused) == (kind, final, False, None)
        assert words in error.message
        assert error.retry_after_s is None
