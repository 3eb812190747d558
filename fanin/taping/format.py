"""The file format `fanin.tape/1`: what a tape holds, written as JSON and read back with every type checked.

`cassettes/README.md` documents it field by field. Pure: `text_of` and `recording_of` do no I/O.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, TypeVar, get_args

import attrs

from fanin.errors import CassetteError, FailureKind
from fanin.taping.bodies import Body, from_stored, to_stored
from fanin.taping.recording import (
    Interaction,
    Recording,
    TapedError,
    TapedRequest,
    TapedResponse,
    keeps_header,
    sendable,
)

FORMAT = "fanin.tape/1"

_T = TypeVar("_T")


def text_of(recording: Recording) -> str:
    """The file: JSON in the order of the fields, one space a level, ready to be encoded as UTF-8."""
    stored = {
        "format": FORMAT,
        "backend": recording.backend,
        "base_url": recording.base_url,
        "models": recording.models,
        "refused": recording.refused,
        "interactions": [stored_interaction(each) for each in recording.interactions],
    }
    text = json.dumps(stored, ensure_ascii=False, indent=1, allow_nan=False)
    # All of these stand inside strings: outside, JSON is ASCII.
    return _UNPRINTABLE.sub(_escape, text) + "\n"


def stored_interaction(interaction: Interaction) -> dict[str, Any]:
    """An interaction as it is written into the file."""
    request, outcome = interaction.request, interaction.outcome
    sent = {"method": request.method, "url": request.url, **_head_and_body(request)}
    if isinstance(outcome, TapedResponse):
        ended = {"response": {"status": outcome.status, **_head_and_body(outcome)}}
    else:
        ended = {"error": attrs.asdict(outcome, filter=lambda _, value: value not in (None, False))}
    return {"run": interaction.run, "request": sent, **ended}


def _head_and_body(message: TapedRequest | TapedResponse) -> dict[str, Any]:
    headers = {name: message.headers[name] for name in sorted(message.headers)}
    return {"headers": headers} | ({} if message.body is None else {"body": to_stored(message.body)})


# What a viewer hides, reorders or breaks: C0, DEL and C1, soft hyphen, zero-width and bidi controls,
# line separators, tags, the byte-order mark, and lone surrogates.
_UNPRINTABLE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def recording_of(text: str, path: str) -> Recording:
    """What the text of a tape holds. Raises CassetteError, which names `path`, for all that is no tape."""
    return _Reader(path).recording(text)


@attrs.frozen
class _Reader:
    path: str

    def recording(self, text: str) -> Recording:
        names = ("format", "backend", "base_url", "models", "refused", "interactions")
        stored = self._members(self._tape(text), "the tape", names)
        refused = self._typed(stored, "refused", dict, "the tape")
        listed = self._typed(stored, "interactions", list, "the tape")
        if not listed:
            self._bad("it holds no interaction")
        return Recording(
            self._text_or_null(stored, "backend", "the tape"),
            self._text_or_null(stored, "base_url", "the tape"),
            self._texts(stored, "models", "the tape"),
            {model: self._texts(refused, model, "refused") for model in refused},
            tuple(self._interaction(each, f"interaction {at}") for at, each in enumerate(listed, 1)),
        )

    def _tape(self, text: str) -> object:
        stored = self._json(text)
        made = stored.get("format") if isinstance(stored, dict) else None
        if made == FORMAT:
            return stored
        if isinstance(stored, dict) and made is None and {"version", "interactions"} <= stored.keys():
            self._bad("it is a JSON cassette of vcrpy, not a tape of fanin")
        version = re.fullmatch(r"fanin\.tape/([0-9]{1,9})", made) if isinstance(made, str) else None
        if version is None:
            self._bad(f'it is no tape of fanin: it does not begin with "format": "{FORMAT}"')
        raise CassetteError(
            self.path,
            f"its format is {version[0]}, and this fanin reads {FORMAT}",
            mend="It was made by another version: install a newer fanin, or record the tape anew.",
        )

    def _json(self, text: str) -> object:
        if not text.strip():
            self._bad("it is empty")
        try:
            return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
        except json.JSONDecodeError as error:
            if re.match(r"(---\s+)?(interactions:|version:)", text):
                self._bad("it is a YAML cassette of vcrpy, not a tape of fanin")
            if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
                self._bad(
                    f"it is cut short: the JSON ends in line {text.count(chr(10), 0, len(text.rstrip())) + 1}"
                )
            self._bad(f"it is not JSON: {error.msg}, line {error.lineno}, column {error.colno}")
        except ValueError:
            self._bad("it holds a number that is too large, or is none")
        except RecursionError:
            self._bad("it is nested too deep")

    def _interaction(self, stored: object, where: str) -> Interaction:
        ended = "error" if isinstance(stored, dict) and "error" in stored else "response"
        stored = self._members(stored, where, ("run", "request", ended))
        run = stored["run"]
        if run is not None and (type(run) is not int or run < 0):
            self._bad(f"{where}: run must be null or a whole number from 0")
        request = self._request(stored["request"], f"{where}, request")
        outcome = self._error if ended == "error" else self._response
        return Interaction(run, request, outcome(stored[ended], f"{where}, {ended}"))

    def _request(self, stored: object, where: str) -> TapedRequest:
        stored = self._members(stored, where, ("method", "url", "headers"), ("body",))
        method = self._typed(stored, "method", str, where)
        url = self._typed(stored, "url", str, where)
        headers = self._headers(stored, where)
        if not headers.keys() <= {"content-type"}:
            self._bad(f"{where}: headers may hold content-type alone")
        return TapedRequest(method, url, headers, self._body(stored, where))

    def _response(self, stored: object, where: str) -> TapedResponse:
        stored = self._members(stored, where, ("status", "headers"), ("body",))
        status = self._typed(stored, "status", int, where)
        if not 100 <= status <= 999:
            self._bad(f"{where}: status must be from 100 to 999")
        headers = self._headers(stored, where)
        for name in headers:
            if not keeps_header(name):
                self._bad(f"{where}: {name[:40]!r} is no header that a tape holds")
        return TapedResponse(status, headers, self._body(stored, where))

    def _error(self, stored: object, where: str) -> TapedError:
        stored = self._members(stored, where, ("kind", "message"), ("mend", "final"))
        kind = self._typed(stored, "kind", str, where)
        if kind not in get_args(FailureKind):
            self._bad(f"{where}: kind must be one of {', '.join(get_args(FailureKind))}")
        message = self._typed(stored, "message", str, where)
        mend = self._typed(stored, "mend", str, where) if "mend" in stored else None
        final = self._typed(stored, "final", bool, where) if "final" in stored else False
        return TapedError(kind, message, mend, final)  # type: ignore[arg-type]

    def _headers(self, stored: dict[str, Any], where: str) -> dict[str, str]:
        headers = self._typed(stored, "headers", dict, where)
        for value in headers.values():
            if not isinstance(value, str) or not sendable(value):
                self._bad(f"{where}: a header's value must be a string of printable ASCII")
        return headers

    def _body(self, stored: dict[str, Any], where: str) -> Body | None:
        if "body" not in stored:
            return None
        try:
            return from_stored(stored["body"])
        except ValueError as error:
            self._bad(f"{where}: body {error}")

    def _members(
        self, stored: object, where: str, needed: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        if not isinstance(stored, dict):
            self._bad(f"{where} must be an object")
        for name in needed:
            if name not in stored:
                self._bad(f"{where} has no {name!r}")
        if len(stored) > len(needed):
            for name in stored:
                if name not in needed and name not in optional:
                    self._bad(f"{where} has an unknown member {name[:40]!r}")
        return stored

    def _typed(self, stored: dict[str, Any], name: str, kind: type[_T], where: str) -> _T:
        value = stored[name]
        if type(value) is not kind:
            self._bad(f"{where}: {name} must be {_CALLED[kind]}")
        return value

    def _text_or_null(self, stored: dict[str, Any], name: str, where: str) -> str | None:
        return None if stored[name] is None else self._typed(stored, name, str, where)

    def _texts(self, stored: dict[str, Any], name: str, where: str) -> tuple[str, ...]:
        values = self._typed(stored, name, list, where)
        if not all(isinstance(value, str) for value in values):
            self._bad(f"{where}: {name[:40]} must be an array of strings")
        return tuple(values)

    def _bad(self, problem: str) -> NoReturn:
        raise CassetteError(
            self.path, problem, mend="Restore the file from your version control, or record it anew."
        )


_CALLED = {str: "a string", int: "a whole number", bool: "true or false", dict: "an object", list: "an array"}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(spelling: str) -> float:
    number = float(spelling)
    if number in (float("inf"), float("-inf")):
        raise ValueError(spelling)
    return number
