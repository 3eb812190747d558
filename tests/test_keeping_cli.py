"""`fanin runs`, `show`, `diff` and `recount`, and the keeping by the commands that ask."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from command import Command, Ended

from fanin.errors import JournalError
from fanin.keeping import Log
from fanin.keeping.record import record_text

ROOT = Path(__file__).parent.parent
PANEL = str(ROOT / "scripts" / "stock.toml")
SCRIPT = "1. Look at it>It holds.>Answer: no>It is so.>Answer: yes"
VOTE = ("vote", "Is it so?", "--backend", "fake", "-m", "yes,no,yes", "--runs", "3")
ANALYZE = ("analyze", "Is it so?", "--mode", "quick", "--backend", "fake", "-m", SCRIPT)
PANEL_RUN = ("panel", PANEL, "Analyse AAPL.", "--backend", "fake", "-m", "a,b,c,the report")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command, run here."""
    return Command(monkeypatch, capsys)


def id_of(ended: Ended) -> str:
    """The id that stands on stderr."""
    [id_] = re.findall(r"(?m)^fanin: kept as (\w{10})$", ended.err)
    return id_


@pytest.mark.parametrize("words", [VOTE, ANALYZE, PANEL_RUN, (*VOTE, "--escalate", "yes", "--mode", "quick")])
def test_every_kind_of_run_is_kept_and_recounts_to_the_same_bytes(
    run: Command, words: tuple[str, ...]
) -> None:
    ended = run(*words, "--json")
    id_ = id_of(ended)
    assert id_ not in ended.out
    again = run("recount", id_, "--json", "-q")
    assert (again.out, again.code, again.err) == (ended.out, ended.code, "")


@pytest.mark.parametrize("words", [VOTE, ANALYZE, PANEL_RUN])
def test_what_people_are_shown_is_the_same_too(run: Command, words: tuple[str, ...]) -> None:
    ended = run(*words)
    again = run("recount", "last")
    assert (again.out, again.code) == (ended.out, ended.code)
    assert set(again.err.splitlines()) <= set(ended.err.splitlines())


def test_it_is_switched_off_by_an_option_a_configuration_and_a_replay(run: Command) -> None:
    assert "kept" not in run(*VOTE, "--no-log").err
    Path("fanin.toml").write_text("log = false\n")
    assert "kept" not in run(*VOTE).err
    assert Log().entries() == ()
    assert "kept as" in run(*VOTE, "--log").err
    Path("fanin.toml").unlink()
    tape = str(ROOT / "cassettes" / "demo.json")
    replay = ("vote", "Which one is a mammal?", "--choices", "whale,shark,tuna", "--replay", tape)
    assert "kept" not in run(*replay).err
    assert "kept as" in run(*replay, "--log").err
    assert len(Log().entries()) == 2


def test_quiet_keeps_and_says_nothing(run: Command) -> None:
    assert run(*VOTE, "-q").err == ""
    assert len(Log().entries()) == 1


@pytest.mark.parametrize("words", [VOTE, ANALYZE, PANEL_RUN])
def test_a_log_that_cannot_be_written_costs_a_warning_and_nothing_else(
    run: Command, words: tuple[str, ...]
) -> None:
    usual = run(*words, "--json")
    Path(os.environ["FANIN_HOME"], "runs.sqlite").write_bytes(b"no database at all" * 100)
    ended = run(*words, "--json")
    assert (ended.out, ended.code) == (usual.out, usual.code)
    assert "fanin: warning: the run is not kept: " in ended.err


