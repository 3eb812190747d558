"""From bytes to lines and records: the same however they are cut, in every encoding that is known."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.batching.lines import MAX_LINE_BYTES, Line, Lines
from fanin.batching.records import Record, Records

texts = st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8))
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gzip")


def lines_of(data: bytes, piece: int = 1 << 16) -> list[Line]:
    """The lines of some bytes that come in pieces of that size."""
    lines = Lines()
    found = [line for at in range(0, len(data), piece) for line in lines.feed(data[at : at + piece])]
    return found + list(lines.end())


def encoded(text: str, encoding: str) -> bytes:
    if encoding == "gzip":
        # Two members, as `cat a.gz b.gz` makes them.
        half = len(text) // 2
        return gzip.compress(text[:half].encode()) + gzip.compress(text[half:].encode())
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    return mark + text.encode(encoding)


@given(texts, st.sampled_from(ENCODINGS), st.sampled_from(["\n", "\r\n"]), st.integers(1, 9), st.booleans())
def test_lines_are_the_same_however_they_come(
    texts: list[str], encoding: str, end: str, piece: int, last: bool
) -> None:
    written = "".join(f"x{text}{end}" for text in texts) + ("x" if last else "")
    wanted = [f"x{text}" for text in texts] + (["x"] if last else [])
    if encoding in ("utf-8", "gzip") and written.startswith("x\0"):
        return  # the zero bytes of UTF-16
    found = lines_of(encoded(written, encoding), piece)
    assert [(line.number, line.text, line.problem) for line in found] == [
        (number, text, None) for number, text in enumerate(wanted, 1)
    ]


def test_utf_16_without_a_mark_is_known_by_its_zeros() -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        assert lines_of('{"a"}\n{"b"}'.encode(encoding)) == [Line(1, '{"a"}'), Line(2, '{"b"}')]


def test_nothing_at_all_is_no_line() -> None:
    for encoding in ENCODINGS:
        assert lines_of(b"" if encoding == "utf-8" else encoded("", encoding)) == []
    assert lines_of(b"\n\n") == [Line(1, ""), Line(2, "")]


def test_one_line_that_is_no_text_is_one_bad_line() -> None:
    found = lines_of(b"one\nt\xffo\nthree")
    assert [line.problem for line in found] == [None, "it is no valid text (byte 2 of the line)", None]
    half = "one\nt\ud800o\nthree".encode("utf-16", "surrogatepass")
    assert [line.problem is None for line in lines_of(half)] == [True, False, True]
    torn = lines_of("one\ntwo".encode("utf-16")[:-1])
    assert [line.problem is None for line in torn] == [True, False]


def test_a_giant_line_is_one_bad_line_and_is_not_kept() -> None:
    lines = Lines()
    assert [line.text for line in lines.feed(b"one\n")] == ["one"]
    piece = b"x" * (1 << 20)
    for _ in range(50):
        assert list(lines.feed(piece)) == []
        assert sum(map(len, lines._open)) <= MAX_LINE_BYTES
    [giant, after] = [*lines.feed(b"\nafter"), *lines.end()]
    assert giant.number == 2
    assert giant.problem == "it is 52,428,800 bytes long; 10,485,760 are the most"
    assert after == Line(3, "after")


def test_a_line_of_just_the_most_bytes_is_read() -> None:
    [line] = lines_of(b"x" * MAX_LINE_BYTES)
    assert line.problem is None
    assert len(line.text) == MAX_LINE_BYTES


@pytest.mark.parametrize(
    ("spoil", "why"),
    [(lambda z: z[:-9], "cut short"), (lambda z: z[:99] + b"\xff" * 99 + z[198:], "damaged")],
)
def test_a_spoiled_gzip_gives_what_was_whole_and_says_so(spoil: Callable[[bytes], bytes], why: str) -> None:
    packed = gzip.compress(b"".join(b"%d %d\n" % (number, number**3) for number in range(999)))
    *whole, last = lines_of(spoil(packed), 100)
    assert all(line.problem is None for line in whole)
    assert last.problem == f"from here on nothing can be read: the gzip file is {why}"
    assert len(lines_of(packed)) == 999


def test_zeros_after_a_gzip_are_no_damage() -> None:
    assert lines_of(gzip.compress(b"one") + bytes(100), 7) == [Line(1, "one")]


def test_a_small_gzip_of_a_giant_file_is_unpacked_in_pieces() -> None:
    packed = gzip.compress(bytes(12_000_000))
    [line] = lines_of(packed)
    assert line.problem == "it is 12,000,000 bytes long; 10,485,760 are the most"


def records_of(text: str, delimiter: str = ",") -> list[Record]:
    records = Records(delimiter)
    found = [one for line in lines_of(text.encode()) for one in records.feed(line)]
    return found + list(records.end())


cells = st.text(st.sampled_from('ab",; \n'), max_size=6)


@given(st.lists(st.lists(cells, min_size=2, max_size=3), max_size=6), st.sampled_from(",;\t"))
def test_records_are_read_as_they_were_written(rows: list[list[str]], delimiter: str) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    assert [list(record.cells) for record in records_of(text.getvalue(), delimiter)] == rows


@given(st.text(st.sampled_from('a",'), min_size=1, max_size=8))
def test_a_bad_record_costs_no_line_but_its_own(noise: str) -> None:
    found = records_of(f"one,two\n{noise}\nthree,four\nfive\n")
    assert [(one.number, one.cells) for one in found if one.number != 2] == [
        (1, ("one", "two")), (3, ("three", "four")), (4, ("five",)),
    ]  # fmt: skip


def test_a_quote_that_is_never_closed_is_one_bad_record() -> None:
    found = records_of('a,b\n1,"two\n3,4\n5,"six, 6"\n7,8\n')
    assert [(one.number, one.problem is None) for one in found] == [
        (1, True), (2, False), (3, True), (4, True), (5, True),
    ]  # fmt: skip
    assert "never closed" in (found[1].problem or "")


def test_the_number_of_a_record_is_the_line_that_it_begins_on() -> None:
    found = records_of('a,"b\nc"\n\n\n1,5" pipe\n"x"y,z\n')
    assert [(one.number, one.cells) for one in found] == [(1, ("a", "b\nc")), (5, ("1", '5" pipe')), (6, ())]
    assert found[2].problem == "a cell goes on after the quote that closes it"
