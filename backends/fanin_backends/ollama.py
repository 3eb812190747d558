"""Ollama's native API. Address: `OLLAMA_HOST`. Key: none, `OLLAMA_API_KEY` is sent where it is set.

Without a model the one that is installed is asked. Source: ollama/ollama, `docs/api.md` and
`api/types.go` (`ChatRequest`, `ChatResponse`, `ShowResponse`, `ListResponse`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

import anyio

from fanin.answers.tool_steps import as_sent, heard
from fanin.backend import Backend, Capabilities
from fanin.context import RUN_INDEX
from fanin.errors import CallError, MissingKeyError
from fanin.policy.redaction import Redaction
from fanin.values import Completion, Finish, Request, Usage
from fanin_backends import ollama_window
from fanin_backends.address import Address
from fanin_backends.chat import refusable, tools_of
from fanin_backends.choosing import only_model, unnamed_model
from fanin_backends.connections import Connections
from fanin_backends.keyless import keyless_completion, keyless_error
from fanin_backends.ollama_host import KEY_VARIABLE, host_address, host_and_port
from fanin_backends.refusals import Asked, error_inside, refusal
from fanin_backends.wire import (
    Reply,
    content_text,
    count,
    field,
    mean_logprob,
    names_of,
    read_json,
    text_field,
    tool_calls,
)

__all__ = ["OllamaBackend", "completion", "host_and_port", "open_backend", "request_body"]

_CLOUD = "https://ollama.com"
_START = "Is Ollama running there? Start it with: ollama serve"
USUAL_AT_ONCE = 4
"""Requests at once that a server is taken to carry out where it does not say."""
MOST_AT_ONCE = 1_000
"""A larger number is taken for a mistake."""
_FINISH: dict[str, Finish] = {"stop": "stop", "length": "length"}
_THINK: dict[str, str | bool] = {"none": False, "minimal": "low", "xhigh": "high"}
"""Efforts that Ollama words otherwise: its levels are `low`, `medium` and `high`."""


def open_backend(
    *,
    base_url: str | None = None,
    key: str | None = None,
    environ: Mapping[str, str],
    replaying: bool = False,
) -> Backend:
    """Ollama at `base_url` (any form of `OLLAMA_HOST`), else at `OLLAMA_HOST`, else on this machine.

    Raises InputError for an address that cannot be used, MissingKeyError for ollama.com without a key.
    When `replaying` no key is needed and no call but the chat itself is made.
    """
    address = host_address(base_url, key=key, environ=environ)
    if address.base_url == _CLOUD and address.authorization is None and not replaying:
        raise MissingKeyError("ollama", KEY_VARIABLE)
    at_once = None if address.base_url == _CLOUD else _at_once(environ)
    return OllamaBackend(address, replaying=replaying, at_once=at_once)


def _at_once(environ: Mapping[str, str]) -> int:
    """How many requests the server is first taken to carry out at once.

    `OLLAMA_NUM_PARALLEL` is the server's own setting; 0 leaves it to the server, which then takes up to
    four where memory allows (Ollama, FAQ, "How does Ollama handle concurrent requests?").
    """
    told = environ.get("OLLAMA_NUM_PARALLEL", "").strip()
    return int(told) if told.isdecimal() and 1 <= int(told) <= MOST_AT_ONCE else USUAL_AT_ONCE


def parameters(request: Request) -> dict[str, str]:
    """The optional parameters that are sent: name on the wire -> name in the request."""
    wire_names = {"temperature": "temperature", "seed": "seed", "num_predict": "max_tokens"}
    if request.logprobs:
        wire_names["logprobs"] = "logprobs"
    wire_names["think"] = "reasoning_effort"
    return {
        wire_name: name
        for wire_name, name in wire_names.items()
        if getattr(request, name) is not None and name not in request.without
    }


def request_body(request: Request) -> bytes:
    """The JSON body of a chat; the same bytes for the same request."""
    options = {wire_name: getattr(request, name) for wire_name, name in parameters(request).items()}
    # No option of the model's; older servers pass it by.
    logprobs = options.pop("logprobs", None)
    effort = options.pop("think", None)
    body: dict[str, object] = {
        "model": request.model,
        "messages": _messages(request),
        "stream": False,
        # Asks for a refusal in place of a prompt that was cut without a word; older servers pass
        # both by.
        "truncate": False,
        "shift": False,
        "options": {**options, "num_ctx": ollama_window.window(request)},
    }
    if logprobs:
        body["logprobs"] = True
    if effort is not None:
        body["think"] = _THINK.get(effort, effort)
    if request.tools:
        body["tools"] = tools_of(request)
    if request.schema is not None:
        body["format"] = json.loads(request.schema)
    return json.dumps(body, separators=(",", ":")).encode("ascii")


def _messages(request: Request) -> list[dict[str, object]]:
    """The chat on the wire: arguments are objects, and a result says which tool it is of."""
    names = {call.id: call.name for message in request.messages for call in message.tool_calls}
    found = []
    for message in request.messages:
        shown: dict[str, object] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            shown["tool_calls"] = [
                {"id": call.id, "function": {"name": call.name, "arguments": json.loads(call.arguments)}}
                for call in message.tool_calls
            ]
        if message.tool_call_id is not None:
            shown |= {"tool_name": names.get(message.tool_call_id, ""), "tool_call_id": message.tool_call_id}
        found.append(shown)
    return found


def completion(reply: Reply, request: Request, asked: Asked, now_s: float) -> Completion:
    """What the model answered. Raises CallError for everything that is no answer, and for an answer
    to a prompt that was cut. `now_s` is Unix time in seconds."""
    if not 200 <= reply.status <= 299:
        raise refusal(reply, asked, now_s)
    data = _last_value(reply.body)
    if error := field(data, "error"):
        raise error_inside(reply, error, asked, now_s)
    message = field(data, "message")
    if not isinstance(message, dict):
        raise CallError("malformed", "The answer holds no message of the model.", status=reply.status)
    reason = field(data, "done_reason")
    if field(data, "done") is False or reason in ("load", "unload"):
        raise CallError("malformed", "The server ended before the model did.", status=reply.status)
    read_tokens = count(field(data, "prompt_eval_count"))
    ollama_window.check_whole(request, read_tokens)
    text = content_text(message.get("content"))
    finish: Finish = _FINISH.get(reason, "other") if isinstance(reason, str) else "stop"
    calls = tool_calls(message.get("tool_calls"))
    if calls and not text:
        finish = "tool_calls"
    usage = Usage(read_tokens, count(field(data, "eval_count")))
    logprob = mean_logprob(field(data, "logprobs"))
    return Completion(text, finish, usage, text_field(data, "model"), reply.limit_headers, calls, logprob)


def _last_value(body: bytes) -> object:
    """The JSON value of the body; of its last line where a line with an error follows others."""
    try:
        return read_json(body)
    except CallError:
        last = body.rstrip().rpartition(b"\n")[2]
        if b'"error"' not in last:
            raise
        return read_json(last)


class OllamaBackend:
    """A backend that speaks Ollama's native API."""

    def __init__(self, address: Address, *, replaying: bool = False, at_once: int | None = None) -> None:
        self.name: str = "ollama"
        self.capabilities = Capabilities(
            structured=True, max_temperature=2.0, tools=True, logprobs=True, at_once=at_once
        )
        self.account: str = address.account
        self.base_url: str | None = address.base_url
        self._replaying = replaying
        self._server = address.base_url
        self._redaction = Redaction(address.secrets)
        self._connections = Connections(address, mend=_START)
        self._windows: dict[str, int | None] = {}
        self._asking: dict[str, anyio.Lock] = {}

    async def resolve(self, models: tuple[str, ...]) -> tuple[str, ...]:
        """The models given, else the only one that is installed.

        Raises FaninError with the list where there are several, CallError where none can be had.
        """
        self._connections.make_ready()
        if models:
            return models
        if self._replaying:
            raise unnamed_model()
        try:
            reply = await self._connections.get("/api/tags")
            if not 200 <= reply.status <= 299:
                raise refusal(reply, self._asked(), time.time())
            installed = names_of(field(read_json(reply.body), "models"), "name")
        except CallError as error:
            raise keyless_error(error, self._redaction) from None
        clean = tuple(map(self._redaction.clean, installed))
        return (only_model(clean, f"Ollama at {self._server}", "Install one, as with: ollama pull qwen3"),)

    async def complete(self, request: Request) -> Completion:
        """One call. Raises CallError."""
        sent = as_sent(request)
        asked = self._asked(request.model, refusable(sent, parameters(sent)))
        try:
            trained = None if self._replaying else await self._window(request.model, asked)
            ollama_window.check_fits(sent, trained)
            reply = await self._connections.post("/api/chat", request_body(sent))
            answer = heard(completion(reply, sent, asked, time.time()), request)
        except CallError as error:
            raise keyless_error(error, self._redaction) from None
        return keyless_completion(answer, self._redaction)

    async def aclose(self) -> None:
        """Closes the client; safe to call twice."""
        await self._connections.aclose()

    async def _window(self, model: str, asked: Asked) -> int | None:
        """The model's own window, asked for once; None where the server does not tell."""
        if model in self._windows:
            return self._windows[model]
        async with self._asking.setdefault(model, anyio.Lock()):
            if model not in self._windows:
                self._windows[model] = await self._ask_window(model, asked)
        return self._windows[model]

    async def _ask_window(self, model: str, asked: Asked) -> int | None:
        # It belongs to no run, so a tape must not file it under the one that happens to come first.
        outside = RUN_INDEX.set(None)
        try:
            reply = await self._connections.post("/api/show", json.dumps({"model": model}).encode())
        finally:
            RUN_INDEX.reset(outside)
        if reply.status == 404:
            raise refusal(reply, asked, time.time())
        try:
            return ollama_window.trained_window(read_json(reply.body)) if reply.status == 200 else None
        except CallError:
            return None

    def _asked(self, model: str = "", sent: Mapping[str, str] = {}) -> Asked:
        pull = f"Install it with: ollama pull {model}"
        return Asked(self.name, self._server, KEY_VARIABLE, model, sent, no_model=pull)
