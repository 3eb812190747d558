"""One tape for every usual HTTP client: recorded from a server on this machine, replayed without it."""

from __future__ import annotations

import gzip
import json
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from standin import StandIn, chat, ollama

from fanin.errors import CassetteError, CassetteMissError
from fanin.taping import storage, tape
from fanin.taping.recording import TapedResponse

MESSAGES = [{"role": "user", "content": "Is 1009 a prime number?"}]
BODY = {"model": "m", "messages": MESSAGES}
SENT = json.dumps(BODY).encode()
EVENTS = b'data: {"n": 1}\n\ndata: {"n": 2}\n\ndata: [DONE]\n\n'


class _Model(BaseHTTPRequestHandler):
    """Answers like an OpenAI-compatible server: every time something else, and compressed."""

    protocol_version = "HTTP/1.1"
    numbers = count()

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked.get("stream"):
            self._answer(200, EVENTS, "text/event-stream")
            return
        choice = {"index": 0, "finish_reason": "stop"}
        choice["message"] = {"role": "assistant", "content": f"Answer: {next(self.numbers)}"}
        answer = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        self._answer(200, json.dumps(answer).encode(), "application/json")

    def do_GET(self) -> None:
        if self.path == "/old":
            self._answer(302, b"", "text/plain", ("location", "/new"))
        else:
            self._answer(429, b'{"error":"wait"}', "application/json", ("retry-after", "2"))

    def _answer(self, status: int, body: bytes, kind: str, *headers: tuple[str, str]) -> None:
        body = gzip.compress(body) if "gzip" in self.headers.get("accept-encoding", "") else body
        self.send_response(status)
        for name, value in (*headers, ("content-type", kind), ("set-cookie", "session=1")):
            self.send_header(name, value)
        if body[:2] == b"\x1f\x8b":
            self.send_header("content-encoding", "gzip")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Server:
    """The server, and the way to end it before a replay."""

    def __init__(self) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Model)
        # Threads that hold a client's idle connection are not waited for.
        self._http.block_on_close = False
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def end(self) -> None:
        """From now on every connection is refused."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
            self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.end()


def _said(answer: Any) -> str:
    return str(answer["choices"][0]["message"]["content"])


def ask_httpx2(url: str) -> list[str]:
    with httpx2.Client(base_url=url) as http:
        said = [_said(http.post("/v1", json=BODY).json()) for _ in range(2)]
        with http.stream("POST", "/v1", json=BODY | {"stream": True}) as response:
            streamed = list(response.iter_lines())
        limited = http.get("/limit")
        return [*said, *streamed, str(limited.status_code), limited.headers["retry-after"], limited.text]


def ask_httpx(url: str) -> list[str]:
    httpx = pytest.importorskip("httpx")
    with httpx.Client(base_url=url) as http:
        return [*(_said(http.post("/v1", json=BODY).json()) for _ in range(2)), http.get("/limit").text]


def ask_urllib(url: str) -> list[str]:
    said = []
    for _ in range(2):
        with urllib.request.urlopen(urllib.request.Request(f"{url}/v1", SENT)) as response:
            said.append(_said(json.load(response)))
    return said


def ask_requests(url: str) -> list[str]:
    requests = pytest.importorskip("requests")
    with requests.Session() as http:
        # A redirect and a cookie jar, as foreign code may have them.
        return [
            *(_said(http.post(f"{url}/v1", json=BODY).json()) for _ in range(2)),
            http.get(f"{url}/old").text,
        ]


def ask_urllib3(url: str) -> list[str]:
    urllib3 = pytest.importorskip("urllib3")
    with urllib3.PoolManager(retries=False) as http:
        return [_said(http.request("POST", f"{url}/v1", json=BODY).json()) for _ in range(2)]


@pytest.mark.parametrize("ask", [ask_httpx2, ask_httpx, ask_urllib, ask_requests, ask_urllib3])
def test_a_client_gets_its_answers_again_without_a_server(server: Server, tmp_path: Path, ask: Any) -> None:
    with tape(tmp_path / "x.json", mode="all"):
        answers = ask(server.url)
    server.end()
    with tape(tmp_path / "x.json"):
        assert ask(server.url) == answers
    assert answers[0] != answers[1]
    _nothing_volatile(tmp_path / "x.json")


def _nothing_volatile(path: Path) -> None:
    for each in storage.load(str(path)).interactions:
        assert isinstance(each.outcome, TapedResponse)
        assert each.outcome.headers.keys() <= {"content-type", "retry-after", "location"}
        assert each.outcome.body is None or each.outcome.body.kind in ("json", "text")


@pytest.mark.anyio
async def test_httpx2_on_both_event_loops(server: Server, tmp_path: Path) -> None:
    async def ask() -> list[str]:
        async with httpx2.AsyncClient(base_url=server.url) as http:
            said = [_said((await http.post("/v1", json=BODY)).json()) for _ in range(2)]
            async with http.stream("POST", "/v1", json=BODY | {"stream": True}) as response:
                return [*said, *[line async for line in response.aiter_lines()]]

    with tape(tmp_path / "x.json", mode="all"):
        answers = await ask()
    server.end()
    with tape(tmp_path / "x.json"):
        assert await ask() == answers


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_aiohttp(server: Server, tmp_path: Path) -> None:
    aiohttp = pytest.importorskip("aiohttp")

    async def ask() -> list[str]:
        async with aiohttp.ClientSession() as http:
            said = []
            for sent in ({"json": BODY}, {"data": SENT}):
                async with http.post(f"{server.url}/v1", **sent) as response:
                    said.append(_said(await response.json()))
            async with http.get(f"{server.url}/old") as response:
                return [*said, str(response.status), str(response.url), await response.text()]

    with tape(tmp_path / "x.json", mode="all"):
        answers = await ask()
    server.end()
    with tape(tmp_path / "x.json"):
        assert await ask() == answers
    _nothing_volatile(tmp_path / "x.json")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_body_that_cannot_be_taped_is_refused_before_it_is_sent(
    server: Server, tmp_path: Path
) -> None:
    aiohttp = pytest.importorskip("aiohttp")
    form = aiohttp.FormData({"file": "abc"})

    async def ask() -> None:
        with tape(tmp_path / "x.json", mode="all"):
            async with aiohttp.ClientSession() as http:
                await http.post(f"{server.url}/v1", data=form)

    with pytest.raises(CassetteError, match="a body of the type FormData cannot be taped"):
        await ask()
    assert not (tmp_path / "x.json").exists()


def test_a_tape_made_by_one_client_serves_another(server: Server, tmp_path: Path) -> None:
    with tape(tmp_path / "x.json", mode="all"):
        answers = ask_urllib(server.url)
    server.end()
    with tape(tmp_path / "x.json"):
        assert ask_httpx2_alone(server.url) == answers


def ask_httpx2_alone(url: str) -> list[str]:
    with httpx2.Client(base_url=url) as http:
        return [_said(http.post("/v1", json=BODY).json()) for _ in range(2)]


@pytest.mark.parametrize("ask", [ask_httpx2, ask_httpx, ask_urllib, ask_requests, ask_urllib3])
def test_a_miss_reaches_no_network_and_leaves_every_client_as_itself(
    server: Server, tmp_path: Path, ask: Any
) -> None:
    with tape(tmp_path / "x.json", mode="all"):
        ask_httpx2_alone(f"{server.url}/other")
    # The server still runs: whatever got through would be answered.
    with pytest.raises(CassetteMissError, match="What differs: the URL is"), tape(tmp_path / "x.json"):
        ask(server.url)


@pytest.mark.slow  # importing the client takes seconds
def test_the_openai_client_and_a_miss_that_it_wraps(server: Server, tmp_path: Path) -> None:
    openai = pytest.importorskip("openai")

    def ask(**changes: Any) -> str:
        # No retries: the client would wait between them.
        with openai.OpenAI(base_url=server.url, api_key="sk-abcdefghijklmnop1234", max_retries=0) as http:
            return str(http.chat.completions.create(**(BODY | changes)).choices[0].message.content)

    with tape(tmp_path / "x.json", mode="all"):
        answer = ask()
    server.end()
    with tape(tmp_path / "x.json"):
        assert ask() == answer
    assert "sk-" not in (tmp_path / "x.json").read_text()
    with pytest.raises(CassetteMissError, match=r"temperature is 1"), tape(tmp_path / "x.json"):
        ask(temperature=1)


# The clients of providers, against the same stand-in that fanin's own backends are tested with


@pytest.mark.slow  # importing the client takes seconds
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_openai_client_streams_and_asks_at_the_same_time(tmp_path: Path) -> None:
    openai = pytest.importorskip("openai")
    answers = [chat(f"Answer: {number}") for number in range(6)]

    async def ask(url: str) -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="test", max_retries=0) as http:
            said = [""] * 6

            async def one(place: int) -> None:
                made = await http.chat.completions.create(**BODY)
                said[place] = str(made.choices[0].message.content)

            async with anyio.create_task_group() as group:
                for place in range(6):
                    group.start_soon(one, place)
            return said

    with StandIn(answers) as standin, tape(tmp_path / "x.json", mode="all"):
        said = await ask(standin.url)
    with tape(tmp_path / "x.json"):
        # Equal calls of a foreign client: the same set of answers, not the same mapping.
        assert sorted(await ask(standin.url)) == sorted(said) == [f"Answer: {number}" for number in range(6)]


@pytest.mark.slow  # importing litellm takes seconds
@pytest.mark.filterwarnings("ignore::UserWarning")  # of its own models
def test_litellm_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openai = pytest.importorskip("openai")
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it fetches a list of prices
    litellm = pytest.importorskip("litellm")

    def ask(url: str) -> list[str]:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="test", max_retries=0) as http:
            made = [litellm.completion("openai/m", MESSAGES, client=http) for _ in range(2)]
        return [str(each.choices[0].message.content) for each in made]

    with StandIn([chat("Answer: yes"), chat("Answer: no")]) as standin, tape(tmp_path / "x.json", mode="all"):
        assert ask(standin.url) == ["Answer: yes", "Answer: no"]
    with tape(tmp_path / "x.json"):
        assert ask(standin.url) == ["Answer: yes", "Answer: no"]


@pytest.mark.slow  # imports a client
def test_the_ollama_client(tmp_path: Path) -> None:
    client = pytest.importorskip("ollama")

    def ask(url: str) -> list[str]:
        with client.Client(host=url) as http:
            return [str(http.chat(model="m", messages=MESSAGES).message.content) for _ in range(2)]

    answers = [ollama("Answer: yes"), ollama("Answer: no")]
    with StandIn(answers) as standin, tape(tmp_path / "x.json", mode="all"):
        assert ask(standin.url) == ["Answer: yes", "Answer: no"]
    with tape(tmp_path / "x.json"):
        assert ask(standin.url) == ["Answer: yes", "Answer: no"]
