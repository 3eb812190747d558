"""Piped standard input as the context of a question."""

from __future__ import annotations

import os
import select
import stat
import sys

import click

_PATIENCE_S = 2.0


def piped_context(*, quiet: bool) -> str | None:
    """What a pipe or a file on stdin holds, as text; None for a terminal, a device or nothing at all.

    Says on stderr that it waits where no byte came for two seconds. Raises click.UsageError for bytes
    that are not UTF-8.
    """
    if sys.stdin is None:
        return None
    try:
        descriptor = sys.stdin.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError):
        return None
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
        return None
    if not select.select([descriptor], [], [], _PATIENCE_S)[0] and not quiet:
        click.echo("fanin: waiting for standard input to end (Ctrl-D, or < /dev/null for none)", err=True)
    data = sys.stdin.buffer.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"standard input is not UTF-8 text (byte {error.start} of {len(data)})"
        ) from None
    return text if text.strip() else None
