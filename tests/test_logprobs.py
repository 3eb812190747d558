"""Weights by log-probabilities: read from the wire, asked for only then, and never a silent fall-back."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import exp, log
from random import Random
from typing import Any

import attrs
import pytest
from command import Command
from doubles import Scripted
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run_virtual

import fanin
from fanin.backend import Capabilities
from fanin.evaluating import evaluate
from fanin.policy.redaction import Redaction
from fanin.policy.weighing import leaders, logprob_scores
from fanin.stored_votes import StoredQuestion, StoredVote
from fanin.values import Completion, Message, Request
from fanin.verdict import Verdict
from fanin_backends import chat, groq, ollama
from fanin_backends.keyless import keyless_completion
from fanin_backends.refusals import Asked
from fanin_backends.wire import Reply, mean_logprob

REQUEST = Request(0, "m", (Message("user", "Why?"),), logprobs=True)
VOTES = st.lists(st.tuples(st.sampled_from("xyz"), st.floats(-9, 0)), max_size=9)


@given(VOTES, st.randoms())
def test_scores_depend_on_the_votes_alone(votes: list[tuple[str, float]], random: Random) -> None:
    scored = logprob_scores(votes)
    random.shuffle(votes)
    assert logprob_scores(votes) == scored
    assert list(scored) == sorted({choice for choice, _ in votes})
    for choice, score in scored.items():
        assert 0 < score <= sum(one == choice for one, _ in votes)
    renamed = logprob_scores([({"x": "u", "y": "t", "z": "s"}[choice], logprob) for choice, logprob in votes])
    assert sorted(renamed.values()) == sorted(scored.values())


@given(st.lists(st.sampled_from("xyz"), max_size=9), st.floats(-5, 0))
def test_equally_probable_votes_are_the_majority(choices: list[str], logprob: float) -> None:
    counts = {choice: choices.count(choice) for choice in choices}
    best = sorted(choice for choice in counts if counts[choice] == max(counts.values()))
    assert list(leaders(logprob_scores([(choice, logprob) for choice in choices]))) == best


def test_a_vote_weighs_the_probability_of_its_reply_by_token() -> None:
    assert logprob_scores([("a", log(0.5)), ("b", log(0.25)), ("a", 0.0)]) == pytest.approx(
        {"a": 1.5, "b": 0.25}
    )
    assert logprob_scores([("a", float("-inf"))]) == {"a": 0.0}


@pytest.mark.parametrize(
    ("tokens", "mean"),
    [
        ([{"token": "yes", "logprob": -0.5}, {"token": ".", "logprob": -1.5}], -1.0),
        ([{"logprob": 1e-9}], 0.0),
        ([{"logprob": 0}], 0.0),
        ([], None),
        (None, None),
        ({"logprob": -1}, None),
        ([{"logprob": -1}, {"token": "x"}], None),
        ([{"logprob": "-1"}], None),
        ([{"logprob": True}], None),
        ([{"logprob": float("nan")}], None),
        ([-1], None),
    ],
)
def test_the_mean_is_that_of_all_tokens_or_unknown(tokens: object, mean: float | None) -> None:
    assert mean_logprob(tokens) == mean


def test_the_openai_shape() -> None:
    assert json.loads(chat.request_body(REQUEST))["logprobs"] is True
    assert chat.parameters(REQUEST)["logprobs"] == "logprobs"
    for request in (attrs.evolve(REQUEST, logprobs=False), attrs.evolve(REQUEST, without=("logprobs",))):
        assert "logprobs" not in json.loads(chat.request_body(request))
        assert "logprobs" not in chat.parameters(request)
    tokens = [{"token": "yes", "logprob": -0.25, "bytes": None, "top_logprobs": []}]
    choice = {"message": {"content": "yes"}, "finish_reason": "stop", "logprobs": {"content": tokens}}

    def read(choice: dict[str, Any]) -> Completion:
        body = json.dumps({"choices": [choice]}).encode()
        return chat.completion(Reply(200, (), body), Asked("openai", "", "KEY", "m"), 0.0)

    assert read(choice).logprob == -0.25
    assert read({**choice, "logprobs": None}).logprob is None


def test_the_shape_of_ollama() -> None:
    body = json.loads(ollama.request_body(REQUEST))
    assert body["logprobs"] is True
    assert "logprobs" not in body["options"]
    assert "logprobs" not in json.loads(ollama.request_body(attrs.evolve(REQUEST, without=("logprobs",))))
    answer = {"message": {"content": "yes"}, "done": True, "done_reason": "stop", "prompt_eval_count": 3}
    told = {**answer, "logprobs": [{"token": "yes", "logprob": -0.75}]}
    for data, logprob in ((told, -0.75), (answer, None)):
        reply = Reply(200, (), json.dumps(data).encode())
        read = ollama.completion(reply, REQUEST, Asked("ollama", "", "KEY", "m"), 0.0)
        assert read.logprob == logprob


def test_it_outlives_the_redaction_of_keys() -> None:
    answer = Completion("yes", logprob=-0.5)
    assert keyless_completion(answer, Redaction(frozenset({"sk-0123456789abcdef"}))) == answer


def test_who_tells_them() -> None:
    assert chat.Dialect("x", "http://x/v1", "KEY", "m").logprobs
    assert not groq.DIALECT.logprobs


def told(logprobs: list[tuple[str, float | None]]) -> Callable[[Request], Completion]:
    """A reply for every run: its answer, and the log-probability that the backend tells where it is asked."""

    def reply(request: Request) -> Completion:
        text, logprob = logprobs[request.index]
        return Completion(f"Answer: {text}" if text else "", logprob=logprob if request.logprobs else None)

    return reply


def voted(
    logprobs: list[tuple[str, float | None]], *, capable: bool = True, **options: Any
) -> tuple[Verdict, Scripted]:
    backend = Scripted(told(logprobs))
    backend.capabilities = Capabilities(limited=False, http=False, logprobs=capable)

    async def ask() -> Verdict:
        return await fanin.vote("Is it so?", backend=backend, runs=len(logprobs), **options)

    return run_virtual("asyncio", ask), backend


CLOSE: list[tuple[str, float | None]] = [
    *(("yes", -3.0) for _ in range(3)),
    *(("no", -0.1) for _ in range(2)),
]


def test_a_sure_minority_wins_and_the_unweighted_votes_stay() -> None:
    assert 3 * exp(-3.0) < 2 * exp(-0.1)
    verdict, _ = voted(CLOSE, weights="logprob")
    assert (verdict.answer, verdict.votes, verdict.grade) == ("no", {"yes": 3, "no": 2}, "low")
    assert "Decided by the weights; unweighted, yes would lead with 3 of 5." in verdict.advice
    assert [ballot["logprob"] for ballot in verdict.to_dict()["ballots"]] == [-3.0, -3.0, -3.0, -0.1, -0.1]


def test_nothing_is_asked_for_or_shown_that_nobody_wants() -> None:
    verdict, backend = voted(CLOSE)
    assert verdict.answer == "yes"
    assert not any(request.logprobs for request in backend.sent)
    assert all("logprob" not in ballot for ballot in verdict.to_dict()["ballots"])


def test_a_tie_of_the_votes_is_broken_and_a_majority_confirmed() -> None:
    tie, _ = voted([("yes", -0.2), ("no", -0.1)], weights="logprob")
    assert (tie.outcome, tie.answer) == ("decided", "no")
    same, _ = voted([("yes", -1.0), ("yes", -1.0), ("no", -1.0)], weights="logprob")
    assert same.answer == "yes"
    assert same.advice.endswith("Weighted, the answer is the same.")
    still, _ = voted([("yes", -1.0), ("no", -1.0)], weights="logprob")
    assert (still.outcome, still.advice.endswith("Not weighted: the weights leave a tie.")) == ("tie", True)


@pytest.mark.parametrize(
    ("logprobs", "capable", "said"),
    [
        (CLOSE, False, "5 of 5 votes came without a log-probability"),
        ([*CLOSE[:4], ("no", None)], True, "1 of 5 votes came without a log-probability"),
    ],
)
def test_without_log_probabilities_the_majority_holds_and_it_is_said(
    logprobs: list[tuple[str, float | None]], capable: bool, said: str
) -> None:
    plain, _ = voted(logprobs, capable=capable)
    verdict, backend = voted(logprobs, capable=capable, weights="logprob")
    assert verdict.advice == f"{plain.advice} Not weighted: {said}."
    assert (verdict.answer, verdict.grade, verdict.confidence) == ("yes", plain.grade, plain.confidence)
    assert all(request.logprobs == capable for request in backend.sent)


def test_a_spoiled_ballot_stays_spoiled_however_probable() -> None:
    verdict, _ = voted([("", -0.0), ("yes", -2.0), ("yes", -2.0)], weights="logprob")
    assert (verdict.answer, verdict.votes, verdict.runs.spoiled) == ("yes", {"yes": 2}, 1)
    nothing, _ = voted([("", -0.1)] * 3, weights="logprob")
    assert (nothing.outcome, "eighted" in nothing.advice) == ("failed", False)


def test_the_command_says_so_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("vote", "Is it so?", "--backend", "fake", "-m", "yes,no,yes", "--weights", "logprob")
    ended = Command(monkeypatch, capsys)(*words)
    assert (ended.code, ended.out) == (0, "yes\n")
    assert "Not weighted: 5 of 5 votes came without a log-probability." in ended.err


def test_eval_measures_them_where_every_vote_has_one() -> None:
    def question(number: int, answers: str, logprobs: tuple[float | None, ...]) -> StoredQuestion:
        votes = tuple(
            StoredVote(answer, "m", logprob=logprob)
            for answer, logprob in zip(answers, logprobs, strict=True)
        )
        return StoredQuestion(str(number), "choice", "a", votes)

    sure = [question(number, "abb", (-0.1, -3.0, -3.0)) for number in range(4)]
    unsure = [question(number, "bba", (-0.1, -0.1, -0.1)) for number in range(4, 8)]
    measured = {one.name: one for one in evaluate([*sure, *unsure], runs=3, labels=2, draws=2).methods}
    assert measured["majority of all"].accuracy == 0
    found = measured["weights, logprob"]
    assert (found.accuracy, found.runs, found.brier, found.ece) == (0.5, 3, None, None)
    gap = question(9, "abb", (-0.1, -3.0, None))
    names = [one.name for one in evaluate([*sure, gap], runs=3, labels=2, draws=2).methods]
    assert "weights, logprob" not in names
