"""Work for a provider's batch API: requests out, answers in, in any order."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from command import Command
from doubles import Scripted

from fanin.batching.offline import open_answers
from fanin.values import Request

Row = dict[str, Any]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def questions(path: str = "questions.jsonl") -> None:
    lines: list[Row] = [
        {"id": "a", "question": "Is it?"},
        {"id": "b", "question": "How many?", "answer": "number", "runs": 2, "context": "Three."},
        {"id": 3, "question": "Is it?"},
    ]
    Path(path).write_text("\n".join(map(json.dumps, lines)))


def requests(path: str = "requests.jsonl") -> list[Row]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def answers(asked: list[Row], reply: Callable[[Row], str | Row], path: str = "answers.jsonl") -> None:
    """Writes what a batch API would answer; a dict is a line of its own making."""
    lines = []
    for request in asked:
        said = reply(request)
        body = {
            "choices": [{"message": {"content": said}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2},
        }
        line = {
            "custom_id": request["custom_id"],
            "response": {"status_code": 200, "body": body},
            "error": None,
        }
        lines.append(json.dumps(line | (said if isinstance(said, dict) else {})))
    Path(path).write_text("\n".join(lines))


def rows(out: str) -> list[Row]:
    return [json.loads(line) for line in out.splitlines()]


def answer_of(request: Row) -> str:
    return "Answer: 3" if "How many" in request["body"]["messages"][-1]["content"] else "Answer: yes"


def test_what_is_exported_comes_back_as_votes(run: Command) -> None:
    questions()
    exported = run("export", "questions.jsonl", "--to", "openai-batch", "-o", "requests.jsonl", "--runs", "3")
    assert exported.code == 0, exported.err
    assert "8 requests to gpt-4o-mini" in exported.err
    asked = requests()
    assert len({request["custom_id"] for request in asked}) == len(asked) == 8
    assert all(request["method"] == "POST" and request["url"] == "/v1/chat/completions" for request in asked)
    assert len({request["body"]["seed"] for request in asked[:3]}) == 3
    assert all("stream" not in request["body"] for request in asked)
    Random(1).shuffle(asked)
    answers(asked, answer_of)
    ended = run("import", "questions.jsonl", "answers.jsonl", "--runs", "3", "--price", "1/2")
    assert ended.code == 0, ended.err
    found = rows(ended.out)
    assert [(row["id"], row["answer"]) for row in found] == [("a", "yes"), ("b", "3"), (3, "yes")]
    assert [row["runs"]["valid"] for row in found] == [3, 2, 3]
    assert [ballot["index"] for ballot in found[0]["ballots"]] == [0, 1, 2]
    assert found[0]["cost_usd"] == pytest.approx(3 * (5 * 1 + 2 * 2) / 1e6)
    assert "3 rows (0 failed) by 8 of 8 answers" in ended.err


def test_votes_are_those_that_the_same_answers_would_give_when_asked(run: Command) -> None:
    questions()
    run("export", "questions.jsonl", "-o", "requests.jsonl", "-m", "m")
    answers(requests(), answer_of)
    imported = rows(run("import", "questions.jsonl", "answers.jsonl", "-m", "m", "-q").out)
    asked = rows(run("batch", "questions.jsonl", "--backend", "fake", "-m", "yes", "--ordered", "-q").out)
    for here, there in zip(imported, asked, strict=True):
        assert here.keys() == there.keys()
    assert [row["votes"] for row in imported] == [{"yes": 5}, {"3": 2}, {"yes": 5}]


TEXTS = ["A dog", "One dog", "A cat"]


def said_by(request: Row) -> str:
    """Run i says text i."""
    return f"Answer: {TEXTS[int(request['custom_id'].split('-')[1])]}"


def test_answers_that_came_are_judged_by_a_model_that_is_asked_now(
    run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions()
    options = ("--runs", "3", "--cluster", "judge", "--judge", "large", "-m", "small", "--price", "1/1")
    assert run("export", "questions.jsonl", "-o", "requests.jsonl", *options[:-2]).code == 0
    answers([row for row in requests() if "How many" not in str(row)], said_by)

    def judge(request: Request) -> str:
        return "Answer: different" if "cat" in request.messages[-1].content else "Answer: same"

    asked = Scripted(judge)

    @asynccontextmanager
    async def connected(*_: object, **__: object) -> AsyncIterator[Scripted]:
        yield asked

    monkeypatch.setattr("fanin.connecting.connect", connected)
    ended = run("import", "questions.jsonl", "answers.jsonl", *options)
    assert {request.model for request in asked.sent} == {"large"}
    first, _, third = rows(ended.out)
    for row in (first, third):
        assert row["votes"] == {"A dog": 2, "A cat": 1}
        judged = row["judging"]["usage"]
        assert row["cost_usd"] == pytest.approx((3 * (5 + 2) + sum(judged.values())) * 1e-6)
    refused = run("export", "questions.jsonl", "-o", "more.jsonl", "--cluster", "embedding")
    assert (refused.code, Path("more.jsonl").exists()) == (2, False)


def test_texts_are_clustered_by_their_letters(run: Command) -> None:
    Path("questions.jsonl").write_text("What is the capital of France?")
    options = ("--runs", "3", "--cluster", "lexical", "--input-format", "lines")
    run("export", "questions.jsonl", "-o", "requests.jsonl", *options)
    answers(requests(), lambda row: f"Answer: The city of Paris{'.' * int(row['custom_id'][2])}")
    ended = run("import", "questions.jsonl", "answers.jsonl", *options)
    assert list(rows(ended.out)[0]["votes"].values()) == [3]


def test_runs_that_got_no_answer_have_failed(run: Command) -> None:
    questions()
    run("export", "questions.jsonl", "-o", "requests.jsonl", "--runs", "3")
    asked = requests()
    expired = {"response": None, "error": {"code": "batch_expired", "message": "not done in time"}}
    refused = {"response": {"status_code": 429, "body": {"error": {"message": "too often"}}}}
    wrong: dict[str, str | Row] = {asked[0]["custom_id"]: expired, asked[1]["custom_id"]: refused}
    answers([*asked[:2], *asked[5:]], lambda request: wrong.get(request["custom_id"], "Answer: yes"))
    answers(asked[3:5], answer_of, "more.jsonl")
    ended = run("import", "questions.jsonl", "answers.jsonl", "more.jsonl", "--runs", "3")
    assert ended.code == 1
    first, *_ = rows(ended.out)
    assert first["outcome"] == "failed"
    assert [failure["kind"] for failure in first["failures"]] == ["server", "rate_limit", "malformed"]
    assert "not done in time" in first["failures"][0]["message"]


def test_answers_to_other_questions_or_options_count_for_nothing(run: Command) -> None:
    questions()
    run("export", "questions.jsonl", "-o", "requests.jsonl", "--runs", "3")
    answers(requests(), answer_of)
    ended = run("import", "questions.jsonl", "answers.jsonl", "--runs", "3", "--seed", "1")
    assert ended.code == 1
    assert {row["outcome"] for row in rows(ended.out)} == {"failed"}
    assert "8 answers to no request of these" in ended.err


def test_a_fingerprint_that_two_names_share_gives_nobody_the_other_ones_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fanin.batching.fingerprints._print", lambda _: 1)
    answers([{"custom_id": "mine"}], lambda _: "Answer: yes")
    with open_answers(["answers.jsonl"]) as found:
        assert found.of("another") is None
        assert found.of("mine") is not None


def test_one_model_a_file_and_no_more_requests_than_it_may_hold(run: Command) -> None:
    questions()
    ended = run(
        *("export", "questions.jsonl", "-o", "requests.jsonl", "--runs", "4", "-m", "one", "-m", "two"),
        *("--per-file", "4", "--backend", "groq"),
    )
    assert ended.code == 0, ended.err
    files = sorted(Path().glob("requests*.jsonl"))
    assert [file.name for file in files] == [
        "requests-2.jsonl",
        "requests-3.jsonl",
        "requests-4.jsonl",
        "requests.jsonl",
    ]
    models = [{request["body"]["model"] for request in requests(str(file))} for file in files]
    assert all(len(model) == 1 for model in models)
    assert [len(requests(str(file))) for file in files] == [4, 1, 1, 4]
    assert "max_completion_tokens" in requests()[0]["body"]


def test_no_file_is_larger_than_a_provider_takes(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanin.batching.offline.MAX_FILE_BYTES", 1000)
    questions()
    assert run("export", "questions.jsonl", "-o", "requests.jsonl", "--runs", "3").code == 0
    files = list(Path().glob("requests*.jsonl"))
    assert len(files) > 2
    assert all(file.stat().st_size <= 1000 for file in files)
    assert sum(len(requests(str(file))) for file in files) == 8


def test_bad_input_is_told(run: Command) -> None:
    questions()
    Path("some.txt").write_text("Is it?\n\nWas it?\n")
    Path("nothing.jsonl").write_text("{}\nnonsense\n")
    assert run("export", "some.txt", "-o", "asked.jsonl").code == 0
    Path("mixed.jsonl").write_text('{"question": "Is it?"}\n{"question": 5}\n')
    for words, code, says in [
        (("export", "-", "-o", "x"), 2, "the questions have to be a file"),
        (("export", "some.txt", "-o", "some.txt"), 2, "would be written over the questions"),
        (
            ("export", "some.txt", "-o", "questions.jsonl"),
            2,
            "questions.jsonl: it is there already",
        ),
        (("export", "some.txt", "-o", "no/such/folder"), 2, "No such file or directory"),
        (("export", "some.txt", "-o", "x", "--backend", "ollama"), 2, "'ollama' is not one of"),
        (("export", "some.txt", "-o", "x", "--runs", "0"), 2, "--runs must be a whole number"),
        (("export", "mixed.jsonl", "-o", "x"), 1, "line 2: its question must be a text"),
        (("import", "some.txt", "nothing.jsonl"), 2, "there is no answer of a batch API"),
        (("import", "some.txt", "asked.jsonl"), 2, "there is no answer of a batch API"),
        (("import", "some.txt", "missing.jsonl"), 2, "missing.jsonl: it cannot be read: No such file"),
        (("import", "some.txt", "."), 2, ".: it cannot be read: Is a directory"),
        (("import", "some.txt"), 2, "Missing argument 'ANSWERS...'"),
    ]:
        ended = run(*words)
        assert (ended.code, says in ended.err) == (code, True), (words, ended.err)
    assert len(requests("x")) == 5
    assert not Path("no").exists()


def test_what_is_there_is_replaced_only_when_told_to(run: Command) -> None:
    questions()
    Path("verdicts.jsonl").write_text("mine\n")
    run("export", "questions.jsonl", "-o", "requests.jsonl")
    answers(requests(), answer_of)
    words = ("import", "questions.jsonl", "answers.jsonl", "-o", "verdicts.jsonl")
    assert run(*words).code == 2
    assert Path("verdicts.jsonl").read_text() == "mine\n"
    assert run(*words, "--overwrite").code == 0
    assert len(rows(Path("verdicts.jsonl").read_text())) == 3
    assert run("export", "questions.jsonl", "-o", "requests.jsonl", "--overwrite").code == 0
