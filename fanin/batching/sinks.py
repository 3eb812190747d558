"""Where rows are written to: a file that is whole at every moment, or a stream that is there already."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from fanin.errors import FaninError, OutputError


class StreamSink:
    """A stream that is there already: standard output, a pipe, a device."""

    def __init__(self, stream: BinaryIO, name: str, *, own: bool = False) -> None:
        """`own`: it is closed with the sink."""
        self._stream = stream
        self._name = name
        self._own = own

    def write(self, data: bytes) -> None:
        """Writes it whole and now: whoever reads the other end has it at once."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._stream.write(rest) :]
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(self._name, error.strerror or str(error)) from None

    def close(self, *, complete: bool) -> bool:
        """Takes no more; a stream of somebody else's is left open."""
        if self._own:
            self._stream.close()
        return True

    def discard(self) -> None:
        """Takes no more; what was written cannot be taken back."""
        self.close(complete=False)


class FileSink:
    """A file that is made, or made anew: it takes the place of an older one only when that loses nothing.

    Raises FaninError where it cannot be made.
    """

    def __init__(self, path: str, *, anew: bool, durable: bool = False) -> None:
        """`anew`: a file may be there, and stays until this one is closed."""
        self.path = Path(path).resolve()
        self._unfinished = self.path.with_name(f"{self.path.name}.unfinished") if anew else self.path
        self._descriptor = _made(self._unfinished, path, anew=anew)
        self._durable = durable
        self._size = 0

    def write(self, data: bytes) -> None:
        """Writes it whole, or cuts off what was written of it and raises OutputError."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            os.ftruncate(self._descriptor, self._size)
            raise OutputError(str(self.path), error.strerror or str(error)) from None
        self._size += len(data)

    def close(self, *, complete: bool) -> bool:
        """Puts the file in its place; False where an older one stays there. `complete`: every row is in it.

        One that is not complete replaces no older one that is longer. Raises OutputError.
        """
        try:
            if self._durable:
                os.fsync(self._descriptor)
            os.close(self._descriptor)
            if self._unfinished != self.path:
                if not complete and self.path.exists() and self.path.stat().st_size > self._size:
                    self._unfinished.unlink()
                    return False
                self._unfinished.replace(self.path)
        except OSError as error:
            raise OutputError(str(self.path), error.strerror or str(error)) from None
        return True

    def discard(self) -> None:
        """Removes the file; an older one stays."""
        with suppress(OSError):
            os.close(self._descriptor)
            self._unfinished.unlink()


def _made(path: Path, named: str, *, anew: bool) -> int:
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0) | (os.O_TRUNC if anew else os.O_EXCL)
    try:
        return os.open(path, flags, 0o666)
    except FileExistsError:
        raise FaninError(f"{named}: it is there already", mend="--overwrite replaces it.") from None
    except OSError as error:
        raise FaninError(f"{named}: it cannot be written: {error.strerror or error}") from None
