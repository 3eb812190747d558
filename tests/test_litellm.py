"""The backend `litellm` against a small server on this machine, and how its errors are told apart.

litellm takes seconds to import, so everything that needs it stands in this one module.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
import trio
from standin import Given, StandIn, chat, error, given

import fanin
from fanin.backend import Backend
from fanin.errors import (
    CallError,
    CassetteMissError,
    EventLoopError,
    FaninError,
    InputError,
    MissingExtraError,
)
from fanin.values import Completion, Message, Request, Usage
from fanin_backends.litellm import LiteLLM, library, open_backend
from fanin_backends.litellm_errors import call_error
from fanin_backends.refusals import Asked

pytestmark = [
    pytest.mark.skipif(find_spec("litellm") is None, reason="litellm is not installed"),
    pytest.mark.slow,  # importing it takes seconds
]

KEY = "sk-test-0123456789abcdef"
REQUEST = Request(0, "openai/some-model", (Message("user", "Is it so?"),))


@pytest.fixture
def anyio_backend() -> str:
    """litellm runs on asyncio alone."""
    return "asyncio"


def variant(**fields: object) -> Given:
    """The usual answer with other fields; None leaves one out."""
    value = {**json.loads(chat("Answer: yes").body), **fields}
    return given({name: field for name, field in value.items() if field is not None})


def refusing(text: str) -> Given:
    """An answer whose model refuses, in the field that OpenAI has for it."""
    value = json.loads(chat(None).body)
    value["choices"][0]["message"]["refusal"] = text
    return given(value)


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[LiteLLM]:
    """A backend for what listens at `url`, closed at the end."""
    settings: dict[str, Any] = {"key": KEY, "environ": {}} | options
    async with aclosing(open_backend(base_url=f"{url}/v1", **settings)) as backend:
        yield backend


async def completed(server: StandIn, request: Request = REQUEST, **options: Any) -> Completion:
    """The answer to one call."""
    async with opened(server.url, **options) as backend:
        return await backend.complete(request)


async def failure(url: str, request: Request = REQUEST) -> CallError:
    """The error of one call."""
    async with opened(url) as backend:
        with pytest.raises(CallError) as caught:
            await backend.complete(request)
        return caught.value


@pytest.mark.anyio
async def test_an_answer() -> None:
    limits = {"x_ratelimit_remaining_tokens": "77", "x_ratelimit_reset_tokens": "1m26.4s"}
    with StandIn([chat("Answer: yes", **limits, x_request_id="q")]) as server:
        async with opened(server.url) as backend:
            assert isinstance(backend, Backend)
            answer = await backend.complete(REQUEST)
    assert (answer.text, answer.finish, answer.model) == ("Answer: yes", "stop", "stand-in")
    assert answer.usage == Usage(7, 3)
    assert dict(answer.headers) == {name.replace("_", "-"): value for name, value in limits.items()}
    [seen] = server.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.json == {"model": "some-model", "messages": [{"role": "user", "content": "Is it so?"}]}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("without", "expected"),
    [
        ((), {"temperature": 0.5, "seed": 3, "max_tokens": 50}),
        (("seed", "temperature"), {"max_tokens": 50}),
        (("max_tokens",), {"temperature": 0.5, "seed": 3, "max_completion_tokens": 50}),
    ],
)
async def test_the_parameters(without: tuple[str, ...], expected: dict[str, object]) -> None:
    with StandIn([chat("yes")]) as server:
        request = attrs.evolve(REQUEST, temperature=0.5, seed=3, max_tokens=50, without=without)
        await completed(server, request)
    sent = server.seen[0].json
    assert {name: value for name, value in sent.items() if name not in ("model", "messages")} == expected


@pytest.mark.anyio
async def test_the_schema() -> None:
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    with StandIn([chat("{}")]) as server:
        await completed(server, attrs.evolve(REQUEST, schema=json.dumps(schema)))
    sent = server.seen[0].json["response_format"]
    assert sent == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": schema},
    }


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("said", "text", "finish", "usage"),
    [
        (chat("so far", "length"), "so far", "length", Usage(7, 3)),
        (chat("", "content_filter"), "", "content_filter", Usage(7, 3)),
        (chat(None), "", "stop", Usage(7, 3)),
        (variant(usage=None), "Answer: yes", "stop", Usage()),
        (variant(news=[1, 2]), "Answer: yes", "stop", Usage(7, 3)),
        (chat("lone \ud800"), "lone \ud800", "stop", Usage(7, 3)),
        (refusing("I cannot."), "I cannot.", "refusal", Usage(7, 3)),
    ],
)
async def test_odd_answers(said: Given, text: str, finish: str, usage: Usage) -> None:
    with StandIn([said]) as server:
        answer = await completed(server)
    assert (answer.text, answer.finish, answer.usage) == (text, finish, usage)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("said", "kind", "final"),
    [
        (error(400, "nonsense"), "bad_request", True),
        (error(401, "Incorrect API key provided"), "auth", True),
        (error(403, "no"), "auth", True),
        (error(404, "The model `some-model` does not exist", code="model_not_found"), "bad_request", True),
        (error(413, "Request too large", code="rate_limit_exceeded"), "bad_request", True),
        (error(429, "You exceeded your current quota", code="insufficient_quota"), "quota", True),
        (error(429, "Rate limit reached"), "rate_limit", False),
        (error(500, "boom"), "server", False),
        (Given(503, b"<html>down</html>"), "server", False),
        (given({}, 529), "server", False),
        (Given(200, b"<html>hello</html>"), "malformed", False),
        (Given(200, b""), "malformed", False),
        (Given(200, b'{"choices": [{"mess'), "malformed", False),
        (given({"choices": []}), "malformed", False),
        (Given(200, b"[" * 5_000), "malformed", False),
    ],
)
@pytest.mark.parametrize("model", ["openai/some-model", "mistral/some-model"])
async def test_failures(said: Given, kind: str, final: bool, model: str) -> None:
    with StandIn([said]) as server:
        failed = await failure(server.url, attrs.evolve(REQUEST, model=model))
    assert (failed.kind, failed.final) == (kind, final)
    assert failed.status == (None if said.status == 200 else said.status)
    assert "Traceback" not in str(failed)
    assert len(server.seen) == 1, "there is one layer of retries, and it is not litellm's"


@pytest.mark.anyio
async def test_a_refusal_for_the_rate_limit() -> None:
    limits = {"retry_after": "3", "x_ratelimit_remaining_tokens": "0"}
    refusal = {"error": {"message": "Rate limit reached. Please try again in 2.5s."}}
    with StandIn([given(refusal, 429, **limits)]) as server:
        failed = await failure(server.url)
    assert (failed.kind, failed.retry_after_s) == ("rate_limit", 2.5)
    assert dict(failed.headers) == {name.replace("_", "-"): value for name, value in limits.items()}


@pytest.mark.anyio
async def test_a_parameter_that_the_server_refuses() -> None:
    with StandIn([error(400, "Unsupported value.", param="temperature", code="unsupported_value")]) as server:
        failed = await failure(server.url, attrs.evolve(REQUEST, temperature=0.5))
    assert (failed.kind, failed.refused) == ("bad_request", "temperature")


@pytest.mark.anyio
async def test_a_parameter_that_litellm_refuses() -> None:
    request = attrs.evolve(REQUEST, model="anthropic/claude-3-5-haiku-latest", seed=3, max_tokens=50)
    with StandIn() as server:
        failed = await failure(server.url, request)
    assert (failed.kind, failed.refused) == ("bad_request", "seed")
    assert not server.seen


@pytest.mark.anyio
async def test_a_groq_answer_without_service_tier() -> None:
    with StandIn([chat("yes")]) as server:
        failed = await failure(server.url, attrs.evolve(REQUEST, model="groq/some-model"))
    assert (failed.kind, failed.final) == ("malformed", True)
    assert "groq" in str(failed)


@pytest.mark.anyio
@pytest.mark.parametrize("model", ["openai/some-model", "mistral/some-model"])
async def test_nothing_answers(model: str) -> None:
    with StandIn() as server:
        free = server.url
    failed = await failure(free, attrs.evolve(REQUEST, model=model))
    assert (failed.kind, failed.status) == ("connection", None)


@pytest.mark.anyio
async def test_a_server_that_hangs_up() -> None:
    with StandIn([Given(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")]) as server:
        assert (await failure(server.url)).kind == "connection"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "model", ["openai/m", "anthropic/claude-3-5-haiku-latest", "gemini/gemini-2.0-flash"]
)
async def test_a_missing_key(model: str) -> None:
    async with aclosing(open_backend(environ={})) as backend:
        with pytest.raises(CallError) as caught:
            await backend.complete(attrs.evolve(REQUEST, model=model))
    assert (caught.value.kind, caught.value.final) == ("auth", True)


def caused(*causes: Exception) -> Exception:
    """The first error, raised while the second was handled, and so on."""
    for outer, inner in pairwise(causes):
        outer.__context__ = inner
    return causes[0]


def like_litellms(status: int, message: str) -> Exception:
    """An error with what litellm's own hold."""
    made = type("APIConnectionError", (Exception,), {"__module__": "litellm.exceptions"})(message)
    made.status_code, made.message = status, message
    return made  # type: ignore[no-any-return]


