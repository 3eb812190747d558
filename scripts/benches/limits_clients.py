"""The clients that `scripts/bench limits` lets loose on a provider: fanin, and what else people use.

A client is opened once and then asked for every request at once, retries included; it returns when the
answer is there and raises when it has given up. All peers but the SDKs share one plain wire, so that they
differ in nothing but how they wait.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from importlib.util import find_spec
from typing import Any, Protocol

import anyio
import attrs
from limited_provider import Fate, LimitedBackend, Limits, Provider, tokens_of
from limits_jobs import TRIP_S, Asked

from fanin.backend import Backend
from fanin.conductor import Conductor
from fanin.limiters import SHARED, Limiters
from fanin.sharing.store import Store
from fanin.terms import Terms
from fanin.values import Message, Request, Sample

Call = Callable[[Asked], Awaitable[None]]

ATTEMPTS = 50
"""What a peer tries before it gives up, beside the habit, which never does."""


class Wire(Protocol):
    """Sends one request. Raises OSError or TimeoutError where no answer comes."""

    async def post(self, body: Mapping[str, Any]) -> Fate:
        """The answer, whole."""
        ...


@attrs.frozen
class Surroundings:
    """Whom a client asks. Virtual where there is a provider, else over HTTP."""

    limits: Mapping[str, Limits]
    """Model -> the true limits: only for those that are told by hand."""
    timeout_s: float
    wire: Wire
    url: str = "http://127.0.0.1:9"
    key: str = "k"
    provider: Provider | None = None
    store: Store | None = None
    """What fanin's processes share their pace through, where the time is virtual."""


class VirtualWire:
    """Straight into a provider, on the event loop's own time."""

    def __init__(self, provider: Provider, timeout_s: float) -> None:
        self._provider = provider
        self._timeout_s = timeout_s
        self._way = random.Random(provider.offer.seed)

    async def post(self, body: Mapping[str, Any]) -> Fate:
        """What the provider answers. Raises ConnectionResetError, TimeoutError."""
        characters = sum(len(message["content"]) for message in body["messages"])
        async with asyncio.timeout(self._timeout_s):
            await asyncio.sleep(TRIP_S * self._way.uniform(0.5, 1.5))
            tokens = tokens_of(characters, body["max_tokens"])
            fate = self._provider.arrive(body["model"], tokens, asyncio.get_running_loop().time())
            await asyncio.sleep(fate.after_s)
        if fate.cut:
            raise ConnectionResetError
        return fate


class HttpWire:
    """Over HTTP, on httpx2."""

    def __init__(self, url: str, key: str, timeout_s: float) -> None:
        import httpx2

        self._lost = httpx2.RequestError
        self._url = f"{url}/v1/chat/completions"
        self._client = httpx2.AsyncClient(
            timeout=timeout_s,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
            headers={"authorization": f"Bearer {key}"},
        )

    async def post(self, body: Mapping[str, Any]) -> Fate:
        """What the server answers. Raises ConnectionError."""
        try:
            reply = await self._client.post(self._url, json=body)
        except self._lost as error:
            raise ConnectionError(str(error)) from error
        return Fate(reply.status_code, tuple(reply.headers.items()), reply.content)


class RefusedError(Exception):
    """A 429, with the wait that its header told."""

    def __init__(self, told_s: float | None) -> None:
        super().__init__("429")
        self.told_s = told_s


class FailedError(Exception):
    """An answer that is none."""


FAILURES = (FailedError, OSError, TimeoutError)


def body_of(asked: Asked) -> dict[str, Any]:
    """The request as the OpenAI-shaped wire has it."""
    return {
        "model": asked.model,
        "max_tokens": asked.max_tokens,
        "messages": [{"role": "user", "content": asked.prompt}],
    }


async def once(wire: Wire, asked: Asked) -> None:
    """One try. Raises RefusedError, or one of FAILURES."""
    fate = await wire.post(body_of(asked))
    if fate.status == 429:
        told = dict(fate.headers).get("retry-after")
        raise RefusedError(None if told is None else float(told))
    if fate.status != 200:
        raise FailedError(str(fate.status))
    try:
        json.loads(fate.body)
    except ValueError:
        raise FailedError("malformed") from None


async def fanin(around: Surroundings) -> Call:
    """One conductor over one backend, as a vote has it, told nothing."""
    backend: Backend
    if around.provider is not None:
        backend = LimitedBackend(around.provider, trip_s=TRIP_S)
        limiters = Limiters(lambda pace: around.store)
    else:
        from fanin_backends.openai import open_backend

        backend, limiters = open_backend(base_url=f"{around.url}/v1", key=around.key, environ={}), SHARED
    return await conducted(backend, limiters, around.timeout_s)


async def conducted(backend: Backend, limiters: Limiters, timeout_s: float) -> Call:
    """A call through a conductor of one's own."""

    async def nothing(_: object) -> None:
        return None

    terms = Terms(concurrency=10_000, timeout_s=timeout_s, retries=8)
    conductor = Conductor(backend, terms, limiters=limiters)
    await conductor.conduct((), nothing)  # from now on its clock runs

    async def call(asked: Asked) -> None:
        message = Message("user", asked.prompt)
        request = Request(asked.index, asked.model, (message,), max_tokens=asked.max_tokens)
        outcome = await conductor.ask(request)
        if not isinstance(outcome, Sample):
            raise FailedError("never asked" if outcome is None else f"{outcome.kind}: {outcome.message}")

    return call


