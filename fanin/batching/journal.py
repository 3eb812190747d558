"""The journal: every finished call of a batch, written the moment it is answered, and what was asked.

A SQLite file in WAL mode with append-only tables, so that a million calls cost as much each as ten do: there
is no index to keep in order while calls are made. At a resume the keys are copied, sorted, into temporary
tables on disk, and looked up there.

`calls` are the answers, and the calls that came to nothing, since these may have cost something. `items` and
`ends` say of each question how it was asked and how its vote ended (`fanin.batching.noting`), so that a
journal can be counted again by itself. Settings and contexts, which many items share, stand in `texts`. A
journal of version 1 has the calls alone; it is read, and gets the other tables when it is resumed.

One thread writes. It commits whatever has come in while the last commit was under way, with no timer, and
whoever waits for its call's commit is told once a commit. What was committed outlives the process, however
it ends; with `durable` it outlives the loss of power too.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeAlias

import anyio
import anyio.from_thread
import anyio.to_thread
import attrs

from fanin.batching.journal_file import (
    checked,
    indexed,
    is_journal,
    last_of,
    locked,
    prepare,
    told,
    unpacked,
    version_of,
)
from fanin.errors import JournalError
from fanin.keeping.log import address
from fanin.values import Usage

_INSERT = {
    "calls": "INSERT INTO calls (key, answer, model, input_tokens, output_tokens) VALUES ",
    "texts": "INSERT INTO texts VALUES ",
    "items": "INSERT INTO items VALUES ",
    "ends": "INSERT OR REPLACE INTO ends VALUES ",
}
NO_MODEL = ""
"""The model of a record that is no call of one: what a tool gave."""
_UNANSWERED = b""
"""The key of a call that came to nothing."""
_AT_ONCE = 500
"""Records in one statement; SQLite takes 32,766 parameters."""

Record: TypeAlias = tuple[bytes, str, str, int, int]
"""(key, answer, model that was asked, tokens read, tokens written): tokens as they were charged."""


@attrs.define
class _Commit:
    """Rows that are committed together, by their table."""

    rows: defaultdict[str, list[tuple[Any, ...]]] = attrs.field(factory=lambda: defaultdict(list))
    done: anyio.Event = attrs.field(factory=anyio.Event)


@attrs.frozen
class Used:
    """What a journal's calls used of one model."""

    model: str
    """The model that was asked."""
    calls: int
    """Calls, answered or not."""
    input_tokens: int
    """Tokens read, as charged."""
    output_tokens: int
    """Tokens written, as charged."""
    most_input_tokens: int = 0
    """Tokens read by one of them that was answered, at most."""
    most_output_tokens: int = 0
    """Tokens written by one of them that was answered, at most."""


@attrs.frozen
class Noted:
    """One item as it was noted; `fanin.batching.noting` has what its texts mean."""

    place: int
    """The place of its row."""
    number: int
    """Its place in the input, from 1."""
    id: str
    """Its id as JSON text."""
    occurrence: int
    """How many items of equal content stood before it."""
    question: str
    """What was asked."""
    context: str | None
    """The text that it was about."""
    settings: str
    """How it was asked, as JSON text."""
    end: str
    """How its vote ended, as JSON text; empty where that is as usual, or it has not."""


