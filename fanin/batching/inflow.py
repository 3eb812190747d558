"""Where the bytes come from: a file, a pipe, or standard input."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import attrs

from fanin.errors import FaninError

STANDARD_INPUT = "-"
_CHUNK = 64 * 1024


class BrokenInflow(Exception):
    """A stream that broke off in the middle; says why."""


@attrs.define
class Inflow:
    """An open stream of bytes. A file that grows is read up to the end that it has when it is reached."""

    name: str
    """What it is called in messages."""
    descriptor: int
    """Where it is read."""
    size: int | None
    """Its bytes where that is known: a file's, as it was when it was opened."""
    read: int = 0
    """The bytes read so far."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes in pieces of 64 KiB at most; waits for a pipe without blocking the event loop.

        Raises BrokenInflow where the system cannot read on.
        """
        while chunk := await self._next():
            self.read += len(chunk)
            yield chunk

    async def _next(self) -> bytes:
        if self.size is None and _can_be_awaited(self.descriptor):
            await anyio.wait_readable(self.descriptor)
        try:
            return os.read(self.descriptor, _CHUNK)
        except OSError as error:
            raise BrokenInflow(error.strerror or "an error of the system") from None


@contextmanager
def open_inflow(path: str) -> Iterator[Inflow]:
    """The file at `path`, or standard input for `-`. Raises FaninError where it cannot be read."""
    if path == STANDARD_INPUT:
        yield _standard_input()
        return
    try:
        # A descriptor of its own: what is read elsewhere of the same file moves nothing here.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no file name"
        raise FaninError(f"{path}: it cannot be read: {why}") from None
    try:
        about = os.fstat(descriptor)
        if stat.S_ISDIR(about.st_mode):
            raise FaninError(
                f"{path}: it is a directory", mend="Name the file in it that holds the questions."
            )
        yield Inflow(path, descriptor, about.st_size if stat.S_ISREG(about.st_mode) else None)
    finally:
        os.close(descriptor)


def is_same_file(path: str, inflow: Inflow) -> bool:
    """Whether the file at `path` is the one that is being read, by whatever name or link."""
    try:
        return os.path.samestat(Path(path).stat(), os.fstat(inflow.descriptor))
    except (OSError, ValueError):
        return False


def _standard_input() -> Inflow:
    try:
        descriptor = sys.stdin.fileno()
        about = os.fstat(descriptor)
    except (AttributeError, OSError, ValueError):
        raise FaninError("standard input: there is none", mend="Name a file of questions.") from None
    return Inflow("standard input", descriptor, about.st_size if stat.S_ISREG(about.st_mode) else None)


def _can_be_awaited(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)
