"""HTTP: one client for a backend, spread over several small pools. The only module that uses httpx2.

httpx2's pool looks at every open connection for every request, so a call gets dearer with each other
call in flight: 2.5 times at 256. So calls go over lanes, each a client of its own with at most
`LANE` calls in flight; the first is filled before the next is opened.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs

from fanin.errors import CallError, FaninError, InputError
from fanin_backends.address import Address, without_login
from fanin_backends.wire import Reply, decompressed, kept_headers, too_long

if TYPE_CHECKING:
    import ssl

    import httpx2

LANE = 16
"""Calls in flight over one pool."""
MAX_BODY_BYTES = 16 * 1024 * 1024
"""A body that is longer, as sent or decompressed, is a failure."""
IDLE_S = 30.0
"""How long an idle connection is kept for the next call."""


@attrs.define
class _Lane:
    client: httpx2.AsyncClient
    in_flight: int = 0


class Connections:
    """Sends calls to one address. Opened at the first call; belongs to the event loop of that call.

    There is no timeout here: whoever calls bounds the whole call. Redirects are not followed. A proxy
    that the environment names is used, but never for this machine itself, which no proxy can reach.
    """

    def __init__(self, address: Address, *, mend: str | None = None) -> None:
        """`mend` is what to do where nothing answers."""
        self._address = address
        self._mend = mend
        self._plain_headers = {
            "accept": "application/json",
            "accept-encoding": "gzip, deflate",
            "user-agent": "fanin",
        }
        if address.authorization is not None:
            self._plain_headers["authorization"] = address.authorization
        self._lanes: list[_Lane] = []
        self._tls: ssl.SSLContext | None = None
        self._urls: dict[str, httpx2.URL] = {}
        self._headers: dict[str, httpx2.Headers] = {}
        self._closed = False

    def make_ready(self) -> None:
        """Loads and opens what the first call would need, so that a call goes the moment it is let go.

        Whoever paces calls measures when they go, and loading an HTTP client takes half a second. What
        cannot be opened is said by the first call.
        """
        with suppress(FaninError):
            self._free_lane()

    async def post(self, path: str, body: bytes) -> Reply:
        """Sends JSON to `path` under the base URL. Raises CallError where no whole answer comes back."""
        return await self._send("POST", path, body)

    async def get(self, path: str) -> Reply:
        """Asks for `path` under the base URL. Raises CallError like `post`."""
        return await self._send("GET", path, None)

    async def aclose(self) -> None:
        """Closes all connections; safe to call twice."""
        self._closed = True
        while self._lanes:
            await self._lanes.pop().client.aclose()

    async def _send(self, method: str, path: str, body: bytes | None) -> Reply:
        import httpx2

        lane = self._free_lane()
        lane.in_flight += 1
        try:
            request = httpx2.Request(method, self._url(path), headers=self._header_set(method), content=body)
            response = await lane.client.send(request, stream=True)
            try:
                content = await _read(response)
            finally:
                await response.aclose()
        except httpx2.RequestError as error:
            raise _as_call_error(error, self._address.host, self._mend) from error
        finally:
            lane.in_flight -= 1
        content = decompressed(content, response.headers.get("content-encoding", ""), MAX_BODY_BYTES)
        return Reply(response.status_code, kept_headers(response.headers.raw), content)

    def _free_lane(self) -> _Lane:
        if self._closed:
            raise FaninError("the backend is closed", mend="Open it again: `async with fanin.connect(...)`.")
        for lane in self._lanes:
            if lane.in_flight < LANE:
                return lane
        self._lanes.append(_Lane(self._open_client()))
        return self._lanes[-1]

    def _open_client(self) -> httpx2.AsyncClient:
        import httpx2

        self._tls = self._tls or self._tls_context()
        limits = httpx2.Limits(keepalive_expiry=IDLE_S)
        if self._address.is_loopback:
            direct = httpx2.AsyncHTTPTransport(verify=self._tls, limits=limits)
            return httpx2.AsyncClient(transport=direct, verify=self._tls, timeout=None)
        try:
            return httpx2.AsyncClient(verify=self._tls, limits=limits, timeout=None)
        except (ImportError, ValueError, httpx2.InvalidURL) as error:
            message = f"The proxy that the environment names cannot be used: {without_login(str(error))}"
            raise CallError("connection", message, final=True) from error

    def _tls_context(self) -> ssl.SSLContext:
        import ssl

        import httpx2

        if self._address.is_loopback and self._address.base_url.startswith("http:"):
            # Nothing is ever encrypted on this way, and reading all certificates takes 50 ms.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return httpx2.create_ssl_context()

    def _url(self, path: str) -> httpx2.URL:
        import httpx2

        if path not in self._urls:
            try:
                self._urls[path] = httpx2.URL(self._address.base_url + path)
            except httpx2.InvalidURL as error:
                bound = f"an address that exists ({error})"
                raise InputError("base_url", bound, self._address.base_url) from None
        return self._urls[path]

    def _header_set(self, method: str) -> httpx2.Headers:
        import httpx2

        if method not in self._headers:
            kind = {"content-type": "application/json"} if method == "POST" else {}
            self._headers[method] = httpx2.Headers(self._plain_headers | kind)
        return self._headers[method]


async def _read(response: httpx2.Response) -> bytes:
    pieces, size = [], 0
    stream = response.aiter_raw()
    async for piece in stream:
        size += len(piece)
        if size > MAX_BODY_BYTES:
            await _abandon(response, stream)
            raise too_long(MAX_BODY_BYTES)
        pieces.append(piece)
    return b"".join(pieces)


async def _abandon(response: httpx2.Response, stream: AsyncIterator[bytes]) -> None:
    # The generators inside the stream are not closed with it: they have to come to their own end,
    # which a closed connection brings about.
    import httpx2

    await response.aclose()
    with suppress(httpx2.RequestError):
        async for _ in stream:
            pass


def _as_call_error(error: httpx2.RequestError, host: str, mend: str | None) -> CallError:
    import httpx2

    reason = f" ({error})" if str(error) else ""
    if isinstance(error, httpx2.TimeoutException):
        return CallError("timeout", f"No answer from {host} in time{reason}.")
    if isinstance(error, httpx2.ConnectError):
        return CallError("connection", f"Cannot connect to {host}{reason}.", mend=mend)
    if isinstance(error, httpx2.ProxyError):
        return CallError("connection", f"The proxy on the way to {host} refused{reason}.")
    return CallError("connection", f"The connection to {host} broke before the answer was whole{reason}.")
