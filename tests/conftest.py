"""What holds for every test: both event loops, no network but loopback, and nothing of this machine."""

from __future__ import annotations

import gc
import ipaddress
import itertools
import os
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from fanin.limiters import SHARED

settings.register_profile(
    "default", deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=2000)
settings.load_profile("default")

# A server of the tests and its client share one processor: neither waits 5 ms for the other to let it go.
sys.setswitchinterval(0.0005)

collect_ignore = ["sample_project"]
"""A project of its own: test_pytest_plugin.py runs its tests."""

_PREFIXES = ("FANIN_", "GROQ_", "OPENAI_", "OLLAMA_", "LITELLM_", "ANTHROPIC_", "AZURE_", "GEMINI_", "XDG_")
_NAMES = ("NO_COLOR", "FORCE_COLOR", "ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def pytest_collection_finish() -> None:
    """What importing the tests left stays to the end: nobody need look through it for garbage again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Every `@pytest.mark.anyio` test runs on both event loops."""
    return request.param


@pytest.fixture(scope="session")
def empty_folder() -> Iterator[Callable[[], Path]]:
    """Gives an empty folder that is HOME and all that hangs on it: another one where that is not empty.

    No key and no setting of this machine stand in the environment. Nearly no test writes anything, so this is
    cheaper by far than a `tmp_path` for each. It lies in memory where the system has a gigabyte for that: a
    run that is kept is synced, and a disk takes 20 ms for it.
    """
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and os.access(memory, os.W_OK) and disk_usage(memory).free > 2**30
    numbers = itertools.count()
    folder = None

    def folder_of_a_test() -> Path:
        nonlocal folder
        if folder is None or any(folder.iterdir()):
            folder = Path(root, str(next(numbers)))
            folder.mkdir()
            patch.setenv("HOME", str(folder))
            patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
            patch.setenv("FANIN_HOME", str(folder / "home"))
        return folder

    with (
        TemporaryDirectory(
            prefix="fanin-tests-", dir=memory if has_room else None, ignore_cleanup_errors=True
        ) as root,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in os.environ:
            if name.startswith(_PREFIXES) or name.endswith("_API_KEY") or name.upper() in _NAMES:
                patch.delenv(name)
        patch.setenv("FANIN_SHARED_PACE", "0")
        yield folder_of_a_test


@pytest.fixture(autouse=True)
def nothing_of_this_machine(
    empty_folder: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """No key, no configuration file, no working directory and no limiter that another test left."""
    monkeypatch.chdir(empty_folder())
    SHARED.clear()
    yield
    SHARED.clear()


class NetworkRefused(RuntimeError):
    """A test tried to leave this machine."""


@pytest.fixture(autouse=True, scope="session")
def only_loopback() -> Iterator[None]:
    """Connections and name look-ups other than to this machine itself are refused."""
    with pytest.MonkeyPatch.context() as patch:
        for method in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, method, _guarded(getattr(socket.socket, method)))
        patch.setattr(socket, "getaddrinfo", _guarded_lookup(socket.getaddrinfo))
        # So nobody's certificate is ever looked at, and reading all authorities takes 50 ms for each client.
        patch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)
        yield


def _guarded(inner: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, *args: Any) -> Any:
        address = args[-1]
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _allow(address[0])
        return inner(self, *args)

    return guarded


def _guarded_lookup(inner: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(host: Any, *args: Any, **options: Any) -> Any:
        _allow(host)
        return inner(host, *args, **options)

    return guarded


def _allow(host: Any) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return
    try:
        # An IPv6 address may bear its zone: fe80::1%eth0.
        if ipaddress.ip_address(name.partition("%")[0]).is_loopback or name in ("0.0.0.0", "::"):
            return
    except ValueError:
        pass
    raise NetworkRefused(f"tests reach nothing but loopback, and this one tried {name!r}")
