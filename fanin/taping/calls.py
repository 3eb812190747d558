"""From what went over the wire to what a tape holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from fanin.errors import CallError
from fanin.taping.bodies import body_of
from fanin.taping.recording import TapedError, TapedRequest, TapedResponse, keeps_header, sendable
from fanin.taping.scrub import Scrubber, clean_url

MAX_DECODED_BYTES = 64 * 2**20
"""A compressed body that grows beyond this (64 MiB) stays compressed on the tape."""


@attrs.frozen
class RawRequest:
    """A request as a client sends it."""

    method: str
    url: str
    content_type: str | None
    body: bytes


@attrs.frozen
class RawResponse:
    """A response as a client got it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """In the order they came."""
    body: bytes


def taped_request(raw: RawRequest, scrub: Scrubber) -> TapedRequest:
    """The request without its secrets: what its key is made from, when recording and when replaying."""
    typed = raw.content_type is not None and sendable(raw.content_type)
    headers = {"content-type": scrub(raw.content_type)} if raw.content_type and typed else {}
    return TapedRequest(raw.method.upper(), clean_url(raw.url, scrub), headers, body_of(raw.body, scrub))


def taped_response(raw: RawResponse, scrub: Scrubber) -> TapedResponse:
    """The response without its secrets and volatile headers, its body decoded."""
    headers: dict[str, str] = {}
    for name, value in raw.headers:
        name = name.lower()
        if keeps_header(name) and sendable(value):
            value = clean_url(value, scrub) if name == "location" else scrub(value)
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    body = raw.body
    if "content-encoding" in headers:
        decoded = _decoded(body, headers["content-encoding"])
        if decoded is not None:
            body = decoded
            del headers["content-encoding"]
    return TapedResponse(raw.status, headers, body_of(body, scrub))


def taped_error(error: CallError, scrub: Scrubber) -> TapedError:
    """The error without its secrets."""
    mend = None if error.mend is None else scrub(error.mend)
    return TapedError(error.kind, scrub(error.message), mend, error.final)


def raised_again(error: TapedError) -> CallError:
    """The error as the adapter raised it while recording."""
    return CallError(error.kind, error.message, mend=error.mend, final=error.final)


def _decoded(body: bytes, coding: str) -> bytes | None:
    """The body without its content coding (RFC 9110, 8.4); None where it cannot be taken off.

    The codings are those that the HTTP client itself can read.
    """
    if not body:
        return body
    import httpx2

    response = httpx2.Response(200, headers={"content-encoding": coding}, content=_pieces(body))
    decoded = bytearray()
    try:
        for piece in response.iter_bytes():
            decoded += piece
            if len(decoded) > MAX_DECODED_BYTES:
                return None
    except httpx2.DecodingError:
        # aiohttp hands over bodies decoded and leaves the header. What is compressed is not UTF-8.
        return body if _is_text(body) else None
    # A coding that this client does not know is passed over: the body is as encoded as before.
    return bytes(decoded) if decoded != body else None


def _pieces(body: bytes) -> Iterator[bytes]:
    # Small pieces, so that one that unpacks to gigabytes is noticed early.
    for at in range(0, len(body), 4096):
        yield body[at : at + 4096]


def _is_text(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def header(headers: Mapping[str, object], name: str) -> str | None:
    """The value of a header in whatever mapping a client has; None where it is missing."""
    for each, value in headers.items():
        if str(each).lower() == name:
            return str(value)
    return None
