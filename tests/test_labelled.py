"""Questions with known answers that are yet to be asked: what a file may hold, and what it may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.answers import Choice
from fanin.errors import FaninError
from fanin.labelled import Labelled, question_fields, read_labelled, stored_line
from fanin.policy.pricing import Price
from fanin.stored_votes import read_stored, stored_from
from fanin.values import Ballot, Failure, Question, Runs, Stopped, Usage
from fanin.verdict import Verdict


def written(*lines: dict[str, Any] | str, name: str = "labelled.jsonl") -> str:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    Path(name).write_text("\n".join(texts), "utf-8")
    return name


SO = {"question": "Is it so?", "label": "Yes", "answer": "yes/no"}


def test_a_line_says_what_is_asked_and_what_is_right() -> None:
    first, second = read_labelled(written({**SO, "id": 7, "context": "It is."}, {**SO, "label": None}))
    assert (first.id, first.question, first.gold) == ("7", Question("Is it so?", "It is."), "yes")
    assert (second.id, second.gold, second.answer.name) == ("2", None, "yes/no")


def test_what_all_lines_share_may_be_said_once() -> None:
    path = written({"question": "Which?", "gold": "B"}, {"question": "Which?", "label": "shark", "id": 9})
    first, second = read_labelled(path, choices=("whale", "shark"))
    assert (first.gold, second.gold) == ("shark", "shark")
    assert first.answer == Choice(("whale", "shark"))
    [number] = read_labelled(written({"question": "How many?", "label": 1000}), "number")
    assert number.gold == "1000"


def test_choices_of_a_line_win() -> None:
    path = written({"question": "Which?", "label": "a1", "choices": ["a1", "b1"], "answer": "choice"})
    [one] = read_labelled(path, choices=("x1", "y1"))
    assert one.answer.options == ("a1", "b1")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label": "perhaps"}, "the label 'perhaps' is not of the type yes/no"),
        ({"label": ["yes"]}, "the label ['yes'] is not of the type yes/no"),
        ({"label": True}, "the label True is not of the type yes/no"),
        ({"answer": "essay"}, "there is no answer type 'essay'"),
        ({"answer": ["yes/no"]}, "there is no answer type ['yes/no']"),
        ({"answer": "choice"}, "it has no choices, and --choices names none"),
        ({"answer": "choice", "choices": ["one"]}, "options must be at least two"),
        ({"answer": "choice", "choices": "ab"}, "options must be a list of texts"),
        ({"question": " "}, "it has no question"),
        ({"question": 5}, "it has no question"),
        ({"context": 5}, "its context is no text"),
        ({"id": "1"}, "the id '1' came before"),
        ({"answer": "text"}, "its type is text, while the lines before it have yes/no"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(changes: dict[str, Any], said: str) -> None:
    path = written(SO, "", {**SO, **changes})
    with pytest.raises(FaninError) as raised:
        read_labelled(path)
    assert raised.value.message.startswith("labelled.jsonl, line 3: ")
    assert said in raised.value.message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[]", "it is not a JSON object"),
        ('{"question": "Is it so?", "answer": "yes/no"}', "it has no label"),
        ('{"question": "Is it so?", "label": "yes"}', "it has no answer type, and --answer names none"),
        ('{"question": "Is it so?", "answer": "yes"}', "it has no label"),
        ('{"question": "Is it so?", "answer": "yes", "label": 1}', "the right answer is called label"),
    ],
)
def test_lines_that_are_no_questions(line: str, said: str) -> None:
    with pytest.raises(FaninError) as raised:
        read_labelled(written(line))
    assert "line 1: " in raised.value.message
    assert said in raised.value.message


def test_a_file_without_a_question() -> None:
    with pytest.raises(FaninError, match="there is no question in it"):
        read_labelled(written("\n"))
    with pytest.raises(FaninError, match="cannot be read"):
        read_labelled("missing.jsonl")


def verdict(ballots: tuple[Ballot, ...], failures: tuple[Failure, ...]) -> Verdict:
    runs = Runs(len(ballots) + len(failures), len(ballots), 0, len(failures))
    return Verdict(
        *("?", "decided", "yes", "high", 1.0, "agreement", "unanimous", "", Stopped(), {}, runs),
        *(ballots, failures, Usage(), None, "fake", ("m",)),
    )


def test_every_run_is_a_sample_with_its_own_cost() -> None:
    one = Labelled("a", Question("Is it so?", "text"), read_labelled(written(SO))[0].answer, "yes")
    came = verdict(
        (
            Ballot(0, "yes", None, "m", usage=Usage(1_000_000, 0), logprob=-0.5),
            Ballot(2, None, "empty", "m", usage=Usage(0, 1_000_000)),
        ),
        (Failure(1, "server", "down"),),
    )
    members = [("m", "", 0.5), ("n", "p", None), ("m", "", 0.6)]
    line = json.loads(stored_line(one, came, members, {None: Price(2, 3)}))
    assert list(line) == ["id", "kind", "question", "context", "gold", "samples"]
    assert line["samples"] == [
        {"answer": "yes", "model": "m", "prompt": "", "temperature": 0.5, "cost": 2.0, "logprob": -0.5},
        {"answer": None, "model": "n", "prompt": "p", "temperature": None, "cost": None},
        {"answer": None, "model": "m", "prompt": "", "temperature": 0.6, "cost": 3.0},
    ]


@given(
    st.sampled_from(["yes/no", "number", "text", "choice"]),
    st.lists(st.sampled_from(["yes", "no", "12", "0.5", "A", None]), min_size=1, max_size=5),
)
def test_what_is_written_is_read_as_it_was_voted(kind: str, choices: list[str | None]) -> None:
    legal = {"yes/no": {"yes", "no"}, "number": {"12", "0.5"}}.get(kind)
    said = [choice if legal is None or choice in legal else None for choice in choices]
    line = {"question": "?", "label": None, "answer": kind, "choices": ["yes", "no", "12", "0.5", "A"]}
    [one] = read_labelled(written(line))
    ballots = tuple(
        Ballot(index, choice, None if choice else "empty", "m") for index, choice in enumerate(said)
    )
    text = stored_line(one, verdict(ballots, ()), [("m", "", 0.6)] * len(said), {})
    [stored] = stored_from([(1, text)], "votes.jsonl")
    assert [vote.answer is None for vote in stored.votes] == [choice is None for choice in said]
    assert len({vote.answer for vote in stored.votes}) == len(set(said))
    assert question_fields(one).items() <= json.loads(text).items()


def test_stored_votes_can_be_asked_again_and_labels_may_be_called_so() -> None:
    stored = {"kind": "yesno", "question": "Is it so?", "gold": "yes", "samples": [{"model": "m"}]}
    [again] = read_labelled(written(stored))
    assert (again.gold, again.answer.name) == ("yes", "yes/no")
    stored["label"] = stored.pop("gold")
    assert read_stored(written(stored))[0].gold == "yes"


def test_questions_without_samples_have_to_be_asked() -> None:
    with pytest.raises(FaninError, match=r"line 1: it has no samples: .* \(--backend NAME\)"):
        read_stored(written(SO))


@pytest.mark.parametrize("logprob", [0.1, "0", True, float("nan")])
def test_a_logprob_that_cannot_be(logprob: object) -> None:
    sample = {"answer": "yes", "model": "m", "logprob": logprob}
    with pytest.raises(FaninError, match="not a number of 0 or less"):
        read_stored(written({"kind": "yesno", "gold": "yes", "samples": [sample]}))
