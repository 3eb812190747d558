"""The interception: vcrpy's patches of the HTTP clients, with our tape behind them.

vcrpy patches httpx2, httpx, aiohttp, requests, urllib3 and http.client for the whole process and
asks a `Cassette` what to do. This one overrides its public methods alone, neither loads nor saves,
and finds an interaction by its key, where vcrpy's own compares a request with every other.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any, TypeAlias

from vcr.cassette import Cassette  # type: ignore[import-untyped]
from vcr.record_mode import RecordMode  # type: ignore[import-untyped]
from vcr.util import read_body  # type: ignore[import-untyped]

from fanin.context import RUN_INDEX, TapeOn
from fanin.errors import CassetteError, CassetteMissError
from fanin.taping.calls import RawRequest, RawResponse, header, raised_again
from fanin.taping.player import Player
from fanin.taping.recorder import Recorder
from fanin.taping.recording import TapedError, TapedResponse

_Outcome: TypeAlias = "TapedResponse | TapedError"

_TAKEN: ContextVar[tuple[TapeCassette, RawRequest, _Outcome] | None] = ContextVar("fanin_taken", default=None)
"""What has been taken from the tape for the request that this task is about to be answered."""


def intercept(on: TapeOn, player: Player | None, recorder: Recorder | None) -> AbstractContextManager[object]:
    """While this is entered, all HTTP of the process goes through the tape; afterwards none does.

    With a player alone every request is answered from the tape or is a miss, with a recorder alone
    every one is sent, and with both those are sent that the tape does not hold.
    """
    made: AbstractContextManager[object] = TapeCassette.use(
        path=on.path, on=on, player=player, recorder=recorder
    )
    return made


class TapeCassette(Cassette):  # type: ignore[misc]  # vcrpy has no types
    """What vcrpy's patches ask."""

    def __init__(self, path: str, on: TapeOn, player: Player | None, recorder: Recorder | None) -> None:
        super().__init__(path, record_mode=RecordMode.NONE if recorder is None else RecordMode.ALL)
        self._tape = on
        self._player = player
        self._recorder = recorder

    @classmethod
    def load(cls, **settings: Any) -> TapeCassette:
        """Makes one. vcrpy would read the file here; it has been read and checked before."""
        return cls(**settings)

    def can_play_response_for(self, request: Any) -> bool:
        """Whether to ask `play_response`: always when replaying, so that a miss is ours to report."""
        if self._recorder is None:
            return True
        raw = self._raw(request)
        if self._player is not None and self._take(self._player, raw):
            return True
        self._recorder.asked(raw)
        return False

    def _take(self, player: Player, raw: RawRequest) -> bool:
        """Takes the answer at once: another thread may ask the same between this and `play_response`."""
        taken = _TAKEN.get()
        if taken is not None and taken[:2] == (self, raw):
            return True  # http.client's patch asks twice
        outcome = player.take(raw, RUN_INDEX.get())
        _TAKEN.set(None if outcome is None else (self, raw, outcome))
        return outcome is not None

    def play_response(self, request: Any) -> dict[str, Any]:
        """What was recorded, in vcrpy's shape. Raises CassetteMissError, and CallError for a taped error."""
        assert self._player is not None
        raw, taken = self._raw(request), _TAKEN.get()
        _TAKEN.set(None)
        try:
            if taken is not None and taken[:2] == (self, raw):
                outcome = taken[2]
            else:
                outcome = self._player.play(raw, RUN_INDEX.get())
        except CassetteMissError as miss:
            # Some clients wrap what their transport raises, or try again: the tape keeps the first.
            self._tape.missed = self._tape.missed or miss
            raise
        if isinstance(outcome, TapedError):
            raise raised_again(outcome)
        return _response(outcome)

    def append(self, request: Any, response: dict[str, Any]) -> None:
        """Takes down an answer that just came."""
        assert self._recorder is not None
        headers = tuple(
            (name, value) for name, values in response["headers"].items() for value in _each(values)
        )
        body = response["body"].get("string") or b""
        self._recorder.answered(self._raw(request), RawResponse(response["status"]["code"], headers, body))

    def _raw(self, request: Any) -> RawRequest:
        body = _bytes(read_body(request), self._path)
        return RawRequest(request.method, request.uri, header(request.headers, "content-type"), body)


def _bytes(body: object, path: str) -> bytes:
    if body is None or isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body or b"")
    try:
        # aiohttp's patch hands over what was given as `json=` or `data=`, not the bytes of it.
        return json.dumps(body).encode()
    except (TypeError, ValueError):
        raise CassetteError(path, f"a body of the type {type(body).__name__} cannot be taped") from None


def _each(values: Any) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


def _response(taped: TapedResponse) -> dict[str, Any]:
    try:
        reason = HTTPStatus(taped.status).phrase
    except ValueError:
        reason = ""
    return {
        "status": {"code": taped.status, "message": reason},
        "headers": {name: [value] for name, value in taped.headers.items()},
        "body": {"string": b"" if taped.body is None else taped.body.to_bytes()},
    }
