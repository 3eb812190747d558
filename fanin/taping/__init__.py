"""Record and replay: `with tape("x.json"):` serves a tape; its other modes record one.

The format is `fanin.tape/1`, documented in `cassettes/README.md`. vcrpy, which intercepts the HTTP
of the usual clients, is imported when a tape is switched on, and not before.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Literal, TypeAlias, get_args

from fanin.context import TapeOn, tape_on
from fanin.errors import CassetteError, InputError

Mode: TypeAlias = Literal["none", "once", "new", "all"]

_only_one = Lock()


@contextmanager
def tape(
    path: str | os.PathLike[str],
    mode: Mode = "none",
    *,
    secrets: Iterable[str] = (),
    mend: str | None = None,
) -> Iterator[TapeOn]:
    """While this block runs, all HTTP of the process goes through the tape at `path`.

    - `mode="none"` replays and records nothing: no request reaches the network, and one that the
      tape does not hold raises CassetteMissError. A client that wraps or swallows that error does
      not hide it: it is raised at the end of the block.
    - `mode="once"` replays where there is a file at `path`, and records where there is none.
    - `mode="new"` replays what the tape holds and records what it does not; what it held stays as it
      was. A recorded wait is waited out, since calls to the server may stand behind it.
    - `mode="all"` records anew.

    A recording replaces the file as a whole when the block ends; a block that raises, or is
    interrupted, leaves it as it was. Missing folders are made, and no other process can record to
    the same file meanwhile.

    Keys are scrubbed by their pattern and by their value: those in the environment variables whose
    name ends in `_API_KEY`, `_TOKEN`, `_SECRET` or `_KEY`, and `secrets`. `mend` is what a miss tells
    the reader to do, where there is a better way than the one it knows of itself.

    Gives the `TapeOn` that `fanin.context.tape_on` tells of. Raises CassetteError: on entry for a
    tape that cannot be read, a place that cannot be written to or that another process records to,
    or where another tape is on; at the end where nothing was recorded, a key is left in it, or it
    cannot be saved. One tape at a time in
    a process. InputError for an unknown mode.
    """
    name = os.fsdecode(path)
    if mode not in get_args(Mode):
        raise InputError("mode", 'one of "none", "once", "new" and "all"', mode)
    if not _only_one.acquire(blocking=False):
        other = tape_on()
        raise CassetteError(
            name,
            "another tape is on" + (f": {other.path}" if other is not None else ""),
            mend="One tape at a time in a process: close that one first.",
        )
    try:
        from fanin.taping import deck

        with deck.opened(name, mode, secrets, mend) as on:
            yield on
    finally:
        _only_one.release()
