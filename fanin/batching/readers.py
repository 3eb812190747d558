"""Questions as a stream: JSON Lines, plain lines, CSV and batch files; plain or gzip, UTF-8 or UTF-16.

No file is held in memory, and neither are the ids. A part that cannot be used is a `BadItem` with its line;
what is wrong with the input as a whole raises before the first item.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from fanin.batching.fields import cells_as_fields, item_of
from fanin.batching.fingerprints import Fingerprints
from fanin.batching.inflow import BrokenInflow, Inflow
from fanin.batching.items import BadItem, Item
from fanin.batching.lines import Line, Lines
from fanin.batching.openai_batch import is_request, item_of_request
from fanin.batching.records import DELIMITERS, Record, Records
from fanin.errors import FaninError
from fanin.show import one_line

InputFormat: TypeAlias = Literal["auto", "jsonl", "lines", "csv"]
"""How the questions are written; batch files are JSON Lines, and are known by their fields."""

_BY_SUFFIX: dict[str, InputFormat] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".txt": "lines",
}


def format_of(path: str) -> InputFormat:
    """The format that a file's name tells; `auto` where it tells none."""
    name = Path(path)
    if name.suffix.lower() == ".gz":
        name = name.with_suffix("")
    return _BY_SUFFIX.get(name.suffix.lower(), "auto")


_JSON = re.compile(r"\s*(\{|\[\s*(\{|$))")
"""How a first line of JSON begins: an object, or an array of them."""


class Reader:
    """Makes items of a stream of bytes, the same ones however it is cut."""

    def __init__(
        self, written: InputFormat = "auto", *, column: str | None = None, allow_duplicates: bool = False
    ) -> None:
        """`written` is how the stream is written; `auto` is JSON Lines where it begins with `{`, else plain
        lines. `column` is the one of a CSV file that holds the questions; None is
        `question`, or the only one.
        """
        self.line = 0
        """The last line that was looked at."""
        self._lines = Lines()
        self._format = written
        self._begun = False
        self._table = _Table(column)
        self._ids = None if allow_duplicates else Fingerprints()

    @property
    def share(self) -> float:
        """How much of what was fed has been made into items, 0.0 to 1.0."""
        return min(1.0, self._lines.share)

    def feed(self, data: bytes) -> Iterator[Item | BadItem]:
        """The items that end in this piece. Raises FaninError for a table without that column, and for one
        JSON array."""
        for line in self._lines.feed(data):
            yield from self._items(line)

    def end(self) -> Iterator[Item | BadItem]:
        """The items that are left at the end of the stream."""
        for line in self._lines.end():
            yield from self._items(line)
        for item in self._table.end():
            yield self._told_apart(item)

    def _items(self, line: Line) -> Iterator[Item | BadItem]:
        self.line = line.number
        if self._format == "csv":
            for item in self._table.feed(line):
                yield self._told_apart(item)
        elif line.problem is not None:
            yield BadItem(line.number, None, line.problem)
        elif line.text.strip():
            if self._format == "auto":
                self._format = "jsonl" if _JSON.match(line.text) else "lines"
            if self._format == "jsonl" and not self._begun and line.text.lstrip().startswith("["):
                raise FaninError(
                    "the questions are one JSON array, and JSON Lines are wanted: one object a line",
                    mend="jq -c '.[]' makes them of it.",
                )
            self._begun = True
            if self._format == "lines":
                yield Item(line.number, None, line.text.strip())
            else:
                yield self._told_apart(_json_item(line))

    def _told_apart(self, item: Item | BadItem) -> Item | BadItem:
        """The item, or a bad one where another item has its id. `7` and `"7"` are one id."""
        if self._ids is None or isinstance(item, BadItem) or item.id is None:
            return item
        first = self._ids.put(str(item.id), item.number)
        if first is None:
            return item
        shown = one_line(str(item.id), 60)
        return BadItem(item.number, item.id, f"its id {shown!r} is that of line {first} too")


def _json_item(line: Line) -> Item | BadItem:
    try:
        record = json.loads(line.text)
    except json.JSONDecodeError as error:
        return BadItem(line.number, None, f"it is not JSON: {error.msg} (column {error.colno})")
    except (ValueError, RecursionError):
        return BadItem(
            line.number, None, "it is no JSON that can be read: nested too deep, or a giant number"
        )
    if not isinstance(record, dict):
        return BadItem(line.number, None, f"it is not a JSON object but {one_line(line.text, 40)!r}")
    return item_of_request(record, line.number) if is_request(record) else item_of(record, line.number)


class _Table:
    """A CSV file: its header, and then an item a record."""

    def __init__(self, column: str | None) -> None:
        self._column = column
        self._header: tuple[str, ...] = ()
        self._records: Records | None = None

    def feed(self, line: Line) -> Iterator[Item | BadItem]:
        if self._records is None:
            if line.problem is not None:
                raise FaninError(f"the header of the table, line {line.number}: {line.problem}")
            if line.text.strip():
                self._begin(line)
            return
        yield from map(self._item, self._records.feed(line))

    def end(self) -> Iterator[Item | BadItem]:
        if self._records is not None:
            yield from map(self._item, self._records.end())

    def _begin(self, line: Line) -> None:
        """Takes the header. The delimiter is the one with which it has the column."""
        headers = {delimiter: _header(line, delimiter) for delimiter in DELIMITERS}
        delimiter = next(
            (mark for mark, names in headers.items() if (self._column or "question") in names), None
        )
        if delimiter is None:
            names = max(headers.values(), key=len)
            if self._column is not None or len(names) != 1:
                wanted = self._column or "question"
                listed = one_line(", ".join(names), 200)
                raise FaninError(
                    f"the table has no column {wanted!r} (it has: {listed})",
                    mend="Name the one that holds the questions: --column NAME.",
                )
            delimiter, self._column = ",", names[0]
        self._header = headers[delimiter]
        if len(set(self._header)) < len(self._header):
            raise FaninError(
                f"the table has two columns of one name: {one_line(', '.join(self._header), 200)}"
            )
        self._records = Records(delimiter)

    def _item(self, record: Record) -> Item | BadItem:
        if record.problem is not None:
            return BadItem(record.number, None, record.problem)
        if len(record.cells) != len(self._header):
            told = f"it has {len(record.cells)} cells, and the header has {len(self._header)}"
            return BadItem(record.number, None, told)
        cells = dict(zip(self._header, record.cells, strict=True))
        if self._column not in (None, "question"):
            cells["question"] = cells[self._column]
        return item_of(cells_as_fields(cells), record.number)


def _header(line: Line, delimiter: str) -> tuple[str, ...]:
    records = Records(delimiter)
    found = [record.cells for record in (*records.feed(line), *records.end())]
    return tuple(name.strip() for name in found[0]) if found else ()


async def read_items(inflow: Inflow, reader: Reader) -> AsyncGenerator[Item | BadItem, None]:
    """The items of a stream, in its order. Where it cannot be read on, the last one is bad and says so.

    Raises FaninError for an input without a single item, and for a table without the column.
    """
    empty = True
    async for item in _read(inflow, reader):
        empty = False
        yield item
    if empty:
        raise FaninError(f"{inflow.name}: there is no question in it")


async def _read(inflow: Inflow, reader: Reader) -> AsyncIterator[Item | BadItem]:
    try:
        async for chunk in inflow.chunks():
            for item in reader.feed(chunk):
                yield item
    except BrokenInflow as problem:
        yield BadItem(reader.line + 1, None, f"from here on nothing can be read: {problem}")
    else:
        for item in reader.end():
            yield item
