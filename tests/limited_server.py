"""The provider of `limited_provider.py` over HTTP on 127.0.0.1: one account a key.

    python limited_server.py OFFER_AS_JSON

prints its port and serves until stdin ends. `POST .../chat/completions` is the OpenAI-shaped wire, as far
as keep-alive clients need it; `GET /count` tells what the server counted for the key it is sent with. In a
test: `with serving(Offer()) as server: ... server.url ... server.account("k").counts`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from limited_provider import Fate, Offer, Provider, tokens_of

BACKLOG = 4096


class LimitedServer:
    """Listens, and keeps a `Provider` for every key."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self.url = ""
        """Where it listens, from `listen` on."""
        self._accounts: dict[str, Provider] = {}
        self._serving: set[asyncio.Task[None]] = set()

    def account(self, key: str) -> Provider:
        """The account of a key."""
        return self._accounts.setdefault(key, Provider(self.offer))

    async def listen(self, port: int = 0) -> asyncio.Server:
        """Serves from now on; the caller closes what it is given, then `hang_up`."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", port, backlog=BACKLOG)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    async def hang_up(self) -> None:
        """Ends all connections."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            # The client may leave at any time.
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            self._serving.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False where the connection is to end."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, path, _ = first.split(" ", 2)
        account = self.account(headers.get("authorization", "").removeprefix("Bearer "))
        if method == "GET" and path == "/count":
            facts = {model: count.facts() for model, count in account.counts.items()}
            fate = Fate(200, (), json.dumps(facts).encode())
        elif method == "POST" and path.endswith("/chat/completions"):
            fate = _asked(account, body)
        else:
            fate = Fate(404, (), b'{"error": {"message": "Nothing is here."}}')
        await asyncio.sleep(fate.after_s)
        if fate.cut:
            writer.transport.abort()
            return False
        writer.write(_on_the_wire(fate))
        await writer.drain()
        return True


def _asked(account: Provider, body: bytes) -> Fate:
    asked = json.loads(body)
    characters = sum(len(message["content"]) for message in asked["messages"])
    tokens = tokens_of(characters, asked.get("max_tokens", asked.get("max_completion_tokens")))
    return account.arrive(asked["model"], tokens, asyncio.get_running_loop().time())


def _on_the_wire(fate: Fate) -> bytes:
    headers = (
        *fate.headers,
        ("content-type", "application/json"),
        ("content-length", str(len(fate.body))),
    )
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {fate.status} So\r\n{lines}\r\n".encode() + fate.body


@contextmanager
def serving(offer: Offer) -> Iterator[LimitedServer]:
    """A server in a thread of its own, so that any event loop, or none, can talk to it."""
    server, ready, ended = LimitedServer(offer), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with await server.listen():
            ready.set()
            await ended.wait()
            await server.hang_up()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


async def main() -> None:
    """Serves until stdin ends."""
    server = LimitedServer(Offer.from_json(sys.argv[1]))
    async with await server.listen():
        print(server.url.rpartition(":")[2], flush=True)  # noqa: T201
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await server.hang_up()


if __name__ == "__main__":
    asyncio.run(main())
