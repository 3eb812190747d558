"""Replay: from a request to what was recorded for it, in the time of one look-up."""

from __future__ import annotations

from collections.abc import Sequence
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

    def __init__(self, path: str, recording: Recording, secrets: frozenset[str]) -> None:
        self.path = path
        self.recording = recording
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
        with self._lock:
            asked = self._asked[key] = self._asked.get(key, 0) + 1
        if asked <= len(places):
            return self.recording.interactions[places[asked - 1]].outcome
        request = taped_request(raw, self._scrubbers[0])
        problem = explain(self.recording.interactions, request, run, places, asked)
        raise CassetteMissError(self.path, problem, mend=_MEND)

    def _look_up(self, raw: RawRequest, run: int | None) -> tuple[Key, Sequence[int]]:
        for scrub in self._scrubbers:
            key = taped_request(raw, scrub).digest, run
            if key in self._places:
                return key, self._places[key]
        return key, ()


_MEND = (
    "Nothing was sent. Ask what was recorded, or record the tape anew: the same command with --record"
    ' instead of --replay, or tape(..., mode="all").'
)
