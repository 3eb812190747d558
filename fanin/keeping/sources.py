"""Where kept runs come from: the log, a file of records, a tape, or a file of votes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

from fanin.answers import Answer
from fanin.errors import CassetteError, FaninError, RecordError
from fanin.keeping.log import Log
from fanin.keeping.record import Record, read_record

SQLITE = b"SQLite format 3\0"
"""What a SQLite file begins with (https://sqlite.org/fileformat.html, 1.3.1)."""

_TAPE = re.compile(r'\s*\{\s*"format"\s*:\s*"fanin\.tape/')
_RUN = re.compile(r'\s*\{\s*"schema"\s*:\s*"fanin\.run/')


def records_of(source: str, answer: Answer | None = None, log: Log | None = None) -> tuple[Record, ...]:
    """The kept runs that `source` means, at least one: a file, `FILE#ID` for one in it, or a run in the log.

    A file holds records (`fanin runs export`), a tape, or votes: stored ones or objects `fanin.vote/1`, plain
    or gzipped; a batch's rows on questions that could not be asked are passed over. `answer` is the type of
    the answers where a tape or a file of votes does not tell it.

    Raises RecordError and LogError, with the line where it is one.
    """
    path, wanted = file_and_id(source)
    if path is not None and wanted is None:
        return tuple(records_in(path, answer))
    if path is not None and wanted is not None:
        return (_one(records_in(path, answer), path, wanted),)
    if os.sep in source or Path(source).suffix:
        raise RecordError(f"{source}: there is no such file")
    return ((log or Log()).find(source),)


def file_and_id(source: str) -> tuple[str | None, str | None]:
    """The file that `FILE` or `FILE#ID` names, and the id; None where there is none. Both may hold a `#`."""
    if _is_file(source):
        return source, None
    marks = [place for place, char in enumerate(source) if char == "#"]
    found = next((place for place in marks if _is_file(source[:place])), None)
    return (None, None) if found is None else (source[:found], source[found + 1 :])


def records_in(path: str, answer: Answer | None = None) -> Iterator[Record]:
    """The runs that a file holds, in its order. Raises RecordError."""
    if begins_with_sqlite(path):
        raise RecordError(
            f"{path}: it is a database",
            mend="What a batch's journal holds fanin recount and fanin show tell.",
        )
    from fanin.stored_votes import lines_of

    try:
        number, first = next(lines_of(path), (0, ""))
        if _TAPE.match(first if len(first) > 2 else Path(path).read_text("utf-8-sig")[:200]):
            from fanin.keeping.tapes import taped_vote
            from fanin.taping.storage import load

            yield taped_vote(load(path), path, answer)
            return
        if not number:
            raise RecordError(f"{path}: there is nothing in it")
        yield from _of_lines(path, answer)
    except (RecordError, CassetteError):
        raise
    except FaninError as error:
        raise RecordError(error.message, mend=error.mend) from None


def _of_lines(path: str, answer: Answer | None) -> Iterator[Record]:
    from fanin.stored_votes import lines_of

    held = False
    for number, line in lines_of(path):
        where = f"{path}, line {number}"
        if _RUN.match(line):
            record: Record | None = read_record(line, where)
        else:
            from fanin.keeping.votes import stored_vote

            record = stored_vote(line, where, number, answer)
        if record is not None:
            held = True
            yield record
    if not held:
        raise RecordError(f"{path}: there is no vote in it: every row says why there is none")


def begins_with_sqlite(path: str) -> bool:
    """Whether it is a file of SQLite's."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(SQLITE)) == SQLITE
    except (OSError, ValueError):
        return False


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def _one(records: Iterable[Record], path: str, wanted: str) -> Record:
    """The first run of that id; else the only one whose id begins so. No more of them is held than these."""
    ids: list[str] = []
    begun: list[Record] = []
    for record in records:
        if record.id == wanted:
            return record
        ids.append(record.id)
        if record.id.startswith(wanted) and len(begun) < 2:
            begun.append(record)
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise RecordError(f"{path}: more than one run in it begins with {wanted!r}")
    near = get_close_matches(wanted, ids, n=1)
    raise RecordError(
        f"{path}: there is no run {wanted!r} in it", mend=f"Did you mean {near[0]}?" if near else None
    )