ASKED = Asked("litellm", "http://127.0.0.1", "SOME_API_KEY", "some/model", {"seed": "seed"})


@pytest.mark.parametrize(
    ("raised", "kind", "final", "words"),
    [
        (caused(like_litellms(500, "x"), RuntimeError(), TimeoutError()), "timeout", False, "time"),
        (caused(like_litellms(500, "x"), TimeoutError(), ConnectionError()), "timeout", False, "time"),
        (caused(like_litellms(500, "x"), ConnectionResetError()), "connection", False, "127.0.0.1"),
        (like_litellms(401, "Unable to locate credentials"), "auth", True, "SOME_API_KEY"),
        (like_litellms(429, "litellm.RateLimitError: slow down"), "rate_limit", False, "slow down"),
        (like_litellms(400, "it does not support parameters: ['seed']"), "bad_request", True, "seed"),
        (caused(like_litellms(500, "x"), KeyError("message")), "malformed", False, "KeyError"),
        (caused(like_litellms(500, "x"), AttributeError("tier")), "malformed", True, "AttributeError"),
        (ValueError("anything"), "malformed", False, "ValueError"),
    ],
)
def test_errors_without_an_answer(raised: Exception, kind: str, final: bool, words: str) -> None:
    found = call_error(raised, ASKED, 0)
    assert isinstance(found, CallError)
    assert (found.kind, found.final) == (kind, final)
    assert words in str(found)


