"""The log of kept runs: a SQLite file of the user's own, which several processes may use at once.

It lies in the folder FANIN_HOME names, else where the system keeps the data of programs (platformdirs).
One table holds what a list of runs shows, the other the records, packed, so that a list of any length reads
none of them. Format of the file: WAL mode (https://sqlite.org/wal.html), `user_version` is its version.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import attrs

from fanin._version import __version__
from fanin.errors import LogError, RecordError
from fanin.keeping.record import Kept, Record, read_record, record_of, record_text, scrubbed
from fanin.taping.scrub import Scrubber, known_secrets

APPLICATION_ID = 0x66616E72
"""What SQLite keeps in the file's header: `fanr`."""
VERSION = 1
FILE = "runs.sqlite"
LAST = "last"
"""Stands for the run that was kept last; no id has an `l`."""

_WAIT_S = 5.0
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_CHARS = 10
_LOOKED_AT = 2000
"""So many of the newest ids are compared with one that there is not."""
_SCHEMA = """
CREATE TABLE runs (place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kept_at TEXT NOT NULL,
    kind TEXT NOT NULL, question TEXT NOT NULL, outcome TEXT NOT NULL, answer TEXT, grade TEXT,
    cost_usd REAL);
CREATE TABLE records (place INTEGER PRIMARY KEY REFERENCES runs, packed BLOB NOT NULL);
"""
_SHOWN = "id, kept_at, kind, question, outcome, answer, grade, cost_usd"
_QUESTION_CHARS = 300


@attrs.frozen
class Entry:
    """A kept run as a list shows it."""

    id: str
    """Tells it from all others."""
    kept_at: str
    """When it was kept, in UTC: `2026-11-21T07:54:23Z`."""
    kind: str
    """`vote`, `analysis` or `panel`."""
    question: str
    """What was asked; its first 300 characters."""
    outcome: str
    """What came of it."""
    answer: str | None
    """The answer; None where there is none."""
    grade: str | None
    """The grade; None where no vote was held."""
    cost_usd: float | None
    """US dollars; None is unknown."""


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder that holds the log: FANIN_HOME, else the user's data folder of the system."""
    if given := environ.get("FANIN_HOME", "").strip():
        return Path(given)
    if "linux" in sys.platform:
        # What platformdirs says there too, without the time that importing it takes at every vote.
        base = environ.get("XDG_DATA_HOME", "").strip()
        return (Path(base) if base else Path.home() / ".local" / "share") / "fanin"
    from platformdirs import user_data_path

    return user_data_path("fanin", appauthor=False)


def address(path: Path) -> str:
    """Where SQLite finds a database that it keeps with a WAL (https://sqlite.org/uri.html, 3.3).

    In a folder that cannot be written, as on a medium to read from, the file is taken as it lies: what a WAL
    is read by could not be made beside it. Where it stands there, somebody else has the file open.
    """
    lies = not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists()
    return f"{path.absolute().as_uri()}{'?immutable=1' if lies else ''}"


