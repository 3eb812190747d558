"""What a provider tells of its limits, read from headers and from prose.

Providers tell the same thing in several places, and each place fails at times: `retry-after` is
rounded up or missing, a spent daily limit stands in no header at all, and a request that is larger
than the whole limit comes with a wait that never helps. So the prose is read as well. Nothing here
raises: what cannot be read tells nothing.

Sources: RFC 9110 section 10.2.3 (Retry-After); Groq and OpenAI, rate-limit documentation and
recorded refusals.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC
from email.utils import parsedate_to_datetime

import attrs

_UNIT_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ms|us|µs|ns|[dhms])")

_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:[eE][+]?[0-9]+)?")

# In prose the unit may be a word ("7 seconds") and must end where a word ends.
_PROSE_UNIT = (
    r"(?:milliseconds?|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|hr|h|days?|d)(?![a-z])"
)
_PROSE_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
_PROSE_PART = re.compile(rf"({_PROSE_NUMBER}) ?({_PROSE_UNIT})", re.IGNORECASE)
_PROSE_WAIT = re.compile(
    r"\b(?:try(?:ing)? again|retry(?:ing)?|wait)(?: again)?(?: in| after| for)? ?:? ?~?"
    rf"((?:{_PROSE_NUMBER} ?{_PROSE_UNIT}[, ]{{0,2}})+)",
    re.IGNORECASE,
)
_WORDS = {"mil": "ms", "mse": "ms", "sec": "s", "min": "m", "hou": "h", "hr": "h", "hrs": "h", "day": "d"}

_AMOUNT = r"\b{}[: ]{{0,2}}~?([0-9][0-9,]{{0,20}}(?:\.[0-9]+)?)"
_LIMIT, _USED, _REQUESTED = (
    re.compile(_AMOUNT.format(word), re.IGNORECASE) for word in ("limit", "used", "requested")
)

_PER_DAY = re.compile(r"\bper[ -]day\b|/ ?day\b|\((?:TPD|RPD|ASD)\)|\bdaily\b", re.IGNORECASE)

PROSE_CHARS = 2_000
"""How much of a text is read: the wait stands in its first sentences."""


@attrs.frozen
class Amounts:
    """The numbers of a refusal: "Limit 8000, Used 6670, Requested 5883". None: not told."""

    limit: float | None = None
    """What may be used at all in one window."""
    used: float | None = None
    """What is used already."""
    requested: float | None = None
    """What this request asks for."""

    @property
    def never_fits(self) -> bool:
        """The request alone is larger than the whole limit, so that no wait helps."""
        return self.limit is not None and self.requested is not None and self.requested > self.limit


def duration_s(text: str) -> float | None:
    """The seconds of a duration as Go prints it: `0s`, `26ms`, `1m26.4s`, `1h4m48s`, `10.332999999s`.

    None where `text` is anything else: a bare number has no unit, a negative one no meaning here.
    """
    total, end = 0.0, 0
    text = text.strip()
    while part := _DURATION.match(text, end):
        total += float(part[1]) * _UNIT_S[part[2]]
        end = part.end()
    return total if end and end == len(text) and math.isfinite(total) else None


def prose_wait_s(text: str) -> float | None:
    """The wait that a sentence names, in seconds: "Please try again in 1m0.363142857s", "in 644ms",
    "retry after 7 seconds". None where it names none. Reads the first `PROSE_CHARS` characters.
    """
    wait = _PROSE_WAIT.search(text[:PROSE_CHARS])
    if wait is None:
        return None
    parts = [(float(number), unit.lower()) for number, unit in _PROSE_PART.findall(wait[1])]
    return sum(number * _UNIT_S[_WORDS.get(unit[:3], unit)] for number, unit in parts)


def header_wait_s(headers: Iterable[tuple[str, str]], now_s: float) -> float | None:
    """The wait that `retry-after-ms` or else `retry-after` names, in seconds; names in lower case.

    `retry-after` is seconds, fractions allowed, or an HTTP-date, measured from `now_s` (Unix time in
    seconds). A date in the past, a negative number and rubbish tell nothing. An absurd number (1e9)
    is told as it stands: whoever waits has a bound of its own.
    """
    told = dict(headers)
    milliseconds = _number(told.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = told.get("retry-after", "").strip()
    seconds = _number(value)
    return seconds if seconds is not None else _date_wait_s(value, now_s)


def wait_s(headers: Iterable[tuple[str, str]], text: str, now_s: float) -> float | None:
    """The wait that an answer asks for, in seconds; None where it asks for none.

    The text's is preferred: it is exact, and the header holds the same wait rounded up (Groq), or is
    missing (OpenAI, at times).
    """
    told = prose_wait_s(text)
    return told if told is not None else header_wait_s(headers, now_s)


def amounts(text: str) -> Amounts:
    """The numbers that the text of a refusal tells; "~" may stand before one, "," within."""
    text = text[:PROSE_CHARS]
    return Amounts(*(_amount(pattern.search(text)) for pattern in (_LIMIT, _USED, _REQUESTED)))


def is_daily(text: str) -> bool:
    """Whether the text of a refusal speaks of a limit per day ("tokens per day (TPD)")."""
    return _PER_DAY.search(text[:PROSE_CHARS]) is not None


def _number(text: str) -> float | None:
    text = text.strip()
    if _SECONDS.fullmatch(text) is None:
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _date_wait_s(text: str, now_s: float) -> float | None:
    try:
        date = parsedate_to_datetime(text)
        # An HTTP-date is always GMT; the forms that do not say so come back without a zone.
        wait = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now_s
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return wait if wait > 0 else None


def _amount(found: re.Match[str] | None) -> float | None:
    return None if found is None else float(found[1].replace(",", ""))
