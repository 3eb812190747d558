"""Requests, responses and whole tapes, for the laws of taping."""

from __future__ import annotations

import json
import string
from typing import Any, get_args

from hypothesis import strategies as st

from fanin.errors import FailureKind
from fanin.taping.bodies import Body, body_of
from fanin.taping.recording import Interaction, Recording, TapedError, TapedRequest, TapedResponse


def unchanged(text: str) -> str:
    """Scrubs nothing."""
    return text


HIDDEN = "\x00\x1b\x7f\x85\x9b\xad\u061c\u200b\u200f\u2028\u2029\u202e\u2066\ufeff\U000e0041"
"""Characters that a viewer does not show, or acts upon."""


def any_text() -> st.SearchStrategy[str]:
    """Any text that JSON can hold: control characters, bidi marks and lone surrogates too."""
    # Two halves that stand side by side are one character as soon as JSON has been read.
    return st.text(st.characters() | st.sampled_from(HIDDEN), max_size=12).map(
        lambda text: json.loads(json.dumps(text))
    )


def json_values() -> st.SearchStrategy[Any]:
    """JSON objects and arrays."""
    ends = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | any_text()
    ends |= st.floats(allow_nan=False, allow_infinity=False)
    values = st.recursive(
        ends, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text(), inner, max_size=3)
    )
    return st.lists(values, max_size=3) | st.dictionaries(any_text(), values, max_size=3)


def json_bodies() -> st.SearchStrategy[bytes]:
    """JSON as different clients write it."""
    return st.builds(
        lambda value, indent, ascii_only: json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode(
            "utf-8", "backslashreplace"
        ),
        json_values(),
        st.sampled_from([None, 1]),
        st.booleans(),
    )


ODD_BODIES = {
    b'{"a":1,"a":2}': "text",
    b'{"a":0.1234567890123456789}': "text",
    b'{"a":1e400}': "text",
    b'{"a":-1.9361264946837764e-7, "b":0.70}': "json",
    b'{"a":NaN}': "text",
    b'{"a":' + b"9" * 6000 + b"}": "text",
    b'{"a":18446744073709551616}': "text",
    b"[" * 200_000: "text",
    b"[" * 101 + b"]" * 101: "text",
    b"[" * 100 + b"]" * 100: "json",
    b'{"a":1}\n{"a":2}\n': "text",
    b'data: {"a":1}\r\n\r\ndata: [DONE]\r\n\r\n': "text",
    b"<!doctype html>\n<p>bad gateway</p>\n": "text",
    b'"only a string"': "text",
    b"17": "text",
    b'\xef\xbb\xbf{"a":1}': "text",
    b'{"a":': "text",
    b'{"a":"\\ud800"}': "json",
    b'{"a":"\\u0000"}': "json",
    b"\x00\x01": "text",
    b"\x1f\x8b\x08cut": "base64",
    "{'a': 'ü'}".encode("latin-1"): "base64",
}
"""Bodies that are not what they look like, and the form a tape keeps them in."""


def raw_bodies() -> st.SearchStrategy[bytes]:
    """Bodies as they come over the wire."""
    texts = any_text().map(lambda text: text.encode("utf-8", "replace"))
    return json_bodies() | texts | st.binary(max_size=20) | st.sampled_from(list(ODD_BODIES))


def bodies() -> st.SearchStrategy[Body | None]:
    """Bodies as a tape holds them."""
    return raw_bodies().map(lambda raw: body_of(raw, unchanged))


_VALUES = st.text(string.ascii_letters + string.digits + ' /;=.-"\\', max_size=12)
_RESPONSE_HEADERS = [
    "content-type",
    "retry-after",
    "retry-after-ms",
    "x-ratelimit-remaining-tokens",
    "location",
]


def requests() -> st.SearchStrategy[TapedRequest]:
    """Requests as a tape holds them."""
    return st.builds(
        TapedRequest,
        st.sampled_from(["GET", "POST"]),
        any_text(),
        st.dictionaries(st.just("content-type"), _VALUES),
        bodies(),
    )


def interactions() -> st.SearchStrategy[Interaction]:
    """Requests and how they ended."""
    responses = st.builds(
        TapedResponse,
        st.integers(100, 999),
        st.dictionaries(st.sampled_from(_RESPONSE_HEADERS), _VALUES, max_size=3),
        bodies(),
    )
    errors = st.builds(
        TapedError, st.sampled_from(get_args(FailureKind)), any_text(), st.none() | any_text(), st.booleans()
    )
    return st.builds(Interaction, st.none() | st.integers(0, 5), requests(), responses | errors)


def recordings() -> st.SearchStrategy[Recording]:
    """Whole tapes."""
    texts = st.lists(any_text(), max_size=2).map(tuple)
    return st.builds(
        Recording,
        st.none() | any_text(),
        st.none() | any_text(),
        texts,
        st.dictionaries(any_text(), texts, max_size=2),
        st.lists(interactions(), min_size=1, max_size=3).map(tuple),
    )
