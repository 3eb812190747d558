"""A small model server for tests, on 127.0.0.1: it answers what a script says and remembers what came.

    with StandIn([chat("Answer: yes"), error(429, "slow down")]) as server:
        backend = openai.open_backend(base_url=server.url + "/v1", key="k", environ={})

The answers are given in the order of the script; the last one goes on for ever. Answers to GET
(`/api/tags`, `/v1/models`) and to `/api/show` are named by their path and stand beside the script. It
runs in a thread of its own, so that any event loop, or none, can talk to it.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import attrs

MOST_CALLS = 10_000
MOST_BYTES = 32 * 1024 * 1024


@attrs.frozen
class Given:
    """One answer: status, headers and body, or raw bytes after which the connection is closed."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    raw: bytes | None = None


@attrs.frozen
class Seen:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        """The body as an object."""
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


def given(value: object, status: int = 200, **headers: str) -> Given:
    """An answer that holds JSON; `_` in a header's name stands for `-`."""
    named = tuple((name.replace("_", "-"), text) for name, text in headers.items())
    return Given(status, json.dumps(value).encode(), (("content-type", "application/json"), *named))


def chat(text: object, finish: str | None = "stop", status: int = 200, **headers: str) -> Given:
    """An answer of the OpenAI-shaped wire, with `text` as the content."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": finish,
        "logprobs": None,
    }
    value = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "stand-in",
        "choices": [choice],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }
    return given(value, status, **headers)


def ollama(text: object, reason: str | None = "stop", **more: object) -> Given:
    """An answer of Ollama's native wire."""
    value = {
        "model": "stand-in",
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": text},
        "done": True,
        "done_reason": reason,
        "prompt_eval_count": 7,
        "eval_count": 3,
    }
    return given({**value, **more})


def error(status: int, message: str, **facts: object) -> Given:
    """A refusal of the OpenAI-shaped wire; `facts` stand beside the message (`code`, `type`, `param`)."""
    return given({"error": {"message": message, **facts}}, status)


def zipped(answer: Given) -> Given:
    """The same answer, compressed."""
    headers = (*answer.headers, ("content-encoding", "gzip"))
    return attrs.evolve(answer, body=gzip.compress(answer.body), headers=headers)


class _Server(ThreadingHTTPServer):
    request_queue_size = 512
    block_on_close = False  # threads that hold a client's idle connection are not waited for


class StandIn:
    """The server; use it in a `with` block."""

    def __init__(self, script: Sequence[Given] = (), named: Mapping[str, Given] = {}) -> None:
        self._script = list(script)
        self._named = named
        self._lock = threading.Lock()
        self.seen: list[Seen] = []
        """Every request, in the order they came."""
        self._http = _Server(("127.0.0.1", 0), _answering(self))
        self.port: int = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> StandIn:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def paths(self) -> list[str]:
        """The paths that were asked for, in order."""
        return [seen.path for seen in self.seen]

    def answer(self, seen: Seen) -> Given:
        """What is answered to a request; remembers it."""
        with self._lock:
            self.seen.append(seen)
            if len(self.seen) > MOST_CALLS:
                return Given(500)
            if seen.path in self._named:
                return self._named[seen.path]
            if seen.method == "GET" or not self._script:
                return Given(404, b"404 page not found")
            return self._script.pop(0) if len(self._script) > 1 else self._script[0]


def _answering(standin: StandIn) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def _answer(self, method: str) -> None:
            length = min(int(self.headers.get("content-length") or 0), MOST_BYTES)
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = standin.answer(Seen(method, self.path, headers, self.rfile.read(length)))
            if answer.raw is not None:
                self.wfile.write(answer.raw)
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def handle(self) -> None:
            with suppress(ConnectionError):  # the client may leave
                super().handle()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return Answering
