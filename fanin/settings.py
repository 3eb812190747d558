"""What is configured: the environment, the user's own file, and the working directory's.

Files, the later one wins: `fanin.toml` in the user's configuration folder; in the working directory
`[tool.fanin]` of pyproject.toml, then `fanin.toml`. FANIN_BACKEND wins over all of them, and what a
caller names wins over everything.

A file in the working directory may have come with somebody else's repository. So an address that
such a file names gets no key from the environment, unless it is loopback or the user's own file
names it too.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from fanin.errors import ConfigError, FaninError, NoBackendError

SETTINGS: dict[str, tuple[type, ...]] = {
    "backend": (str,),
    "model": (str, list),
    "base_url": (str,),
    "runs": (int,),
    "quorum": (int,),
    "concurrency": (int,),
    "temperature": (int, float),
    "temperature_step": (int, float),
    "seed": (int,),
    "system": (str, list),
    "max_tokens": (int,),
    "timeout": (int, float, str),
    "deadline": (int, float, str),
    "max_wait": (int, float, str),
    "rpm": (int, float),
    "tpm": (int, float),
    "stagger": (int, float),
    "pace": (str,),
    "retries": (int,),
    "structured": (bool,),
    "require": (str,),
    "price": (str, list),
    "log": (bool,),
}
"""Every setting a file may hold, with the TOML types it may have."""


@attrs.frozen
class Settings:
    """The settings of all files together."""

    values: Mapping[str, Any] = attrs.field(factory=dict)
    """Setting -> value as the winning file has it."""
    sources: Mapping[str, Path] = attrs.field(factory=dict)
    """Setting -> the file that it comes from."""
    own_addresses: frozenset[str] = frozenset()
    """The addresses that the user's own file names."""
    foreign: frozenset[str] = frozenset()
    """Settings that come from a file in the working directory."""


@attrs.frozen
class Chosen:
    """Which backend is opened, and with what."""

    name: str
    base_url: str | None
    models: tuple[str, ...]
    environ: Mapping[str, str]
    """The environment as that backend may see it."""


def user_file() -> Path:
    """The user's own configuration file."""
    if "linux" in sys.platform:
        # What platformdirs says there too, without the time that importing it takes at every start.
        given = os.environ.get("XDG_CONFIG_HOME", "").strip()
        return (Path(given) if given else Path.home() / ".config") / "fanin" / "fanin.toml"
    from platformdirs import user_config_path

    return user_config_path("fanin", appauthor=False) / "fanin.toml"


def read_settings(folder: Path | None = None, own: Path | None = None) -> Settings:
    """All settings that hold in `folder` (default: the working directory).

    Raises ConfigError for a file that is no TOML, or has an unknown setting or one of a wrong type.
    """
    folder = folder or Path.cwd()
    mine = _checked(own or user_file(), ())
    values, sources, foreign = dict(mine), dict.fromkeys(mine, own or user_file()), set()
    for path, table in ((folder / "pyproject.toml", ("tool", "fanin")), (folder / "fanin.toml", ())):
        found = _checked(path, table)
        if found.get("pace", "file") not in ("file", "off"):
            # Whoever shares a pace is told the password of Redis, and can bring every run to a stop.
            mend = f"Put it into your own file, {user_file()}, or name it: --pace ..."
            raise ConfigError(str(path), "pace can only be file or off in a working directory", mend=mend)
        values |= found
        sources |= dict.fromkeys(found, path)
        foreign |= set(found)
    addresses = frozenset({mine["base_url"].rstrip("/")} if "base_url" in mine else ())
    return Settings(values, sources, addresses, frozenset(foreign))


def backend_settings(
    name: str | None,
    *,
    base_url: str | None = None,
    model: tuple[str, ...] = (),
    replaying: bool = False,
    settings: Settings | None = None,
    environ: Mapping[str, str] | None = None,
) -> Chosen:
    """The backend to open: what the caller named, else FANIN_BACKEND, else the files.

    A file's `base_url` and `model` belong to the file's `backend` and hold for no other. Raises
    NoBackendError where none is named anywhere.
    """
    environ = os.environ if environ is None else environ
    settings = settings or (Settings() if replaying else read_settings())
    configured = settings.values.get("backend")
    chosen = name or environ.get("FANIN_BACKEND") or configured
    if chosen is None:
        raise no_backend(environ)
    if chosen == configured or configured is None:
        if base_url is None and "base_url" in settings.values:
            base_url = settings.values["base_url"]
            environ = _trusted_environ(settings, base_url, environ)
        if not model:
            listed = settings.values.get("model", ())
            model = (listed,) if isinstance(listed, str) else tuple(listed)
    return Chosen(chosen, base_url, model, environ)


def no_backend(environ: Mapping[str, str]) -> NoBackendError:
    """The error for a missing choice: what was found on this machine, and the line to type."""
    found = [
        f"{name} ({variable} is set)"
        for name, variable in (("groq", "GROQ_API_KEY"), ("openai", "OPENAI_API_KEY"))
        if environ.get(variable)
    ]
    if _ollama_answers(environ):
        found.append("ollama (it answers)")
    name = found[0].split()[0] if found else "ollama"
    what = (
        f"Found here: {', '.join(found)}." if found else "Found here: no key is set, and no Ollama answers."
    )
    return NoBackendError(
        "no backend is named",
        mend=(
            f"{what}\n"
            f'Name one: --backend {name}, or FANIN_BACKEND={name}, or backend = "{name}" in fanin.toml.'
        ),
    )


def _ollama_answers(environ: Mapping[str, str]) -> bool:
    """Whether something listens where Ollama would; asked only to word an error."""
    import socket

    from fanin_backends.ollama import host_and_port

    try:
        with socket.create_connection(host_and_port(environ), timeout=0.3):
            return True
    except (OSError, FaninError):
        return False


def _trusted_environ(settings: Settings, base_url: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    foreign = "base_url" in settings.foreign
    if not foreign or is_loopback(base_url) or base_url.rstrip("/") in settings.own_addresses:
        return environ
    return {name: value for name, value in environ.items() if not name.upper().endswith("_KEY")}


def is_loopback(url: str) -> bool:
    """Whether an address is this machine itself: localhost, 127.0.0.0/8 or ::1."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _checked(path: Path, table: tuple[str, ...]) -> dict[str, Any]:
    try:
        data: Any = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(str(path), f"not valid TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read: {error}") from None
    for name in table:
        data = data.get(name, {})
        if not isinstance(data, dict):
            raise ConfigError(str(path), f"{name} must be a table, not {data!r}")
    for name, value in data.items():
        _check(path, name, value)
    return dict(data)


def _check(path: Path, name: str, value: object) -> None:
    if name not in SETTINGS:
        from difflib import get_close_matches

        near = get_close_matches(name, SETTINGS, n=1)
        mend = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(SETTINGS)}."
        raise ConfigError(str(path), f"there is no setting {name!r}", mend=mend)
    kinds = SETTINGS[name]
    fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
    if isinstance(value, list):
        fits = fits and bool(value) and all(isinstance(item, str) for item in value)
    if not fits:
        names = " or ".join("list of strings" if kind is list else kind.__name__ for kind in kinds)
        raise ConfigError(str(path), f"{name} must be {names}, not {value!r}")