def test_runs_are_listed_the_last_one_first(run: Command) -> None:
    nothing = run("runs", "list")
    assert (nothing.code, nothing.out) == (0, "")
    assert "no run is kept in" in nothing.err
    ids = [id_of(run(*words)) for words in (VOTE, ANALYZE, PANEL_RUN)]
    lines = run("runs", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == ids[::-1]
    assert "vote      yes (medium)" in lines[2]
    assert lines[2].endswith("Is it so?")
    assert "panel     complete" in lines[0]
    [line] = run("runs", "list", "-n", "1", "--json").out.splitlines()
    assert json.loads(line)["id"] == ids[2]
    assert len(run("runs", "list", "--all").out.splitlines()) == 3


def test_a_run_is_handed_over_as_a_file(run: Command, tmp_path: Path) -> None:
    ids = [id_of(run(*words)) for words in (VOTE, ANALYZE)]
    file = str(tmp_path / "runs.jsonl")
    assert run("runs", "export", "--all", "-o", file).code == 0
    text = Path(file).read_text("ascii")
    assert text == run("runs", "export", *ids).out
    assert run("recount", f"{file}#{ids[0]}", "--json").out == run("recount", ids[0], "--json").out
    both = run("recount", file, "--json")
    assert [json.loads(line)["id"] for line in both.out.splitlines()] == ids
    assert run("recount", file).out.splitlines() == [f"{ids[0]}  yes  (medium)", f"{ids[1]}  yes"]
    assert "removed" in run("runs", "rm", *ids).err
    assert "2 runs taken in" in run("runs", "import", file).err
    assert "0 runs taken in, 2 there already" in run("runs", "import", file).err
    assert run("runs", "export", "--all").out == text


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("show", "nothing"), "no run is kept in"),
        (("runs", "rm", "nothing"), "no run is kept in"),
        (("runs", "export"), "name the runs, or all of them with --all"),
        (("runs", "export", "last", "--all"), "name the runs, or all of them with --all"),
        (("runs", "import", "nothing.jsonl"), "it cannot be read"),
        (("recount", "nothing.jsonl"), "there is no such file"),
        (("recount", "x", "--runs", "3"), "--runs goes with --questions"),
        (("recount", "-"), "standard input: there is nothing in it"),
        (("recount", "x", "--tolerance", "3"), "--tolerance goes with --answer number"),
        (("recount", "x", "--choices", "a,b", "--answer", "text"), "leave --answer out"),
        (("recount", "x.journal", "--questions", "q.txt"), "no backend is named"),
        (("recount", "x.journal", "--questions", "q.txt", "--backend", "fake"), "there is no such journal"),
        (("diff", "one", "other"), "no run is kept in"),
    ],
)
def test_bad_words_end_with_a_sentence(run: Command, words: tuple[str, ...], problem: str) -> None:
    ended = run(*words)
    assert (ended.code, ended.out) == (2, "")
    assert problem in ended.err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--rule", "sometimes"), "one of"),
        (("--rule", "certified:0.05"), "runs"),
        (("--quorum", "0"), "quorum must be a whole number"),
        (("--quorum", "4"), "quorum must be at most the number of runs"),
        (("--answer", "number"), "of 3 replies none can be read as number"),
        (("--choices", "a,a"), "told apart"),
        (("--cluster", "judge"), "--cluster must be exact or lexical, since nobody is asked again"),
        (("--cluster", "lexical", "--choices", "yes,no"), "not with --choices"),
        (("--weights", "nothing.json"), "it cannot be read"),
    ],
)
def test_changes_that_cannot_be_are_refused(run: Command, words: tuple[str, ...], problem: str) -> None:
    run(*VOTE)
    ended = run("recount", "last", *words)
    assert (ended.code, ended.out) == (2, "")
    assert problem in ended.err


def test_a_configuration_changes_nothing_of_what_was_decided(run: Command) -> None:
    ended = run(*VOTE, "--json")
    Path("fanin.toml").write_text('quorum = 3\nruns = 9\nrequire = "high"\n')
    assert run("recount", "last", "--json").out == ended.out


