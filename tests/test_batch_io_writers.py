"""Rows as they are written, and the files that they are written to."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.batching.rows import Row
from fanin.batching.sinks import FileSink, StreamSink
from fanin.batching.writers import COLUMNS, OutputFormat, output_format_of, writer_of
from fanin.errors import FaninError, OutputError


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


def vote(**more: Any) -> dict[str, Any]:
    return {
        "schema": "fanin.vote/1",
        "question": "Is it?",
        "outcome": "decided",
        "answer": "yes",
        "votes": {"yes": 3},
        "runs": {"valid": 3, "spoiled": 0, "failed": 0},
        "models": ["m"],
        "usage": {"input_tokens": 5, "output_tokens": 7},
        "cost_usd": None,
        "confidence": 1.0,
        **more,
    }


def written(form: OutputFormat, *rows: Row) -> bytes:
    sink = Kept()
    writer = writer_of(form, sink)
    for row in rows:
        writer.write(row)
    writer.end()
    return sink.data


any_id = st.none() | st.text(max_size=6) | st.integers()
any_text = st.text(st.characters(), max_size=12)


@given(st.lists(st.tuples(any_id, any_text, any_text), max_size=4))
def test_json_lines_are_one_line_a_row_whatever_stands_in_them(rows: list[tuple[Any, str, str]]) -> None:
    made = [
        Row(at, name, vote(answer=answer, question=asked)) for at, (name, asked, answer) in enumerate(rows, 1)
    ]
    for form in ("jsonl", "openai"):
        lines = written(form, *made).splitlines()
        assert len(lines) == len(rows)
        assert all(line.decode("utf-8").isprintable() for line in lines)
    plain = [json.loads(line) for line in written("jsonl", *made).splitlines()]
    assert [(one.get("id"), one["question"], one["answer"]) for one in plain] == rows


risky = st.text(st.sampled_from("=+-@\t\r\n 1a\uff1d\uff0b"), max_size=6) | any_text


@given(st.lists(risky, max_size=4))
def test_no_cell_of_a_table_is_a_formula(answers: list[str]) -> None:
    rows = [
        Row(at, answer, vote(answer=answer, question=f"={answer}")) for at, answer in enumerate(answers, 1)
    ]
    read = list(csv.DictReader(io.StringIO(written("csv", *rows).decode("utf-8"), newline="")))
    assert len(read) == len(rows)
    for row in read:
        assert list(row) == list(COLUMNS)
        for cell in row.values():
            assert not cell.startswith(("=", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"))
            assert cell == " ".join(cell.split())
            assert not cell.startswith(("+", "-")) or float(cell) is not None
        assert row["question"].startswith("'=")


def test_the_cells_of_a_table() -> None:
    bad = Row(2, None, None, "it is not JSON")
    header, good, failed = csv.reader(
        io.StringIO(written("csv", Row(1, "a", vote(answer="-5")), bad).decode())
    )
    found = dict(zip(header, good, strict=True))
    assert (found["id"], found["line"], found["answer"], found["votes"]) == ("a", "1", "-5", '{"yes": 3}')
    assert (found["valid"], found["input_tokens"], found["cost_usd"]) == ("3", "5", "")
    assert dict(zip(header, failed, strict=True))["error"] == "it is not JSON"
    [line] = written("csv", Row(1, "a\nb", None, "c\r\nd")).splitlines()[1:]
    assert line.startswith(b"a b,1,")


def test_answers_in_the_form_of_a_batch_api() -> None:
    good, bad = map(json.loads, written("openai", Row(1, 7, vote()), Row(2, None, None, "no")).splitlines())
    assert good["custom_id"] == "7"
    assert good["response"]["status_code"] == 200
    found = good["response"]["body"]
    assert found["choices"][0]["message"] == {"role": "assistant", "content": "yes"}
    assert found["usage"] == {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    assert found["fanin"] == vote()
    assert (bad["custom_id"], bad["response"], bad["error"]["message"]) == ("line-2", None, "no")
    unknown = vote(usage={"input_tokens": None, "output_tokens": 7})
    [line] = written("openai", Row(1, 7, unknown)).splitlines()
    assert json.loads(line)["response"]["body"]["usage"] is None


def test_a_name_tells_the_format() -> None:
    names = ("a.jsonl", "-", "a.CSV", "a.parquet", "a")
    assert [output_format_of(name) for name in names] == ["jsonl", "jsonl", "csv", "parquet", "jsonl"]


@pytest.mark.slow
def test_parquet_holds_the_table_and_the_whole_object(monkeypatch: pytest.MonkeyPatch) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra fanin[parquet]")
    monkeypatch.setattr("fanin.batching.parquet._GROUP_ROWS", 2)
    rows = [Row(at, at, vote(answer=f"\ud800{at}")) for at in range(1, 6)]
    data = written("parquet", *rows, Row(6, None, None, "no"))
    file = pq.ParquetFile(io.BytesIO(data))
    assert file.metadata.num_row_groups == 3
    table = file.read()
    assert table.column_names == [*COLUMNS, "object"]
    assert table.column("id").to_pylist() == ["1", "2", "3", "4", "5", None]
    assert table.column("answer").to_pylist()[0] == "\\ud8001"
    assert table.column("confidence").to_pylist() == [1.0] * 5 + [None]
    assert json.loads(table.column("object")[1].as_py()) == vote(answer="\ud8002")
    assert table.column("error")[5].as_py() == "no"


def test_parquet_without_its_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(FaninError, match=r"pip install 'fanin\[parquet\]'"):
        writer_of("parquet", Kept())


def test_a_file_is_there_at_once_and_holds_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    sink = FileSink(str(path), anew=False)
    sink.write(b"one\n")
    assert path.read_bytes() == b"one\n"
    assert sink.close(complete=False)
    with pytest.raises(FaninError, match="rows: it is there already"):
        FileSink(str(path), anew=False)


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("more", [True, False])
def test_a_file_made_anew_replaces_the_old_one_where_that_loses_nothing(
    complete: bool, more: bool, tmp_path: Path
) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b"one\ntwo\nthr")
    sink = FileSink(str(path), anew=True)
    new = b"one\n" if not more else b"one\ntwo\nthree\n"
    sink.write(new)
    assert path.read_bytes() == b"one\ntwo\nthr"
    assert sink.close(complete=complete) == (complete or more)
    assert path.read_bytes() == (new if complete or more else b"one\ntwo\nthr")
    assert os.listdir(tmp_path) == ["rows"]  # noqa: PTH208


def test_a_file_that_is_discarded_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b"old\n")
    (tmp_path / "link").symlink_to(path)
    sink = FileSink(str(tmp_path / "link"), anew=True)
    sink.write(b"new\n")
    sink.discard()
    assert path.read_bytes() == b"old\n"
    again = FileSink(str(tmp_path / "link"), anew=True, durable=True)
    again.write(b"new\n")
    again.close(complete=True)
    assert path.read_bytes() == b"new\n"
    assert (tmp_path / "link").is_symlink()


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows"
    sink = FileSink(str(path), anew=False)
    sink.write(b"one\n")
    write, room = os.write, [3]

    def filling(descriptor: int, data: bytes) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, bytes(data[: room.pop()]))

    monkeypatch.setattr("fanin.batching.sinks.os.write", filling)
    with pytest.raises(OutputError, match="rows cannot be written: No space left on device") as full:
        sink.write(b"two two two\n")
    assert full.value.exit_code == 1
    assert path.read_bytes() == b"one\n"


def test_a_stream_is_flushed_and_its_errors_are_told_apart() -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    class Gone(io.BytesIO):
        def write(self, data: Any) -> int:
            raise BrokenPipeError

    with pytest.raises(OutputError, match="the pipe cannot be written: No space left"):
        StreamSink(Full(), "the pipe").write(b"one\n")
    with pytest.raises(BrokenPipeError):
        StreamSink(Gone(), "the pipe").write(b"one\n")
