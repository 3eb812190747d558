"""Rows as they are written: JSON Lines, CSV, Parquet, or the answers of a batch API."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from fanin.batching.openai_batch import response_line
from fanin.batching.rows import Row
from fanin.show import clean
from fanin.verdict import escape_unprintable

OutputFormat: TypeAlias = Literal["jsonl", "csv", "parquet", "openai"]
"""How the rows are written."""

COLUMNS = (
    *("id", "line", "outcome", "answer", "grade", "confidence", "pattern", "votes", "valid", "spoiled"),
    *("failed", "input_tokens", "output_tokens", "cost_usd", "question", "advice", "error"),
)
"""The columns of a table of rows, CSV or Parquet; `votes` is a JSON object."""

_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # and as wide as an ideograph


class Sink(Protocol):
    """Where the bytes of rows go; a writer hands over whole lines."""

    def write(self, data: bytes) -> None:
        """Takes bytes whole. Raises OutputError, or BrokenPipeError where nobody reads on."""
        ...


class Writer(Protocol):
    """Takes rows in the order in which they are to stand."""

    def write(self, row: Row) -> None:
        """Takes one row. Raises OutputError, or BrokenPipeError where nobody reads on."""
        ...

    def end(self) -> None:
        """Writes what is still held back."""
        ...


def output_format_of(path: str) -> OutputFormat:
    """The format that a file's name tells: CSV, Parquet, or else JSON Lines."""
    match Path(path).suffix.lower():
        case ".csv":
            return "csv"
        case ".parquet":
            return "parquet"
        case _:
            return "jsonl"


def writer_of(written: OutputFormat, sink: Sink) -> Writer:
    """The writer of that format. Raises MissingExtraError where Parquet cannot be written."""
    if written == "parquet":
        from fanin.batching.parquet import ParquetWriter

        return ParquetWriter(sink)
    if written == "csv":
        return _Lines(sink, _csv_line, _csv([*COLUMNS]))
    return _Lines(sink, _openai_line if written == "openai" else _json_line)


class _Lines:
    """A line a row, after a header if there is one."""

    def __init__(self, sink: Sink, line_of: Callable[[Row], bytes], header: bytes = b"") -> None:
        self._sink = sink
        self._line_of = line_of
        if header:
            sink.write(header)

    def write(self, row: Row) -> None:
        self._sink.write(self._line_of(row))

    def end(self) -> None:
        pass


def _json_line(row: Row) -> bytes:
    return row.line


def _openai_line(row: Row) -> bytes:
    found = response_line(row.id, row.number, row.object, row.error)
    return f"{escape_unprintable(json.dumps(found, ensure_ascii=False))}\n".encode()


def cells_of(row: Row) -> dict[str, Any]:
    """What stands in the columns of a table: plain values, None where there is nothing to say."""
    found = row.object or {}
    usage, runs = found.get("usage") or {}, found.get("runs") or {}
    votes = found.get("votes")
    own = {
        "id": None if row.id is None else str(row.id),
        "line": row.number,
        "votes": None if votes is None else json.dumps(votes),
        "error": row.error,
    }
    cells = {**found, **usage, **runs, **own}
    return {column: cells.get(column) for column in COLUMNS}


def _csv_line(row: Row) -> bytes:
    return _csv([_cell(value) for value in cells_of(row).values()])


def _csv(cells: list[str]) -> bytes:
    """One record with its line end, as RFC 4180 has it."""
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode("utf-8")


def _cell(value: Any) -> str:
    """A cell that no spreadsheet takes for a formula: it gets an apostrophe in front.

    Source: OWASP, "CSV Injection". A plain number is no formula, whatever its sign.
    """
    if value is None:
        return ""
    text = " ".join(clean(str(value)).split())
    return f"'{text}" if text.startswith(_FORMULA) and not _PLAIN_NUMBER.fullmatch(text) else text