class Log:
    """The log in `folder`; None is the user's own. Every call opens the file and closes it.

    All methods raise LogError where the file cannot be used: damaged, of another version, held by another
    process for more than 5 s, or on a disk that is full.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.path = (home() if folder is None else Path(folder)) / FILE

    def keep(self, kept: Kept) -> str:
        """Keeps a Verdict, an Analysis or a Report, without any key that is known here; gives its id.

        Raises InputError for one that does not hold what it was concluded from.
        """
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        versions = {"fanin": __version__, "python": sys.version.split()[0]}
        scrub = Scrubber(known_secrets(os.environ))
        record = scrubbed(record_of(kept, _new_id(), now, versions), scrub)
        while not self.add(record):
            record = attrs.evolve(record, id=_new_id())
        return record.id

    def add(self, record: Record) -> bool:
        """Puts a record into the log; False where one of that id is there already, which stays."""
        what = record.decided
        answer = None if what.answer is None else _storable(what.answer)
        about = (record.kept_at, record.kind, _storable(record.question[:_QUESTION_CHARS]))
        row = (
            record.id,
            *about,
            what.outcome,
            answer,
            what.grade,
            what.cost_usd,
        )
        packed = zlib.compress(record_text(record).encode("ascii"), 1)
        with self._open(make=True) as log, log:
            log.execute("BEGIN IMMEDIATE")
            marks = ", ".join("?" * len(row))
            put = log.execute(f"INSERT OR IGNORE INTO runs ({_SHOWN}) VALUES ({marks})", row)
            if put.rowcount:
                log.execute("INSERT INTO records VALUES (?, ?)", (put.lastrowid, packed))
        return bool(put.rowcount)

    def entries(self, most: int | None = None) -> tuple[Entry, ...]:
        """The kept runs, the last one first; `most`: so many of them."""
        if not self.path.exists():
            return ()
        with self._open() as log:
            found = log.execute(
                f"SELECT {_SHOWN} FROM runs ORDER BY place DESC LIMIT ?", (-1 if most is None else most,)
            )
            return tuple(Entry(*row) for row in found)

    def find(self, run: str) -> Record:
        """The run of that id, of the one id that begins so, or the `last` one.

        Raises RecordError where there is none, or more than one, with those that may be meant.
        """
        with self._open() as log:
            place, id_ = self._place(log, run)
            [packed] = log.execute("SELECT packed FROM records WHERE place = ?", (place,)).fetchone() or [b""]
        try:
            text = zlib.decompress(packed).decode("ascii")
        except (zlib.error, ValueError):
            raise RecordError(f"run {id_}: it is damaged") from None
        return read_record(text, f"run {id_}")

    def remove(self, run: str) -> str:
        """Removes the run that `find` would find, from the disk too; gives its id."""
        with self._open() as log, log:
            log.execute("PRAGMA secure_delete = ON")
            log.execute("BEGIN IMMEDIATE")
            place, id_ = self._place(log, run)
            log.execute("DELETE FROM records WHERE place = ?", (place,))
            log.execute("DELETE FROM runs WHERE place = ?", (place,))
        return id_

    def _place(self, log: sqlite3.Connection, run: str) -> tuple[int, str]:
        if run == LAST:
            found = log.execute("SELECT place, id FROM runs ORDER BY place DESC LIMIT 1").fetchall()
            if not found:
                raise RecordError(f"no run is kept in {self.path}")
        else:
            start = run.strip().lower()
            found = log.execute(
                "SELECT place, id FROM runs WHERE id >= ? AND id < ? ORDER BY id LIMIT 6",
                (start, f"{start}~"),
            ).fetchall()
        exact = [row for row in found if row[1] == run]
        if len(exact or found) != 1:
            raise _not_one(log, run, [id_ for _, id_ in found])
        [(place, id_)] = exact or found
        return place, id_

    @contextmanager
    def _open(self, *, make: bool = False) -> Iterator[sqlite3.Connection]:
        if not make and not self.path.exists():
            raise RecordError(f"no run is kept in {self.path}")
        with self._told():
            if make:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                # Questions and answers are nobody else's business.
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            where = address(self.path)
            with closing(sqlite3.connect(where, timeout=_WAIT_S, isolation_level=None, uri=True)) as log:
                self._prepare(log)
                yield log

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turns what SQLite and the system raise into an error that names the file."""
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise LogError(str(self.path), f"it cannot be used: {why}") from error
        except sqlite3.Error as error:
            raise LogError(
                str(self.path),
                f"it is damaged, or no log of runs ({error})",
                mend="Move it away: a new one is begun with the next run.",
            ) from error

    def _prepare(self, log: sqlite3.Connection) -> None:
        """Makes the tables of a new file. Raises LogError for what is no log, or one of another version."""
        log.execute("PRAGMA synchronous = NORMAL")
        if self._is_new(log):
            log.execute("PRAGMA journal_mode = WAL")
            with log:
                log.execute("BEGIN EXCLUSIVE")
                if self._is_new(log):  # and no other process was faster
                    for statement in _SCHEMA.split(";"):
                        log.execute(statement)
                    log.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    log.execute(f"PRAGMA user_version = {VERSION}")

    def _is_new(self, log: sqlite3.Connection) -> bool:
        number = {
            name: log.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version", "schema_version")
        }
        if not number["schema_version"]:
            return True
        if number["application_id"] != APPLICATION_ID:
            raise LogError(str(self.path), "it is a database, but no log of runs")
        if number["user_version"] != VERSION:
            raise LogError(
                str(self.path),
                f"it is of version {number['user_version']}, and this fanin reads version {VERSION}",
                mend="Use the fanin that wrote it, or another folder: FANIN_HOME.",
            )
        return False


def _new_id() -> str:
    return "".join(_ALPHABET[byte % 32] for byte in os.urandom(_ID_CHARS))


def _storable(text: str) -> str:
    """SQLite takes no lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _not_one(log: sqlite3.Connection, run: str, found: list[str]) -> RecordError:
    if found:
        named = ", ".join(found[:5])
        return RecordError(f"more than one run begins with {run!r}: {named}{', ...' if found[5:] else ''}")
    from difflib import get_close_matches

    newest = log.execute("SELECT id FROM runs ORDER BY place DESC LIMIT ?", (_LOOKED_AT,))
    near = get_close_matches(run.lower(), [LAST, *(id_ for (id_,) in newest)], n=1)
    mend = f"Did you mean {near[0]}?" if near else "fanin runs list tells which there are."
    return RecordError(f"no run {run!r} is kept", mend=mend)
