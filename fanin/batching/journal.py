"""The journal: every finished call of a batch, written the moment it is answered.

A SQLite file in WAL mode with one append-only table, so that a million calls cost as much each as ten do:
there is no index to keep in order while calls are made. At a resume the keys are copied, sorted, into a
temporary table on disk, and looked up there.

One thread writes. It commits whatever has come in while the last commit was under way, with no timer, and
whoever waits for its call's commit is told once a commit. What was committed outlives the process, however
it ends; with `durable` it outlives the loss of power too.

Formats: https://sqlite.org/wal.html, https://sqlite.org/pragma.html#pragma_synchronous.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TypeAlias

import anyio
import anyio.from_thread
import anyio.to_thread
import attrs

from fanin.errors import JournalError

APPLICATION_ID = 0x66616E69
"""What SQLite keeps in the file's header: `fani`."""
VERSION = 1

_SCHEMA = """
CREATE TABLE calls (place INTEGER PRIMARY KEY, key BLOB NOT NULL, answer TEXT NOT NULL, model TEXT NOT NULL,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL);
CREATE TABLE sessions (place INTEGER PRIMARY KEY, lost INTEGER NOT NULL);
"""
_INSERT = "INSERT INTO calls (key, answer, model, input_tokens, output_tokens) VALUES "
_AT_ONCE = 500
"""Records in one statement; SQLite takes 32,766 parameters."""

Record: TypeAlias = tuple[bytes, str, str, int, int]
"""(key, answer, model that was asked, tokens read, tokens written): tokens as they were charged."""


@attrs.define
class _Commit:
    """Records that are committed together."""

    records: list[Record] = attrs.field(factory=list)
    done: anyio.Event = attrs.field(factory=anyio.Event)


@attrs.frozen
class Used:
    """What a journal's calls used of one model."""

    model: str
    """The model that was asked."""
    calls: int
    """Calls that were answered."""
    input_tokens: int
    """Tokens read, as charged."""
    output_tokens: int
    """Tokens written, as charged."""


class Journal:
    """An open journal of one session. `open_journal` makes it, and closes it."""

    def __init__(self, path: Path, writing: sqlite3.Connection, *, resumed: bool) -> None:
        self.path = path
        self.problem: str | None = None
        """Why it can be written no more; None while it can."""
        self.lost = 0
        """Calls of this session that were cut short; to be counted before it is closed."""
        self._writing = writing
        self._reading = _indexed(path) if resumed else None
        self._queue: SimpleQueue[_Commit | None] = SimpleQueue()
        self._open = _Commit()
        self._under_way: _Commit | None = None
        self.maybe_twice: int = writing.execute("SELECT coalesce(sum(lost), 0) FROM sessions").fetchone()[0]
        """Calls of earlier sessions that may have been paid for and were never answered."""

    def used(self) -> tuple[Used, ...]:
        """What the calls of earlier sessions used, by model."""
        rows = self._writing.execute(
            "SELECT model, count(*), sum(input_tokens), sum(output_tokens) FROM calls GROUP BY model"
        )
        return tuple(Used(*row) for row in rows)

    def recall(self, key: bytes) -> str | None:
        """The answer that an earlier session kept under that key; None where there is none."""
        if self._reading is None:
            return None
        found = self._reading.execute(
            "SELECT answer FROM known JOIN calls USING (place) WHERE known.key = ?", (key,)
        ).fetchone()
        return None if found is None else str(found[0])

    async def keep(self, record: Record) -> bool:
        """Comes back when the record is committed; False where that failed, as `problem` tells.

        A record is kept even where the waiting is cancelled.
        """
        commit = self._open
        commit.records.append(record)
        if self._under_way is None:
            self._hand_over()
        await commit.done.wait()
        return self.problem is None

    def _hand_over(self) -> None:
        self._under_way = self._open
        self._queue.put(self._open)
        self._open = _Commit()

    def _committed(self, problem: str | None) -> None:
        assert self._under_way is not None
        self.problem = self.problem or problem
        self._under_way.done.set()
        self._under_way = None
        if self._open.records:
            self._hand_over()

    def _write(self) -> None:
        """The writer's whole life, in its own thread."""
        while (commit := self._queue.get()) is not None:
            anyio.from_thread.run_sync(self._committed, self._written(commit.records))
        if self.problem is None:
            with suppress(sqlite3.Error):  # the worst case stands there already
                self._writing.execute(
                    "UPDATE sessions SET lost = ? WHERE place = (SELECT max(place) FROM sessions)",
                    (self.lost,),
                )

    def _written(self, records: list[Record]) -> str | None:
        """Commits the records; why that failed, or None."""
        if self.problem is not None:
            return self.problem
        try:
            if len(records) <= _AT_ONCE:
                self._insert(records)
            else:
                self._writing.execute("BEGIN")
                for first in range(0, len(records), _AT_ONCE):
                    self._insert(records[first : first + _AT_ONCE])
                self._writing.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            with suppress(sqlite3.Error):
                self._writing.execute("ROLLBACK")
            return f"{self.path} cannot be written: {error}"
        return None

    def _insert(self, records: list[Record]) -> None:
        """All in one statement: for each statement the interpreter changes threads, twice."""
        values = ", ".join(["(?, ?, ?, ?, ?)"] * len(records))
        self._writing.execute(_INSERT + values, [field for record in records for field in record])

    async def serve(self) -> None:
        """Writes until `stop`."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._write, limiter=anyio.CapacityLimiter(1))

    async def stop(self) -> None:
        """Lets the writer end when everything is committed."""
        with anyio.CancelScope(shield=True):
            while self._under_way is not None:
                await self._under_way.done.wait()
        self._queue.put(None)

    def close(self) -> None:
        """Closes the file; what the WAL holds is moved into it."""
        for connection in (self._reading, self._writing):
            if connection is not None:
                connection.close()


@asynccontextmanager
async def open_journal(path: Path, *, resume: bool, durable: bool, jobs: int) -> AsyncIterator[Journal]:
    """A journal that is being written, from here to the end of the block.

    `jobs` is the most calls that are ever in flight: as many may be lost at once. Raises JournalError
    where the file cannot be used, is used by another process, or holds calls and `resume` is False.
    """
    with locked(path):
        journal = await anyio.to_thread.run_sync(_opened, path, resume, durable, jobs)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(journal.serve)
                try:
                    yield journal
                finally:
                    await journal.stop()
        finally:
            journal.close()


@contextmanager
def read_journal(path: Path) -> Iterator[Journal]:
    """The journal of that path, to `recall` from and not to write to. Another process may be writing it.

    Raises JournalError where there is none, or it cannot be used.
    """
    if not path.is_file():
        raise JournalError(str(path), "there is no such journal")
    with _told(path):
        about = sqlite3.connect(path, isolation_level=None)
        try:
            _prepare(about, path, durable=False)
            journal = Journal(path, about, resumed=True)
        except BaseException:
            about.close()
            raise
    try:
        yield journal
    finally:
        journal.close()


def erase_journal(path: Path) -> None:
    """Removes the journal of that path, if there is one. Raises JournalError where it is in use."""
    with locked(path):
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock of the journal of that path: a lock of the operating system, on a file beside it.

    The system gives it back when the process ends, however it ends. Raises JournalError where another
    process has it, or the file beside it cannot be made.
    """
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


