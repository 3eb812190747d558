"""A journal by itself: recounted, it gives the rows of the batch, whatever became of each question."""

from __future__ import annotations

import itertools
import json
import sqlite3
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fanin.answers import Choice, Number, Text
from fanin.batching.items import Item
from fanin.batching.journalled import records_in_journal
from fanin.batching.runner import batch
from fanin.errors import JournalError, RecordError
from fanin.evidence import evidence_of
from fanin.policy.pricing import Price
from fanin.recounting import recount

SCRIPTS = ("yes,no,yes", "yes", "!timeout,yes,no", "!timeout", "yes,!timeout,maybe", "yes=0.5,no=0.5")
questions = st.lists(
    st.tuples(
        st.sampled_from(["Is it so?", "Is it?", "Is it \ud800 so?"]),
        st.sampled_from([None, "a text", "", "another\ud800"]),
        st.sampled_from([(), (("runs", 5),), (("model", "no,yes"),), (("temperature", 0.1),)]),
        st.sampled_from([None, "text", Choice(("yes", "no")), Number()]),
    ),
    min_size=1,
    max_size=4,
)
names = itertools.count()


def items(asked: list[tuple[Any, ...]]) -> list[Item]:
    """The questions as items; every second one has an id."""
    return [
        Item(place, f"q{place}" if place % 2 else None, text, context, answer, options)
        for place, (text, context, options, answer) in enumerate(asked, 1)
    ]


def rows_of(asked: list[Item], journal: Path, **options: Any) -> list[tuple[str, Any]]:
    """(name, object) of every row of a batch."""

    async def session() -> list[tuple[str, Any]]:
        given = {"backend": "fake", "runs": 4, "journal": journal, "retries": 0, **options}
        async with batch(asked, **given) as rows:
            found = [row async for row in rows]
        return [(str(row.number if row.id is None else row.id), row.object) for row in found]

    return anyio.run(session)


def recounted(journal: Path) -> list[tuple[str, Any]]:
    return [(record.id, recount(record).to_dict()) for record in records_in_journal(str(journal))]


@settings(max_examples=8, deadline=None)
@example([("Is it so?", None, (), None)] * 3, "yes=0.5,no=0.5", "all", False)
@example([("Is it so?", "a", (), None), ("Is it?", None, (), None)], "!timeout,yes,no", "decided", True)
@given(
    questions, st.sampled_from(SCRIPTS), st.sampled_from(["all", "decided", "certified:0.2"]), st.booleans()
)
def test_a_journal_recounts_to_the_rows(
    tmp_path_factory: pytest.TempPathFactory, asked: Any, script: str, stop: str, priced: bool
) -> None:
    journal = tmp_path_factory.getbasetemp() / f"journal{next(names)}"
    price = {script: Price(1, 2), "x": Price(3, 3)} if priced else None
    rows = rows_of(items(asked), journal, model=script, stop=stop, price=price, ordered=True)
    assert recounted(journal) == rows
    again = rows_of(items(asked), journal, model=script, stop=stop, price=price, ordered=True, resume=True)
    assert recounted(journal) == again == rows


def test_a_budget_of_runs_is_recounted(tmp_path: Path) -> None:
    asked = [Item(place, None, f"Is it so, {place}?") for place in range(1, 5)]
    rows = rows_of(asked, tmp_path / "j", model="yes=0.5,no=0.5", runs=7, budget_runs=16)
    assert recounted(tmp_path / "j") == sorted(rows)
    assert {row["stopped"]["rule"] for _, row in rows} == {"spread"}


def test_what_a_judge_told_is_recounted(tmp_path: Path) -> None:
    model = "Answer: A dog,Answer: One dog,Answer: A cat>same"
    asked = [Item(1, None, "What is it?")]
    rows = rows_of(asked, tmp_path / "j", model=model, answer=Text(cluster="judge"))
    assert recounted(tmp_path / "j") == rows


def test_an_item_that_is_asked_otherwise_later_is_told_as_the_later(tmp_path: Path) -> None:
    journal, asked = tmp_path / "j", [Item(1, "a", "Is it so?"), Item(2, "b", "Is it?")]
    rows_of(asked, journal, model="yes", price=Price(1, 1))
    rows = rows_of(asked[::-1][:1], journal, model="no", resume=True, quorum=1)
    found = dict(recounted(journal))
    assert [("b", found["b"])] == rows
    assert (found["a"]["answer"], found["b"]["answer"]) == ("yes", "no")
    [record] = records_in_journal(str(journal), "b")
    assert recount(record).to_dict() == found["b"]


