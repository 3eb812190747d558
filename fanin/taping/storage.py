"""Tapes on disk: read whole, written whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from fanin.errors import CassetteError
from fanin.taping.format import recording_of, text_of
from fanin.taping.recording import Recording

MAX_BYTES = 2**30
"""A tape larger than this (1 GiB) is not read: it would not fit many a machine's memory."""


def load(path: str) -> Recording:
    """What the tape at `path` holds. Raises CassetteError, with the mend, for all that is no tape."""
    try:
        about = Path(path).stat()
        if stat.S_ISDIR(about.st_mode):
            raise CassetteError(path, "it is a directory, not a tape", mend="Name the file in it.")
        if not stat.S_ISREG(about.st_mode):
            raise CassetteError(path, "it is no regular file")
        if about.st_size > MAX_BYTES:
            raise CassetteError(path, f"it is larger than {MAX_BYTES} bytes", mend="Record smaller tapes.")
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise CassetteError(path, "there is no such tape", mend=_RECORD_FIRST) from None
    except (OSError, ValueError) as error:
        raise CassetteError(path, f"it cannot be read: {_why(error)}") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CassetteError(
            path,
            f"it is not UTF-8 text (byte {error.start})",
            mend="Restore the file from your version control, or record it anew.",
        ) from None
    return recording_of(text, path)


def is_there(path: str) -> bool:
    """Whether there is anything at `path`; what it is, `load` tells."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def make_room(path: str) -> None:
    """Sees to it, before anything is asked, that a tape can be saved at `path`; makes its folder.

    Raises CassetteError where it cannot.
    """
    try:
        target = _target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise CassetteError(path, "it is a directory, so no tape can be saved there")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise CassetteError(path, "its folder cannot be written to")
    except (OSError, ValueError) as error:
        raise CassetteError(path, f"no tape can be saved there: {_why(error)}") from error


@contextmanager
def alone(path: str) -> Iterator[None]:
    """Holds `path` for this process as long as it records: the file `.NAME.lock` beside it is locked.

    The system frees the lock of a process that dies. Raises CassetteError where another one holds
    it, or where no tape could be saved.
    """
    make_room(path)
    target = _target(path)
    lock = target.with_name(f".{target.name}.lock")
    try:
        file = lock.open("w")
    except OSError as error:
        raise CassetteError(path, f"no tape can be saved there: {_why(error)}") from error
    with file:
        if not _locked(file, lock):
            raise CassetteError(
                path,
                "another process records to it",
                mend="Let that one end first, or record to another file.",
            )
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _locked(file: IO[str], lock: Path) -> bool:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it before may have removed the file after it was opened here.
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def save(recording: Recording, path: str) -> None:
    """Writes the tape; whoever reads `path` finds the old one or the new one, whole.

    Raises CassetteError (disk full, no permission), and the old tape stays.
    """
    text = text_of(recording)
    try:
        target = _target(path)
        unfinished = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        try:
            with unfinished.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(target)
        except BaseException:
            with suppress(OSError):
                unfinished.unlink()
            raise
    except OSError as error:
        raise CassetteError(
            path, f"it could not be saved: {_why(error)}", mend="The tape that was there is as it was."
        ) from error


_RECORD_FIRST = "Check the name, or record it first: the same command with --record instead of --replay."


def _target(path: str) -> Path:
    # A tape that is a symbolic link stays one: what it points to is replaced.
    return Path(path).resolve()


def _why(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
