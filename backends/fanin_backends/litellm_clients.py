"""The HTTP clients that litellm keeps for a whole process, and which of them are ours to close.

litellm caches its clients by event loop and closes them when it likes, which is after the loop is
gone; then Python warns of connections left open. So they are closed while the loop still runs, by
the last backend that uses them there. What the program itself opened through litellm before is left
alone.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any
from weakref import WeakKeyDictionary

import attrs


@attrs.define(eq=False)
class Clients:
    """litellm's clients on one event loop, shared by all backends there."""

    _cache: Any
    """litellm's `in_memory_llm_clients_cache`."""
    _before: frozenset[str]
    """The keys of the clients that were there before the first backend."""
    _backends: int = 0
    """How many backends use them."""

    @classmethod
    def of_this_loop(cls, cache: Any) -> Clients:
        """Those of the running event loop; each backend that calls this owes one `aclose`."""
        loop = asyncio.get_running_loop()
        clients = _on_loop.get(loop)
        if clients is None:
            clients = _on_loop[loop] = cls(cache, frozenset(_keys_on(loop, cache)))
        clients._backends += 1
        return clients

    async def aclose(self) -> None:
        """One backend less; the last one closes the clients."""
        self._backends -= 1
        if self._backends:
            return
        loop = asyncio.get_running_loop()
        _on_loop.pop(loop, None)
        ours = [key for key in _keys_on(loop, self._cache) if key not in self._before]
        clients = [self._cache.cache_dict[key] for key in ours]
        for key in ours:
            self._cache.delete_cache(key)
        for client in clients:
            closing = (getattr(client, "close", None) or client.aclose)()
            if inspect.isawaitable(closing):
                await closing


_on_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Clients] = WeakKeyDictionary()


def _keys_on(loop: asyncio.AbstractEventLoop, cache: Any) -> list[str]:
    # litellm ends the key of every client with the identity of its loop.
    return [key for key in cache.cache_dict if key.endswith(f"-{id(loop)}")]
