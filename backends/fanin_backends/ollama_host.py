"""The forms of `OLLAMA_HOST`, read as Ollama itself reads them (ollama/ollama, envconfig `Host`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address

from fanin.errors import InputError
from fanin_backends.address import Address, address, without_login

PORT = 11434
VARIABLE = "OLLAMA_HOST"
KEY_VARIABLE = "OLLAMA_API_KEY"

_FORM = "a host, host:port, :port or URL"
_HOST_PORT = re.compile(r"(?P<host>\[[^\[\]]*\]|[^\[\]:]*)(?::(?P<port>[0-9]*))?")
# A server listens on these and nobody can dial them.
_LISTEN = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def host_url(text: str, field: str = VARIABLE) -> str:
    """The base URL that `text` stands for: a host, host:port, :port, a URL with or without a path.

    Without a port: 11434, but 80 and 443 after an explicit `http://` and `https://`. IPv6 stands in
    brackets or, without a port, bare. The listen addresses 0.0.0.0 and [::] become the loopback.
    Quotes and spaces around it do not count; an empty one is the default. Raises InputError.
    """
    bare = text.strip().strip("\"'").strip()
    scheme, found, rest = bare.partition("://")
    if not found:
        scheme, rest = "http", bare
    authority, slash, path = rest.partition("/")
    login, at, host_port = authority.rpartition("@")
    host, port = _host_and_port(host_port, field, text)
    if not found and host == "ollama.com":
        scheme = "https"
    if port is None and not found and host != "ollama.com":
        port = PORT
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{login}{at}{shown}{'' if port is None else f':{port}'}{slash}{path}"


def host_address(base_url: str | None, *, key: str | None, environ: Mapping[str, str]) -> Address:
    """Where Ollama is: `base_url` in any form of `OLLAMA_HOST`, else that variable, else the default."""
    text, field = (base_url, "base_url") if base_url else (environ.get(VARIABLE, ""), VARIABLE)
    return address(host_url(text, field), key=key, environ=environ, variable=KEY_VARIABLE, field=field)


def host_and_port(environ: Mapping[str, str]) -> tuple[str, int]:
    """What to connect to, to see whether Ollama is there. Raises InputError."""
    return host_address(None, key=None, environ=environ).host_and_port


def _host_and_port(text: str, field: str, whole: str) -> tuple[str, int | None]:
    try:
        if isinstance(ip_address(text), IPv6Address):
            text = f"[{text}]"
    except ValueError:
        pass
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        raise InputError(field, _FORM, without_login(whole))
    host, port = match["host"].strip("[]"), match["port"]
    if port and not 0 < int(port[:6]) <= 65535:
        raise InputError(field, "a port from 1 to 65535", without_login(whole))
    return _LISTEN.get(host, host), int(port) if port else None
