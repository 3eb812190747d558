"""The parts of an answer that all providers share, read without trusting any of it.

Pure: bytes and pairs in, values out. What an answer does not need never costs the answer: a count
that makes no sense is unknown, a field that nobody knows is passed over.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable
from typing import TypeAlias

import attrs

from fanin.errors import CallError
from fanin.values import ToolCall

Headers: TypeAlias = tuple[tuple[str, str], ...]

MOST_TOKENS = 10**9
"""No call uses more; a larger count is an absurd one, and unknown."""

_INT_DIGITS = 18
_KEPT_PREFIXES = (b"x-ratelimit-", b"retry-after")
_KEPT = (b"location",)


@attrs.frozen
class Reply:
    """An HTTP answer, whole, with the headers that are of use."""

    status: int
    """The HTTP status."""
    headers: Headers
    """`x-ratelimit-*`, `retry-after*` and `location`; lower-case names, in the order they came."""
    body: bytes
    """The body, decompressed."""

    @property
    def limit_headers(self) -> Headers:
        """The rate-limit headers alone."""
        return tuple(pair for pair in self.headers if pair[0] != "location")

    def header(self, name: str) -> str | None:
        """The first header of that lower-case name."""
        return next((value for header, value in self.headers if header == name), None)


def kept_headers(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers a `Reply` keeps, decoded as Latin-1 (RFC 9110 section 5.5)."""
    kept = []
    for name, value in raw:
        name = name.lower()
        if name.startswith(_KEPT_PREFIXES) or name in _KEPT:
            kept.append((name.decode("latin-1"), value.decode("latin-1")))
    return tuple(kept)


def too_long(most_bytes: int) -> CallError:
    """The error for a body of more bytes than that."""
    return CallError("malformed", f"The answer is longer than {most_bytes // 2**20} MB.", final=True)


# What zlib is told to expect (RFC 9110 section 8.4.1). Some servers send `deflate` without its header.
_WINDOW_BITS = {"gzip": (31,), "x-gzip": (31,), "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS)}


def decompressed(body: bytes, coding: str, most_bytes: int) -> bytes:
    """The body without its content coding. Never holds more than `most_bytes` and one of output.

    Raises CallError (`malformed`) where it would be longer, is damaged, or is coded otherwise than
    gzip or deflate, which alone were asked for.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    for bits in _WINDOW_BITS.get(coding, ()):
        unzip = zlib.decompressobj(bits)
        try:
            plain = unzip.decompress(body, most_bytes + 1)
        except zlib.error:
            continue
        if len(plain) > most_bytes:
            raise too_long(most_bytes)
        if unzip.eof:
            return plain
    raise CallError("malformed", f"The answer is compressed ({coding[:40]!r}) and cannot be unpacked.")


def _int_or_unknown(digits: str) -> int | None:
    # Python refuses to convert integers of more than 4300 digits (CVE-2020-10735), and no
    # count has more than a few: the long ones become null instead of costing the answer.
    return int(digits) if len(digits) <= _INT_DIGITS else None


_DECODER = json.JSONDecoder(parse_int=_int_or_unknown)


def read_json(body: bytes) -> object:
    """The JSON value of a body. Raises CallError (`malformed`) with what the body is instead."""
    try:
        return _DECODER.decode(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise CallError("malformed", _what_it_is(body, error)) from None


def _what_it_is(body: bytes, error: Exception) -> str:
    start = body[:64].lstrip().lower()
    if not body.strip():
        return "The answer is empty."
    if start.startswith(b"<"):
        return "The answer is a web page, not JSON: something else than the model's server sent it."
    if start.startswith((b"data:", b"event:")):
        return "The answer is a stream of events, which was not asked for."
    if isinstance(error, RecursionError):
        return "The answer is JSON nested too deep to read."
    return "The answer is not JSON: it is cut off or damaged."


def count(value: object) -> int | None:
    """A token count; None for everything that cannot be one."""
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS
    return value if fits else None  # type: ignore[return-value]


def mean_logprob(tokens: object) -> float | None:
    """The mean log-probability of a list of tokens, each an object with its `logprob`, 0 or less.

    None where there is no such list, it is empty, or one of them tells none: a part does not speak for all.
    """
    if not isinstance(tokens, list) or not tokens:
        return None
    total = []
    for token in tokens:
        value = field(token, "logprob")
        if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
            return None
        total.append(min(0.0, value))
    return math.fsum(total) / len(total)


def field(value: object, *names: str) -> object:
    """`value[name][name]...` of nested objects; None where one of them is missing or no object."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def text_field(value: object, *names: str) -> str | None:
    """Like `field`, for a text; None where it is anything else or empty."""
    found = field(value, *names)
    return found if isinstance(found, str) and found else None


def tool_calls(asked: object) -> tuple[ToolCall, ...]:
    """The tool calls of a message, in its order, as OpenAI (arguments a text) or Ollama (an object) give
    them; what is no object is passed over, and a part that makes no sense is empty."""
    calls = [call for call in asked if isinstance(call, dict)] if isinstance(asked, list) else []
    return tuple(
        ToolCall(
            text_field(call, "id") or "",
            text_field(call, "function", "name") or "",
            _arguments(field(call, "function", "arguments")),
        )
        for call in calls
    )


def _arguments(value: object) -> str:
    if isinstance(value, str):
        return value
    return "{}" if value is None else json.dumps(value, ensure_ascii=False)


def content_text(content: object) -> str:
    """The text of a message's content: a string, a list of parts joined, or empty for null.

    Parts that hold no text (images, thoughts) are passed over. Raises CallError (`malformed`) where
    the content is something else.
    """
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, list):
        return "".join(part if isinstance(part, str) else text_field(part, "text") or "" for part in content)
    raise CallError("malformed", "The answer's content is neither a text nor a list of parts.")


def names_of(listed: object, name: str) -> tuple[str, ...]:
    """The texts under `name` in a list of objects, in order; what is no text is passed over."""
    entries = listed if isinstance(listed, list) else []
    found = (text_field(entry, name) for entry in entries)
    return tuple(text for text in found if text is not None)
