"""CSV records from numbered lines, as RFC 4180 has them; no I/O here.

The standard library's reader is not used: it bounds a cell by a setting of the whole process, and after a
quote that is never closed it takes the rest of the file for one cell.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator

import attrs

from fanin.batching.lines import MAX_LINE_BYTES, Line

DELIMITERS = (",", ";", "\t")


@attrs.frozen
class Record:
    """One record, or what is wrong with it."""

    number: int
    """The line it begins on, from 1."""
    cells: tuple[str, ...]
    """Empty where it could not be read."""
    problem: str | None = None
    """Why it could not be read."""


class Records:
    """Puts lines together to records: a quoted cell may hold line breaks.

    A quote that nothing closes is one bad record, the line that it stands on; the lines after it are read
    as if it were not there.
    """

    def __init__(self, delimiter: str) -> None:
        mark = re.escape(delimiter)
        self._cell = re.compile(rf'(?:"([^"]*(?:""[^"]*)*)"|((?!")[^{mark}]*))(?:({mark})|\Z)')
        self._unclosed = re.compile(r'"[^"]*(?:""[^"]*)*\Z')
        self._open: list[Line] = []
        self._open_chars = 0

    def feed(self, line: Line) -> Iterator[Record]:
        """The records that this line ends. Blank lines between records are none."""
        waiting = deque([line])
        while waiting:
            line = waiting.popleft()
            if not self._open and line.problem is not None:
                yield Record(line.number, (), line.problem)
            elif self._open or line.text.strip():
                record, again = self._added(line)
                waiting.extendleft(reversed(again))
                if record is not None:
                    yield record

    def end(self) -> Iterator[Record]:
        """The records that are left where no line follows."""
        while self._open:
            record, again = self._given_up()
            yield record
            for line in again:
                yield from self.feed(line)

    def _added(self, line: Line) -> tuple[Record | None, list[Line]]:
        """The record that this line ends, and the lines that are read again."""
        self._open.append(line)
        self._open_chars += len(line.text) + 1
        first, several = self._open[0].number, len(self._open) > 1
        if several and line.problem is None and '"' not in line.text and self._open_chars <= MAX_LINE_BYTES:
            return None, []
        cells = self._cells("\n".join(part.text for part in self._open))
        if cells is None and line.problem is None and self._open_chars <= MAX_LINE_BYTES:
            return None, []
        if not cells and several:
            return self._given_up()
        self._open, self._open_chars = [], 0
        return Record(
            first, cells or (), None if cells else "a cell goes on after the quote that closes it"
        ), []

    def _cells(self, text: str) -> tuple[str, ...] | None:
        """The cells; none where the quoting is wrong; None where a quoted cell goes on."""
        cells = []
        at = 0
        while True:
            found = self._cell.match(text, at)
            if found is None:
                return None if self._unclosed.match(text, at) else ()
            quoted, plain, delimiter = found.groups()
            cells.append(plain if quoted is None else quoted.replace('""', '"'))
            if delimiter is None:
                return tuple(cells)
            at = found.end()

    def _given_up(self) -> tuple[Record, list[Line]]:
        """The open record as a bad one, and the lines that are read again."""
        first, *again = self._open
        self._open, self._open_chars = [], 0
        return Record(first.number, (), "a quote is opened here and never closed"), again
