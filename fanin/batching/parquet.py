"""Rows as a Parquet file, by pyarrow (the extra `fanin[parquet]`).

Format: https://parquet.apache.org/docs/file-format/. The file can be read once it is closed; its rows are
written in groups, so that no more than one group is held in memory.
"""

from __future__ import annotations

import io
import json
from typing import Any

from fanin.batching.rows import Row
from fanin.batching.writers import COLUMNS, Sink, cells_of
from fanin.errors import MissingExtraError

_GROUP_ROWS = 10_000
_GROUP_BYTES = 16 * 1024 * 1024
_WHOLE = frozenset({"line", "valid", "spoiled", "failed", "input_tokens", "output_tokens"})
_REAL = frozenset({"confidence", "cost_usd"})


class ParquetWriter:
    """The columns of a table, and `object`: the whole object as JSON.

    Raises MissingExtraError where pyarrow is not installed.
    """

    def __init__(self, sink: Sink) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise MissingExtraError("Parquet", "parquet") from None
        kinds = {
            **dict.fromkeys(COLUMNS, pyarrow.string()),
            **dict.fromkeys(_WHOLE, pyarrow.int64()),
            **dict.fromkeys(_REAL, pyarrow.float64()),
            "object": pyarrow.string(),
        }
        self._schema = pyarrow.schema(list(kinds.items()))
        self._table = pyarrow.Table
        self._held: list[dict[str, Any]] = []
        self._held_bytes = 0
        self._file = parquet.ParquetWriter(_File(sink), self._schema, compression="zstd")

    def write(self, row: Row) -> None:
        """Takes one row. Raises OutputError where a group cannot be written."""
        whole = None if row.object is None else json.dumps(dict(row.object))
        self._held.append({**cells_of(row), "object": whole})
        self._held_bytes += len(whole or "")
        if len(self._held) >= _GROUP_ROWS or self._held_bytes >= _GROUP_BYTES:
            self._write_group()

    def end(self) -> None:
        """Writes the last group and what makes it a file."""
        self._write_group()
        self._file.close()

    def _write_group(self) -> None:
        if self._held:
            # Parquet's texts are UTF-8, which has no half of a surrogate pair.
            rows = [{name: _utf_8(value) for name, value in held.items()} for held in self._held]
            self._file.write_table(self._table.from_pylist(rows, schema=self._schema))
            self._held, self._held_bytes = [], 0


class _File(io.RawIOBase):
    """A sink as the file that pyarrow wants: it asks where it stands."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: Any) -> int:
        written = bytes(data)
        self._sink.write(written)
        self._size += len(written)
        return len(written)


def _utf_8(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