def test_a_circle_of_causes_has_an_end() -> None:
    one, other = RuntimeError(), RuntimeError()
    one.__context__, other.__context__ = other, one
    assert isinstance(call_error(one, ASKED, 0), CallError)


@pytest.mark.anyio
async def test_no_key_in_a_message_or_an_answer() -> None:
    script = [error(401, f"Incorrect API key provided: {KEY[:14]}***, or {KEY}."), chat(f"It is {KEY}.")]
    with StandIn(script) as server:
        shown = str(await failure(server.url)) + (await completed(server)).text
    assert not any(KEY[start : start + 8] in shown for start in range(len(KEY) - 7))


@pytest.mark.anyio
async def test_a_key_of_the_environment_is_hidden_too() -> None:
    with StandIn([chat(f"It is {KEY}.")]) as server:
        answer = await completed(server, key=None, environ={"OPENAI_API_KEY": KEY})
    assert KEY[:8] not in answer.text


@pytest.mark.anyio
async def test_an_address_gets_no_key_but_the_given_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with StandIn([chat("yes")]) as server:
        await completed(server, key=None)
        await completed(server, key=None, environ={"OPENAI_API_KEY": "other-key"})
    assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer none", "Bearer other-key"]


@pytest.mark.anyio
async def test_a_tape_is_recorded_and_replayed(tmp_path: Path) -> None:
    with StandIn([chat("yes"), error(500, "boom")]) as server:
        with fanin.tape(tmp_path / "tape.json", mode="all"):
            recorded = await completed(server)
        with fanin.tape(tmp_path / "tape.json"):
            assert await completed(server, key=None, replaying=True) == recorded
    assert len(server.seen) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("model", ["openai/some-model", "mistral/some-model"])
async def test_a_replays_miss_is_raised(tmp_path: Path, model: str) -> None:
    async def missed(server: StandIn) -> None:
        with fanin.tape(tmp_path / "tape.json"), pytest.raises(CassetteMissError):
            await completed(server, attrs.evolve(REQUEST, model=model, seed=1), replaying=True)

    with StandIn([chat("yes")]) as server:
        with fanin.tape(tmp_path / "tape.json", mode="all"):
            await completed(server)
        with pytest.raises(CassetteMissError):
            await missed(server)


