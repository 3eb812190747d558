"""The OpenAI-shaped wire: what a request looks like, how an answer is read, and the backend on it.

Source: OpenAI API reference, "Create chat completion"; Groq API reference, "Chat". `request_body`
and `completion` are pure; `ChatBackend` is the edge that sends.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

import attrs

from fanin.answers.tool_steps import as_sent, heard
from fanin.backend import Capabilities
from fanin.errors import CallError, MissingKeyError
from fanin.policy.redaction import Redaction
from fanin.values import Completion, Finish, Request, Usage
from fanin_backends.address import Address, address
from fanin_backends.connections import Connections
from fanin_backends.keyless import keyless_completion, keyless_error
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

_PATH = "/chat/completions"
_LIMITS = ("max_tokens", "max_completion_tokens")

_FINISH: dict[str, Finish] = {
    "stop": "stop",
    "end_turn": "stop",
    "eos": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
    "refusal": "refusal",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}


@attrs.frozen
class Dialect:
    """In what a provider's wire differs from another's."""

    name: str
    """The backend's name."""
    own_url: str
    """The provider's own base URL, where a key is needed."""
    key_variable: str
    """The environment variable that holds the key."""
    default_model: str
    """What is asked where nobody says."""
    token_limit: str = "max_tokens"
    """What the limit of the answer's tokens is called."""
    logprobs: bool = True
    """Whether it tells log-probabilities, at least for some models."""
    mend: str = "Is there a network, and is the base URL right?"
    """What to do where nothing answers."""

    def address(
        self,
        url: str | None,
        *,
        key: str | None,
        environ: Mapping[str, str],
        replaying: bool,
        field: str = "base_url",
    ) -> Address:
        """The provider's own address, where a key is needed, or `url`, where one is sent if there is one.

        Raises MissingKeyError, unless a tape replays, and InputError about `field`.
        """
        url = url or self.own_url
        found = address(url, key=key, environ=environ, variable=self.key_variable, field=field)
        if found.base_url == self.own_url and found.authorization is None and not replaying:
            raise MissingKeyError(self.name, self.key_variable)
        return found


def parameters(request: Request, token_limit: str = "max_tokens") -> dict[str, str]:
    """The optional parameters that are sent: name on the wire -> name in the request.

    A model that refuses the limit under one name is sent it under the other.
    """
    if "max_tokens" in request.without:
        token_limit = next(name for name in _LIMITS if name != token_limit)
    given = {
        "temperature": request.temperature,
        "seed": request.seed,
        "reasoning_effort": request.reasoning_effort,
        "logprobs": request.logprobs or None,
    }
    sent = {name: name for name, value in given.items() if value is not None and name not in request.without}
    return sent if request.max_tokens is None else {**sent, token_limit: "max_tokens"}


def request_body(request: Request, token_limit: str = "max_tokens") -> bytes:
    """The JSON body of a call; the same bytes for the same request. Text that is no valid Unicode
    (a lone surrogate) is sent escaped."""
    body: dict[str, object] = {"model": request.model, "messages": messages_of(request)}
    if request.tools:
        body["tools"] = tools_of(request)
    for wire_name, name in parameters(request, token_limit).items():
        body[wire_name] = getattr(request, name)
    if request.schema is not None:
        schema = {"name": "answer", "strict": True, "schema": json.loads(request.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return json.dumps(body, separators=(",", ":")).encode("ascii")


def messages_of(request: Request) -> list[dict[str, object]]:
    """The chat on the wire; a message with tool calls and without a text has null for its content."""
    found = []
    for message in request.messages:
        shown: dict[str, object] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            shown["content"] = message.content or None
            shown["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in message.tool_calls
            ]
        if message.tool_call_id is not None:
            shown["tool_call_id"] = message.tool_call_id
        found.append(shown)
    return found


def tools_of(request: Request) -> list[dict[str, object]]:
    """The tools on the wire."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": json.loads(tool.parameters),
            },
        }
        for tool in request.tools
    ]


def refusable(request: Request, sent: Mapping[str, str]) -> dict[str, str]:
    """What can be asked without, name on the wire -> name in the request: the parameters that are `sent`,
    the tools, and the schema of a next step, which takes their place."""
    found = dict(sent)
    if request.tools:
        found["tools"] = "tools"
    if request.tools_in_prompt and request.schema is not None:
        found["response_format"] = "schema"
    return found


def completion(reply: Reply, asked: Asked, now_s: float) -> Completion:
    """What the model answered. Raises CallError for everything that is no answer.

    Null or empty content is an empty text: the model may say nothing. `now_s` is Unix time in seconds.
    """
    if not 200 <= reply.status <= 299:
        raise refusal(reply, asked, now_s)
    data = read_json(reply.body)
    choices = field(data, "choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    error = field(data, "error") or field(choice, "error")
    if error:
        raise error_inside(reply, error, asked, now_s)
    message = field(choice, "message")
    if not isinstance(message, dict):
        raise CallError("malformed", "The answer holds no message of the model.", status=reply.status)
    text = content_text(message.get("content"))
    refused = text_field(message, "refusal")
    return Completion(
        text or refused or "",
        "refusal" if refused else _finish(field(choice, "finish_reason")),
        Usage(count(field(data, "usage", "prompt_tokens")), count(field(data, "usage", "completion_tokens"))),
        text_field(data, "model"),
        reply.limit_headers,
        tool_calls(message.get("tool_calls")),
        mean_logprob(field(choice, "logprobs", "content")),
    )


def _finish(reason: object) -> Finish:
    return _FINISH.get(reason, "other") if isinstance(reason, str) else "stop"


class ChatBackend:
    """A backend that speaks the OpenAI-shaped wire."""

    def __init__(self, dialect: Dialect, address: Address) -> None:
        self.name: str = dialect.name
        self.capabilities = Capabilities(
            structured=True, max_temperature=2.0, tools=True, logprobs=dialect.logprobs
        )
        self.account: str = address.account
        self.base_url: str | None = address.base_url
        self._dialect = dialect
        self._redaction = Redaction(address.secrets)
        self._connections = Connections(address, mend=dialect.mend)

    async def resolve(self, models: tuple[str, ...]) -> tuple[str, ...]:
        """The models given, or the provider's default."""
        self._connections.make_ready()
        return models or (self._dialect.default_model,)

    async def complete(self, request: Request) -> Completion:
        """One call. Raises CallError."""
        token_limit = self._dialect.token_limit
        sent = as_sent(request)
        asked = self._asked(request.model, refusable(sent, parameters(sent, token_limit)))
        try:
            reply = await self._connections.post(_PATH, request_body(sent, token_limit))
            answer = heard(completion(reply, asked, time.time()), request)
        except CallError as error:
            raise keyless_error(error, self._redaction) from None
        return keyless_completion(answer, self._redaction)

    async def listed_models(self) -> tuple[str, ...]:
        """The models that the server says it serves, in its order. Raises CallError."""
        try:
            reply = await self._connections.get("/models")
            if not 200 <= reply.status <= 299:
                raise refusal(reply, self._asked(), time.time())
            data = read_json(reply.body)
        except CallError as error:
            raise keyless_error(error, self._redaction) from None
        return tuple(map(self._redaction.clean, names_of(field(data, "data"), "id")))

    async def aclose(self) -> None:
        """Closes the client; safe to call twice."""
        await self._connections.aclose()

    def _asked(self, model: str = "", sent: Mapping[str, str] = {}) -> Asked:
        return Asked(self.name, self.base_url or "", self._dialect.key_variable, model, sent)
