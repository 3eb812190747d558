"""Record and replay: `with tape("x.json"):` serves a tape, `mode="all"` records one.

The format is `fanin.tape/1`, documented in `cassettes/README.md`. vcrpy, which intercepts the HTTP
of the usual clients, is imported when a tape is switched on, and not before.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Literal, TypeAlias

from fanin.context import TapeOn, tape_on
from fanin.errors import CassetteError, InputError

Mode: TypeAlias = Literal["none", "all"]

_only_one = Lock()


@contextmanager
def tape(
    path: str | os.PathLike[str], mode: Mode = "none", *, secrets: Iterable[str] = ()
) -> Iterator[TapeOn]:
    """While this block runs, all HTTP of the process goes through the tape at `path`.

    - `mode="none"` replays and records nothing: no request reaches the network, and one that the
      tape does not hold raises CassetteMissError. A client that wraps or swallows that error does
      not hide it: it is raised at the end of the block.
    - `mode="all"` records anew. The file is replaced as a whole when the block ends; a block that
      raises, or is interrupted, leaves it as it was. Missing folders are made.

    Keys are scrubbed by their pattern and by their value: those in the environment variables whose
    name ends in `_API_KEY`, `_TOKEN`, `_SECRET` or `_KEY`, and `secrets`.

    Gives the `TapeOn` that `fanin.context.tape_on` tells of. Raises CassetteError: on entry for a
    tape that cannot be read, a place that cannot be written to, or where another tape is on; at the
    end where nothing was recorded, a key is left in it, or it cannot be saved. One tape at a time in
    a process. InputError for an unknown mode.
    """
    name = os.fsdecode(path)
    if mode not in ("none", "all"):
        raise InputError("mode", 'one of "none" and "all"', mode)
    if not _only_one.acquire(blocking=False):
        other = tape_on()
        raise CassetteError(
            name,
            "another tape is on" + (f": {other.path}" if other is not None else ""),
            mend="One tape at a time in a process: close that one first.",
        )
    try:
        from fanin.taping import deck

        switched_on = deck.replaying if mode == "none" else deck.recording
        with switched_on(name, secrets) as on:
            yield on
    finally:
        _only_one.release()
