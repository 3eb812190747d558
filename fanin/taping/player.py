"""Replay: from a request to what was recorded for it, in the time of one look-up."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from threading import Lock

from fanin.errors import CassetteMissError
from fanin.taping.calls import RawRequest, taped_request
from fanin.taping.miss import explain
from fanin.taping.recording import Key, Recording, TapedError, TapedResponse
from fanin.taping.scrub import Scrubber


class Player:
    """Serves a recording. Safe from several threads at once.

    Equal requests of one run are served in the order they were recorded, each once.
    """

    def __init__(
        self, path: str, recording: Recording, secrets: frozenset[str], *, mend: str | None = None
    ) -> None:
        self.path = path
        self.recording = recording
        self.served: set[int] = set()
        """The places, from 0, of the interactions that have been served."""
        self._mend = mend or _MEND.format(path=quote(path))
        # A tape may have been made where fewer keys were known than here, so that a value that is
        # secret here stands in it: what is not found without the values is looked up with them.
        self._scrubbers = (Scrubber(secrets), Scrubber()) if secrets else (Scrubber(),)
        self._places: dict[Key, list[int]] = {}
        for place, interaction in enumerate(recording.interactions):
            self._places.setdefault(interaction.key, []).append(place)
        self._asked: dict[Key, int] = {}
        self._lock = Lock()

    def play(self, raw: RawRequest, run: int | None) -> TapedResponse | TapedError:
        """What was recorded for this request. Raises CassetteMissError for one that is not on the tape."""
        key, places = self._look_up(raw, run)
        outcome = self._next(key, places)
        if outcome is not None:
            return outcome
        request = taped_request(raw, self._scrubbers[0])
        problem = explain(self.recording.interactions, request, run, places, self._asked[key])
        raise CassetteMissError(self.path, problem, mend=self._mend)

    def take(self, raw: RawRequest, run: int | None) -> TapedResponse | TapedError | None:
        """What was recorded for this request, or None."""
        return self._next(*self._look_up(raw, run))

    def _next(self, key: Key, places: Sequence[int]) -> TapedResponse | TapedError | None:
        with self._lock:
            asked = self._asked[key] = self._asked.get(key, 0) + 1
            if asked > len(places):
                return None
            place = places[asked - 1]
            self.served.add(place)
        return self.recording.interactions[place].outcome

    def _look_up(self, raw: RawRequest, run: int | None) -> tuple[Key, Sequence[int]]:
        for scrub in self._scrubbers:
            key = taped_request(raw, scrub).digest, run
            if key in self._places:
                return key, self._places[key]
        return key, ()


_MEND = (
    "Nothing was sent. Ask what was recorded, or record what is missing and keep the rest: the same"
    ' command with --record-new {path} instead of --replay, or tape(..., mode="new").'
)
