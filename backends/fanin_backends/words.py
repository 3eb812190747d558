"""What a server says when it refuses, brought from its many shapes to one. Pure."""

from __future__ import annotations

import attrs

from fanin.errors import CallError
from fanin_backends.wire import field, read_json, text_field

MOST_PLAIN_BYTES = 2_000
"""So much is read of a refusal that is not JSON."""

_MOST_NESTED = 2


@attrs.frozen
class Words:
    """What the body of a refusal says."""

    text: str = ""
    """In the server's own words."""
    code: str = ""
    """Its code and type, joined by a space, in lower case."""
    parameter: str = ""
    """The parameter it names."""
    status: int | None = None
    """The HTTP status it claims: a 200 may hold a 429 (OpenRouter)."""


def words_of(body: bytes) -> Words:
    """What the body of a refusal says: JSON in any of the known shapes, or short plain text."""
    try:
        return words_in(read_json(body))
    except CallError:
        text = body[:MOST_PLAIN_BYTES].decode("utf-8", "replace").strip()
        return Words() if text.startswith("<") else Words(text)


def words_in(data: object, nested: int = 0) -> Words:
    """What a JSON value says that holds an error.

    Shapes: `{"error": {...}}` (OpenAI, Groq), in a list (Gemini), `{"error": "..."}` (Ollama, also
    with JSON inside the text), `{"detail": ...}` (FastAPI), `{"message": ...}`.
    """
    if isinstance(data, list) and data:
        data = data[0]
    error = field(data, "error")
    error = data if error is None else error
    if isinstance(error, str):
        inner = _json_inside(error) if nested < _MOST_NESTED else None
        return Words(error) if inner is None else words_in(inner, nested + 1)
    text, parameter = _detail(field(error, "detail"))
    text = text_field(error, "message") or text or text_field(error, "error") or ""
    if raw := text_field(error, "metadata", "raw"):  # OpenRouter hands on what its provider said
        text = f"{text}: {raw}"
    code = field(error, "code")
    codes = [str(part)[:100] for part in (code, field(error, "type")) if isinstance(part, (str, int))]
    return Words(
        text,
        " ".join(codes).lower(),
        text_field(error, "param") or parameter,
        code if isinstance(code, int) and 400 <= code <= 599 else None,
    )


_SIGNS = {
    "insufficient_quota": 429,
    "rate_limit": 429,
    "rate limit": 429,
    "invalid_api_key": 401,
    "authentication": 401,
    "permission": 403,
    "not_found": 404,
    "not found": 404,
    "invalid_request": 400,
    "context_length": 400,
    "exceed_context_size": 400,
}


def status_of(words: Words) -> int:
    """The status that an error inside a 200 should have had; 500 where nothing tells."""
    if words.status is not None:
        return words.status
    lower = f"{words.code} {words.text[:MOST_PLAIN_BYTES]}".lower()
    return next((status for sign, status in _SIGNS.items() if sign in lower), 500)


def _json_inside(text: str) -> dict[str, object] | None:
    if not text.startswith("{"):
        return None
    try:
        value = read_json(text.encode("utf-8", "replace"))
    except CallError:
        return None
    return value if isinstance(value, dict) else None


def _detail(detail: object) -> tuple[str, str]:
    """(text, parameter) of FastAPI's `detail`: a text, or a list of `{"loc": [...], "msg": ...}`."""
    if isinstance(detail, str):
        return detail, ""
    first = detail[0] if isinstance(detail, list) and detail else None
    place = field(first, "loc")
    parameter = str(place[-1])[:100] if isinstance(place, list) and place else ""
    message = text_field(first, "msg") or ""
    return f"{parameter}: {message}" if parameter and message else message, parameter
