"""Every other provider, through litellm (`-m provider/model`). The only module that imports litellm.

litellm takes seconds to import, so that is put off until a model is named. It runs on asyncio only.
Keys: `key`, else what litellm finds in the environment (`ANTHROPIC_API_KEY`, `MISTRAL_API_KEY`, ...);
an address of one's own gets the provider's `..._API_KEY` alone. Source: litellm 1.106, documentation
("Input Params", "Output", "Exception Mapping") and source.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import warnings
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, cast

from fanin.answers.tool_steps import as_sent, heard
from fanin.backend import Capabilities
from fanin.errors import CallError, EventLoopError, FaninError, InputError, MissingExtraError
from fanin.policy.redaction import Redaction
from fanin.values import Completion, Finish, Request, Usage
from fanin_backends.address import Address, address, without_login
from fanin_backends.chat import messages_of, parameters, refusable, tools_of
from fanin_backends.keyless import keyless_completion, keyless_error
from fanin_backends.litellm_clients import Clients
from fanin_backends.litellm_errors import call_error, limit_headers
from fanin_backends.refusals import Asked
from fanin_backends.wire import Headers, content_text, count, tool_calls

_SECRETS = ("_API_KEY", "_ACCESS_KEY", "_TOKEN", "_SECRET")

_FINISH: dict[object, Finish] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}


class Library(Protocol):
    """What is used of litellm; it is not installed everywhere, and its own types take a minute to check."""

    suppress_debug_info: bool
    disable_hf_tokenizer_download: bool
    in_memory_llm_clients_cache: Any

    async def acompletion(self, **settings: object) -> Any:
        """One call."""

    def get_llm_provider(self, model: str) -> tuple[str, str, str | None, str | None]:
        """(model, provider, key, address) of a name; raises where no provider can be told."""

    def ModelResponse(self) -> object:  # noqa: N802 - litellm's name
        """An empty answer."""


@cache
def library() -> Library:
    """litellm, imported and made quiet. What the environment already says of it stands."""
    # Else it fetches a price table from the network, and loads a file `.env` from a folder above its
    # own (a project's, around its virtual environment), with whatever addresses and keys that names.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = cast(Library, import_module("litellm"))
        found.ModelResponse()  # completes types that would otherwise warn in the first call
    found.suppress_debug_info = True
    found.disable_hf_tokenizer_download = True
    return found


@cache
def provider(model: str) -> str:
    """The provider of a model, as litellm names it; empty where litellm knows none."""
    try:
        return library().get_llm_provider(model)[1]
    except Exception:  # noqa: BLE001 - litellm's errors share no other base
        return ""


class LiteLLM:
    """The backend `litellm`: whatever provider a model's name begins with.

    litellm follows redirects and bounds no answer's size, which the other backends do not and do; it
    counts tokens itself where a provider tells none.
    """

    name = "litellm"
    capabilities = Capabilities(structured=True, tools=True)

    def __init__(
        self, base_url: str | None, key: str | None, environ: Mapping[str, str], *, replaying: bool
    ) -> None:
        self.base_url = base_url
        self.account = Address(base_url or self.name, f"Bearer {key}" if key else None).account
        self._key = key
        self._environ = environ
        self._replaying = replaying
        named = (value.strip() for name, value in environ.items() if name.upper().endswith(_SECRETS))
        self._redaction = Redaction([*named, key or ""])
        self._clients: Clients | None = None
        self._closed = False

    async def resolve(self, models: tuple[str, ...]) -> tuple[str, ...]:
        """The models given; there is no default.

        Raises FaninError where there is none, InputError for one whose provider litellm does not
        know, EventLoopError on trio.
        """
        _check_loop()
        if not models:
            mend = "Name it with its provider: -m provider/model, as in -m mistral/mistral-small-latest."
            raise FaninError("the backend litellm has no default model", mend=mend)
        for model in models:
            if not provider(model):
                mend = "For a server that speaks like OpenAI's: -m openai/NAME --base-url URL."
                raise InputError(
                    "model", "provider/model, with a provider that litellm knows", model, mend=mend
                )
        return models

    async def complete(self, request: Request) -> Completion:
        """One call. Raises CallError, EventLoopError on trio, and a replay's miss as it comes."""
        _check_loop()
        if self._closed:
            raise FaninError("the backend is closed", mend="Open it again: `async with fanin.connect(...)`.")
        litellm = library()
        self._clients = self._clients or Clients.of_this_loop(litellm.in_memory_llm_clients_cache)
        sent = as_sent(request)
        variable = f"{provider(request.model).upper()}_API_KEY"
        named = refusable(sent, parameters(sent))
        asked = Asked(self.name, self.base_url or request.model, variable, request.model, named)
        try:
            answer = await litellm.acompletion(**self._settings(sent, parameters(sent), variable))
            read = heard(_completion(answer), request)
        except Exception as error:  # noqa: BLE001 - what litellm raises is of no one kind
            found = call_error(error, asked, time.time())
            raise keyless_error(found, self._redaction) if isinstance(found, CallError) else found from None
        return keyless_completion(read, self._redaction)

    async def aclose(self) -> None:
        """Closes the clients that litellm opened for this backend; safe to call twice."""
        self._closed = True
        clients, self._clients = self._clients, None
        if clients is not None:
            await clients.aclose()

    def _settings(self, request: Request, sent: Mapping[str, str], variable: str) -> dict[str, object]:
        settings: dict[str, object] = {
            "model": request.model,
            "messages": messages_of(request),
            # The conductor is the one layer of retries.
            "max_retries": 0,
            "num_retries": 0,
        }
        settings |= {wire_name: getattr(request, name) for wire_name, name in sent.items()}
        if request.tools:
            settings["tools"] = tools_of(request)
            # Else it imports its gateway for MCP with every such call, which needs a package of its own.
            settings["_skip_mcp_handler"] = True
        if request.schema is not None:
            schema = {"name": "answer", "strict": True, "schema": json.loads(request.schema)}
            settings["response_format"] = {"type": "json_schema", "json_schema": schema}
        if self.base_url is not None:
            settings["api_base"] = self.base_url
        if key := self._key_for(variable):
            settings["api_key"] = key
        return settings

    def _key_for(self, variable: str) -> str | None:
        if self._key or (self.base_url is None and not self._replaying):
            return self._key
        # litellm would look into the process's environment, and that may hold a key which this
        # address must not get. Many servers want no key; litellm wants one to be there.
        return self._environ.get(variable, "").strip() or "none"


