"""The life of a tape: loaded or prepared, switched on, and saved or left as it was."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from fanin.context import TapeOn, set_tape
from fanin.taping import storage
from fanin.taping.engine import intercept
from fanin.taping.player import Player
from fanin.taping.recorder import Recorder
from fanin.taping.scrub import known_secrets


@contextmanager
def replaying(path: str, secrets: Iterable[str]) -> Iterator[TapeOn]:
    """Serves the tape at `path`. A miss ends the block, even where a client made something else of it."""
    recording = storage.load(path)
    on = TapeOn(
        "replay", path, recording.backend, recording.base_url, recording.models, dict(recording.refused)
    )
    player = Player(path, recording, known_secrets(os.environ, secrets))
    try:
        with _switched_on(on, player):
            yield on
    except Exception:
        if on.missed is not None:
            raise on.missed from None
        raise
    if on.missed is not None:
        raise on.missed


@contextmanager
def recording(path: str, secrets: Iterable[str]) -> Iterator[TapeOn]:
    """Records, and saves at the end of a block that did not raise."""
    storage.make_room(path)
    recorder = Recorder(path)
    on = TapeOn("record", path, note_error=recorder.note_error)
    known = known_secrets(os.environ, secrets)
    with _switched_on(on, recorder):
        yield on
    # Once more: a key may have been told of, or set, only while the tape was on.
    known |= known_secrets(os.environ)
    storage.save(recorder.recording(on, known), path)


@contextmanager
def _switched_on(on: TapeOn, deck: Player | Recorder) -> Iterator[None]:
    set_tape(on)
    try:
        with intercept(on, deck):
            yield
    finally:
        set_tape(None)
