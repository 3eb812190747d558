"""The versioned JSON object: its keys, its order, and nothing in it that a terminal would obey."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.errors import InputError
from fanin.values import Ballot, Event, Failure, Runs, Stopped, Usage
from fanin.verdict import SCHEMA, Verdict, escape_unprintable

# Lone surrogates are texts too; a high one before a low one is the one text that JSON cannot hold apart.
texts = st.text(
    st.characters() | st.sampled_from('\x00\x1b\x07\x7f\x9b\u202e\u2066\u2028"\\/\ud800\ud83d'), max_size=20
)


def verdict_of(text: str = "text", **changes: Any) -> Verdict:
    verdict = Verdict(
        question=text,
        outcome="decided",
        answer=text,
        grade="medium",
        confidence=2 / 3,
        confidence_kind="agreement",
        pattern="split",
        advice=text,
        stopped=Stopped(),
        votes={text: 2, "another": 1},
        runs=Runs(planned=5, valid=3, spoiled=1, failed=1),
        ballots=(
            Ballot(0, text, None, text, 0.6, text),
            Ballot(1, None, text, text, None, text),
        ),
        failures=(Failure(2, "server", text, 5, exhausted=True),),
        usage=Usage(12, None),
        cost_usd=None,
        backend=text,
        models=(text, "m"),
        events=(Event("asked", 0, 1.5),),
    )
    return attrs.evolve(verdict, **changes)


@given(texts)
def test_the_json_gives_every_text_back(text: str) -> None:
    verdict = verdict_of(text)
    assert json.loads(verdict.to_json()) == verdict.to_dict()


@given(texts)
def test_the_json_is_printable_and_one_line(text: str) -> None:
    line = verdict_of(text).to_json()
    assert line.isprintable()
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in line)
    assert len(line.splitlines()) == 1
    line.encode("utf-8")  # no lone surrogate is left


@given(st.text() | texts)
def test_escaping_changes_nothing_but_what_is_not_printable(text: str) -> None:
    line = json.dumps(text, ensure_ascii=False)
    escaped = escape_unprintable(line)
    assert json.loads(escaped) == text or any("\ud800" <= char <= "\udfff" for char in text)
    assert "".join(char for char in line if char.isprintable()) == _without_escapes(line, escaped)


def _without_escapes(line: str, escaped: str) -> str:
    """What is left of the escaped text where every unprintable character of the line is cut out."""
    for char in line:
        if not char.isprintable():
            escaped = escaped.replace(json.dumps(char)[1:-1], "", 1)
    return escaped


@pytest.mark.parametrize(
    ("char", "escape"),
    [
        ("\x00", "\\u0000"),
        ("\x1b", "\\u001b"),
        ("\n", "\\n"),
        ("\x7f", "\\u007f"),
        ("\x9b", "\\u009b"),
        ("\u202e", "\\u202e"),
        ("\u2066", "\\u2066"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\udb40\\udc01"),
        ("\u00e9", "\u00e9"),
        ("\U0001f600", "\U0001f600"),
        ('"', '\\"'),
    ],
)
def test_how_characters_are_written(char: str, escape: str) -> None:
    assert f'"question": "{escape}"' in verdict_of(char).to_json()


def test_the_object_has_its_documented_keys_in_their_order() -> None:
    written = json.loads(verdict_of().to_json())
    assert " ".join(written) == (
        "schema question outcome answer grade confidence confidence_kind pattern advice stopped votes runs "
        "ballots failures usage cost_usd backend models"
    )
    assert list(written["stopped"]) == ["by", "rule"]
    assert list(written["runs"]) == ["planned", "valid", "spoiled", "failed", "cancelled", "unasked"]
    assert list(written["usage"]) == ["input_tokens", "output_tokens"]
    for ballot in written["ballots"]:
        assert list(ballot) == ["index", "choice", "spoiled", "model", "temperature", "text"]
    for failure in written["failures"]:
        assert list(failure) == ["index", "kind", "message", "attempts"]


def test_the_object_as_it_is_written() -> None:
    assert verdict_of("x").to_json() == (
        '{"schema": "fanin.vote/1", "question": "x", "outcome": "decided", "answer": "x", '
        '"grade": "medium", "confidence": 0.6666666666666666, "confidence_kind": "agreement", '
        '"pattern": "split", "advice": "x", "stopped": {"by": "all", "rule": "all"}, '
        '"votes": {"x": 2, "another": 1}, '
        '"runs": {"planned": 5, "valid": 3, "spoiled": 1, "failed": 1, "cancelled": 0, "unasked": 0}, '
        '"ballots": [{"index": 0, "choice": "x", "spoiled": null, "model": "x", "temperature": 0.6, '
        '"text": "x"}, {"index": 1, "choice": null, "spoiled": "x", "model": "x", "temperature": null, '
        '"text": "x"}], "failures": [{"index": 2, "kind": "server", "message": "x", "attempts": 5}], '
        '"usage": {"input_tokens": 12, "output_tokens": null}, "cost_usd": null, "backend": "x", '
        '"models": ["x", "m"]}'
    )
    assert SCHEMA == "fanin.vote/1"


def test_events_are_in_no_object_and_in_no_comparison() -> None:
    other = verdict_of(events=())
    assert other == verdict_of()
    assert other.to_json() == verdict_of().to_json()
    assert attrs.evolve(other, answer="other") != other


@pytest.mark.parametrize(("choice", "spoiled"), [(None, None), ("yes", "empty")])
def test_a_ballot_is_valid_or_spoiled_and_never_both(choice: str | None, spoiled: str | None) -> None:
    with pytest.raises(InputError, match="either a choice or spoiled"):
        Ballot(0, choice, spoiled)


tokens = st.none() | st.integers(0, 99)


@given(st.lists(st.builds(Usage, tokens, tokens)))
def test_usage_adds_up_and_one_unknown_makes_the_sum_unknown(used: list[Usage]) -> None:
    total = sum(used, Usage(0, 0))
    for field in ("input_tokens", "output_tokens"):
        counts = [getattr(usage, field) for usage in used]
        known = [count for count in counts if count is not None]
        assert getattr(total, field) == (sum(known) if len(known) == len(counts) else None)
