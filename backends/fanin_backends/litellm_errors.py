"""From litellm's errors to a `CallError`. Pure: nothing of litellm is imported.

litellm's own classes tell little: a cut answer, a missing key and a server that cannot be reached all
come as a 500, and a wrapped replay miss too. But each keeps the error it was made from, so the answer
of the server is found beneath, and where there is none the first cause tells what happened. The
`status_code` is read last, and the class of litellm's error never.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fanin.errors import CallError, FaninError
from fanin.show import one_line
from fanin_backends.refusals import MOST_TEXT, Asked, refusal
from fanin_backends.wire import Headers, Reply, kept_headers

_MOST_CAUSES = 30

_VCRPYS_MISS = "CannotOverwriteExistingCassetteException"
_TIMEOUTS = ("TimeoutException", "TimeoutError", "Timeout")
"""Of httpx, of Python and aiohttp, of litellm."""
_UNREACHED = ("TransportError", "ConnectionError", "ClientConnectionError")
"""Of httpx, of Python, of aiohttp."""

_PREFIX = re.compile(r"^litellm\.\w+: (?:\w+: )?(?:\w+ ?(?:Exception|APIError) ?-? )?")
_NO_KEY = re.compile(
    r"missing .{0,40}(?:api.?key|credentials)|api.?key .{0,40}(?:must be|not) set", re.IGNORECASE
)


def call_error(error: Exception, asked: Asked, now_s: float) -> Exception:
    """What an error that came out of litellm is: a `CallError`, mostly.

    A FaninError beneath it (a replay's miss) and vcrpy's own miss come back as they are. `now_s` is
    Unix time in seconds. The messages may hold keys that a server echoed.
    """
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, FaninError) or type(cause).__name__ == _VCRPYS_MISS:
            return cause
    reply = _reply(causes)
    if reply is not None:
        return refusal(reply, asked, now_s)
    classes = {base.__name__ for cause in causes for base in type(cause).__mro__}
    if "TooManyRedirects" in classes:
        return CallError("bad_request", f"{asked.base_url} redirects without end.", final=True)
    if classes.intersection(_TIMEOUTS):
        return CallError("timeout", f"{asked.model} ran out of litellm's time for a call.")
    if classes.intersection(_UNREACHED):
        mend = "Is there a network, and is the base URL right?"
        return CallError("connection", f"{asked.base_url} cannot be reached.", mend=mend)
    return _without_answer(error, causes, asked, now_s)


def _causes(error: BaseException | None) -> Iterator[Exception]:
    """The error and what it was made from, the outermost first."""
    for _ in range(_MOST_CAUSES):
        if not isinstance(error, Exception):
            return
        yield error
        error = error.__cause__ or error.__context__


def _reply(causes: list[Exception]) -> Reply | None:
    """The server's refusal: the innermost there is, since litellm makes empty ones of its own."""
    for cause in reversed(causes):
        response: Any = getattr(cause, "response", None)
        status = getattr(response, "status_code", None)
        if isinstance(status, int) and status >= 300 and getattr(response, "headers", None):
            return Reply(status, limit_headers(response.headers), _content(response))
    return None


def limit_headers(headers: Mapping[str, str] | None) -> Headers:
    """The headers that a `Reply` keeps, from a mapping of litellm's or httpx's."""
    raw = (headers or {}).items()
    return kept_headers((name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in raw)


def _content(response: Any) -> bytes:
    try:
        return bytes(response.content)
    except Exception:  # noqa: BLE001 - httpx and its kin each have their own for a stream nobody read
        return b""


def _without_answer(error: Exception, causes: list[Exception], asked: Asked, now_s: float) -> CallError:
    text = _PREFIX.sub("", str(getattr(error, "message", error))).partition("\nTraceback")[0]
    status = getattr(error, "status_code", None)
    if status == 401 or _NO_KEY.search(text):
        message = f"The key for {asked.model} is missing or not accepted: {one_line(text, MOST_TEXT)}"
        return CallError("auth", message, final=True, mend=f"Set {asked.key_variable} in the environment.")
    if not isinstance(status, int) or status >= 500:
        return _unreadable(causes, asked)
    headers = limit_headers(getattr(error, "litellm_response_headers", None))
    return refusal(Reply(status, headers, text.encode("utf-8", "replace")), asked, now_s)


def _unreadable(causes: list[Exception], asked: Asked) -> CallError:
    """An answer came, and litellm could not read it."""
    if any(type(cause).__name__ == "JSONDecodeError" for cause in causes):
        return CallError("malformed", "The answer is not JSON: a web page, empty, cut off or damaged.")
    cause = next((each for each in causes if not _is_wrapper(each)), causes[0])
    message = f"litellm cannot read the answer of {asked.model} ({type(cause).__name__})."
    if isinstance(cause, AttributeError):
        # A mistake in litellm: the same answer would trip it again.
        mend = "Try another backend for this provider (groq, openai and ollama have their own)."
        return CallError("malformed", message, final=True, mend=mend)
    return CallError("malformed", message)


def _is_wrapper(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] in ("litellm", "openai") or type(error) is Exception