async def habit(around: Surroundings) -> Call:
    """Each refusal adds its wait to one sum a model, each success takes a tenth off; all sleep the sum."""
    sums = dict.fromkeys(around.limits, 0.0)

    async def call(asked: Asked) -> None:
        while True:
            await asyncio.sleep(sums[asked.model])
            try:
                await once(around.wire, asked)
            except RefusedError as refused:
                sums[asked.model] += 1.0 if refused.told_s is None else refused.told_s
            except FAILURES:
                await asyncio.sleep(random.random())
            else:
                sums[asked.model] *= 0.9
                return

    return call


async def semaphore(around: Surroundings) -> Call:
    """Ten at a time, and each sleeps its own retry-after."""
    slots = asyncio.Semaphore(10)

    async def call(asked: Asked) -> None:
        async with slots:
            for _ in range(ATTEMPTS):
                try:
                    return await once(around.wire, asked)
                except RefusedError as refused:
                    await asyncio.sleep(0.5 if refused.told_s is None else refused.told_s)
                except FAILURES:
                    await asyncio.sleep(0.5)
        raise FailedError("gave up")

    return call


async def told_by_hand(around: Surroundings) -> Call:
    """aiolimiter, given the true rates."""
    from aiolimiter import AsyncLimiter

    requests, tokens = {}, {}
    for model, limits in around.limits.items():
        requests[model] = AsyncLimiter(limits.burst, limits.burst / limits.requests_per_s)
        if limits.tokens_per_s is not None and limits.token_burst is not None:
            tokens[model] = AsyncLimiter(limits.token_burst, limits.token_burst / limits.tokens_per_s)

    async def call(asked: Asked) -> None:
        for _ in range(ATTEMPTS):
            await requests[asked.model].acquire()
            if asked.model in tokens:
                await tokens[asked.model].acquire(asked.tokens)
            try:
                return await once(around.wire, asked)
            except RefusedError as refused:
                await asyncio.sleep((refused.told_s or 0.5) * random.uniform(1, 1.5))
            except FAILURES:
                await asyncio.sleep(random.uniform(0.5, 0.75))
        raise FailedError("gave up")

    return call


async def openai_sdk(around: Surroundings) -> Call:
    """OpenAI's SDK with fifty retries of its own."""
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    http = None
    if around.provider is not None:
        http = DefaultAsyncHttpxClient(transport=_transport(DefaultAsyncHttpxClient, around.wire))
    client = AsyncOpenAI(
        api_key=around.key,
        base_url=f"{around.url}/v1",
        timeout=around.timeout_s,
        max_retries=ATTEMPTS,
        http_client=http,
    )

    async def call(asked: Asked) -> None:
        await client.chat.completions.create(**body_of(asked))

    return call


def _transport(client: type, wire: Wire) -> Any:
    """The wire as a transport of the HTTP library that this class of client comes from."""
    library: Any = next(
        __import__(name)
        for name in (base.__module__.partition(".")[0] for base in client.__mro__)
        if name.startswith("httpx")
    )

    class Transport(library.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            try:
                fate = await wire.post(json.loads(await request.aread()))
            except TimeoutError as error:
                raise library.ReadTimeout("no answer", request=request) from error
            except OSError as error:
                raise library.ReadError("cut", request=request) from error
            return library.Response(fate.status, headers=fate.headers, content=fate.body, request=request)

    return Transport()


async def router(around: Surroundings) -> Call:
    """litellm's Router, told the true limits."""
    import os

    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # before the import, which else fetches a table
    import litellm

    litellm.suppress_debug_info = True
    models = []
    for model, limits in around.limits.items():
        told = {"rpm": int(limits.requests_per_s * 60)}
        if limits.tokens_per_s is not None:
            told["tpm"] = int(limits.tokens_per_s * 60)
        reached = {"model": f"openai/{model}", "api_base": f"{around.url}/v1", "api_key": around.key}
        models.append({"model_name": model, "litellm_params": reached | told | {"timeout": around.timeout_s}})
    routes = litellm.Router(
        model_list=models,
        routing_strategy="usage-based-routing-v2",
        num_retries=20,
        enable_pre_call_checks=True,
    )

    async def call(asked: Asked) -> None:
        await routes.acompletion(**body_of(asked))

    return call


CLIENTS: dict[str, Callable[[Surroundings], Awaitable[Call]]] = {
    "fanin": fanin,
    "habit": habit,
    "semaphore": semaphore,
    "aiolimiter": told_by_hand,
    "openai": openai_sdk,
    "litellm": router,
}
"""Name -> how it is opened."""
PACKAGES = ("aiolimiter", "openai", "litellm")
"""Clients that need the package of their name."""
ON_SOCKETS_ONLY = ("litellm",)
"""Reads the machine's clock, so that it has no virtual time."""


def available(names: list[str], *, virtual: bool) -> list[str]:
    """Those that can be run here."""
    return [
        name
        for name in names
        if (name not in PACKAGES or find_spec(name) is not None) and not (virtual and name in ON_SOCKETS_ONLY)
    ]


async def all_at_once(call: Call, job: list[Asked], done: dict[int, float], failed: dict[int, str]) -> None:
    """Asks for the whole job at once, and notes when each answer came by the loop's time."""

    async def one(asked: Asked) -> None:
        try:
            await call(asked)
        except Exception as error:  # noqa: BLE001
            failed[asked.index] = f"{type(error).__name__}: {error}"[:200]
        else:
            done[asked.index] = anyio.current_time()

    async with anyio.create_task_group() as group:
        for asked in job:
            group.start_soon(one, asked)
