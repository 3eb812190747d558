"""The backend `fake`: deterministic answers from a script, without network, for tests and for trying.

The script is the model's name (`-m yes,yes,no`) or is given in Python (`Fake(["yes", "!429:2.5>no"])`);
`fanin_backends.fake_script` holds its grammar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import attrs
from anyio import sleep

from fanin.answers.tool_steps import as_sent, heard
from fanin.backend import Capabilities
from fanin.errors import CallError, FaninError, InputError
from fanin.values import Completion, Request, Usage
from fanin_backends.fake_script import Script, Step, parse, parse_items

_parsed = lru_cache(maxsize=256)(parse)


class Fake:
    """A backend that answers from a script; what it says depends on the request alone.

    - `script`: a script (`"yes,yes,no"`), or a list of items whose commas are plain text. It holds
      whatever model is asked for; without one, each request's model is its script.
    - `keep`: remember every request, for `requests`; without it nothing is kept.

    Run i gets item i modulo their number, or draws one by its seed where the items have weights; call
    k of a run gets the item's answer k, and its last one from then on. Tokens are counted as one for
    every four characters begun. Runs on asyncio and trio; each call gives way to other tasks once, as
    a call over the network would, and a latency passes at once under a virtual clock.

    Raises InputError for a script that cannot be read.
    """

    name = "fake"
    capabilities = Capabilities(structured=True, limited=False, http=False, tools=True)
    account = "fake"
    base_url: str | None = None

    def __init__(self, script: str | Sequence[str] | None = None, *, keep: bool = False) -> None:
        self._script: Script | None = None
        self._model = "yes"
        if isinstance(script, str):
            self._script = parse(script)
            self._model = script.strip() or "yes"
        elif script is not None:
            self._script = parse_items(script)
            self._model = "fake"
        self._requests: list[Request] | None = [] if keep else None

    @property
    def requests(self) -> tuple[Request, ...]:
        """Every request so far, in order of arrival. Raises FaninError unless made with `keep=True`."""
        if self._requests is None:
            raise FaninError("this fake keeps no requests", mend="Make it with Fake(..., keep=True).")
        return tuple(self._requests)

    async def resolve(self, models: tuple[str, ...]) -> tuple[str, ...]:
        """`models`, or the script where there are none. Raises InputError for one that is no script."""
        if self._script is None:
            for model in models:
                _parsed(model)
        return models or (self._model,)

    async def complete(self, request: Request) -> Completion:
        """The script's answer to this run's call. Raises CallError where the script has a fault."""
        if self._requests is not None:
            self._requests.append(request)
        step = self._step(request)
        await sleep(step.latency_s)
        if step.fault is not None:
            raise step.fault.error()
        sent = as_sent(request)
        calls = tuple(
            attrs.evolve(call, id=f"call_{request.attempt}_{number}")
            for number, call in enumerate(step.tool_calls, start=1)
        )
        written = len(step.text) + sum(len(call.arguments) for call in calls)
        usage = Usage(_tokens(_read(sent)), _tokens(written))
        answer = Completion(step.text, step.finish, usage, request.model, tool_calls=calls)
        return heard(answer, request)

    async def aclose(self) -> None:
        """Nothing to close; safe to call twice."""

    def _step(self, request: Request) -> Step:
        try:
            script = self._script or _parsed(request.model)
        except InputError as error:
            raise CallError("bad_request", error.message, final=True, mend=error.mend) from error
        return script.item(request.index, request.seed).step(request.attempt)


def open_backend(
    *,
    base_url: str | None = None,
    key: str | None = None,
    environ: Mapping[str, str],
    replaying: bool = False,
) -> Fake:
    """The entry point of the backend `fake`. Raises InputError for an address or a key: it has none."""
    if base_url is not None:
        raise InputError("base_url", "left out with the backend fake, which sends nothing", base_url)
    if key is not None:
        raise InputError("key", "left out with the backend fake, which asks for none", "(hidden)")
    return Fake()


def _read(request: Request) -> int:
    """The characters that a model would read: what is said, called and told of tools."""
    said = sum(len(message.content) for message in request.messages)
    called = sum(len(call.arguments) for message in request.messages for call in message.tool_calls)
    return said + called + sum(len(tool.description) + len(tool.parameters) for tool in request.tools)


def _tokens(characters: int) -> int:
    return -(-characters // 4)
