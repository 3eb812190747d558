"""Bodies as a tape holds them: JSON that a person can read, else text, else base64.

Pure. A body is kept in the first of three forms that holds all of it:

- `json`: UTF-8 text that is a JSON object or array (RFC 8259) and says the same when it is read and
  written again. Replayed as JSON of the same value; spaces and the spelling of numbers may differ.
- `text`: any other UTF-8 text. Replayed to the byte.
- `base64`: everything else. Replayed to the byte.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal, NoReturn, TypeAlias

import attrs

Kind: TypeAlias = Literal["json", "text", "base64"]
Scrub: TypeAlias = Callable[[str], str]
"""Takes the secrets out of a text."""

MAX_DEPTH = 100
"""JSON nested deeper than this is kept as text: readers of the tape need not recurse far."""


@attrs.frozen
class Body:
    """The body of a request or a response; an empty one is None and no Body."""

    kind: Kind
    """The form it is kept in."""
    value: Any
    """`json`: a dict or list as `json.loads` gives it; `text`: a str; `base64`: bytes."""

    def to_bytes(self) -> bytes:
        """What goes over the wire again."""
        if self.kind == "json":
            # ASCII alone, so that a lone surrogate, which has no UTF-8, is no trouble.
            return json.dumps(self.value, separators=(",", ":")).encode("ascii")
        return self.value if self.kind == "base64" else self.value.encode("utf-8")  # type: ignore[no-any-return]


def body_of(raw: bytes, scrub: Scrub) -> Body | None:
    """The body in the form a tape keeps it, without secrets; None for an empty one."""
    if not raw:
        return None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        # Latin-1 maps every byte to one character and back, so keys are found in binary data too.
        return Body("base64", scrub(raw.decode("latin-1")).encode("latin-1"))
    value = exact_json(text)
    if value is not None:
        try:
            return Body("json", _scrubbed(value, scrub))
        except _SameName:
            pass
    return Body("text", scrub(text))


def exact_json(text: str) -> dict[str, Any] | list[Any] | None:
    """The JSON object or array that `text` is, or None where it is none or would lose something.

    Lost would be: a name that comes twice in one object, a number that a double or 64 bits do not
    hold exactly, NaN and Infinity, nesting deeper than `MAX_DEPTH`.
    """
    if text.lstrip(" \t\r\n")[:1] not in ("{", "["):
        return None
    try:
        value = _EXACT.decode(text)
    except (ValueError, RecursionError):
        return None
    return value if _fits(value, MAX_DEPTH) else None


def to_stored(body: Body) -> dict[str, Any]:
    """The body as it is written into the file: `{"json": ...}`, `{"text": ...}` or `{"base64": ...}`.

    A text of several lines is a list of lines, each with its line end, so that a change of one line
    is a change of one line in the file.
    """
    if body.kind == "base64":
        return {"base64": base64.b64encode(body.value).decode("ascii")}
    if body.kind == "text":
        lines = body.value.splitlines(keepends=True)
        return {"text": lines if len(lines) > 1 else body.value}
    return {"json": body.value}


def from_stored(stored: object) -> Body:
    """The body that `to_stored` wrote. Raises ValueError, with what is wrong, for anything else."""
    if not isinstance(stored, dict) or len(stored) != 1:
        raise ValueError('must be an object with one member: "json", "text" or "base64"')
    ((kind, value),) = stored.items()
    if kind == "json":
        if not isinstance(value, (dict, list)) or not _fits(value, MAX_DEPTH):
            raise ValueError(f'"json" must be an object or an array, at most {MAX_DEPTH} levels deep')
        return Body("json", value)
    if kind == "text":
        lines = value if isinstance(value, list) else [value]
        if not all(isinstance(line, str) for line in lines):
            raise ValueError('"text" must be a string or an array of strings')
        return Body("text", _encodable("".join(lines)))
    if kind == "base64":
        try:
            return Body("base64", base64.b64decode(value, validate=True))
        except (TypeError, ValueError, binascii.Error) as error:
            raise ValueError('"base64" must be base64') from error
    raise ValueError(f'has a member {kind!r}; known are "json", "text" and "base64"')


def _encodable(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError('"text" holds half a character (a lone surrogate), which has no UTF-8') from None
    return text


class _SameName(Exception):
    """Two names of one object are the same once their secrets are out."""


def _scrubbed(value: Any, scrub: Scrub) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, list):
        return [_scrubbed(item, scrub) for item in value]
    if isinstance(value, dict):
        clean = {scrub(name): _scrubbed(item, scrub) for name, item in value.items()}
        if len(clean) < len(value):
            raise _SameName
        return clean
    return value


def _fits(value: object, depth: int) -> bool:
    if isinstance(value, dict):
        return depth > 0 and all(_fits(item, depth - 1) for item in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_fits(item, depth - 1) for item in value)
    return not isinstance(value, int) or -(2**63) <= value < 2**64


def _each_name_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(members)
    if len(made) < len(members):
        raise ValueError("a name comes twice")
    return made


def _exact_float(spelling: str) -> float:
    number = float(spelling)
    if Decimal(repr(number)) != Decimal(spelling):
        raise ValueError("a number that a double does not hold exactly")
    return number


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_EXACT = json.JSONDecoder(object_pairs_hook=_each_name_once, parse_float=_exact_float, parse_constant=_refuse)
