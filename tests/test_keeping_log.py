"""The log of kept runs: what goes in comes out, several processes share it, and what is wrong is said."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import attrs
import pytest

import fanin
from fanin.errors import LogError, RecordError
from fanin.keeping import Log
from fanin.keeping import log as the_log
from fanin.keeping.record import Record, read_record, record_text
from fanin.recounting import recount

SCRIPT = """
import fanin
from fanin.keeping import Log
verdict = fanin.vote_sync("Is it so?", backend=fanin.Fake("yes"), runs=1)
for _ in range(10):
    Log().keep(verdict)
"""


def a_vote(question: str = "Is it so?", *replies: str) -> fanin.Verdict:
    """A small vote of the fake."""
    replies = replies or ("yes", "no", "yes")
    return fanin.vote_sync(question, backend=fanin.Fake(list(replies)), runs=len(replies))


@pytest.fixture
def log() -> Log:
    """The log of the test's own home."""
    return Log()


def test_it_lies_where_fanin_home_or_the_system_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FANIN_HOME", str(tmp_path / "mine"))
    assert Log().path == tmp_path / "mine" / "runs.sqlite"
    assert Log(tmp_path).path == tmp_path / "runs.sqlite"
    monkeypatch.delenv("FANIN_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    platformdirs = pytest.importorskip("platformdirs")
    assert Log().path.parent == platformdirs.user_data_path("fanin", appauthor=False)
    monkeypatch.delenv("XDG_DATA_HOME")
    assert Log().path.parent == platformdirs.user_data_path("fanin", appauthor=False)


def test_what_is_kept_is_found_by_its_id_its_beginning_and_as_the_last_one(log: Log) -> None:
    assert log.entries() == ()
    first, second = a_vote("Is the first so?"), a_vote("Is the second so?", "no", "!empty")
    ids = [log.keep(first), log.keep(second)]
    assert all(re.fullmatch("[0-9a-hjkmnp-tv-z]{10}", id_) for id_ in ids)
    assert [entry.id for entry in log.entries()] == ids[::-1]
    assert [entry.id for entry in log.entries(1)] == ids[1:]
    entry = log.entries()[1]
    assert (entry.kind, entry.question, entry.outcome) == ("vote", "Is the first so?", "decided")
    assert (entry.answer, entry.grade, entry.cost_usd) == ("yes", "medium", None)
    for name in (ids[0], ids[0][:9], ids[0].upper()):
        found = recount(log.find(name))
        assert found.to_json() == first.to_json()
    assert recount(log.find("last")).to_json() == second.to_json()


def test_it_is_nobody_elses_to_read(log: Log) -> None:
    log.keep(a_vote())
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.path.parent.stat().st_mode) == 0o700


