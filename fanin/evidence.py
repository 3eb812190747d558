"""Kept evidence from wherever it is: the log, a file, a tape, stored votes, or a batch's journal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from shutil import copyfileobj
from tempfile import NamedTemporaryFile

from fanin.answers import Answer
from fanin.errors import RecordError
from fanin.keeping.log import Log
from fanin.keeping.record import Record
from fanin.keeping.sources import begins_with_sqlite, file_and_id, records_of


def evidence_of(source: str, answer: Answer | None = None, log: Log | None = None) -> Iterator[Record]:
    """The kept runs that `source` means, at least one: what `records_of` reads, and a batch's journal; `-` is
    a file that comes on standard input.

    `JOURNAL#ID` is the vote on the question with that id, or, where questions have none, of that number in
    the input. Raises RecordError, LogError and JournalError.
    """
    if source == "-":
        yield from _piped(answer)
        return
    path, wanted = file_and_id(source)
    if path is not None and begins_with_sqlite(path):
        from fanin.batching.journalled import records_in_journal

        yield from records_in_journal(path, wanted)
    else:
        yield from records_of(source, answer, log)


def _piped(answer: Answer | None) -> Iterator[Record]:
    """What comes on standard input, which is read twice and so put into a file."""
    with NamedTemporaryFile(prefix="fanin-") as file:
        copyfileobj(sys.stdin.buffer, file)
        file.flush()
        try:
            yield from records_of(file.name, answer)
        except RecordError as error:
            message = error.message.replace(file.name, "standard input")
            raise RecordError(message, mend=error.mend) from None
