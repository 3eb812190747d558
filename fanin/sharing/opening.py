"""Which store is meant: one a process for each way to share a pace."""

from __future__ import annotations

import os
import threading
from functools import cache

from fanin.sharing.store import Store

SWITCH = "FANIN_SHARED_PACE"
"""The environment variable that turns all sharing off where it is 0."""

_lock = threading.Lock()


def store_for(pace: str) -> Store | None:
    """The store that `file`, or the address of a Redis server, names; None for `off`, and where
    FANIN_SHARED_PACE is 0 or the system has no file locks.

    Raises FaninError for a store that needs what is not installed, or an address that is none.
    """
    if pace == "off" or os.environ.get(SWITCH, "").strip() == "0":
        return None
    return named(pace)


def named(pace: str) -> Store | None:
    """The store that `pace` names, whatever the environment says. Raises what `store_for` raises."""
    if pace == "off":
        return None
    with _lock:
        return _opened(pace)


@cache
def _opened(pace: str) -> Store | None:
    if pace != "file":
        from fanin.sharing.redis import RedisStore

        return RedisStore(pace)
    if os.name == "nt":
        return None
    from fanin.sharing.file import FileStore

    return FileStore()
