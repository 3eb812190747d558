"""From a name to an open backend: entry points, and the context manager that closes it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import import_module

import anyio

from fanin.backend import Backend, Forwarding
from fanin.context import TapeOn, tape_on
from fanin.errors import CassetteError, UnknownBackendError

GROUP = "fanin.backends"
"""The entry-point group in which backends are found, built-in ones too."""

BUILT_IN = ("fake", "groq", "litellm", "ollama", "openai")
"""Backends of this distribution. Their entry points are known, so that starting a command does not
cost a scan of everything that is installed; a test holds this list against the entry points."""


def known_backends() -> tuple[str, ...]:
    """The names of all backends that are installed, sorted."""
    from importlib.metadata import entry_points

    return tuple(sorted(entry_points(group=GROUP).names))


def check_known(name: str) -> None:
    """Raises UnknownBackendError, with the nearest name, where no backend of that name is installed."""
    if name not in BUILT_IN and name not in known_backends():
        raise _unknown(name)


def open_backend(
    name: str,
    *,
    base_url: str | None = None,
    key: str | None = None,
    environ: Mapping[str, str] | None = None,
    replaying: bool = False,
) -> Backend:
    """The backend of that name, opened; the caller closes it.

    `environ` is where keys and addresses are looked up (default: the process's). Raises
    UnknownBackendError (with the nearest name), MissingKeyError, MissingExtraError, InputError.
    """
    opening = _opener(name)
    environ = os.environ if environ is None else environ
    backend = opening(base_url=base_url, key=key, environ=environ, replaying=replaying)
    assert isinstance(backend, Backend)
    return backend


def _opener(name: str) -> Callable[..., object]:
    if name in BUILT_IN:
        built_in: Callable[..., object] = import_module(f"fanin_backends.{name}").open_backend
        return built_in
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP, name=name):
        installed: Callable[..., object] = point.load()
        return installed
    raise _unknown(name)


def _unknown(name: str) -> UnknownBackendError:
    from difflib import get_close_matches

    known = known_backends()
    near = get_close_matches(name, known, n=1)
    return UnknownBackendError(name, known, mend=f"Did you mean {near[0]}?" if near else None)


class Connected(Forwarding):
    """A backend with the models that are asked where a vote names none."""

    def __init__(self, inner: Backend, models: tuple[str, ...] = ()) -> None:
        super().__init__(inner)
        self.models = models

    async def resolve(self, models: tuple[str, ...]) -> tuple[str, ...]:
        return await self.inner.resolve(models or self.models)


@asynccontextmanager
async def connect(
    backend: str | None = None,
    *,
    model: str | Sequence[str] | None = None,
    base_url: str | None = None,
    key: str | None = None,
) -> AsyncIterator[Backend]:
    """One open client for many votes: `async with fanin.connect("groq") as backend: ...`.

    `backend` is a name; None takes the one that a replaying tape was made with, else the configured
    one. `model` (one or several) is what votes ask that name none. The client is closed when the
    block ends, however it ends. Raises FaninError for what is wrong before the first call.
    """
    from fanin.settings import backend_settings

    tape = tape_on()
    replaying = tape is not None and tape.mode == "replay"
    if key is not None:
        from fanin.taping.scrub import remember

        remember(key)
    models = (model,) if isinstance(model, str) else tuple(model or ())
    if tape is not None and (replaying or tape.adds):
        backend, base_url, models = _from_tape(tape, backend, base_url, models)
    chosen = backend_settings(backend, base_url=base_url, model=models, replaying=replaying)
    opened = open_backend(
        chosen.name, base_url=chosen.base_url, key=key, environ=chosen.environ, replaying=replaying
    )
    if tape is not None and not opened.capabilities.http:
        await opened.aclose()
        raise CassetteError(
            tape.path, f"the backend {opened.name} sends no HTTP, so there is nothing to tape"
        )
    try:
        yield Connected(opened, chosen.models)
    finally:
        # A cancelled vote closes its connections too.
        with anyio.CancelScope(shield=True):
            await opened.aclose()


def _from_tape(
    tape: TapeOn, backend: str | None, base_url: str | None, models: tuple[str, ...]
) -> tuple[str | None, str | None, tuple[str, ...]]:
    from fanin.settings import is_loopback

    backend = backend or tape.backend
    if backend == tape.backend:
        models = models or tape.models
        # What is sent there bears the key, and anyone may have written the address into the file.
        if tape.mode == "replay" or (tape.base_url is not None and is_loopback(tape.base_url)):
            base_url = base_url or tape.base_url
    return backend, base_url, models