def test_a_panel_is_shown_with_the_calls_of_its_tools(run: Command) -> None:
    script = '!call:get_financial_data{"symbol":"AAPL"}!call:nothing{} > a,b,c,the report'
    run("panel", PANEL, "Analyse AAPL.", "--backend", "fake", "-m", script)
    shown = run("show", "last").out.splitlines()
    called, refused = (line for line in shown if line.startswith(("    get_", "    nothing")))
    assert called.startswith('    get_financial_data{"symbol":"AAPL"}: {"revenue_usd_bn"')
    assert refused.startswith("    nothing{}: failed: There is no tool called 'nothing'.")


def test_a_run_is_shown_whole(run: Command) -> None:
    run(
        "vote",
        "Is it so?",
        "--backend",
        "fake",
        "-m",
        "!429:0.5>Answer: yes,no,!500",
        "--runs",
        "3",
        "--retries",
        "1",
    )
    shown = run("show", "last").out
    for part in (
        "vote ",
        "question: Is it so?",
        "asked: 3 runs",
        "Answer: yes",
        "run 2: failed (server)",
        "waited ",
    ):
        assert part in shown
    assert "step by step" not in shown
    whole = run("runs", "show", "last", "-v").out
    assert "step by step" in whole
    assert "run 0, call 2: asking" in whole
    assert run("show", "last", "--json").out == f"{record_text(Log().find('last'))}\n"
    for words, part in ((ANALYZE, "step 1 (ok): Look at it"), (PANEL_RUN, "the report")):
        run(*words)
        assert part in run("show", "last").out
    refused = run("show", "last", "--dissent")
    assert (refused.code, "is no vote but a kept panel" in refused.err) == (2, True)


def test_the_minority_report(run: Command) -> None:
    run("vote", "Is it so?", "--backend", "fake", "-m", "yes", "-m", "no", "--runs", "5")
    shown = run("show", "last", "--dissent").out.splitlines()
    assert shown[2:6] == [
        "2 votes for no",
        "  by model: no 2 of 2",
        "  by temperature: 0.6: 1 of 2; 0.7: 1 of 2",
        "  no",
    ]
    assert shown[6] == "Every run that counts cast a vote, so nothing was left open."
    run(*VOTE[:-4], "-m", "yes", "--runs", "3")
    assert "Nobody who cast a vote dissents." in run("show", "last", "--dissent").out


def test_two_runs_are_compared(run: Command) -> None:
    first, second = id_of(run(*VOTE)), id_of(run(*VOTE[:-4], "-m", "yes,no,no", "--runs", "3", "--seed", "5"))
    alike = run("diff", first, first)
    assert (alike.code, alike.out.split(":")[0]) == (0, "alike")
    ended = run("diff", first, second)
    assert ended.code == 1
    lines = ended.out.splitlines()
    assert "asked: seed: 0 -> 5" in lines
    assert 'came back: run 2: choice "yes" -> "no"; text "yes" -> "no"' in lines
    assert 'decided: answer: "yes" -> "no"' in lines
    found = json.loads(run("diff", first, second, "--json").out)
    assert found["decided"]["answer"] == ["yes", "no"]
    run(*ANALYZE)
    assert run("diff", "last", first).code == 1
    file = Path("both.jsonl")
    file.write_text(run("runs", "export", first, second).out)
    several = run("diff", str(file), first)
    assert (several.code, several.out) == (1, f"{second}: only in both.jsonl: Is it so?\n")
    assert "1 of 2 votes differ" in several.err


def test_texts_are_clustered_again(run: Command) -> None:
    model = "Answer: The Hague in Holland,Answer: The Hague in Holland.,Answer: The Hagues in Holland"
    run("vote", "Where is it?", "--backend", "fake", "-m", model, "--runs", "3", "--answer", "text")
    assert len(json.loads(run("recount", "last", "--json").out)["votes"]) == 2
    found = json.loads(run("recount", "last", "--cluster", "lexical", "--json").out)
    assert list(found["votes"].values()) == [3]


