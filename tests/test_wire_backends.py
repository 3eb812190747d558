"""The three HTTP backends against a server on this machine, on both event loops."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import pytest
from standin import Given, StandIn, chat, error, given, ollama, zipped

from fanin.backend import Backend
from fanin.context import RUN_INDEX
from fanin.errors import CallError, FaninError, InputError
from fanin.values import Completion, Message, Request
from fanin_backends import connections
from fanin_backends import groq as groq_module
from fanin_backends import ollama as ollama_module
from fanin_backends import openai as openai_module

pytestmark = pytest.mark.anyio

KEY = "gsk_Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0"
REQUEST = Request(0, "m", (Message("user", "Is 1009 prime?"),), temperature=0.6, seed=1, max_tokens=64)
SHOWN = {"model_info": {"general.architecture": "qwen2", "qwen2.context_length": 32768}}

Opened = Callable[..., Backend]


def opened(name: str, server: StandIn, *, key: str | None = KEY, replaying: bool = False) -> Backend:
    path, module = {
        "groq": ("/openai/v1", groq_module),
        "openai": ("/v1", openai_module),
        "ollama": ("", ollama_module),
    }[name]
    return module.open_backend(base_url=server.url + path, key=key, environ={}, replaying=replaying)  # type: ignore[no-any-return]


@asynccontextmanager
async def closing(backend: Backend) -> Any:
    async with aclosing(backend):
        yield backend


def serving(name: str, *script: Given, **named: Given) -> StandIn:
    """A server for that backend; `named` answers by path, with `/api/show` there already."""
    return StandIn(
        script, {"/api/show": given(SHOWN), **{f"/{path}": answer for path, answer in named.items()}}
    )


def says(name: str, text: str) -> Given:
    return ollama(text) if name == "ollama" else chat(text)


async def failure(backend: Backend, request: Request = REQUEST) -> CallError:
    with pytest.raises(CallError) as caught:
        await backend.complete(request)
    return caught.value


every = pytest.mark.parametrize("name", ["groq", "openai", "ollama"])
each = pytest.mark.parametrize("name", ["openai", "ollama"])  # one of each wire: groq's is openai's


@every
async def test_what_a_call_needs_is_open_before_the_first_one_is_let_go(name: str) -> None:
    """Loading an HTTP client within the first call would spoil what is measured of the pace."""
    with serving(name, says(name, "Answer: yes")) as server:
        async with closing(opened(name, server)) as backend:
            assert await backend.resolve(("m",)) == ("m",)
            assert len(backend._connections._lanes) == 1
            assert server.seen == []


@every
async def test_a_call_and_its_answer(name: str) -> None:
    with serving(name, says(name, "Answer: yes")) as server:
        async with closing(opened(name, server)) as backend:
            answer = await backend.complete(REQUEST)
    assert (answer.text, answer.finish, answer.model) == ("Answer: yes", "stop", "stand-in")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 3)
    sent = server.seen[-1]
    assert sent.path == {"groq": "/openai/v1/chat/completions", "openai": "/v1/chat/completions"}.get(
        name, "/api/chat"
    )
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.headers["content-type"] == "application/json"
    assert sent.json["model"] == "m"
    assert sent.json["messages"] == [{"role": "user", "content": "Is 1009 prime?"}]


async def test_groq_is_sent_the_limit_under_its_new_name() -> None:
    with serving("groq", chat("yes")) as server:
        async with closing(opened("groq", server)) as backend:
            await backend.complete(REQUEST)
    assert server.seen[0].json["max_completion_tokens"] == 64
    assert "max_tokens" not in server.seen[0].json


@every
async def test_without_a_key_none_is_sent(name: str) -> None:
    with serving(name, says(name, "yes")) as server:
        async with closing(opened(name, server, key=None)) as backend:
            await backend.complete(REQUEST)
    assert "authorization" not in server.seen[-1].headers


@each
async def test_a_compressed_answer_and_its_rate_limit_headers(name: str) -> None:
    plain = says(name, "yes")
    answer = zipped(Given(200, plain.body, (("X-RateLimit-Remaining-Tokens", "5"), ("set-cookie", "a=b"))))
    with serving(name, answer) as server:
        async with closing(opened(name, server)) as backend:
            for _ in range(2):
                found = await backend.complete(REQUEST)
    assert found.text == "yes"
    assert found.headers == (("x-ratelimit-remaining-tokens", "5"),)
    assert "cookie" not in server.seen[-1].headers, "a call must not depend on the one before it"


@each
async def test_a_refusal_is_told_with_its_wait_and_its_headers(name: str) -> None:
    refusal = error(429, "Please try again in 1.5s.")
    slow = Given(429, refusal.body, (("retry-after", "2"), ("x-ratelimit-limit-requests", "9")))
    with serving(name, slow) as server:
        async with closing(opened(name, server)) as backend:
            found = await failure(backend)
    assert (found.kind, found.status, found.retry_after_s) == ("rate_limit", 429, 1.5)
    assert found.headers == (("retry-after", "2"), ("x-ratelimit-limit-requests", "9"))


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_a_refused_parameter_is_named_only_where_it_was_sent(limit: str) -> None:
    with serving("openai", error(400, f"Unsupported parameter: '{limit}'", param=limit)) as server:
        async with closing(opened("openai", server)) as backend:
            found = await failure(backend)
    assert found.refused == ("max_tokens" if limit == "max_tokens" else None)


@each
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_and_the_key_goes_nowhere(name: str, status: int) -> None:
    other = StandIn([says(name, "yes")])
    away = Given(status, b"", (("location", other.url + "/elsewhere?x=1"),))
    with other, serving(name, away) as server:
        async with closing(opened(name, server)) as backend:
            found = await failure(backend)
    assert other.seen == []
    assert (found.kind, found.final) == ("bad_request", True)
    assert f"redirects to {other.url}/elsewhere (HTTP {status})" in found.message


@each
async def test_an_echoed_key_is_in_no_answer_and_no_error(name: str) -> None:
    echo = f"you sent {KEY}, in part {KEY[5:20]} and {KEY[-9:]}"
    script = [error(401, echo), Given(500, echo.encode()), says(name, echo)]
    script[2] = Given(200, script[2].body, (("x-ratelimit-echo", KEY),))
    texts: list[str] = []
    with serving(name, *script) as server:
        async with closing(opened(name, server)) as backend:
            for _ in range(2):
                found = await failure(backend)
                texts += [str(found), repr(found.headers), repr(found.__cause__)]
            answer = await backend.complete(REQUEST)
            texts += [answer.text, repr(answer.headers), backend.account, repr(backend)]
    parts = {KEY[start : start + 8] for start in range(len(KEY) - 7)}
    assert [part for part in parts for text in texts if part in text] == []
    assert "you sent ***" in answer.text


@each
@pytest.mark.parametrize("compressed", [False, True])
async def test_a_body_that_is_too_long_is_a_failure(
    name: str, compressed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_BODY_BYTES", 2**20)
    body = b" " * (2**20 + 1)
    answer = (
        Given(200, gzip.compress(body), (("content-encoding", "gzip"),)) if compressed else Given(200, body)
    )
    with serving(name, answer, says(name, "yes")) as server:
        async with closing(opened(name, server)) as backend:
            found = await failure(backend)
            assert (await backend.complete(REQUEST)).text == "yes"
    assert (found.kind, found.final) == ("malformed", True)
    assert "longer than 1 MB" in found.message


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", "connection"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{", "connection"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "connection"),
        (b"what?\r\n\r\n", "connection"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\nnope", "malformed"),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\n<html>", "malformed"),
        (b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n", "malformed"),
    ],
)
async def test_what_a_bad_network_does_is_a_failure(raw: bytes, kind: str) -> None:
    with serving("openai", Given(raw=raw), chat("yes")) as server:
        async with closing(opened("openai", server)) as backend:
            found = await failure(backend)
            assert (found.kind, found.final) == (kind, False)
            assert (await backend.complete(REQUEST)).text == "yes"


@every
async def test_a_server_that_is_not_there_is_named(name: str) -> None:
    with StandIn() as gone:
        pass
    async with closing(opened(name, gone)) as backend:
        found = await failure(backend)
    assert (found.kind, found.final, found.status) == ("connection", False, None)
    assert f"Cannot connect to 127.0.0.1:{gone.port}" in found.message
    assert found.mend
    assert ("ollama serve" in found.mend) is (name == "ollama")


@each
async def test_many_calls_at_once_share_lanes_and_each_gets_its_own_answer(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LANE", 3)
    found: list[Completion] = []
    with serving(name, *(says(name, str(number)) for number in range(11))) as server:
        async with closing(opened(name, server)) as backend:
            async with anyio.create_task_group() as group:

                async def ask() -> None:
                    found.append(await backend.complete(REQUEST))

                for _ in range(11):
                    group.start_soon(ask)
            lanes = backend._connections._lanes
            assert 1 < len(lanes) <= 4
            assert all(lane.in_flight == 0 for lane in lanes)
    assert sorted(int(answer.text) for answer in found) == list(range(11))


@each
async def test_a_call_that_is_cut_gives_its_place_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LANE", 1)
    half = Given(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{")
    with serving(name, half, says(name, "yes")) as server:
        async with closing(opened(name, server)) as backend:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await backend.complete(REQUEST)
            assert [lane.in_flight for lane in backend._connections._lanes] in ([], [0])
            await failure(backend)
            assert (await backend.complete(REQUEST)).text == "yes"
            assert len(backend._connections._lanes) == 1


@each
async def test_a_closed_backend_says_so_and_closes_twice(name: str) -> None:
    with serving(name, says(name, "yes")) as server:
        backend = opened(name, server)
        await backend.complete(REQUEST)
        await backend.aclose()
        await backend.aclose()
        with pytest.raises(FaninError, match="closed"):
            await backend.complete(REQUEST)


async def test_the_proxy_of_the_environment_is_used_but_not_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with StandIn([chat("by proxy")]) as proxy, serving("openai", chat("directly")) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with closing(opened("openai", server)) as backend:
            assert (await backend.complete(REQUEST)).text == "directly"
        far = openai_module.open_backend(base_url="http://model.example/v1", key=KEY, environ={})
        async with closing(far):
            assert (await far.complete(REQUEST)).text == "by proxy"
    assert proxy.paths() == ["http://model.example/v1/chat/completions"]


async def test_a_proxy_that_cannot_be_used_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "gopher://proxy")
    far = openai_module.open_backend(base_url="http://model.example/v1", key=KEY, environ={})
    async with closing(far):
        found = await failure(far)
    assert (found.kind, found.final) == ("connection", True)
    assert "proxy" in found.message


async def test_an_address_that_no_host_can_have_is_named() -> None:
    backend = openai_module.open_backend(base_url="http://xn--\u00fc/v1", key=KEY, environ={})
    async with closing(backend):
        with pytest.raises(InputError, match="base_url"):
            await backend.complete(REQUEST)


async def test_what_a_tape_raises_passes_through_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    class Miss(Exception):
        pass

    async def missed(*_: object) -> None:
        raise Miss

    monkeypatch.setattr("httpx2.AsyncHTTPTransport.handle_async_request", missed)
    backend = openai_module.open_backend(base_url="http://127.0.0.1:9/v1", key=KEY, environ={})
    async with closing(backend):
        with pytest.raises(Miss):
            await backend.complete(REQUEST)


# Which model is asked


def models(*names: str) -> Given:
    return given({"object": "list", "data": [{"id": name} for name in names]})


def tags(*names: str) -> Given:
    return given({"models": [{"name": name} for name in names]})


async def test_defaults() -> None:
    groq = groq_module.open_backend(key=KEY, environ={})
    openai = openai_module.open_backend(key=KEY, environ={})
    assert await groq.resolve(()) == ("openai/gpt-oss-20b",)
    assert await openai.resolve(()) == ("gpt-4o-mini",)
    assert await groq.resolve(("a", "b")) == ("a", "b")


LISTS: list[tuple[str, str, Callable[..., Given]]] = [
    ("openai", "/v1/models", models),
    ("ollama", "/api/tags", tags),
]


@pytest.mark.parametrize(("name", "path", "listing"), LISTS)
async def test_the_only_model_of_a_server_is_taken(
    name: str, path: str, listing: Callable[..., Given]
) -> None:
    with StandIn([], {path: listing("only:1b")}) as server:
        async with closing(opened(name, server)) as backend:
            assert await backend.resolve(("mine",)) == ("mine",)
            assert server.seen == []
            assert await backend.resolve(()) == ("only:1b",)
    assert server.paths() == [path]


@pytest.mark.parametrize(("name", "path", "listing"), LISTS)
async def test_several_models_are_listed_and_none_is_chosen(
    name: str, path: str, listing: Callable[..., Given]
) -> None:
    with StandIn([], {path: listing(*(f"model-{number}" for number in range(25)))}) as server:
        async with closing(opened(name, server)) as backend:
            with pytest.raises(FaninError, match=r"several models: model-0, .*model-19 and 5 more") as caught:
                await backend.resolve(())
    assert "-m NAME" in str(caught.value.mend)


@pytest.mark.parametrize(("name", "path", "listing"), LISTS)
@pytest.mark.parametrize(
    "answer", [None, given({}), given([]), given({"data": 5, "models": [5, {"name": 5}]})]
)
async def test_no_model_is_a_clear_error(
    name: str, path: str, listing: Callable[..., Given], answer: Given | None
) -> None:
    with StandIn([], {path: answer or listing()}) as server:
        async with closing(opened(name, server)) as backend:
            with pytest.raises(FaninError, match="lists no model") as caught:
                await backend.resolve(())
    assert caught.value.mend is not None
    assert ("ollama pull" in caught.value.mend) is (name == "ollama")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(error(401, f"bad key {KEY}"), "auth"), (Given(200, b"<html>"), "malformed"), (Given(500), "server")],
)
@pytest.mark.parametrize(("name", "path", "listing"), LISTS)
async def test_a_list_that_cannot_be_had_is_a_failed_call(
    name: str, path: str, listing: object, answer: Given, kind: str
) -> None:
    with StandIn([], {path: answer}) as server:
        async with closing(opened(name, server)) as backend:
            with pytest.raises(CallError) as caught:
                await backend.resolve(())
    assert caught.value.kind == kind
    assert KEY[:8] not in str(caught.value)


async def test_a_server_without_a_list_asks_for_a_name() -> None:
    with StandIn() as server:
        async with closing(opened("openai", server)) as backend:
            with pytest.raises(FaninError, match="does not list its models"):
                await backend.resolve(())


@pytest.mark.parametrize("name", ["openai", "ollama"])
async def test_no_server_to_ask_for_its_models(name: str) -> None:
    with StandIn() as gone:
        pass
    async with closing(opened(name, gone)) as backend:
        with pytest.raises(CallError) as caught:
            await backend.resolve(())
    assert caught.value.kind == "connection"


@every
async def test_a_replay_makes_no_call_of_its_own(name: str) -> None:
    with serving(name, says(name, "yes")) as server:
        async with closing(opened(name, server, key=None, replaying=True)) as backend:
            if name != "groq":
                with pytest.raises(FaninError, match="no model is named"):
                    await backend.resolve(())
            assert await backend.resolve(("m",)) == ("m",)
            assert (await backend.complete(REQUEST)).text == "yes"
    assert len(server.seen) == 1


# Ollama's window


def window_server(show: Given, *script: Given) -> StandIn:
    return StandIn(script or [ollama("yes")], {"/api/show": show})


async def test_the_window_is_asked_for_once_by_all_runs() -> None:
    indices: list[int | None] = []
    with window_server(given(SHOWN)) as server:
        async with closing(opened("ollama", server)) as backend:
            post = backend._connections.post

            async def noting(path: str, body: bytes) -> object:
                indices.append(RUN_INDEX.get() if path == "/api/show" else -1)
                return await post(path, body)

            backend._connections.post = noting

            async def ask() -> None:
                RUN_INDEX.set(4)
                await backend.complete(REQUEST)
                assert RUN_INDEX.get() == 4

            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(ask)
    assert sorted(server.paths()) == ["/api/chat"] * 5 + ["/api/show"]
    assert server.seen[0].json == {"model": "m"}
    assert indices.count(None) == 1, "the question for the window belongs to no run"


async def test_a_prompt_that_is_too_long_is_not_sent() -> None:
    small = {"model_info": {"general.architecture": "x", "x.context_length": 2048}}
    long = Request(0, "m", (Message("user", "word " * 4000),))
    with window_server(given(small)) as server:
        async with closing(opened("ollama", server)) as backend:
            found = await failure(backend, long)
            assert (await backend.complete(REQUEST)).text == "yes"
    assert (found.kind, found.final) == ("bad_request", True)
    assert server.paths() == ["/api/show", "/api/chat"]


@pytest.mark.parametrize("show", [Given(500), Given(200, b"<html>"), Given(405), given({}), given([])])
async def test_a_window_that_nobody_tells_costs_nothing(show: Given) -> None:
    with window_server(show) as server:
        async with closing(opened("ollama", server)) as backend:
            for _ in range(2):
                assert (await backend.complete(REQUEST)).text == "yes"
    assert server.paths() == ["/api/show", "/api/chat", "/api/chat"]


async def test_a_model_that_is_not_installed_is_said_before_the_call() -> None:
    with window_server(given({"error": "model 'm' not found"}, 404)) as server:
        async with closing(opened("ollama", server)) as backend:
            found = await failure(backend)
    assert (found.kind, found.final, found.status) == ("bad_request", True, 404)
    assert found.mend == "Install it with: ollama pull m"
    assert server.paths() == ["/api/show"]


async def test_a_prompt_that_the_server_cut_is_a_failure() -> None:
    long = Request(0, "m", (Message("user", "word " * 10_000),))
    with window_server(given(SHOWN), ollama("yes", prompt_eval_count=2050)) as server:
        async with closing(opened("ollama", server)) as backend:
            found = await failure(backend, long)
    assert "cut the prompt" in found.message
