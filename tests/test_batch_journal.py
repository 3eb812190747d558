"""The journal: what was committed is there again, under its key, whatever happened in between."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import anyio
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.batching.items import Item
from fanin.batching.journal import Journal, Used, erase_journal, open_journal
from fanin.batching.journal_file import APPLICATION_ID, VERSION, locked
from fanin.batching.keys import KEY_BYTES, call_key, place_of, read_back, written
from fanin.errors import JournalError
from fanin.values import Completion, Message, Request, Sample, ToolCall, Usage

texts = st.text(st.characters(), max_size=20)
counts = st.none() | st.integers(0, 10**9)
completions = st.builds(
    Completion,
    texts,
    st.sampled_from(["stop", "length", "tool_calls"]),
    st.builds(Usage, counts, counts),
    st.none() | texts,
    tool_calls=st.lists(st.builds(ToolCall, texts, texts, texts), max_size=2).map(tuple),
    logprob=st.none() | st.floats(-50, 0),
)
samples = st.builds(
    Sample, st.integers(0, 999), completions, st.integers(1, 9), st.lists(texts, max_size=2).map(tuple)
)
REQUEST = Request(1, "m", (Message("system", "s"), Message("user", "u")), 0.6, 7, 100)


def key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES)


def record(number: int, answer: str = "{}") -> tuple[bytes, str, str, int, int]:
    return key(number), answer, "m", 3, 1


def keep(path: Path, *numbers: int, resume: bool = False, jobs: int = 4, lost: int = 0) -> None:
    """A session that keeps these calls, all at once, and ends well."""

    async def session() -> None:
        async with open_journal(path, resume=resume, durable=False, jobs=jobs) as journal:
            async with anyio.create_task_group() as group:
                for number in numbers:
                    group.start_soon(journal.keep, record(number, f'"{number}"'))
            journal.lost = lost

    anyio.run(session)


def opened(path: Path) -> tuple[Journal, list[str | None]]:
    """The journal as a resumed session finds it, and its answers to the keys 0 to 9."""

    async def session() -> tuple[Journal, list[str | None]]:
        async with open_journal(path, resume=True, durable=False, jobs=4) as journal:
            return journal, [journal.recall(key(number)) for number in range(10)]

    return anyio.run(session)


@given(samples)
def test_an_answer_is_read_back_as_it_was(sample: Sample) -> None:
    text = written(sample)
    assert text.isascii()
    assert read_back(text, sample.index) == sample


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"text":"x","usage":3}', '{"text":"x"}'])
def test_what_is_no_answer_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="no answer as the journal writes it"):
        read_back(text, 0)


def test_the_headers_of_that_moment_are_left_out() -> None:
    said = Completion("x", headers=(("retry-after", "3"),))
    assert read_back(written(Sample(0, said)), 0).completion.headers == ()


def test_a_key_is_made_of_what_was_asked() -> None:
    same = call_key(REQUEST, "fake", 0)
    assert len(same) == KEY_BYTES
    assert call_key(attrs.evolve(REQUEST, attempt=3, without=("seed",)), "fake", 0) == same
    others = [
        call_key(attrs.evolve(REQUEST, **{name: value}), "fake", 0)
        for name, value in {
            "index": 2,
            "model": "n",
            "messages": (Message("user", "su"),),
            "temperature": None,
            "seed": 8,
            "max_tokens": None,
            "schema": "{}",
            "logprobs": True,
            "reasoning_effort": "low",
        }.items()
    ]
    others += [call_key(REQUEST, *place) for place in (("groq", 0), ("fake", 1))]
    assert len({same, *others}) == len(others) + 1


chats = st.lists(
    st.builds(
        Message,
        st.sampled_from(["user", "system"]),
        st.text(st.sampled_from("a1:\x1f"), max_size=4),
    ),
    max_size=3,
).map(tuple)


@given(chats, chats)
def test_other_messages_are_another_call(one: tuple[Message, ...], other: tuple[Message, ...]) -> None:
    keys = {call_key(attrs.evolve(REQUEST, messages=chat), "fake", 0) for chat in (one, other)}
    assert len(keys) == len({one, other})


def test_the_place_of_a_call_is_its_items_content() -> None:
    item = Item(3, "x", "Is it?", "so")
    place = place_of(item, "fake ", 0)
    assert place == place_of(Item(9, None, "Is it?", "so", "text"), "fake ", 0)
    others = [
        place_of(Item(3, "x", "Is it", "so"), "fake ", 0),
        place_of(Item(3, "x", "Is it?"), "fake ", 0),
        place_of(item, "groq ", 0),
        place_of(item, "fake ", 1),
    ]
    assert len({place, *others}) == 5


def test_a_key_is_the_same_in_every_process() -> None:
    assert call_key(REQUEST, "fake", 0).hex() == "1edc52b11b1faa46bc1158b29236367a"


def test_what_was_kept_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "j"
    keep(path, *range(5))
    _, found = opened(path)
    assert found == [f'"{number}"' for number in range(5)] + [None] * 5
    keep(path, *range(5, 7), resume=True)
    journal, found = opened(path)
    assert found == [f'"{number}"' for number in range(7)] + [None] * 3
    assert not list(tmp_path.glob("*-wal"))
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert journal.path == path


def test_many_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "j"
    keep(path, *range(1100), jobs=2000)
    with sqlite3.connect(path) as stored:
        assert stored.execute("SELECT count(DISTINCT key) FROM calls").fetchone() == (1100,)
    stored.close()


def test_a_fresh_session_recalls_nothing(tmp_path: Path) -> None:
    async def session() -> None:
        async with open_journal(tmp_path / "j", resume=True, durable=False, jobs=4) as journal:
            await journal.keep(record(1))
            assert journal.recall(key(1)) is None

    anyio.run(session)


def test_a_record_is_kept_though_its_waiting_is_cancelled(tmp_path: Path) -> None:
    async def session() -> None:
        async with open_journal(tmp_path / "j", resume=False, durable=False, jobs=4) as journal:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await journal.keep(record(1, '"1"'))

    anyio.run(session)
    assert opened(tmp_path / "j")[1][1] == '"1"'


def test_what_the_calls_used_is_summed_by_model(tmp_path: Path) -> None:
    keep(tmp_path / "j", 1, 2, 3)

    async def session() -> tuple[Used, ...]:
        async with open_journal(tmp_path / "j", resume=True, durable=False, jobs=4) as journal:
            return journal.used()

    [used] = anyio.run(session)
    assert (used.model, used.calls, used.input_tokens, used.output_tokens) == ("m", 3, 9, 3)


def test_a_session_that_ends_well_has_lost_what_it_says(tmp_path: Path) -> None:
    keep(tmp_path / "j", 1, lost=2)
    assert opened(tmp_path / "j")[0].maybe_twice == 2


def test_a_session_that_was_killed_may_have_lost_every_call_in_flight(tmp_path: Path) -> None:
    async def session() -> None:
        async with open_journal(tmp_path / "j", resume=False, durable=False, jobs=64) as journal:
            await journal.keep(record(1, '"1"'))
            for name in ("j", "j-wal"):  # what a kill leaves behind
                shutil.copy(tmp_path / name, tmp_path / name.replace("j", "k"))

    anyio.run(session)
    journal, found = opened(tmp_path / "k")
    assert journal.maybe_twice == 64
    assert found[1] == '"1"'


def test_what_a_kill_left_behind_can_be_removed(tmp_path: Path) -> None:
    async def session() -> None:
        async with open_journal(tmp_path / "j", resume=False, durable=False, jobs=4):
            for name in ("j", "j-wal"):
                shutil.copy(tmp_path / name, tmp_path / name.replace("j", "k"))

    anyio.run(session)
    erase_journal(tmp_path / "k")
    assert [path.name for path in tmp_path.glob("k*")] == ["k.lock"]


def test_durable_syncs_every_commit(tmp_path: Path) -> None:
    async def session() -> None:
        for durable, level in ((False, 1), (True, 2)):
            async with open_journal(tmp_path / "j", resume=True, durable=durable, jobs=4) as journal:
                assert journal._writing.execute("PRAGMA synchronous").fetchone() == (level,)

    anyio.run(session)


def test_an_error_in_the_block_comes_out_as_it_is_and_what_was_kept_is_there(tmp_path: Path) -> None:
    async def failing() -> None:
        async with open_journal(tmp_path / "j", resume=False, durable=False, jobs=4) as journal:
            await journal.keep(record(1))
            raise LookupError

    with pytest.raises(LookupError):
        anyio.run(failing)
    assert opened(tmp_path / "j")[1][:3] == [None, "{}", None]


def test_a_journal_that_holds_calls_is_not_begun_again(tmp_path: Path) -> None:
    keep(tmp_path / "j", 1)
    with pytest.raises(JournalError, match="holds the calls of an earlier batch"):
        keep(tmp_path / "j", 2)
    keep(tmp_path / "empty")
    keep(tmp_path / "empty", 1)
    erase_journal(tmp_path / "j")
    keep(tmp_path / "j", 2)


def test_a_second_user_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path / "j"):
        for use in (keep, erase_journal):
            with pytest.raises(JournalError, match="another process is using it"):
                use(tmp_path / "j")
    keep(tmp_path / "j", 1)


def test_an_empty_file_is_a_new_journal(tmp_path: Path) -> None:
    (tmp_path / "j").touch()
    keep(tmp_path / "j", 1, resume=True)
    assert opened(tmp_path / "j")[1][1] == '"1"'


def test_another_version_is_told(tmp_path: Path) -> None:
    keep(tmp_path / "j", 1)
    with sqlite3.connect(tmp_path / "j") as stored:
        stored.execute(f"PRAGMA user_version = {VERSION + 1}")
    stored.close()
    with pytest.raises(JournalError, match=f"version {VERSION + 1}.*version {VERSION}"):
        opened(tmp_path / "j")


def test_another_database_is_told(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "j") as stored:
        stored.execute("CREATE TABLE mine (x)")
    stored.close()
    with pytest.raises(JournalError, match="no journal of fanin"):
        opened(tmp_path / "j")
    assert int.from_bytes(b"fani") == APPLICATION_ID


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    keep(tmp_path / "j", *range(500))
    whole = (tmp_path / "j").read_bytes()
    text = b"not a database, but long enough to be one" * 30
    for broken in (text, whole[:4096] + b"\xff" * (len(whole) - 4096)):
        (tmp_path / "j").write_bytes(broken)
        with pytest.raises(JournalError, match="damaged"):
            opened(tmp_path / "j")


def test_a_folder_or_a_missing_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "missing" / "j"):
        with pytest.raises(JournalError):
            keep(path, 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(JournalError, match="its lock cannot be made"):
            keep(tmp_path / "j", 1)
    finally:
        tmp_path.chmod(0o700)


def test_a_full_disk_is_told_and_nothing_before_it_is_lost(tmp_path: Path) -> None:
    async def session() -> tuple[bool, bool, str | None]:
        async with open_journal(tmp_path / "j", resume=False, durable=False, jobs=4) as journal:
            before = await journal.keep(record(1, '"1"'))
            pages = journal._writing.execute("PRAGMA page_count").fetchone()[0]
            journal._writing.execute(f"PRAGMA max_page_count = {pages}")
            after = await journal.keep(record(2, "x" * 100_000))
            return before, after, journal.problem

    before, after, problem = anyio.run(session)
    assert (before, after) == (True, False)
    assert problem is not None
    assert "full" in problem
    journal, found = opened(tmp_path / "j")
    assert found[1] == '"1"'
    assert journal.maybe_twice == 4