def batch(run: Command) -> tuple[list[dict[str, Any]], str]:
    """The rows of a batch that kept a journal, and its options."""
    Path("questions.txt").write_text("Is it so?\nIs it really so?\nIs it so?\n")
    model = "yes,no,yes,yes"
    ended = run(
        "batch", "questions.txt", "-o", "rows.jsonl", "--runs", "4", "--backend", "fake", "-m", model, "-q"
    )
    assert ended.code == 0
    return [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()], model


def make_older(journal: str = "rows.jsonl.journal") -> None:
    """Makes it one of version 1, which does not say what was asked."""
    with sqlite3.connect(journal) as stored:
        for table in ("texts", "items", "ends"):
            stored.execute(f"DROP TABLE {table}")
        stored.execute("PRAGMA user_version = 1")
    stored.close()


def test_a_journal_recounts_to_its_rows(run: Command) -> None:
    rows, _ = batch(run)
    again = [json.loads(line) for line in run("recount", "rows.jsonl.journal", "--json").out.splitlines()]
    assert [row.pop("id") for row in again] == ["1", "2", "3"]
    assert again == rows
    counted = run("recount", "rows.jsonl.journal", "--quorum", "4", "--rule", "ahead:2")
    assert counted.out.splitlines() == ["1  yes  (medium)", "2  yes  (medium)", "3  yes  (medium)"]
    one = run("recount", "rows.jsonl.journal#2", "--json")
    assert json.loads(one.out) == rows[1]
    assert " 0 calls" not in one.err
    assert "tokens, price unknown\n" in one.err


def test_a_vote_in_a_journal_is_shown_and_handed_over(run: Command) -> None:
    batch(run)
    shown = run("show", "rows.jsonl.journal#2", "--dissent")
    assert "Is it really so?" in shown.out
    assert "1 vote for no" in shown.out
    assert run("show", "rows.jsonl.journal").out.count("question: ") == 3
    assert run("runs", "show", "rows.jsonl.journal#2").out == run("show", "rows.jsonl.journal#2").out
    assert run("runs", "export", "rows.jsonl.journal", "-o", "votes.jsonl").code == 0
    assert run("recount", "votes.jsonl", "--json").out == run("recount", "rows.jsonl.journal", "--json").out
    refused = run("runs", "export", "rows.jsonl.journal", "-o", "rows.jsonl.journal")
    assert (refused.code, "another file than what is exported" in refused.err) == (2, True)
    refused = run("runs", "import", "votes.jsonl")
    assert (refused.code, "it holds no kept runs" in refused.err) == (2, True)


