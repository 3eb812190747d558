"""The clients that `scripts/bench calls` compares, and the process that runs one of them.

    python clients.py NAME PORT

reads lines `CONCURRENCY CALLS` from stdin, makes that many calls, and prints the CPU seconds they took.
Every client is opened once, as a program that makes many calls would, and asks the same question.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

Call = Callable[[int], Awaitable[str]]

PROMPT = (
    "Which one is a mammal?\n\nChoose one of: whale, shark, tuna.\n\nThink step by step. End with one line:"
    "\nAnswer: ...\nwhere ... is your choice, written as above, and nothing else."
)


async def raw_httpx2(url: str) -> Call:
    """What any client on httpx2 pays at least: post, read, pick the text out."""
    import httpx2

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    client = httpx2.AsyncClient(timeout=None, limits=limits, headers={"authorization": "Bearer k"})

    async def call(index: int) -> str:
        body = {
            "model": "m",
            "messages": [{"role": "user", "content": PROMPT}],
            "temperature": 0.6,
            "seed": index,
            "max_tokens": 2048,
        }
        reply = await client.post(f"{url}/v1/chat/completions", json=body)
        reply.raise_for_status()
        text: str = reply.json()["choices"][0]["message"]["content"]
        return text

    return call


async def openai_sdk(url: str) -> Call:
    """The provider's own SDK, without its retries."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key="k", base_url=f"{url}/v1", max_retries=0)

    async def call(index: int) -> str:
        done = await client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": PROMPT}],
            temperature=0.6,
            seed=index,
            max_tokens=2048,
        )
        return done.choices[0].message.content or ""

    return call


async def litellm_itself(url: str) -> Call:
    """litellm as its users call it."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.suppress_debug_info = True
    litellm.disable_hf_tokenizer_download = True

    async def call(index: int) -> str:
        done: Any = await litellm.acompletion(
            model="openai/m",
            api_base=f"{url}/v1",
            api_key="k",
            messages=[{"role": "user", "content": PROMPT}],
            temperature=0.6,
            seed=index,
            max_tokens=2048,
            max_retries=0,
            num_retries=0,
        )
        text: str = done.choices[0].message.content
        return text

    return call


def adapter(name: str, path: str, model: str) -> Callable[[str], Awaitable[Call]]:
    """One of fanin's own backends."""

    async def opened(url: str) -> Call:
        from fanin.connecting import open_backend
        from fanin.values import Message, Request

        key = None if name == "ollama" else "k"
        backend = open_backend(name, base_url=f"{url}{path}", key=key, environ={})
        [resolved] = await backend.resolve((model,))

        async def call(index: int) -> str:
            request = Request(
                index,
                resolved,
                (Message("user", PROMPT),),
                temperature=0.6,
                seed=index,
                max_tokens=2048,
            )
            return (await backend.complete(request)).text

        return call

    return opened


CLIENTS: dict[str, Callable[[str], Awaitable[Call]]] = {
    "httpx2 raw": raw_httpx2,
    "fanin groq": adapter("groq", "/v1", "m"),
    "fanin openai": adapter("openai", "/v1", "m"),
    "fanin ollama": adapter("ollama", "", "m"),
    "fanin litellm": adapter("litellm", "/v1", "openai/m"),
    "openai SDK": openai_sdk,
    "litellm": litellm_itself,
}


async def burst(call: Call, concurrency: int, calls: int) -> float:
    """CPU seconds that this process spends on the calls, that many in flight at once."""
    indexes = iter(range(calls))

    async def one_after_the_other() -> None:
        for index in indexes:
            text = await call(index)
            assert text.endswith("Answer: whale"), text

    gc.collect()
    start = time.process_time()
    await asyncio.gather(*(one_after_the_other() for _ in range(concurrency)))
    return time.process_time() - start


async def main(name: str, port: str) -> None:
    """Answers every line of stdin with the CPU seconds it took."""
    call = await CLIENTS[name](f"http://127.0.0.1:{port}")
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        concurrency, calls = map(int, line.split())
        print(await burst(call, concurrency, calls), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
