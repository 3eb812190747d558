"""From an answer that is no answer to a `CallError`: what went wrong, in a sentence, and what helps.

Pure. Every provider words its refusals differently and some answer a 200 with an error inside, so an
answer is brought to one shape (`Refused`) and given to the rules below in order; the first that fits
decides. Statuses: RFC 9110 section 15, RFC 6585 (429); 529 is an overloaded Anthropic.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus

import attrs

from fanin.errors import CallError
from fanin.policy import told
from fanin.show import one_line
from fanin_backends.wire import Headers, Reply
from fanin_backends.words import Words, status_of, words_in, words_of

MOST_TEXT = 300
"""So many characters of a server's own words are shown."""


@attrs.frozen
class Asked:
    """What a call asked, as far as a refusal of it has to be explained."""

    backend: str
    """The backend's name."""
    base_url: str
    """Where it was sent, without secrets."""
    key_variable: str
    """The environment variable that holds the key."""
    model: str = ""
    """The model; empty for calls that name none."""
    sent: Mapping[str, str] = {}
    """The optional parameters that were sent: name on the wire -> name in a `Request`."""
    no_model: str | None = None
    """What to do where the server has no such model."""


@attrs.frozen
class Refused:
    """A refusal in one shape for all providers."""

    asked: Asked
    status: int
    headers: Headers
    words: Words
    now_s: float
    inside: int | None = None
    """The status of the answer that the refusal stood in; None where it is the refusal's own."""

    @property
    def who(self) -> str:
        """The model, or the backend for calls that name none."""
        return self.asked.model or self.asked.backend

    @property
    def wait_s(self) -> float | None:
        """The wait that the server asks for."""
        return told.wait_s(self.headers, self.words.text, self.now_s)

    @property
    def lower(self) -> str:
        """The server's words and codes in lower case, to look for a meaning in."""
        return f"{self.words.text[: told.PROSE_CHARS]} {self.words.code}".lower()

    def sentence(self, what: str) -> str:
        """`what`, with the status and the server's own words on one line."""
        words = one_line(self.words.text, MOST_TEXT)
        status = f"HTTP {self.status}" if self.inside is None else f"an error inside an HTTP {self.inside}"
        return f"{what} ({status}){f': {words}' if words else '.'}"


def refusal(reply: Reply, asked: Asked, now_s: float) -> CallError:
    """The error that an answer with a status other than 2xx is; `now_s` is Unix time in seconds."""
    return _decide(Refused(asked, reply.status, reply.headers, words_of(reply.body), now_s))


def error_inside(reply: Reply, error: object, asked: Asked, now_s: float) -> CallError:
    """The error that stands as `error` in the JSON body of a 2xx answer."""
    words = words_in({"error": error})
    return _decide(Refused(asked, status_of(words), reply.headers, words, now_s, inside=reply.status))


def _redirected(refused: Refused) -> CallError | None:
    if not 300 <= refused.status <= 399:
        return None
    place = next((value for name, value in refused.headers if name == "location"), None)
    where = f" to {one_line(place.partition('?')[0], 100)}" if place else ""
    message = f"{refused.asked.base_url} redirects{where} (HTTP {refused.status}), which is not followed."
    return CallError(
        "bad_request", message, final=True, mend="Give the address it leads to, if you trust it."
    )


def _key_refused(refused: Refused) -> CallError | None:
    if refused.status not in (401, 403):
        return None
    what = "does not accept the key" if refused.status == 401 else "refuses access"
    message = refused.sentence(f"{refused.asked.backend} {what}")
    return CallError("auth", message, final=True, mend=f"Check {refused.asked.key_variable}.")


def _never_fits(refused: Refused) -> CallError | None:
    limited = refused.status == 429
    too_large = "request too large" in refused.lower or told.amounts(refused.words.text).never_fits
    if refused.status != 413 and not (limited and too_large):
        return None
    message = refused.sentence(f"The request is larger than {refused.asked.backend} takes at once")
    return CallError("bad_request", message, final=True, mend="Shorten the context, or lower --max-tokens.")


def _quota_spent(refused: Refused) -> CallError | None:
    # Gemini words its limit per minute as a spent quota too, and then says when to come back.
    spent = "exceeded your current quota" in refused.lower and refused.wait_s is None
    by_code = "insufficient_quota" in refused.lower
    if refused.status != 402 and not (refused.status == 429 and (spent or by_code)):
        return None
    message = refused.sentence(f"The quota of the account at {refused.asked.backend} is spent")
    return CallError(
        "quota", message, final=True, exhausted=True, mend="Look at the plan and billing of the account."
    )


def _day_spent(refused: Refused) -> CallError | None:
    if refused.status != 429 or not told.is_daily(refused.words.text):
        return None
    wait_s = refused.wait_s
    when = "" if wait_s is None else f"; come back in {_span(wait_s)}"
    message = refused.sentence(f"The daily limit of {refused.who} is spent{when}")
    return CallError("quota", message, final=True, exhausted=True, retry_after_s=wait_s)


def _too_fast(refused: Refused) -> CallError | None:
    if refused.status != 429:
        return None
    message = refused.sentence(f"The rate limit of {refused.who} is reached")
    return CallError("rate_limit", message, retry_after_s=refused.wait_s)


