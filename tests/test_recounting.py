"""Deciding again: by another rule it is what that rule would have given, and nothing is ever asked."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from command import Command
from hypothesis import given, settings
from hypothesis import strategies as st

import fanin
from fanin.errors import FaninError, InputError, RecordError
from fanin.keeping.dissent import minority, still_open
from fanin.keeping.record import Record, read_record, record_of, record_text
from fanin.keeping.sources import records_of
from fanin.keeping.tapes import taped_vote
from fanin.recounting import recount
from fanin.stages.conclude import conclude
from fanin.stages.gather import gather
from fanin.taping.storage import load
from fanin.values import Stopped
from fanin.verdict import Verdict

ROOT = Path(__file__).parent.parent
ABOUT: dict[str, Any] = {"id": "0123456789", "kept_at": "2026-11-21T08:00:00Z", "versions": {}}


def kept(result: Any) -> Record:
    """Its record, read back from its text."""
    return read_record(record_text(record_of(result, **ABOUT)), "here")


def voted(replies: list[str], **options: Any) -> Verdict:
    """A vote of the fake, a reply for each run."""
    asked: dict[str, Any] = {"runs": len(replies), "retries": 0, "backend": fanin.Fake(replies), **options}

    async def ask() -> Verdict:
        return await fanin.vote("Is it so?", **asked)

    return anyio.run(ask)


def decided(record: Record, **changes: Any) -> Verdict:
    found = recount(record, **changes)
    assert isinstance(found, Verdict)
    return found


SCRIPTS = st.lists(st.sampled_from(["yes", "yes", "no", "dunno", "!500"]), min_size=1, max_size=9)
RULES = st.sampled_from(["decided", "ahead:2", "window:3", "posterior:0.9", "voi", "decided:winner"])


@given(SCRIPTS, RULES)
@settings(max_examples=15)
def test_another_rule_gives_what_a_vote_under_it_would_have_given(replies: list[str], rule: str) -> None:
    try:
        under_it = voted(replies, stop=rule)
    except InputError:
        return  # a rule that so few runs could never satisfy
    again = decided(kept(voted(replies)), stop=rule)
    without = [sentence for sentence in again.advice.split(". ") if "not satisfied" not in sentence]
    assert again.to_dict() | {"advice": ""} == under_it.to_dict() | {"advice": ""}
    calls = [[event.index for event in each.events if event.kind == "asked"] for each in (again, under_it)]
    assert sorted(calls[0]) == sorted(calls[1])
    assert ". ".join(without).rstrip(".") == under_it.advice.rstrip(".")


@given(SCRIPTS, st.integers(1, 9))
@settings(max_examples=10)
def test_another_quorum_gives_what_a_vote_with_it_would_have_given(replies: list[str], quorum: int) -> None:
    quorum = min(quorum, len(replies))
    again = decided(kept(voted(replies)), quorum=quorum)
    assert again.to_json() == voted(replies, quorum=quorum).to_json()


def test_replies_are_read_as_another_type() -> None:
    record = kept(voted(["Answer: 12", "Answer: 12.3", "Answer: twelve"], answer=fanin.Text()))
    assert decided(record).outcome == "tie"
    again = decided(record, answer=fanin.Number(abs_tol=0.5))
    assert (again.answer, again.runs.valid, again.runs.spoiled) == ("12", 2, 1)
    with pytest.raises(RecordError, match=r"of 3 replies none can be read as yes/no; run 0: neither"):
        recount(record, answer=fanin.YesNo())


def test_letters_mean_what_the_run_was_shown() -> None:
    choice = fanin.Choice(["whale", "shark", "tuna"])
    verdict = voted(["Answer: A", "Answer: B", "Answer: C", "Answer: A", "Answer: B"], answer=choice)
    record = kept(verdict)
    assert decided(record, answer=fanin.Choice(["tuna", "whale", "shark"])).votes == verdict.votes


def test_weights_can_be_put_on_and_taken_off() -> None:
    replies = [fanin.Completion("yes", logprob=-0.1), fanin.Completion("no", logprob=-9.0)]
    verdict = voted(["yes", "no"])
    assert verdict.basis is not None
    record = record_of(verdict, **ABOUT)
    assert record.vote is not None
    data = json.loads(record_text(record))
    for sample, reply in zip(data["vote"]["tiers"][0]["samples"], replies, strict=True):
        sample["completion"]["logprob"] = reply.logprob
    record = read_record(json.dumps(data), "here")
    assert decided(record).outcome == "tie"
    weighed = decided(record, weights="logprob")
    assert (weighed.answer, "Decided by the weights" in weighed.advice) == ("yes", True)
    assert decided(kept(weighed), weights="none").outcome == "tie"
    with pytest.raises(FaninError, match="it cannot be read"):
        recount(record, weights="nothing.json")


@pytest.mark.parametrize("change", [{"quorum": 1}, {"stop": "decided"}, {"weights": "logprob"}])
def test_an_analysis_has_no_votes_to_count_otherwise(change: dict[str, Any]) -> None:
    model = fanin.Fake(["1. Look>So it is.>Answer: no>It is so.>Answer: yes"])
    record = kept(fanin.analyze_sync("Is it so?", mode="quick", backend=model))
    with pytest.raises(InputError, match="left out with a kept analysis"):
        recount(record, **change)


def test_the_answers_of_a_panel_and_of_an_analysis_are_read_as_another_type() -> None:
    model = fanin.Fake(["1. Look>So it is.>Answer: no>It is so.>Answer: yes"])
    record = kept(fanin.analyze_sync("Is it so?", mode="quick", backend=model))
    again = recount(record, answer=fanin.Choice(["yes", "maybe"]))
    assert isinstance(again, fanin.Analysis)
    assert again.focused_answer == "yes"
    with pytest.raises(RecordError, match="the reply cannot be read as number"):
        recount(record, answer=fanin.Number())
    agents = [fanin.Agent(name, "You judge.") for name in ("Ann", "Bob", "Eve")]
    report = fanin.panel_sync(
        agents, "Is it so?", backend=fanin.Fake(["It is.\nAnswer: yes", "no", "yes", "Mixed."])
    )
    assert report.tally is None
    counted = recount(kept(report), answer=fanin.YesNo())
    assert isinstance(counted, fanin.Report)
    assert counted.tally is not None
    assert counted.tally.votes == {"yes": 2, "no": 1}
    assert counted.report == report.report
    with pytest.raises(RecordError, match="nothing that the specialists said can be read as number"):
        recount(kept(report), answer=fanin.Number())


def test_runs_that_a_rule_would_not_have_asked_were_never_called_back() -> None:
    verdict = voted(["yes"] * 5)
    assert verdict.basis is not None
    gathered = gather(verdict.basis.gathered.samples[:4], 5, cancelled=1)
    stopped = Stopped("rule", "decided")
    cut = conclude(verdict.basis.plan, verdict.basis.runs, gathered, stopped=stopped, backend="fake")
    assert decided(kept(cut)).runs.cancelled == 1
    sooner = decided(kept(cut), stop="ahead:2").runs
    assert (sooner.valid, sooner.cancelled, sooner.unasked) == (2, 0, 3)
    later = decided(kept(cut), stop="ahead:5")
    assert (later.runs.cancelled, later.stopped.by) == (1, "rule")
    assert "ahead:5 is not satisfied by the 4 runs that there are." in later.advice


# Tapes and files of votes


@pytest.mark.parametrize(
    ("tape", "words"),
    [
        ("demo", ("Which one is a mammal?", "--choices", "whale,shark,tuna")),
        ("ollama", ("Is 1009 a prime number?",)),
        ("openai", ("Should we merge?",)),
        ("groq", ("Does this contract renew by itself?", "-m", "openai/gpt-oss-20b")),
    ],
)
def test_a_tape_recounted_is_the_tape_replayed(
    tape: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    name = f"cassettes/{tape}.json"
    inputs = {"openai": "change.txt", "groq": "contract.txt"}
    stdin = ROOT / "cassettes" / "inputs" / inputs[tape] if tape in inputs else None
    fanin_ = Command(monkeypatch, capsys)
    replayed = fanin_("vote", *words, "--runs", "5", "--replay", name, "--json", stdin=stdin)
    recounted = fanin_("recount", name, "--json", *(["--choices", words[2]] if "--choices" in words else []))
    assert replayed.out
    assert recounted.out == replayed.out
    assert recounted.code == replayed.code


def test_what_a_model_refused_is_told_of_a_tape_too() -> None:
    path = str(ROOT / "cassettes" / "demo.json")
    recording = load(path)
    refused = attrs.evolve(recording, refused={recording.models[0]: ("temperature",)})
    verdict = decided(taped_vote(refused, path, None))
    assert "Asked without temperature, which is refused by" in verdict.advice
    assert {cast.temperature for cast in verdict.ballots} == {None}


def test_a_tape_of_something_else_than_one_vote_is_refused() -> None:
    path = str(ROOT / "cassettes" / "stock.json")
    with pytest.raises(RecordError, match="what the answers are cannot be told from the prompt"):
        records_of(path)
    with pytest.raises(RecordError, match=r"run \d was answered \d times, so it is not one plain vote"):
        records_of(path, fanin.Text())
    with pytest.raises(RecordError, match="its requests are none that can be recounted"):
        records_of(str(ROOT / "tests" / "golden" / "fanin.tape-1.json"))


def stored(path: Path, *objects: Any, packed: bool = False) -> str:
    text = "".join(f"{json.dumps(each)}\n" for each in objects).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    return str(path)


SAMPLES = [
    {"answer": "B", "model": "m"},
    {"answer": "b.", "model": "n", "prompt": "p"},
    {"answer": None, "model": "m"},
]


@pytest.mark.parametrize("packed", [False, True])
def test_stored_votes_are_counted(tmp_path: Path, packed: bool) -> None:
    one = {"id": "question-1", "kind": "choice", "question": "Which?", "gold": "B", "samples": SAMPLES}
    two = {"id": 7, "kind": "number", "question": "How many?", "samples": [{"answer": 4.0, "model": "m"}]}
    first, second = records_of(stored(tmp_path / "votes", one, two, packed=packed))
    verdict = decided(first)
    assert (first.id, verdict.question, verdict.votes, verdict.runs.spoiled) == (
        "question-1",
        "Which?",
        {"B": 2},
        1,
    )
    assert verdict.models == ("m", "n")
    assert decided(first, quorum=3).outcome == "no_quorum"
    assert (second.id, decided(second).answer) == ("7", "4")
    [record] = records_of(f"{tmp_path / 'votes'}#question-1")
    assert record == first
    with pytest.raises(RecordError, match=r"there is no run 'question-2' in it\nDid you mean question-1\?"):
        records_of(f"{tmp_path / 'votes'}#question-2")


def test_objects_of_votes_are_counted_as_they_were(tmp_path: Path) -> None:
    choice = fanin.Choice(["whale", "shark"])
    for verdict in (
        voted(["Answer: A", "Answer: B", "Answer: A", "!500", "who knows?"], answer=choice),
        voted(["yes", "no", "I say no.\nAnswer: no", "!empty"]),
        voted(["12", "twelve", "12.0"], answer=fanin.Number()),
        voted(["yes", "yes", "yes", "yes", "no"], stop="decided"),
    ):
        [record] = records_of(stored(tmp_path / "v.jsonl", verdict.to_dict()))
        again = decided(record)
        same = ("outcome", "answer", "grade", "confidence", "votes", "runs", "stopped", "models", "backend")
        assert {name: again.to_dict()[name] for name in same} == {
            name: verdict.to_dict()[name] for name in same
        }


def test_rows_on_questions_that_could_not_be_asked_are_passed_over(tmp_path: Path) -> None:
    verdict = voted(["yes", "no", "yes"])
    bad = {"id": "q", "line": 2, "error": "it has no question"}
    rows = stored(tmp_path / "rows.jsonl", verdict.to_dict(), bad, verdict.to_dict())
    assert [decided(record).answer for record in records_of(rows)] == ["yes", "yes"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("what?", "line 1: it is not JSON"),
        ("[1]", "line 1: it is not a JSON object"),
        ("{}", "it holds no samples and no ballots"),
        ('{"schema": "fanin.panel/1"}', 'it is no vote but "fanin.panel/1", so there is nothing to count'),
        ('{"line": 1, "error": "it has no question"}', "there is no vote in it: every row says why"),
        ('{"samples": []}', "it holds no run"),
        ('{"samples": [5]}', "a sample is not an object"),
        ('{"samples": [{"answer": "a", "model": 5}]}', "a sample's model is 5, not a text"),
        ('{"samples": [{"answer": "a", "logprob": 5}]}', "logprob is 5, not a number of 0 or less"),
        ('{"kind": "colour", "samples": [{"answer": "a"}]}', "answer must be one of"),
        ('{"ballots": [{"index": -1, "choice": "a"}]}', "a ballot has the index -1"),
        ('{"ballots": [{"choice": "a"}], "failures": [3]}', "a failure has no index"),
        ('{"schema": "fanin.run/9"}', "it is fanin.run/9, and this fanin reads up to fanin.run/1"),
    ],
)
def test_lines_that_hold_no_vote_are_refused(tmp_path: Path, line: str, problem: str) -> None:
    (tmp_path / "votes.jsonl").write_text(line)
    with pytest.raises(RecordError, match=problem):
        [recount(record) for record in records_of(str(tmp_path / "votes.jsonl"))]


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "base").write_bytes(b"SQLite format 3\0" + bytes(200))
    for name, problem in (
        ("empty", "there is nothing in it"),
        ("bytes", "it is not UTF-8 text"),
        ("base", "it is a database\nWhat a batch's journal holds"),
        ("gone.json", "there is no such file"),
    ):
        with pytest.raises(RecordError, match=problem):
            records_of(str(tmp_path / name))


# Dissent


def test_the_minority_report_says_who_dissents_and_why() -> None:
    replies = [
        "I looked.\nAnswer: yes",
        "It is not so, by far.\nAnswer: no",
        "Answer: yes",
        "No!\nAnswer: no",
        "yes",
    ]
    verdict = voted(replies)
    [dissent] = minority(verdict)
    assert (dissent.choice, dissent.votes, dissent.reasons) == ("no", 2, ("No!\nAnswer: no",))
    assert dissent.temperatures == ((0.7, 1, 1), (0.9, 1, 1))
    assert minority(voted(["yes", "yes"])) == ()
    assert {each.choice for each in minority(voted(["yes", "no"]))} == {"yes", "no"}


@pytest.mark.parametrize(
    ("replies", "told"),
    [
        (["yes", "no", "yes"], "Every run that counts cast a vote"),
        (
            ["yes", "no", "yes", "dunno"],
            "1 run cast no vote (1 spoiled). Had all of them said no, it would be a tie.",
        ),
        (
            ["yes", "no", "dunno"],
            "said yes, the answer would be yes (medium); had they said no",
        ),
        (["yes"] * 3 + ["!500"], "They could not have changed the answer, but its grade: up to high"),
        (["yes"] * 9 + ["!500"], "They could have changed neither the answer nor its grade."),
        (["yes", "!500", "!500"], "Had all of them said yes, the answer would be yes (high)"),
    ],
)
def test_what_silent_runs_could_have_changed(replies: list[str], told: str) -> None:
    assert told in still_open(voted(replies))


def test_runs_that_a_rule_spared_could_have_changed_nothing() -> None:
    assert "Every run that counts cast a vote" in still_open(voted(["yes"] * 5, stop="decided"))


@given(SCRIPTS)
@settings(max_examples=10)
def test_what_could_have_changed_is_what_a_vote_would_have_come_to(replies: list[str]) -> None:
    verdict = voted(replies)
    told = still_open(verdict)
    silent = [reply in ("dunno", "!500") for reply in replies]
    could = {
        (came.outcome, came.answer)
        for choice in ("yes", "no")
        if choice in verdict.votes
        for came in [voted([choice if lost else reply for reply, lost in zip(replies, silent, strict=True)])]
    }
    if any(silent) and could - {(verdict.outcome, verdict.answer)}:
        assert "Had all of them said" in told