def test_no_key_lands_in_it(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", key := "k3y-of-mine-0123456789")
    pattern = "sk-" + "a1B2c3D4" * 4
    log.keep(a_vote(f"Is {key} or {pattern} a key", f"{key}, {pattern}\nAnswer: yes"))
    with sqlite3.connect(log.path) as raw:
        [(packed,)] = raw.execute("SELECT packed FROM records")
        rows = repr(raw.execute("SELECT * FROM runs").fetchall())
    raw.close()
    text = zlib.decompress(packed).decode()
    assert "[scrubbed]" in text
    for secret in (key, pattern):
        assert secret not in text + rows
        assert secret.encode() not in log.path.read_bytes()


@pytest.mark.parametrize("odd", ["\ud800", "\0", "\x1b[31m", "\u202e", "a" * 100_000])
def test_whatever_is_asked_can_be_kept_and_listed(log: Log, odd: str) -> None:
    verdict = a_vote(f"Is {odd} odd?", f"{odd}\nAnswer: yes")
    found = recount(log.find(log.keep(verdict)))
    assert found.to_json() == verdict.to_json()
    assert log.entries()[0].question.startswith("Is ")


def test_what_is_removed_is_gone(log: Log) -> None:
    gone, stays = log.keep(a_vote("Is it about me?")), log.keep(a_vote())
    assert b"about me" in log.path.read_bytes()
    assert log.remove(gone) == gone
    assert b"about me" not in log.path.read_bytes()
    assert [entry.id for entry in log.entries()] == [stays]
    with pytest.raises(RecordError, match=f"no run '{gone}' is kept"):
        log.find(gone)


def test_export_then_import_changes_nothing(log: Log, tmp_path: Path) -> None:
    log.keep(a_vote())
    record = log.find("last")
    text = record_text(record)
    other = Log(tmp_path)
    assert other.add(read_record(text, "here"))
    assert record_text(other.find(record.id)) == text
    assert other.entries() == log.entries()
    assert not other.add(record)  # it is there already
    assert len(other.entries()) == 1


def with_id(record: Record, id_: str) -> Record:
    return attrs.evolve(record, id=id_)


def test_an_id_that_is_not_there_or_means_several_says_what_may_be_meant(log: Log) -> None:
    with pytest.raises(RecordError, match="no run is kept in"):
        log.find("last")
    log.keep(a_vote())
    record = log.find("last")
    log.add(with_id(record, "abcdefgh01"))
    log.add(with_id(record, "abcdefgh02"))
    with pytest.raises(RecordError, match="more than one run begins with 'abc': abcdefgh01, abcdefgh02"):
        log.find("abc")
    with pytest.raises(RecordError, match=r"no run 'abcdefgh11' is kept\nDid you mean abcdefgh01\?"):
        log.find("abcdefgh11")
    with pytest.raises(RecordError, match="fanin runs list tells"):
        log.find("~~~")
    log.add(with_id(record, "00000000zz"))
    assert log.find("0000").id == "00000000zz"
    log.add(with_id(record, "abcdefgh"))
    assert log.find("abcdefgh").id == "abcdefgh"


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_what_is_no_log_is_refused_and_left_alone(log: Log) -> None:
    put(log.path, b"not a database, and long enough to be taken for one" * 20)
    before = log.path.read_bytes()
    for use in (log.entries, lambda: log.keep(a_vote()), lambda: log.find("x")):
        with pytest.raises(LogError, match="it is damaged, or no log of runs"):
            use()
    assert log.path.read_bytes() == before


def statement(log: Log, *lines: str) -> None:
    raw = sqlite3.connect(log.path)
    for line in lines:
        raw.execute(line)
    raw.commit()
    raw.close()


def test_another_version_and_another_database_are_refused(log: Log) -> None:
    log.keep(a_vote())
    statement(log, "PRAGMA user_version = 2")
    with pytest.raises(LogError, match=r"it is of version 2, and this fanin reads version 1\n.*FANIN_HOME"):
        log.entries()
    statement(log, "PRAGMA user_version = 1", "PRAGMA application_id = 7")
    with pytest.raises(LogError, match="a database, but no log of runs"):
        log.keep(a_vote())


def test_a_damaged_record_is_said_and_the_others_are_read(log: Log) -> None:
    bad, good = log.keep(a_vote()), log.keep(a_vote())
    statement(log, "UPDATE records SET packed = x'00' WHERE place = 1")
    with pytest.raises(RecordError, match=f"run {bad}: it is damaged"):
        log.find(bad)
    assert log.find(good).id == good


def test_a_log_is_read_where_nothing_can_be_written(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(log.path.parent / "a #?% folder")
    kept = log.keep(a_vote())
    beside = sorted(path.name for path in log.path.parent.iterdir())
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(Path, "mkdir", lambda *args, **options: pytest.fail("it writes"))
    assert [entry.id for entry in log.entries()] == [kept]
    assert log.find("last").id == kept
    with pytest.raises(LogError, match="attempt to write a readonly database"):
        log.remove(kept)
    assert sorted(path.name for path in log.path.parent.iterdir()) == beside


def test_a_log_that_is_locked_or_on_a_full_disk_says_so(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.keep(a_vote())
    monkeypatch.setattr(the_log, "_WAIT_S", 0.0)
    other = sqlite3.connect(log.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LogError, match="it cannot be used: database is locked"):
        log.keep(a_vote())
    other.close()
    connect = sqlite3.connect

    def small(*args: Any, **options: Any) -> sqlite3.Connection:
        made = connect(*args, **options)
        made.execute("PRAGMA max_page_count = 1")
        return made

    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(LogError, match="it cannot be used: database or disk is full"):
        log.keep(a_vote("Is it so? " * 1000, *[os.urandom(4000).hex()] * 9))
    monkeypatch.undo()
    assert len(Log(log.path.parent).entries()) == 1


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogError, match="it cannot be used: "):
        Log(tmp_path / "file" / "home").keep(a_vote())


def test_an_id_that_is_taken_is_not_given_twice(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter(["first00000", "first00000", "second0000"])
    monkeypatch.setattr(the_log, "_new_id", lambda: next(ids))
    assert [log.keep(a_vote()), log.keep(a_vote())] == ["first00000", "second0000"]


@pytest.mark.slow
def test_several_processes_keep_runs_at_once(log: Log) -> None:
    started = [subprocess.Popen([sys.executable, "-c", SCRIPT]) for _ in range(6)]
    assert [process.wait() for process in started] == [0] * 6
    entries = log.entries()
    assert len({entry.id for entry in entries}) == len(entries) == 60
    assert all(log.find(entry.id).id == entry.id for entry in entries[:5])
