"""The tests themselves reach nothing but this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest


def _connect() -> None:
    with socket.socket() as sock:
        sock.connect(("192.0.2.1", 9))  # TEST-NET-1 (RFC 5737): nobody is there


def _connect_ex() -> None:
    with socket.socket() as sock:
        sock.connect_ex(("192.0.2.1", 9))


def _send() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(b"", ("192.0.2.1", 9))


def _look_up() -> None:
    socket.getaddrinfo("example.com", 80)


@pytest.mark.parametrize("leave", [_connect, _connect_ex, _send, _look_up])
def test_leaving_this_machine_is_refused(leave: Callable[[], None]) -> None:
    with pytest.raises(RuntimeError, match="nothing but loopback"):
        leave()


def test_loopback_is_open() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(("localhost", server.getsockname()[1])) as sock,
    ):
        assert sock.getpeername()[0] == "127.0.0.1"


def test_no_key_and_no_configuration_of_this_machine_is_seen() -> None:
    seen = {name for name in os.environ if name.endswith("_API_KEY") or name.startswith("FANIN_")}
    assert seen == {"FANIN_HOME", "FANIN_SHARED_PACE"}  # what keeps tests out of a user's own folders
    assert os.environ["FANIN_SHARED_PACE"] == "0"
    assert Path(os.environ["FANIN_HOME"]).parent == Path.cwd()
    assert list(Path.cwd().iterdir()) == []
    assert Path.home() == Path.cwd()
