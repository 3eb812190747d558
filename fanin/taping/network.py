"""The network, shut: connections and name look-ups other than to this machine are refused."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from fanin.errors import NetworkBlockedError

_INTERNET = (socket.AF_INET, socket.AF_INET6)


@contextmanager
def loopback_only() -> Iterator[None]:
    """While this is entered, sockets of this process reach loopback alone.

    Everything else raises NetworkBlockedError, before a byte leaves. Held are Python's own sockets
    (`connect`, `connect_ex`, `sendto`, `sendmsg` and `getaddrinfo`), which all the usual HTTP clients
    use; code in C that opens its own is not.
    """
    with ExitStack() as patches:
        patches.enter_context(patch.object(socket, "getaddrinfo", _guarded_lookup(socket.getaddrinfo)))
        for name, at in _ADDRESS_AT.items():
            guarded = _guarded(getattr(socket.socket, name), at)
            patches.enter_context(patch.object(socket.socket, name, guarded))
        yield


_ADDRESS_AT = {"connect": 0, "connect_ex": 0, "sendto": -1, "sendmsg": 3}
"""Method -> which of its arguments is the address."""


def _guarded(inner: Callable[..., Any], at: int) -> Callable[..., Any]:
    def guarded(self: socket.socket, *args: Any) -> Any:
        if self.family in _INTERNET and len(args) > at and isinstance(args[at], tuple):
            refuse_elsewhere(args[at][0])
        return inner(self, *args)

    return guarded


def _guarded_lookup(inner: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(host: Any, *args: Any, **options: Any) -> Any:
        refuse_elsewhere(host)
        return inner(host, *args, **options)

    return guarded


def refuse_elsewhere(host: object) -> None:
    """Raises NetworkBlockedError for a host that is not this machine; None and "" are this machine."""
    name = host.decode("latin-1") if isinstance(host, bytes) else str(host or "")
    if name in ("", "localhost") or name.endswith(".localhost"):
        return
    try:
        # An IPv6 address may bear its zone: fe80::1%eth0.
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        raise NetworkBlockedError(name) from None
    if not (address.is_loopback or address.is_unspecified):
        raise NetworkBlockedError(name)