def test_a_failure_that_came_back_later_is_forgotten(tmp_path: Path) -> None:
    """One whose call was answered in a later session."""
    journal, asked = tmp_path / "j", [Item(1, None, "Is it so?")]
    rows = rows_of(asked, journal, model="!timeout,yes,yes", runs=3)
    assert dict(recounted(journal))["1"]["runs"]["failed"] == 1
    with sqlite3.connect(journal) as stored:
        stored.execute("UPDATE ends SET told = replace(told, '\"index\":0', '\"index\":1')")
    stored.close()
    found = dict(recounted(journal))["1"]
    assert (found["runs"]["failed"], found["runs"]["unasked"]) == (0, 1)
    assert found["votes"] == rows[0][1]["votes"]


def test_an_item_that_was_cut_short_is_told_with_what_there_is(tmp_path: Path) -> None:
    from fanin.policy.budget import Limits

    asked = [Item(1, "a", "Is it so?"), Item(2, "b", "Is it?")]
    options = {"limits": Limits(max_calls=5), "jobs": 1, "model": "yes"}
    assert len(rows_of(asked, tmp_path / "j", **options)) == 1
    cut = dict(recounted(tmp_path / "j"))["b"]
    assert (cut["runs"]["valid"], cut["runs"]["unasked"]) == (1, 3)
    rows = rows_of(asked, tmp_path / "j", model="yes", resume=True)
    assert recounted(tmp_path / "j") == rows


def test_what_many_items_share_is_written_once(tmp_path: Path) -> None:
    asked = [Item(place, None, f"Is it so, {place}?", "the text" * 50) for place in range(1, 30)]
    rows_of(asked, tmp_path / "j", model="yes")
    with sqlite3.connect(tmp_path / "j") as stored:
        count = stored.execute("SELECT (SELECT count(*) FROM texts), (SELECT count(*) FROM ends)").fetchone()
    stored.close()
    assert count == (2, 0)
    rows_of(asked, tmp_path / "j", model="yes", resume=True)
    with sqlite3.connect(tmp_path / "j") as stored:
        assert stored.execute("SELECT count(*) FROM items").fetchone() == (len(asked),)
    stored.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("UPDATE texts SET text = 'no json' WHERE place = 2", "it is damaged"),
        ("UPDATE texts SET text = '{}' WHERE place = 2", "it is damaged: it lacks plan"),
        ("UPDATE texts SET text = 'not packed' WHERE place = 1", "it is damaged"),
        ("INSERT INTO ends VALUES (1, '[]')", "it is damaged"),
        ("UPDATE calls SET answer = '{}'", "it is damaged: no answer as the journal writes it"),
        ("DELETE FROM items", "it holds no votes"),
    ],
)
def test_a_damaged_journal_is_told(tmp_path: Path, change: str, says: str) -> None:
    rows_of([Item(1, "a", "Is it so?", "a text")], tmp_path / "j", model="yes")
    with sqlite3.connect(tmp_path / "j") as stored:
        stored.execute(change)
    stored.close()
    with pytest.raises(JournalError, match=says):
        recounted(tmp_path / "j")


def test_a_type_of_answer_of_ones_own_is_told(tmp_path: Path) -> None:
    """By the prompt the answers are found, and only the type itself can write that."""

    class Mine(Text):
        @property
        def name(self) -> str:
            return "mine"

    rows_of([Item(1, "a", "Is it so?")], tmp_path / "j", model="yes", answer=Mine())
    with pytest.raises(JournalError, match="question a: its answers are of the type 'mine'"):
        recounted(tmp_path / "j")


def test_evidence_is_found_wherever_it_is(tmp_path: Path) -> None:
    journal = tmp_path / "with # in it"
    rows_of([Item(1, "a#b", "Is it so?")], journal, model="yes")
    assert [record.id for record in evidence_of(str(journal))] == ["a#b"]
    assert [record.id for record in evidence_of(f"{journal}#a#b")] == ["a#b"]
    votes = tmp_path / "votes.jsonl"
    votes.write_text(json.dumps({"id": "x", "samples": [{"answer": "yes"}]}))
    assert [record.id for record in evidence_of(f"{votes}#x")] == ["x"]
    with pytest.raises(RecordError, match="there is no such file"):
        next(evidence_of(str(tmp_path / "nothing")))