@pytest.mark.anyio
async def test_a_miss_of_vcrpys_own_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    class CannotOverwriteExistingCassetteException(Exception):
        """Named like vcrpy's."""

    async def call(**_: object) -> object:
        try:
            raise CannotOverwriteExistingCassetteException
        except CannotOverwriteExistingCassetteException as miss:
            raise RuntimeError("InternalServerError") from miss

    monkeypatch.setattr(library(), "acompletion", call)
    async with opened("http://127.0.0.1:9") as backend:
        with pytest.raises(CannotOverwriteExistingCassetteException):
            await backend.complete(REQUEST)


@pytest.mark.anyio
async def test_the_clients_are_shared_until_the_last_backend_closes() -> None:
    clients = library().in_memory_llm_clients_cache.cache_dict
    before = set(clients)
    with StandIn([chat("yes")]) as server:
        async with opened(server.url) as first:
            await first.complete(REQUEST)
            async with opened(server.url) as second:
                await second.complete(REQUEST)
            assert set(clients) > before
            await first.complete(REQUEST)
            await first.aclose()
            assert set(clients) == before
            with pytest.raises(FaninError, match="closed"):
                await first.complete(REQUEST)


@pytest.mark.anyio
async def test_what_the_program_itself_opened_is_left_open() -> None:
    clients = library().in_memory_llm_clients_cache.cache_dict
    before = set(clients)
    with StandIn([chat("yes")]) as server:
        messages = [{"role": "user", "content": "Is it so?"}]
        settings = {"model": "openai/m", "messages": messages, "api_base": f"{server.url}/v1"}
        await library().acompletion(**settings, api_key="another-key")
        [own] = set(clients) - before
        await completed(server)
        assert set(clients) == {*before, own}
        assert not clients[own].is_closed()
        await clients.pop(own).close()


@pytest.mark.parametrize("model", ["openai/some-model", "mistral/some-model"])
def test_an_event_loop_ends_without_a_warning_and_without_a_word(
    model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async def calls(server: StandIn) -> None:
        async with opened(server.url) as backend, anyio.create_task_group() as group:
            for index in range(4):
                group.start_soon(backend.complete, attrs.evolve(REQUEST, index=index, model=model))

    with StandIn([chat("yes")]) as server:
        anyio.run(calls, server)
        anyio.run(calls, server)
    gc.collect()
    assert capfd.readouterr() == ("", "")


_PROGRAM = """
import asyncio, sys
import fanin
from fanin_backends.litellm import open_backend

async def main():
    backend = open_backend(base_url=sys.argv[1], environ={})
    request = fanin.Request(0, "openai/some-model", (fanin.Message("user", "Is it so?"),))
    print((await backend.complete(request)).text)
    await backend.aclose()

asyncio.run(main())
print(sys.modules["litellm"].litellm_mode)
"""


@pytest.mark.slow
def test_a_program_with_litellm_says_nothing_and_loads_no_env_file() -> None:
    with StandIn([chat("yes")]) as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", _PROGRAM, f"{server.url}/v1"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.stdout, done.stderr, done.returncode) == ("yes\nPRODUCTION\n", "", 0)


@pytest.mark.anyio
async def test_resolve() -> None:
    async with aclosing(open_backend(environ={})) as backend:
        assert await backend.resolve(("mistral/a", "openai/b")) == ("mistral/a", "openai/b")
        with pytest.raises(FaninError, match="-m provider/model"):
            await backend.resolve(())
        with pytest.raises(InputError, match="provider/model"):
            await backend.resolve(("mistral/a", "nobody/b"))


@pytest.mark.parametrize("call", [lambda b: b.resolve(("openai/m",)), lambda b: b.complete(REQUEST)])
def test_trio(call: Callable[[LiteLLM], Any]) -> None:
    with pytest.raises(EventLoopError, match="asyncio"):
        trio.run(call, open_backend(environ={}))


def test_a_missing_litellm_is_told_with_the_line_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(MissingExtraError, match=r"fanin\[litellm\]"):
        open_backend(environ={})


def test_the_account_tells_keys_apart_and_shows_none() -> None:
    accounts = [
        open_backend(base_url=url, key=key, environ={}).account
        for url in (None, "http://127.0.0.1/v1")
        for key in (None, KEY, KEY[::-1])
    ]
    assert len(set(accounts)) == 6
    assert not any(KEY[:8] in account or KEY[::-1][:8] in account for account in accounts)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://me:secret-word@127.0.0.1/v1"])
def test_an_address_that_cannot_be_used(url: str) -> None:
    with pytest.raises(InputError, match="base_url") as caught:
        open_backend(base_url=url, environ={})
    assert "secret-word" not in str(caught.value)
