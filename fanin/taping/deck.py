"""The life of a tape: loaded or prepared, switched on, and saved or left as it was."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

from fanin.context import TapeOn, set_tape
from fanin.taping import storage
from fanin.taping.engine import intercept
from fanin.taping.player import Player
from fanin.taping.recorder import Recorder
from fanin.taping.scrub import known_secrets


def opened(path: str, mode: str, secrets: Iterable[str], mend: str | None) -> AbstractContextManager[TapeOn]:
    """The tape at `path` in one of the modes that `fanin.tape` documents."""
    there = storage.is_there(path)
    if mode == "none" or (mode == "once" and there):
        return _replaying(path, secrets, mend)
    return _adding(path, secrets) if mode == "new" and there else _recording(path, secrets)


@contextmanager
def _replaying(path: str, secrets: Iterable[str], mend: str | None) -> Iterator[TapeOn]:
    """Serves the tape at `path`. A miss ends the block, even where a client made something else of it."""
    player = Player(path, storage.load(path), known_secrets(os.environ, secrets), mend=mend)
    on = _on_with("replay", player)
    try:
        with _switched_on(on, player, None):
            yield on
    except Exception:
        if on.missed is not None:
            raise on.missed from None
        raise
    if on.missed is not None:
        raise on.missed


@contextmanager
def _recording(path: str, secrets: Iterable[str]) -> Iterator[TapeOn]:
    """Records, and saves at the end of a block that did not raise."""
    with storage.alone(path):
        recorder = Recorder(path)
        on = TapeOn("record", path, note_error=recorder.note_error)
        known = known_secrets(os.environ, secrets)
        with _switched_on(on, None, recorder):
            yield on
        # Once more: a key may have been told of, or set, only while the tape was on.
        known |= known_secrets(os.environ)
        storage.save(recorder.recording(on, known), path)


@contextmanager
def _adding(path: str, secrets: Iterable[str]) -> Iterator[TapeOn]:
    """Serves what the tape holds and records the rest; a block that lacked nothing leaves the file."""
    with storage.alone(path):
        held = storage.load(path)
        known = known_secrets(os.environ, secrets)
        player, recorder = Player(path, held, known), Recorder(path)
        on = _on_with("record", player)
        on.note_error = recorder.note_error
        with _switched_on(on, player, recorder):
            yield on
        known |= known_secrets(os.environ)
        if not recorder.took_nothing:
            storage.save(recorder.recording(on, known, held.interactions), path)


def _on_with(mode: Literal["record", "replay"], player: Player) -> TapeOn:
    held = player.recording
    return TapeOn(
        mode,
        player.path,
        held.backend,
        held.base_url,
        held.models,
        dict(held.refused),
        adds=mode == "record",
        served=player.served,
    )


@contextmanager
def _switched_on(on: TapeOn, player: Player | None, recorder: Recorder | None) -> Iterator[None]:
    set_tape(on)
    try:
        with intercept(on, player, recorder):
            yield
    finally:
        set_tape(None)