def test_a_journal_is_read_where_nothing_can_be_written(
    run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch(run)
    there = run("recount", "rows.jsonl.journal").out
    before = sorted(Path().glob("rows.jsonl.journal*"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert run("recount", "rows.jsonl.journal").out == there
    assert sorted(Path().glob("rows.jsonl.journal*")) == before


def test_no_key_is_handed_over(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-test-0123456789abcdef0123456789abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    Path("questions.txt").write_text(f"Is {key} a key?\n")
    run("batch", "questions.txt", "--journal", "journal", "--backend", "fake", "-q")
    exported = run("runs", "export", "journal")
    assert (exported.code, key in exported.out) == (0, False)
    assert json.loads(exported.out)["vote"]["tiers"][0]["plan"]["question"]["text"].endswith(" a key?")


def test_a_log_without_a_run_is_exported_as_nothing(run: Command) -> None:
    Path(os.environ["FANIN_HOME"]).mkdir(parents=True, exist_ok=True)
    run(*VOTE)
    run("runs", "rm", "last")
    assert run("runs", "export", "--all", "-o", "runs.jsonl").code == 0
    assert Path("runs.jsonl").read_text() == ""


@pytest.mark.parametrize(
    ("which", "says"),
    [
        ("journal#q17", "there is no question 'q17' in it\nDid you mean journal#q1?"),
        ("journal#", "there is no question '' in it\nThe first is journal#q1."),
        ("journal#twice", "2 questions in it have the id 'twice'"),
    ],
)
def test_a_vote_that_a_journal_does_not_hold_is_told(run: Command, which: str, says: str) -> None:
    lines = [{"id": name, "question": f"Is it so, {name}?"} for name in ("q1", "twice")]
    lines.append({"id": "twice", "question": "Is it so again?"})
    Path("questions.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    run("batch", "questions.jsonl", "--journal", "journal", "--allow-duplicates", "--backend", "fake", "-q")
    ended = run("recount", which)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err


def test_two_batches_are_compared_question_by_question(run: Command) -> None:
    def held(name: str, *lines: tuple[str, str], model: str) -> str:
        Path(name).write_text("".join(f'{{"id":"{id_}","question":"{text}"}}\n' for id_, text in lines))
        words = ("--backend", "fake", "-m", model, "--runs", "3", "-q", "-o", "rows", "--overwrite")
        assert run("batch", name, *words, "--journal", f"{name}.journal").code == 0
        return f"{name}.journal"

    first = held("one", ("a", "Is it so?"), ("b", "Is it?"), ("c", "Was it?"), model="yes=0.5,no=0.5")
    second = held("two", ("x", "Is it?"), ("a", "Is it so?"), ("c", "Was it not?"), model="yes=0.5,no=0.5")
    third = held("three", ("a", "Is it so?"), ("d", "Does it?"), model="no")
    assert run("diff", first, first).code == 0
    ended = run("diff", first, second)
    assert (ended.code, ended.out.splitlines()[0]) == (1, 'c: asked: question: "Was it?" -> "Was it not?"')
    assert {line[0] for line in ended.out.splitlines()} == {"c"}
    assert "1 of 3 votes differ" in ended.err
    ended = run("diff", first, third, "--json")
    found = [json.loads(line) for line in ended.out.splitlines()]
    assert [one["id"] for one in found] == ["a", "b", "c", "d"]
    assert found[0]["asked"]["models"] == [["yes=0.5,no=0.5"], ["no"]]
    assert [one.get("only_in") for one in found] == [None, "one.journal", "one.journal", "three.journal"]


def test_an_older_journal_is_read_with_its_questions(run: Command) -> None:
    rows, model = batch(run)
    make_older()
    for words in (("recount",), ("show",), ("runs", "export")):
        refused = run(*words, "rows.jsonl.journal")
        assert (refused.code, "it does not say what was asked" in refused.err) == (2, True)
    words = (
        "recount",
        "rows.jsonl.journal",
        "--questions",
        "questions.txt",
        "--backend",
        "fake",
        "-m",
        model,
    )
    again = [json.loads(line) for line in run(*words, "--runs", "4", "--json").out.splitlines()]
    assert [row.pop("id") for row in again] == ["1", "2", "3"]
    assert sorted(again, key=str) == sorted(rows, key=str)
    with Path("questions.txt").open("a") as file:
        file.write("Is it so?\n")  # a third time, which the batch was not asked
    assert len(run(*words, "--runs", "4").out.splitlines()) == 3
    otherwise = run(*words, "--runs", "4", "--quorum", "2", "--rule", "ahead:2", "--json").out.splitlines()
    assert {json.loads(line)["stopped"]["rule"] for line in otherwise} == {"ahead:2"}
    wrong = run(*words, "--runs", "4", "--temperature", "1.5")
    assert wrong.code == 2
    assert "it holds no answer to these questions" in wrong.err
    resumed = run("batch", "questions.txt", "-o", "rows.jsonl", "--runs", "4", *words[4:], "--resume")
    assert "3 runs answered and 12 from the journal" in resumed.err or "12 from the journal" in resumed.err
    assert len(run("recount", "rows.jsonl.journal").out.splitlines()) == 4


def test_rows_of_a_batch_are_counted_again(run: Command) -> None:
    rows, _ = batch(run)
    again = [json.loads(line) for line in run("recount", "rows.jsonl", "--json").out.splitlines()]
    assert [row["votes"] for row in again] == [row["votes"] for row in rows]
    counted = run("recount", "rows.jsonl", "--answer", "yes/no")
    assert (counted.code, len(counted.out.splitlines())) == (0, 3)


def test_votes_on_standard_input_are_recounted(run: Command) -> None:
    lines = b"".join(
        b'{"id":"%d","samples":[{"answer":"yes"},{"answer":"no"}]}\n' % number for number in (7, 8)
    )
    assert run("recount", "-", stdin=lines).out.splitlines() == ["7  tie  (none)", "8  tie  (none)"]
    ended = run("recount", "-", stdin=b"nothing of use")
    assert (ended.code, ended.err) == (2, "fanin: standard input, line 1: it is not JSON\n")


def test_several_votes_end_with_3_where_one_is_below_what_is_required(run: Command) -> None:
    batch(run)
    assert run("recount", "rows.jsonl.journal", "--require", "medium").code == 0
    assert run("recount", "rows.jsonl.journal", "--require", "high").code == 3


def test_another_rule_is_named_as_it_was_given(run: Command) -> None:
    run(*VOTE)
    ended = run("recount", "last", "--rule", "decid")
    assert (ended.code, ended.err.startswith("fanin: --rule must be one of")) == (2, True)
    assert "Did you mean last?" in run("show", "lst").err


def test_a_report_on_dissent_goes_field_by_field(run: Command) -> None:
    Path("schema.json").write_text(
        '{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"}},"required":["a","b"]}'
    )
    documents = [{"a": "x", "b": 1}, {"a": "x", "b": 2}, {"a": "x", "b": 1}]
    replies = [json.dumps(document) for document in documents]
    replies[1] = f"It is two.\\n```json\\n{replies[1]}\\n```"
    model = ",".join([*replies, "nothing"])
    words = ("--schema", "schema.json", "--backend", "fake", "-m", model, "--runs", "4")
    voted = run("vote", "What is it?", *words)
    lines = run("show", "last", "--dissent").out.replace(model, "MODEL").splitlines()
    assert lines[2:] == [
        "/b: 1 (2 votes), 2 (1 vote)",
        "  2: run 1 (MODEL, temperature 0.7)",
        "    It is two.",
        "1 run cast no vote (1 spoiled). Had all of them said one thing, they could have changed /b.",
    ]
    first = id_of(voted)
    assert "field /b: 1: 2, 2: 1; low\n" in run("show", "last").out
    run(
        "vote",
        "What?",
        "--schema",
        "schema.json",
        "--backend",
        "fake",
        "-m",
        '{"a":"x","b":1}',
        "--runs",
        "3",
    )
    assert run("show", "last", "--dissent").out.splitlines()[2:] == [
        "Nobody dissents on any field.",
        "Every run that counts cast a vote, so nothing was left open.",
    ]
    lines = run("diff", first, "last").out.splitlines()
    assert "came back: run 1: choice b 2 -> 1; text" in "".join(lines).replace(model, "")
    assert (
        'decided: field /b: grade "low" -> "high"; confidence 0.5 -> 1.0; votes 1 2 -> 3; 2 1 -> null'
        in lines
    )


def test_several_votes_end_with_1_where_one_gave_nothing(run: Command) -> None:
    lines = [{"samples": [{"answer": answer}]} for answer in ("yes", None, "no")]
    Path("votes.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    ended = run("recount", "votes.jsonl")
    assert (ended.code, ended.out.splitlines()) == (1, ["1  yes  (low)", "2  failed  (none)", "3  no  (low)"])


def test_a_journal_is_read_while_nobody_has_to_stop(run: Command) -> None:
    from fanin.batching.journal import read_journal
    from fanin.batching.journal_file import locked

    batch(run)
    with locked(Path("rows.jsonl.journal")), read_journal(Path("rows.jsonl.journal")) as journal:
        assert journal.recall(b"nothing") is None
    Path("other").write_bytes(b"x" * 5000)
    with pytest.raises(JournalError, match="it is damaged, or no journal"), read_journal(Path("other")):
        pass