def open_backend(
    *,
    base_url: str | None = None,
    key: str | None = None,
    environ: Mapping[str, str],
    replaying: bool = False,
) -> LiteLLM:
    """The entry point of the backend `litellm`. `base_url` is where all calls go, whatever the provider.

    Raises MissingExtraError where litellm is not installed, InputError for an address that cannot be
    used. When `replaying` no key is needed.
    """
    if find_spec("litellm") is None:
        raise MissingExtraError("the backend litellm", "litellm")
    if base_url is not None:
        found = address(base_url, key=None, environ={}, variable="")
        if found.authorization is not None:
            raise InputError("base_url", "without a user name and password", without_login(base_url))
        base_url = found.base_url
    return LiteLLM(base_url, (key or "").strip() or None, environ, replaying=replaying)


def _check_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        mend = "Run it with asyncio, or use the backends groq, openai or ollama, which run on trio too."
        raise EventLoopError("the backend litellm runs on asyncio only", mend=mend) from None


def _completion(answer: Any) -> Completion:
    """What the model answered, from litellm's copy of OpenAI's answer object."""
    if not answer.choices:
        raise CallError("malformed", "The answer holds no message of the model.")
    choice = answer.choices[0]
    text = content_text(choice.message.content)
    fields: Mapping[str, Any] = getattr(choice.message, "provider_specific_fields", None) or {}
    refused = fields.get("refusal") or ""
    usage = getattr(answer, "usage", None)
    return Completion(
        text or refused,
        "refusal" if refused else _FINISH.get(choice.finish_reason, "other"),
        # A provider that tells no usage is given zeros by litellm.
        Usage(
            count(getattr(usage, "prompt_tokens", None)) or None,
            count(getattr(usage, "completion_tokens", None)) or None,
        ),
        answer.model,
        _sent_headers(answer),
        tool_calls([call.model_dump() for call in choice.message.tool_calls or ()]),
    )


def _sent_headers(answer: Any) -> Headers:
    hidden: Mapping[str, Any] = getattr(answer, "_hidden_params", None) or {}
    return tuple(pair for pair in limit_headers(hidden.get("headers")) if pair[0] != "location")