class Journal:
    """An open journal of one session. `open_journal` makes it, and closes it."""

    def __init__(self, path: Path, writing: sqlite3.Connection, *, resumed: bool) -> None:
        self.path = path
        self.problem: str | None = None
        """Why it can be written no more; None while it can."""
        self.lost = 0
        """Calls of this session that were cut short."""
        self.holds_items: bool = version_of(writing) > 1
        """Whether it says what was asked; one of version 1 does not."""
        self._writing = writing
        self._reading = indexed(path, items=self.holds_items) if resumed else None
        self._next = {table: 1 + last_of(writing, table) for table in ("texts", "items") if self.holds_items}
        self._queue: SimpleQueue[_Commit | None] = SimpleQueue()
        self._open = _Commit()
        self._under_way: _Commit | None = None
        self.maybe_twice: int = writing.execute("SELECT coalesce(sum(lost), 0) FROM sessions").fetchone()[0]
        """Calls of earlier sessions that may have been paid for and were never answered."""

    def used(self) -> tuple[Used, ...]:
        """What the calls of earlier sessions used, by model."""
        rows = self._writing.execute(
            "SELECT model, count(*), sum(input_tokens), sum(output_tokens),"
            " coalesce(max(iif(key <> X'', input_tokens, 0)), 0),"
            " coalesce(max(iif(key <> X'', output_tokens, 0)), 0)"
            f" FROM calls WHERE model <> '{NO_MODEL}' GROUP BY model"
        )
        return tuple(Used(*row) for row in rows)

    def uncharged(self) -> int:
        """Calls of earlier sessions that were killed, as many as may have been in flight then: nothing says
        what they cost."""
        found = self._writing.execute(
            "SELECT coalesce(sum(lost), 0) FROM sessions WHERE place NOT IN (SELECT session FROM ended)"
            " AND place < (SELECT max(place) FROM sessions)"
        )
        return int(found.fetchone()[0])

    def recall(self, key: bytes) -> str | None:
        """The answer that an earlier session kept under that key; None where there is none."""
        if self._reading is None:
            return None
        found = self._reading.execute(
            "SELECT answer FROM known_calls JOIN calls USING (place) WHERE known_calls.key = ?", (key,)
        ).fetchone()
        return None if found is None else str(found[0])

    async def keep(self, record: Record) -> bool:
        """Comes back when the record is committed; False where that failed, as `problem` tells.

        A record is kept even where the waiting is cancelled.
        """
        commit = self._put(record)
        await commit.done.wait()
        return self.problem is None

    def note_unanswered(self, model: str, charged: Usage, *, lost: bool) -> None:
        """Has it written that a call came to nothing and what it is charged with; with `lost`, that it was
        cut short."""
        self.lost += lost
        self._put((_UNANSWERED, "", model, charged.input_tokens or 0, charged.output_tokens or 0))

    def _put(self, record: Record) -> _Commit:
        commit = self._open
        commit.rows["calls"].append(record)
        if self._under_way is None:
            self._hand_over()
        return commit

    def note(self, table: str, *values: Any) -> int:
        """Has a row of `texts` or `items` written with one of the next calls; gives its place, from 1."""
        place = self._next[table]
        self._next[table] += 1
        self._open.rows[table].append((place, *values))
        return place

    def note_end(self, place: int, told: str) -> None:
        """Has it written how the vote on the item of that place ended, as `note` does."""
        self._open.rows["ends"].append((place, told))

    def noted(self, item: bytes) -> Noted | None:
        """How an earlier session noted that item; None where none did."""
        if self._reading is None:
            return None
        found = self._reading.execute("SELECT place FROM known_items WHERE item = ?", (item,)).fetchone()
        return None if found is None else self.item(found[0])

    def had_end(self, place: int) -> bool:
        """Whether an earlier session noted how the vote on the item of that place ended."""
        if self._reading is None:
            return False
        found = self._reading.execute("SELECT EXISTS (SELECT * FROM ends WHERE item = ?)", (place,))
        return bool(found.fetchone()[0])

    def items(self) -> Iterator[tuple[int, int, str]]:
        """(place, number, id as JSON) of every item of earlier sessions, in the order of the input."""
        if self._reading is not None and self.holds_items:
            yield from self._reading.execute(
                "SELECT items.place, number, id FROM known_items JOIN items USING (place)"
                " ORDER BY number, items.place"
            )

    def item(self, place: int) -> Noted:
        """What an earlier session noted of the item of that place."""
        assert self._reading is not None, "places are those of earlier sessions"
        row = self._reading.execute(
            "SELECT items.place, number, id, occurrence, CAST(question AS BLOB), CAST(about.text AS BLOB),"
            " CAST(asked.text AS BLOB), told"
            " FROM items LEFT JOIN texts AS about ON about.place = context"
            " LEFT JOIN texts AS asked ON asked.place = settings"
            " LEFT JOIN ends ON ends.item = items.place WHERE items.place = ?",
            (place,),
        ).fetchone()
        (place, number, name, occurrence), (question, context, settings), end = row[:4], row[4:7], row[7]
        try:
            return Noted(
                place=place,
                number=number,
                id=name,
                occurrence=occurrence,
                question=question.decode("utf-8", "surrogatepass"),
                context=None if context is None else unpacked(context),
                settings="" if settings is None else settings.decode("utf-8"),
                end=end or "",
            )
        except ValueError as error:
            raise JournalError(str(self.path), f"it is damaged: {error}") from None

    def _hand_over(self) -> None:
        self._under_way = self._open
        self._queue.put(self._open)
        self._open = _Commit()

    def _committed(self, problem: str | None) -> None:
        assert self._under_way is not None
        self.problem = self.problem or problem
        self._under_way.done.set()
        self._under_way = None
        if self._open.rows:
            self._hand_over()

    def _write(self) -> None:
        """The writer's whole life, in its own thread."""
        while (commit := self._queue.get()) is not None:
            anyio.from_thread.run_sync(self._committed, self._written(commit.rows))
        if self.problem is None:
            with suppress(sqlite3.Error):  # the worst case stands there already
                self._writing.execute(
                    "UPDATE sessions SET lost = ? WHERE place = (SELECT max(place) FROM sessions)",
                    (self.lost,),
                )
                self._writing.execute("INSERT INTO ended SELECT max(place) FROM sessions")

    def _written(self, rows: dict[str, list[tuple[Any, ...]]]) -> str | None:
        """Commits the rows; why that failed, or None."""
        if self.problem is not None:
            return self.problem
        parts = [
            (table, of_table[first : first + _AT_ONCE])
            for table, of_table in rows.items()
            for first in range(0, len(of_table), _AT_ONCE)
        ]
        try:
            if len(parts) == 1:
                self._insert(*parts[0])
            else:
                self._writing.execute("BEGIN")
                for part in parts:
                    self._insert(*part)
                self._writing.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            with suppress(sqlite3.Error):
                self._writing.execute("ROLLBACK")
            return f"{self.path} cannot be written: {error}"
        return None

    def _insert(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        """All in one statement: for each statement the interpreter changes threads, twice."""
        one = f"({', '.join('?' * len(rows[0]))})"
        self._writing.execute(
            _INSERT[table] + ", ".join([one] * len(rows)), [field for row in rows for field in row]
        )

    async def serve(self) -> None:
        """Writes until `stop`."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._write, limiter=anyio.CapacityLimiter(1))

    async def stop(self) -> None:
        """Lets the writer end when everything is committed."""
        with anyio.CancelScope(shield=True):
            if self._under_way is None and self._open.rows:  # notes that no call came after
                self._hand_over()
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
    failed: Exception | None = None
    with locked(path):
        journal = await anyio.to_thread.run_sync(_opened, path, resume, durable, jobs)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(journal.serve)
                try:
                    yield journal
                except Exception as error:  # noqa: BLE001 - raised below: a task group would wrap it
                    failed = error
                finally:
                    await journal.stop()
        finally:
            journal.close()
    if failed is not None:
        raise failed


@contextmanager
def read_journal(path: Path) -> Iterator[Journal]:
    """The journal of that path, to `recall` from and not to write to. Another process may be writing it.

    Raises JournalError where there is none, or it cannot be used.
    """
    if not path.is_file():
        raise JournalError(str(path), "there is no such journal")
    with told(path):
        about = sqlite3.connect(address(path), isolation_level=None, uri=True)
        try:
            if not checked(about, path):
                raise JournalError(str(path), "there is nothing in it")
            journal = Journal(path, about, resumed=True)
        except BaseException:
            about.close()
            raise
    try:
        yield journal
    finally:
        journal.close()


def erase_journal(path: Path) -> None:
    """Removes the journal of that path, if there is one; a damaged one too.

    Raises JournalError where it is in use, and where what is there is something else.
    """
    if path.is_file() and not is_journal(path):
        raise JournalError(
            str(path), "it is no journal, so it is not removed", mend="Name another --journal."
        )
    with locked(path):
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)


def _opened(path: Path, resume: bool, durable: bool, jobs: int) -> Journal:
    with told(path), ExitStack() as unless_opened:
        writing = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        unless_opened.callback(writing.close)
        prepare(writing, path, durable=durable)
        [held] = writing.execute("SELECT EXISTS (SELECT * FROM calls WHERE key <> X'')").fetchone()
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
