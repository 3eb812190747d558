"""The votes of two files in pairs, and how little of the files is held."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fanin
from fanin.errors import RecordError
from fanin.keeping.pairing import key_of, paired, partners
from fanin.keeping.record import Record, record_of
from fanin.keeping.sources import records_in, records_of
from fanin.values import Question

VOTE = fanin.vote_sync("Is it so?", backend=fanin.Fake("yes,no,yes"), runs=3)


def record(name: str, question: str) -> Record:
    """A kept vote on that question."""
    kept = record_of(VOTE, name, "", {})
    assert kept.vote is not None
    plan = kept.vote.tiers[0].plan
    plan = attrs.evolve(plan, question=Question(question))
    tier = attrs.evolve(kept.vote.tiers[0], plan=plan)
    return attrs.evolve(kept, vote=attrs.evolve(kept.vote, tiers=(tier,)))


RECORDS = {(name, text): record(name, text) for name in "abc\ud800" for text in "xyz"}
files = st.lists(st.sampled_from(list(RECORDS.values())), max_size=7)


@settings(max_examples=60)
@given(files, files)
def test_everyone_is_in_one_pair_and_in_the_best(first: list[Record], second: list[Record]) -> None:
    pairs = list(paired(lambda: first, lambda: second))
    assert [one for one, _ in pairs if one is not None] == first
    came = [other for _, other in pairs if other is not None]
    assert sorted(map(key_of, came)) == sorted(map(key_of, second))
    left = [one for one, other in pairs if other is None], [other for one, other in pairs if one is None]
    # Whoever stays alone has nobody alone on the other side with the same id or question.
    for one in left[0]:
        for other in left[1]:
            assert other is not None
            assert one is not None
            assert one.id != other.id
            assert one.question != other.question
    for one, other in pairs:
        if one is not None and other is not None and key_of(one) != key_of(other):
            assert all(key_of(one) != key_of(each) for each in left[1] if each is not None)


def test_content_goes_before_the_id_and_the_first_of_equals_come_together() -> None:
    a, b, c = b"id-a------------" * 2, b"id-b------------" * 2, b"id-a------------id-b------------"
    assert partners([a, a, b], [b, a, a, a]) == {0: 1, 1: 2, 2: 0}
    assert partners([c], [a, b]) == {0: 1}
    assert partners([c], [a]) == {0: 0}


def test_two_files_in_one_order_are_read_side_by_side() -> None:
    many = [record(f"q{number}", "Is it so?") for number in range(9)]
    read = 0

    def counted() -> Iterator[Record]:
        nonlocal read
        for each in many[:3] + many[4:]:
            read += 1
            yield each

    for place, (one, other) in enumerate(paired(lambda: many, counted)):
        ahead = 8 + place + (place < 3)  # all of them once, for the keys
        assert (one, other is None, read) == (many[place], place == 3, ahead)


def test_a_source_that_changes_meanwhile_is_told() -> None:
    here, there = record("a", "x"), record("b", "y")
    for then in ([there], []):
        first, second = iter([[here], then]), iter([[here], then])
        with pytest.raises(RecordError, match="It changed while it was read"):
            list(paired(lambda first=first: next(first), lambda: [here]))  # type: ignore[misc]
        with pytest.raises(RecordError, match="It changed while it was read"):
            list(paired(lambda: [here, there], lambda second=second: next(second)))  # type: ignore[misc]


def test_a_file_is_read_as_far_as_it_is_asked_for(tmp_path: Path) -> None:
    rows = [{"id": f"q{number}", "samples": [{"answer": "yes"}]} for number in range(3)]
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "votes").write_bytes(b"\xef\xbb\xbf" + "\r\n\n".join([*lines, ""]).encode() + b"\xff")
    read = records_in(str(tmp_path / "votes"))
    assert [next(read).id for _ in rows] == ["q0", "q1", "q2"]
    with pytest.raises(RecordError, match=r"it is not UTF-8 text \(byte \d+\)"):
        next(read)
    [one] = records_of(f"{tmp_path / 'votes'}#q1")
    assert one.id == "q1"
