"""Keeping what a command came to, as far as it is asked to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fanin.cli.progress import say
from fanin.errors import FaninError

if TYPE_CHECKING:
    from fanin.keeping.record import Kept


def keep_run(options: dict[str, Any], kept: Kept) -> str | None:
    """Keeps a result in the log, and gives what is to be said of it: its id, or why it is not kept.

    None where `--no-log` or a configuration says so, and where a tape is replayed: that is kept already,
    and `--log` keeps its run too. A log that cannot be written costs nobody an answer.
    """
    if options["log"] is False or (options["log"] is None and options["replay"] is not None):
        return None
    from fanin.keeping.log import Log
    from fanin.show import clean

    try:
        return f"kept as {Log().keep(kept)}"
    except FaninError as error:
        return f"warning: the run is not kept: {clean(error.message)}"


def tell_kept(options: dict[str, Any], told: str | None) -> None:
    """Says on stderr what came of the keeping."""
    if told is not None and not options["quiet"]:
        say(told)