def _no_model(refused: Refused) -> CallError | None:
    if refused.status != 404:
        return None
    asked = refused.asked
    if asked.model and "model" in refused.lower:
        message = refused.sentence(f"{asked.backend} has no model {asked.model!r}")
        return CallError("bad_request", message, final=True, mend=asked.no_model)
    message = refused.sentence(f"Nothing is at {asked.base_url} that answers such calls")
    return CallError("bad_request", message, final=True, mend="Check the base URL.")


_NOT_TAKEN = re.compile(
    r"unsupport|unrecogni[sz]ed|unknown|unexpected|incompatible|deprecated|additional propert|"
    r"(?:not|n't) (?:be )?(?:support|permit|allow|accept|available|compatible)|(?:are|is) fixed|"
    r"only .{0,40}(?:allow|support|accept|default)|may only be"
)


_ALSO_CALLED = {"reasoning_effort": "reasoning_effort|reasoning|think|thinking"}
"""How servers call a parameter that they refuse, where that is not its name on the wire: Ollama's
OpenAI-shaped address says of `reasoning_effort` that the model "does not support thinking"."""


def _parameter_refused(refused: Refused) -> CallError | None:
    if refused.status not in (400, 422) or not _NOT_TAKEN.search(refused.lower):
        return None
    named = refused.words.parameter.lower()
    for wire_name, name in refused.asked.sent.items():
        words = _ALSO_CALLED.get(name, wire_name)
        in_text = re.search(rf"\b(?:{words})\b", refused.lower) is not None
        if named == wire_name or (in_text and not named):
            message = refused.sentence(f"{refused.asked.model} does not take the parameter {wire_name}")
            return CallError("bad_request", message, refused=name, final=True)
    return None


_WINDOW = re.compile(
    r"context_length|context length|context window|context size|exceed_context_size|maximum prompt length|"
    r"prompt is too long|reduce the length of the (?:messages|prompt|input)"
)


def _too_long(refused: Refused) -> CallError | None:
    if refused.status not in (400, 422, 500) or not _WINDOW.search(refused.lower):
        return None
    message = refused.sentence(f"The prompt is longer than the window of {refused.asked.model}")
    mend = "Shorten the context, lower --max-tokens, or use a model with a larger window."
    return CallError("bad_request", message, final=True, mend=mend)


_NO_TOOLS = re.compile(
    r"(?:tools?|tool.?(?:us|call|choice)\w*|function.?call\w*|functions?)\b.{0,60}"
    r"(?:(?:not|n't) (?:be )?(?:support|permit|allow|accept|available|enabled)|unsupport|require)|"
    r"(?:not|n't) support.{0,40}\b(?:tool|function)|no endpoints found that support tool|"
    r"unsupport\w* .{0,20}\b(?:tool|function)"
)


def _no_tools(refused: Refused) -> CallError | None:
    # Ollama, Groq, vLLM and OpenRouter (404) each word it their own way, and llama.cpp calls it a 500.
    if refused.status not in (400, 404, 422, 500, 501) or "tools" not in refused.asked.sent:
        return None
    if "tool_use_failed" in refused.lower:  # a call was written that cannot be read: another try may do
        return CallError("malformed", refused.sentence(f"{refused.who} wrote a broken tool call"))
    if not _NO_TOOLS.search(refused.lower):
        return None
    message = refused.sentence(f"{refused.asked.model} has no tool calls")
    return CallError("bad_request", message, refused="tools", final=True)


def _no_schema(refused: Refused) -> CallError | None:
    if refused.status not in (400, 422) or not re.search(r"response_format|json_schema", refused.lower):
        return None
    message = refused.sentence(f"{refused.asked.model} does not take the JSON schema of the answer")
    # The schema of an agent's next step can be done without, the one that a user asks for cannot.
    without = refused.asked.sent.get("response_format")
    return CallError("bad_request", message, refused=without, final=True, mend="Ask without --structured.")


def _failed(refused: Refused) -> CallError | None:
    if refused.status not in (408, 409) and refused.status < 500:
        return None
    message = refused.sentence(f"{refused.asked.backend} failed{_phrase(refused.status)}")
    return CallError("server", message, retry_after_s=refused.wait_s)


def _not_accepted(refused: Refused) -> CallError:
    message = refused.sentence(f"{refused.asked.backend} does not accept the request")
    return CallError("bad_request", message, final=True)


_RULES: tuple[Callable[[Refused], CallError | None], ...] = (
    _redirected,
    _key_refused,
    _never_fits,
    _quota_spent,
    _day_spent,
    _too_fast,
    _no_tools,
    _no_model,
    _too_long,
    _parameter_refused,
    _no_schema,
    _failed,
)


def _decide(refused: Refused) -> CallError:
    found = (rule(refused) for rule in _RULES)
    error = next((error for error in found if error is not None), None) or _not_accepted(refused)
    error.status = refused.inside or refused.status
    error.headers = tuple(pair for pair in refused.headers if pair[0] != "location")
    return error


def _phrase(status: int) -> str:
    try:
        return f" with {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _span(seconds: float) -> str:
    """`8 s`, `24 min`, `5 h 3 min`: rounded up, for people."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
