"""The file of a journal: its format and versions, the lock beside it, and finding calls again.

Formats: https://sqlite.org/wal.html, https://sqlite.org/pragma.html#pragma_synchronous.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fanin.errors import JournalError
from fanin.keeping.log import address

APPLICATION_ID = 0x66616E69
"""What SQLite keeps in the file's header: `fani`."""
VERSION = 2
_READ = (1, 2)
"""The versions that are read here."""

_CALLS = """
CREATE TABLE calls (place INTEGER PRIMARY KEY, key BLOB NOT NULL, answer TEXT NOT NULL, model TEXT NOT NULL,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL);
CREATE TABLE sessions (place INTEGER PRIMARY KEY, lost INTEGER NOT NULL);
"""
# Questions are UTF-8 as bytes: a text that JSON escaped may hold half a surrogate pair, which is no UTF-8.
# Contexts, which may be long, are packed besides (zlib, RFC 1950).
_ITEMS = """
CREATE TABLE texts (place INTEGER PRIMARY KEY, text BLOB NOT NULL);
CREATE TABLE items (place INTEGER PRIMARY KEY, item BLOB NOT NULL, number INTEGER NOT NULL, id TEXT NOT NULL,
    occurrence INTEGER NOT NULL, question BLOB NOT NULL, context INTEGER, settings INTEGER NOT NULL);
CREATE TABLE ends (item INTEGER PRIMARY KEY, told TEXT NOT NULL);
"""


_LOST = "A copy of it will do; else --overwrite pays for all of it again."

# A journal that is older lacks it; whoever does not know it passes over it.
_ENDED = "CREATE TABLE IF NOT EXISTS ended (session INTEGER PRIMARY KEY)"


def packed(text: str) -> bytes:
    """A context as the journal has it."""
    return zlib.compress(text.encode("utf-8", "surrogatepass"), 1)


def unpacked(stored: bytes) -> str:
    """The context that `packed` packed. Raises ValueError for what is damaged."""
    try:
        return zlib.decompress(stored).decode("utf-8", "surrogatepass")
    except zlib.error as error:
        raise ValueError(str(error)) from None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock of the journal of that path: a lock of the operating system, on a file beside it.

    The system gives it back when the process ends, however it ends. Raises JournalError where another
    process has it, or the file beside it cannot be made.
    """
    if not path.name or path.is_dir():
        raise JournalError(str(path), "it is a directory", mend="Name the file that the journal is to be.")
    beside = path.with_name(f"{path.name}.lock")
    try:
        held = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(str(path), f"its lock cannot be made: {error.strerror}") from error
    try:
        _lock(held, path)
        yield
    finally:
        os.close(held)


def _lock(held: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not a POSIX system: nothing there is given back when a process is killed
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise JournalError(
            str(path), "another process is using it", mend="Wait for it, or write to another file."
        ) from error


def is_journal(path: Path) -> bool:
    """Whether a file is one of ours by its header, or holds nothing.

    Format: https://sqlite.org/fileformat2.html, "The Database Header": the application id is at offset 68.
    Raises JournalError where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            header = file.read(72)
    except OSError as error:
        raise JournalError(str(path), f"it cannot be read: {error.strerror}") from error
    return not header or (
        header.startswith(b"SQLite format 3\0") and header[68:] == APPLICATION_ID.to_bytes(4, "big")
    )


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into one that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        broken = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        problem = f"it is damaged, or no journal ({error})" if broken else f"it cannot be used: {error}"
        raise JournalError(str(path), problem, mend=_LOST if broken and is_journal(path) else None) from error


def prepare(writing: sqlite3.Connection, path: Path, *, durable: bool) -> None:
    """Makes the tables that are missing. Raises JournalError for what is no journal, or a damaged one."""
    fresh = not checked(writing, path)
    if fresh:  # before the WAL, in which the mark would stand alone until SQLite moves it into the file
        writing.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    writing.execute("PRAGMA journal_mode = WAL")
    writing.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    if fresh or version_of(writing) < VERSION:
        writing.executescript(
            f"BEGIN; {_CALLS if fresh else ''} {_ITEMS} PRAGMA user_version = {VERSION}; COMMIT;"
        )
    writing.execute(_ENDED)


def checked(stored: sqlite3.Connection, path: Path) -> bool:
    """Whether it is a journal, and no new file. Raises JournalError for anything else, or a damaged one."""
    if not _pragma(stored, "schema_version"):
        return False
    if _pragma(stored, "application_id") != APPLICATION_ID:
        raise JournalError(str(path), "it is a database, but no journal of fanin")
    if version_of(stored) not in _READ:
        raise JournalError(
            str(path),
            f"it is a journal of version {version_of(stored)}, and this fanin writes version {VERSION}",
            mend="Go on with the fanin that wrote it, or pay for all of it again: --overwrite.",
        )
    [found] = stored.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise JournalError(str(path), f"it is damaged ({' '.join(str(found).split())})", mend=_LOST)
    return True


def version_of(stored: sqlite3.Connection) -> int:
    """The version of the journal's format."""
    return _pragma(stored, "user_version")


def _pragma(stored: sqlite3.Connection, name: str) -> int:
    return int(stored.execute(f"PRAGMA {name}").fetchone()[0])


def last_of(stored: sqlite3.Connection, table: str) -> int:
    """The place of the last row."""
    return int(stored.execute(f"SELECT coalesce(max(place), 0) FROM {table}").fetchone()[0])


def indexed(path: Path, *, items: bool) -> sqlite3.Connection:
    """A connection that knows where each key and each item stands; of two equal ones the later."""
    reading = sqlite3.connect(address(path), isolation_level=None, check_same_thread=False, uri=True)
    try:
        reading.execute("PRAGMA temp_store = FILE")
        for table, column in (("calls", "key"), ("items", "item"))[: 1 + items]:
            reading.execute(
                f"CREATE TEMP TABLE known_{table} ({column} BLOB PRIMARY KEY, place INTEGER) WITHOUT ROWID"
            )
            reading.execute(
                f"INSERT INTO known_{table} SELECT {column}, max(place) FROM {table} GROUP BY {column}"
                f" ORDER BY {column}"
            )
    except BaseException:
        reading.close()
        raise
    return reading