def _opened(path: Path, resume: bool, durable: bool, jobs: int) -> Journal:
    with _told(path), ExitStack() as unless_opened:
        writing = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        unless_opened.callback(writing.close)
        _prepare(writing, path, durable=durable)
        [held] = writing.execute("SELECT EXISTS (SELECT * FROM calls)").fetchone()
        if held and not resume:
            raise JournalError(
                str(path),
                "it holds the calls of an earlier batch",
                mend="Resume that batch, or remove the file to pay for its calls again.",
            )
        journal = Journal(path, writing, resumed=bool(held))
        unless_opened.callback(journal.close)
        writing.execute("INSERT INTO sessions (lost) VALUES (?)", (jobs,))
        unless_opened.pop_all()
        return journal


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into one that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        broken = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        problem = f"it is damaged, or no journal ({error})" if broken else f"it cannot be used: {error}"
        raise JournalError(str(path), problem) from error


def _prepare(writing: sqlite3.Connection, path: Path, *, durable: bool) -> None:
    """Makes the tables of a new file. Raises JournalError for what is no journal, or a damaged one."""
    pragma = {
        name: writing.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("application_id", "user_version", "schema_version")
    }
    fresh = not pragma["schema_version"]
    if not fresh and pragma["application_id"] != APPLICATION_ID:
        raise JournalError(str(path), "it is a database, but no journal of fanin")
    if not fresh and pragma["user_version"] != VERSION:
        raise JournalError(
            str(path),
            f"it is a journal of version {pragma['user_version']}, and this fanin writes version {VERSION}",
        )
    writing.execute("PRAGMA journal_mode = WAL")
    writing.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    if fresh:
        writing.executescript(
            f"BEGIN; {_SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"
            " COMMIT;"
        )
    else:
        [found] = writing.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise JournalError(str(path), f"it is damaged ({found})")


def _indexed(path: Path) -> sqlite3.Connection:
    """A connection that knows where each key stands; of two equal ones the later."""
    reading = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        reading.execute("PRAGMA temp_store = FILE")
        reading.execute("CREATE TEMP TABLE known (key BLOB PRIMARY KEY, place INTEGER) WITHOUT ROWID")
        reading.execute("INSERT INTO known SELECT key, max(place) FROM calls GROUP BY key ORDER BY key")
    except BaseException:
        reading.close()
        raise
    return reading
