"""Questions in every format: the items they make, and what is wrong with those they do not."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import LOOPS, run_virtual

from fanin.answers import Choice, Number, YesNo
from fanin.batching.fingerprints import Fingerprints
from fanin.batching.inflow import is_same_file, open_inflow
from fanin.batching.items import BadItem, Item
from fanin.batching.readers import InputFormat, Reader, format_of, read_items
from fanin.errors import FaninError

ids = st.none() | st.text(max_size=5) | st.integers(-9, 9)


def items_of(data: bytes | str, written: InputFormat = "auto", **options: Any) -> list[Item | BadItem]:
    """The items of an input."""
    reader = Reader(written, **options)
    found = list(reader.feed(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data))
    return found + list(reader.end())


def problems(items: Sequence[Item | BadItem]) -> dict[int, str]:
    return {item.number: item.message for item in items if isinstance(item, BadItem)}


def questions(items: Sequence[Item | BadItem]) -> list[tuple[int, str]]:
    return [(item.number, item.question) for item in items if isinstance(item, Item)]


@given(st.lists(st.tuples(ids, st.text(min_size=1).filter(str.strip), st.none() | st.text()), max_size=5))
def test_json_lines_come_back_as_they_were_written(rows: list[tuple[Any, str, str | None]]) -> None:
    written = [{"id": name, "question": question, "context": context} for name, question, context in rows]
    text = "\n\n".join(map(json.dumps, written))
    found = items_of(text, "jsonl", allow_duplicates=True)
    assert found == [Item(2 * at + 1, *row) for at, row in enumerate(rows)]


@given(st.binary(max_size=60), st.sampled_from(["auto", "jsonl", "lines"]), st.integers(1, 7))
def test_no_bytes_but_an_array_raise_and_none_depend_on_the_cut(
    data: bytes, written: InputFormat, piece: int
) -> None:
    reader, cut = Reader(written), list[Item | BadItem]()
    try:
        for at in range(0, len(data), piece):
            cut += reader.feed(data[at : at + piece])
        cut += reader.end()
    except FaninError:
        assert b"[" in data
        with pytest.raises(FaninError, match="JSON array"):
            items_of(data, written)
    else:
        assert cut == items_of(data, written)


def test_one_bad_line_among_ten_thousand_is_one_bad_item() -> None:
    lines = [json.dumps({"id": at, "question": f"Is {at}?"}) for at in range(10_000)]
    lines[6789] = lines[6789][:-3]
    found = items_of("\n".join(lines))
    assert list(problems(found)) == [6790]
    assert len(found) == 10_000


BAD = {
    '{"question": "': "it is not JSON: Unterminated string starting at (column 14)",
    "[1]": "it is not a JSON object but '[1]'",
    "[" * 100_000: "it is no JSON that can be read: nested too deep, or a giant number",
    '{"id": 1}': "it has no question; its fields are: id",
    '{"question": 5}': "its question must be a text that is not blank, not 5",
    '{"question": " "}': "its question must be a text that is not blank, not ' '",
    '{"question": "a", "context": 1}': "its context must be a text, not 1",
    '{"question": "a", "id": 1.5}': "its id must be a text or a whole number, not 1.5",
    '{"question": "a", "id": true}': "its id must be a text or a whole number, not True",
    '{"question": "a", "id": ["x"]}': "its id must be a text or a whole number, not ['x']",
    '{"question": "a", "answer": "42"}': (
        "answer must be one of yes/no, number, text, date, quantity, not '42'"
    ),
    '{"question": "a", "answer": 42}': "its answer must be the name of a type of answer, not 42",
    '{"question": "a", "choices": [1, 2]}': "its choices must be a list of texts, not [1, 2]",
    '{"question": "a", "tolerance": 1}': "its tolerance goes with the answer number",
    '{"question": "a", "answer": "text", "choices": ["b"]}': "its choices already say what the answers are: "
    "leave answer and tolerance out",
    '{"question": "a", "answer": "number", "tolerance": "x"}': "its tolerance must be a number, not 'x'",
}


@pytest.mark.parametrize("line", BAD, ids=range(len(BAD)))
def test_a_line_that_cannot_be_used_says_why(line: str) -> None:
    assert problems(items_of(f'{{"question": "b"}}\n{line}\n{{"question": "c"}}')) == {2: BAD[line]}


def test_what_an_item_sets_for_itself() -> None:
    text = """\
{"question": "a", "answer": "number", "tolerance": 0.5, "runs": 7, "model": ["x", "y"], "gold": "unused"}
{"question": "b", "choices": ["c", "d,e"], "system": null}
{"question": "b", "choices": "c,d\\\\,e", "answer": null}
{"question": "a", "answer": "yes/no"}
{"question": "a", "answer": "auto"}"""
    first, *rest = items_of(text)
    assert isinstance(first, Item)
    assert first.answer == Number(abs_tol=0.5)
    assert dict(first.options) == {"runs": 7, "model": ["x", "y"]}
    asked = [item.answer for item in rest if isinstance(item, Item)]
    assert asked == [Choice(["c", "d,e"]), Choice(["c", "d,e"]), YesNo(), None]


def test_a_second_item_of_one_id_is_bad_and_names_both_lines() -> None:
    text = '{"id": "7", "question": "a"}\n{"id": "7"}\n{"id": 7, "question": "a"}\n{"question": "a"}\n'
    found = items_of(text + '{"question": "a"}')
    assert problems(found)[3] == "its id '7' is that of line 1 too"
    assert list(problems(found)) == [2, 3]
    assert list(problems(items_of(text, allow_duplicates=True))) == [2]


@given(st.lists(st.text(max_size=3), max_size=40))
def test_fingerprints_are_a_dictionary(texts: list[str]) -> None:
    prints, wanted = Fingerprints(), {}
    for number, text in enumerate(texts):
        assert prints.put(text, number) == wanted.get(text)
        wanted.setdefault(text, number)
    assert {text: prints.get(text) for text in texts} == wanted
    assert len(prints) == len(wanted)
    assert prints.get("never put") is None


@given(st.lists(st.text(max_size=2), max_size=60))
def test_fingerprints_count(texts: list[str]) -> None:
    prints = Fingerprints()
    assert [prints.count(text) for text in texts] == [
        texts[:place].count(text) for place, text in enumerate(texts)
    ]


def test_fingerprints_are_small_and_stay_right_while_they_grow() -> None:
    tracemalloc.start()
    prints = Fingerprints()
    for number in range(3_000):
        prints.put(f"an id that is rather long, such as a path {number}", number)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 50 * 3_000 + 20_000
    assert prints.get("an id that is rather long, such as a path 1234") == 1234


def test_plain_lines_are_questions() -> None:
    assert questions(items_of("Is it?\r\n\r\n  Was it? \nlast")) == [
        (1, "Is it?"),
        (3, "Was it?"),
        (4, "last"),
    ]
    assert questions(items_of('{"question": "a"}', "lines")) == [(1, '{"question": "a"}')]


TABLE = 'id,text,choices,runs\na,Which?,"x,y",3\n,"a\nb",,\nc,Is it?,,many\nd,short\n'


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_table_has_its_questions_in_a_column(mark: str) -> None:
    rows = [["id", "text", "runs"], ["a", "Which?", "3"], ["", "Is it?", ""]]
    found = items_of("\n".join(mark.join(row) for row in rows), "csv", column="text")
    assert found == [Item(2, "a", "Which?", options=(("runs", 3),)), Item(3, None, "Is it?")]


def test_the_cells_of_a_table_are_the_fields_of_an_item() -> None:
    found = items_of(TABLE, "csv", column="text")
    assert questions(found) == [(2, "Which?"), (3, "a\nb"), (5, "Is it?")]
    assert isinstance(found[0], Item)
    assert found[0].answer == Choice(["x", "y"])
    assert problems(found) == {6: "it has 2 cells, and the header has 4"}
    [alone] = items_of("\n\nprompt\nIs it?", "csv")
    assert questions([alone]) == [(4, "Is it?")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2", r"no column 'question' \(it has: a, b\)"),
        ("question,question\n1,2", "two columns of one name"),
        (b"\xff,b\n1,2", "header of the table, line 1: it is no valid text"),
    ],
)
def test_a_table_without_a_usable_header_is_refused(text: str | bytes, says: str) -> None:
    with pytest.raises(FaninError, match=says):
        items_of(text, "csv")


def body(**more: Any) -> str:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is it?"}]
    wire = {"model": "m", "messages": messages, **more}
    return json.dumps({"custom_id": "x", "method": "POST", "url": "/v1/chat/completions", "body": wire})


def test_a_request_of_a_batch_file_is_an_item() -> None:
    [item] = items_of(body(temperature=0.5, max_completion_tokens=9, n=1, user="u", seed=None))
    assert isinstance(item, Item)
    assert (item.id, item.question) == ("x", "Is it?")
    assert dict(item.options) == {"model": "m", "system": "Be brief.", "temperature": 0.5, "max_tokens": 9}


USER = {"role": "user", "content": "a"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (body(tools=[{}], top_p=0.5), "its body asks for what a vote cannot give: tools, top_p"),
        (body(messages=[USER, USER]), "it holds 2 messages of the user; a vote is on one question"),
        (body(messages=[]), "it holds 0 messages of the user; a vote is on one question"),
        (
            body(messages=[USER, {"role": "assistant", "content": "b"}]),
            "it holds a conversation (a message of 'assistant'); a vote is on one question",
        ),
        (body(messages=[{**USER, "content": [{"type": "image_url"}]}]), "one of its messages is no text"),
        (body(messages="x"), "its body holds no list of messages"),
        (body().replace("chat/completions", "embeddings"), "it is for '/v1/embeddings'; only "
         "/v1/chat/completions can be voted on"),
        ('{"custom_id": {}, "body": {}}', "its id must be a text or a whole number, not {}"),
    ],
)  # fmt: skip
def test_a_request_that_no_vote_can_answer_is_bad(line: str, says: str) -> None:
    assert problems(items_of(line)) == {1: says}


def test_text_in_parts_is_text() -> None:
    parts = [{"type": "text", "text": "Is "}, {"type": "text", "text": "it?"}]
    assert questions(items_of(body(messages=[{"role": "user", "content": parts}]))) == [(1, "Is it?")]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        *(("a.jsonl", "jsonl"), ("a.NDJSON.gz", "jsonl"), ("a.csv", "csv"), ("a.tsv.gz", "csv")),
        *(("a.txt", "lines"), ("-", "auto"), ("a", "auto"), ("a.gz", "auto")),
    ],
)
def test_a_name_tells_the_format(name: str, written: str) -> None:
    assert format_of(name) == written


def read_file(loop: str, path: Path | str, written: InputFormat = "auto") -> list[Item | BadItem]:
    async def read() -> list[Item | BadItem]:
        with open_inflow(str(path)) as inflow:
            return [item async for item in read_items(inflow, Reader(written))]

    return run_virtual(loop, read)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_file_is_read_to_its_end(loop: str, tmp_path: Path) -> None:
    path = tmp_path / "questions.gz"
    path.write_bytes(gzip.compress("\n".join(f"Is {at}?" for at in range(9999)).encode()))
    assert len(read_file(loop, path)) == 9999


@pytest.mark.parametrize("loop", LOOPS)
def test_a_pipe_is_read_as_it_fills(loop: str, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"one\ntwo\nth")

    async def read() -> list[str]:
        found = []
        with open_inflow(f"/dev/fd/{reading}") as inflow:
            async for item in read_items(inflow, Reader()):
                assert isinstance(item, Item)
                found.append(item.question)
                if item.question == "two":
                    os.write(writing, b"ree\nfour")
                    os.close(writing)
        return found

    assert run_virtual(loop, read) == ["one", "two", "three", "four"]
    os.close(reading)


def test_a_file_that_grows_is_read_to_the_end_that_it_has_then(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"one\n")

    async def read() -> list[int]:
        found = []
        with open_inflow(str(path)) as inflow:
            async for item in read_items(inflow, Reader()):
                found.append(item.number)
                if item.number < 3:
                    with path.open("ab") as growing:
                        growing.write(b"more\n")
        return found

    assert run_virtual("asyncio", read) == [1, 2, 3]


def test_what_is_no_file_of_questions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "blank").write_text("\n \n")
    for name, says in [
        ("missing", "cannot be read: No such file"),
        (".", "it is a directory"),
        ("empty", "there is no question in it"),
        ("blank", "there is no question in it"),
        ("a\0b", "no file name"),
    ]:
        with pytest.raises(FaninError, match=says):
            read_file("asyncio", f"{tmp_path}/{name}")


def test_where_reading_fails_in_the_middle_the_last_item_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "questions.txt"
    path.write_bytes(b"one\ntwo")
    read = os.read

    def failing(descriptor: int, size: int) -> bytes:
        if size != 64 * 1024:
            return read(descriptor, size)
        if data := read(descriptor, size):
            return data
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("fanin.batching.inflow.os.read", failing)
    found = read_file("asyncio", path)
    assert questions(found) == [(1, "one")]
    assert problems(found) == {2: "from here on nothing can be read: Input/output error"}


def test_a_file_is_itself_by_any_name(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    (tmp_path / "soft").symlink_to(path)
    (tmp_path / "hard").hardlink_to(path)
    with open_inflow(str(path)) as inflow:
        assert [is_same_file(str(tmp_path / name), inflow) for name in ("a", "soft", "hard", "b")] == [
            True, True, True, False,
        ]  # fmt: skip
