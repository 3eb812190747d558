"""Kept evidence from wherever it is: the log, a file, a tape, stored votes, or a batch's journal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from shutil import copyfileobj
from tempfile import NamedTemporaryFile

from fanin.answers import Answer
from fanin.errors import RecordError
from fanin.keeping.log import Log
from fanin.keeping.record import Record
from fanin.keeping.sources import begins_with_sqlite, file_and_id, records_in, records_of


def evidence_of(source: str, answer: Answer | None = None, log: Log | None = None) -> Iterator[Record]:
    """The kept runs that `source` means, at least one: what `records_of` reads, and a batch's journal; `-` is
    a file that comes on standard input.

    `JOURNAL#ID` is the vote on the question with that id, or, where questions have none, of that number in
    the input. Raises RecordError, LogError and JournalError.
    """
    if source == "-":
        with _piped() as piped:
            yield from _of_pipe(piped, answer)
        return
    path, wanted = file_and_id(source)
    if path is not None and begins_with_sqlite(path):
        from fanin.batching.journalled import records_in_journal

        yield from records_in_journal(path, wanted)
    elif path is not None and wanted is None:
        yield from records_in(path, answer)
    else:
        yield from records_of(source, answer, log)


@contextmanager
def readings_of(source: str) -> Iterator[Callable[[], Iterable[Record]]]:
    """Reads what `source` means as often as it is asked: a file from its beginning each time, standard input
    and a run in the log once. Raises as `evidence_of`."""
    if source == "-":
        with _piped() as path:
            yield partial(_of_pipe, path)
    elif file_and_id(source)[0] is not None:
        yield partial(evidence_of, source)
    else:
        held = tuple(evidence_of(source))
        yield lambda: held


@contextmanager
def _piped() -> Iterator[str]:
    """The path of a file with what comes on standard input, which can be read only once."""
    with NamedTemporaryFile(prefix="fanin-") as file:
        copyfileobj(sys.stdin.buffer, file)
        file.flush()
        yield file.name


def _of_pipe(path: str, answer: Answer | None = None) -> Iterator[Record]:
    try:
        yield from records_in(path, answer)
    except RecordError as error:
        message = error.message.replace(path, "standard input")
        raise RecordError(message, mend=error.mend) from None
