"""Where calls go and what opens the door there: base URL, key, and the account they make."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from hashlib import blake2b
from ipaddress import ip_address
from urllib.parse import SplitResult, unquote, urlsplit

import attrs

from fanin.errors import FaninError, InputError

_URL = "an address like https://host/v1 (http or https, nothing after the path)"


@attrs.frozen
class Address:
    """A base URL without secrets, and what is sent to get in."""

    base_url: str
    """Scheme, host, port and path, without a slash at the end and without user name or password."""
    authorization: str | None = None
    """The value of the `authorization` header; None sends none."""
    secrets: tuple[str, ...] = ()
    """What must never be shown: the key, or the password and what it is sent as."""

    @property
    def host(self) -> str:
        """`host:port`, for messages."""
        host, port = self.host_and_port
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def host_and_port(self) -> tuple[str, int]:
        """What to connect to."""
        url = urlsplit(self.base_url)
        return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine itself: localhost, 127.0.0.0/8 or ::1."""
        host, _ = self.host_and_port
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def account(self) -> str:
        """Whose limits the calls share: the base URL and a fingerprint of the key, never the key."""
        if self.authorization is None:
            return self.base_url
        return f"{self.base_url}#{blake2b(self.authorization.encode(), digest_size=6).hexdigest()}"


def address(
    url: str, *, key: str | None, environ: Mapping[str, str], variable: str, field: str = "base_url"
) -> Address:
    """The address of `url`, with what opens it: `key`, else the URL's own `user:password@` (sent as
    RFC 7617 says), else the key in the environment variable `variable`, else nothing.

    Raises InputError for a URL that cannot be used (`field` is what it is called there; a password
    in it is not shown), FaninError for a key that cannot be sent.
    """
    parts = _split(url.strip(), field)
    netloc = parts.netloc.rpartition("@")[2].lower()
    base_url = f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}"
    if key is not None and key.strip():
        key = _checked(key, "the key")
    elif parts.username is not None:
        password = unquote(parts.password or "")
        token = base64.b64encode(f"{unquote(parts.username)}:{password}".encode()).decode()
        return Address(base_url, f"Basic {token}", (password, parts.password or "", token))
    else:
        key = _checked(environ.get(variable, ""), variable)
    return Address(base_url, f"Bearer {key}", (key,)) if key else Address(base_url)


def without_login(url: str) -> str:
    """The URL as it may be shown: `***@` in place of a user name and password."""
    return re.sub(r"[^/]*@", "***@", url)


def _split(url: str, field: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or re.search(r"[\s?#\\]", url):
        raise InputError(field, _URL, without_login(url))
    return parts


def _checked(key: str, where: str) -> str:
    key = key.strip()
    if re.search(r"[^!-~]", key):
        raise FaninError(
            f"{where} holds a character that no key has", mend="Was it copied whole, and nothing more?"
        )
    return key
