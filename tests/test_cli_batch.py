"""`fanin batch` in the test's own process: its rows, its files, its exit codes, and bad input."""

from __future__ import annotations

import json
import shlex
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from command import Command, Ended

from fanin.batching.journal_file import locked
from fanin.batching.rates import Rate
from fanin.batching.standing import Standing
from fanin.cli.batch_display import Look, Watching, duration
from fanin.cli.batch_report import exit_code

SCRIPT = "yes,yes,no"
FAKE = ("--backend", "fake", "-m", SCRIPT)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def questions(*lines: str | dict[str, Any], path: str = "questions.jsonl") -> None:
    Path(path).write_text(
        "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    )


def three() -> None:
    questions(
        {"id": "a", "question": "Is it?"}, {"id": "b", "question": "Was it?", "runs": 3}, {"question": "Why?"}
    )


def rows(of: str | Ended = "rows.jsonl") -> list[dict[str, Any]]:
    text = of.out if isinstance(of, Ended) else Path(of).read_text()
    assert text.endswith("\n") or not text
    return [json.loads(line) for line in text.splitlines()]


def batch(run: Command, *words: str, to: str | None = "rows.jsonl", model: str = SCRIPT) -> Ended:
    where = () if to is None else ("-o", to)
    return run("batch", "questions.jsonl", *where, "--backend", "fake", "-m", model, *words)


def test_a_row_for_every_question(run: Command) -> None:
    three()
    ended = batch(run, "--ordered", "--price", "1/2")
    assert ended.code == 0, ended.err
    assert ended.out == ""
    found = rows()
    assert [(row.get("id"), row["question"], row["runs"]["planned"]) for row in found] == [
        ("a", "Is it?", 5), ("b", "Was it?", 3), (None, "Why?", 5),
    ]  # fmt: skip
    assert found[0]["votes"] == {"yes": 4, "no": 1}
    assert "3 rows, 13 runs answered" in ended.err
    assert "US$ 0.0" in ended.err


def test_a_row_is_what_a_vote_on_that_question_gives(run: Command) -> None:
    questions({"id": 7, "question": "Is it?", "choices": ["yes", "no"], "context": "Perhaps."})
    [row] = rows(batch(run, to=None))
    words = ("--choices", "yes,no", *FAKE, "--json", "-q")
    alone = json.loads(run("vote", "Is it?", *words, stdin=b"Perhaps.").out)
    assert row == {"id": 7, **alone}


def test_every_way_in_and_out(run: Command) -> None:
    Path("questions.txt").write_bytes("Is it?\nWas it?".encode("utf-16"))
    Path("questions.csv").write_text("id,text\na,Is it?\nb,Was it?\n")
    by_lines = run("batch", "questions.txt", *FAKE, "--ordered", "-q")
    by_pipe = run("batch", "-", *FAKE, "--ordered", "-q", stdin=b"Is it?\r\nWas it?")
    assert [row["question"] for row in rows(by_lines)] == ["Is it?", "Was it?"]
    assert by_pipe.out == by_lines.out
    ended = run("batch", "questions.csv", "--column", "text", *FAKE, "-q", "-o", "rows.csv", "--ordered")
    assert (ended.code, ended.err) == (0, "")
    assert [line.split(",")[0] for line in Path("rows.csv").read_text().splitlines()] == ["id", "a", "b"]
    told = run("batch", "questions.csv", *FAKE, "-q", "--column", "text", "--format", "openai")
    assert {row["custom_id"] for row in rows(told)} == {"a", "b"}


def test_ties_and_missing_quorums_are_rows_like_others(run: Command) -> None:
    questions(
        {"id": 1, "question": "Is it?", "model": "yes,no", "runs": 2},
        {"id": 2, "question": "Is it?", "model": "what,yes,what,what,what"},
    )
    ended = batch(run, "--ordered")
    assert ended.code == 0, ended.err
    assert [row["outcome"] for row in rows()] == ["tie", "no_quorum"]


def test_one_bad_line_is_one_bad_row_and_exit_1(run: Command) -> None:
    questions(
        *({"id": "a", "question": "Is it?"}, "", "{broken", {"id": "a", "question": "Was it?"}),
        {"id": "c", "question": "Is it?", "runs": 0},
        {"id": "d", "question": "Is it?", "model": "!500"},
        {"id": "../../x", "question": "Is it?"},
    )
    ended = batch(run, "--ordered", "--retries", "0")
    assert ended.code == 1
    found = rows()
    assert [row.get("id") for row in found] == ["a", None, "a", "c", "d", "../../x"]
    assert [row.get("line") for row in found] == [None, 3, 4, 5, None, None]
    assert found[1]["error"].startswith("it is not JSON")
    assert found[2]["error"] == "its id 'a' is that of line 1 too"
    assert found[3]["error"].startswith("runs must be a whole number")
    assert found[4]["outcome"] == "failed"
    assert "line 3: it is not JSON" in ended.err
    assert "6 rows (4 failed)" in ended.err
    assert "and 1 more rows that failed" in ended.err
    assert batch(run, "--allow-duplicates", to="again.jsonl").code == 1
    assert [row["outcome"] for row in rows("again.jsonl") if row.get("id") == "a"] == ["decided"] * 2


def test_what_the_journal_holds_is_not_asked_again(run: Command) -> None:
    three()
    assert batch(run, "--ordered").code == 0
    first = Path("rows.jsonl").read_bytes()
    Path("rows.jsonl").write_bytes(first[:-50])  # torn by a crash
    again = batch(run, "--ordered", "--resume")
    assert again.code == 0
    assert "0 runs answered and 13 from the journal" in again.err
    assert Path("rows.jsonl").read_bytes() == first
    # Another order, one more question, and one that was changed: only what is new is asked.
    lines = Path("questions.jsonl").read_text().splitlines()
    questions({"question": "New?"}, lines[2], lines[0].replace("Is it", "Is that"), lines[1])
    grown = batch(run, "--ordered", "--resume")
    assert "10 runs answered and 8 from the journal" in grown.err
    assert [row["question"] for row in rows()] == ["New?", "Why?", "Is that?", "Was it?"]


def test_resume_with_nothing_to_resume_begins(run: Command) -> None:
    three()
    assert batch(run, "--resume").code == 0
    assert len(rows()) == 3


def test_failed_rows_are_asked_again_on_resume(run: Command) -> None:
    three()
    assert batch(run, "--retries", "0", model="!500").code == 1
    assert len(rows()) == 3
    questions(*({**row, "model": "yes"} for row in ({"question": "Is it?"}, {"question": "Was it?"})))
    ended = batch(run, "--resume")
    assert (ended.code, len(rows())) == (0, 2)
    assert not Path("rows.jsonl.unfinished").exists()


def test_nothing_is_written_over_unless_told_to(run: Command) -> None:
    three()
    assert batch(run).code == 0
    before = Path("rows.jsonl").read_bytes()
    refused = batch(run)
    assert refused.code == 2
    assert "rows.jsonl: it is there already" in refused.err
    assert "--resume goes on" in refused.err
    assert Path("rows.jsonl").read_bytes() == before
    assert "13 runs answered" in batch(run, "--overwrite").err
    Path("rows.jsonl").unlink()
    orphaned = batch(run)
    assert orphaned.code == 2
    assert "it holds the calls of an earlier batch" in orphaned.err
    assert not Path("rows.jsonl").exists()
    batch(run, "--resume", "-q")
    Path("rows.jsonl.journal").unlink()
    lost = batch(run, "--resume")
    assert lost.code == 2
    assert "their journal rows.jsonl.journal is gone" in lost.err


def journal_of_another_version() -> None:
    with sqlite3.connect("rows.jsonl.journal") as journal:
        journal.execute("PRAGMA user_version = 99")
    journal.close()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda: Path("rows.jsonl.journal").write_bytes(b"this is no database" * 99), "damaged"),
        (journal_of_another_version, "a journal of version 99"),
    ],
    ids=["corrupt", "version"],
)  # fmt: skip
def test_a_journal_that_cannot_be_used_is_refused(run: Command, spoil: Any, says: str) -> None:
    three()
    batch(run)
    before = Path("rows.jsonl").read_bytes()
    spoil()
    ended = batch(run, "--resume")
    assert ended.code == 2
    assert says in ended.err
    assert Path("rows.jsonl").read_bytes() == before


def test_a_journal_of_0_bytes_is_a_new_one(run: Command) -> None:
    three()
    Path("rows.jsonl.journal").touch()
    assert batch(run).code == 0


BAD_INPUT = [
    (("missing.jsonl",), "missing.jsonl: it cannot be read: No such file"),
    ((".",), ".: it is a directory"),
    (("empty.jsonl",), "empty.jsonl: there is no question in it"),
    (("table.csv",), "the table has no column 'question' (it has: a, b)"),
    (("table.csv", "--column", "c"), "the table has no column 'c'"),
    (("some.txt", "-o", "some.txt"), "the rows would be written over the questions"),
    (("some.txt", "-o", "link"), "the rows would be written over the questions"),
    (("some.txt", "-o", "."), ".: it is a directory"),
    (("some.txt", "-o", "no/such/folder"), "there is no folder no/such"),
    (("array.json",), "the questions are one JSON array, and JSON Lines are wanted"),
    (("array.json", "--input-format", "auto"), "jq -c '.[]' makes them of it"),
    (("some.txt", "-o", "x", "--journal", "."), "it is a directory"),
    (("some.txt", "-o", "x", "--journal", ""), "it is a directory"),
    (("some.txt", "-o", "x", "--journal", "some.txt", "--overwrite"), "the journal would be written over"),
    (("some.txt", "-o", "x", "--journal", "link", "--resume"), "the journal would be written over"),
    (("some.txt", "--journal", "some.txt", "--overwrite"), "the journal would be written over"),
    (("x.journal", "-o", "x", "--input-format", "lines", "--overwrite"), "the journal would be written over"),
    (
        ("some.txt", "-o", "x", "--journal", "table.csv", "--overwrite"),
        "it is no journal, so it is not removed",
    ),
    (("some.txt", "-o", "x", "--journal", "./x"), "the rows and the journal cannot be one file"),
    (("some.txt", "-o", "x", "--resume", "--overwrite"), "exclude one another"),
    (("some.txt", "--ordered", "--budget-runs", "9"), "--budget-runs must be left out with ordered rows"),
    (("some.txt", "-o", "x", "--budget-runs", "0"), "--budget-runs must be a whole number, 1 or more"),
    (("some.txt", "--resume"), "there is nothing to resume"),
    (("some.txt", "--format", "parquet"), "--format parquet needs a file"),
    (("some.txt", "--format", "xml"), "'xml' is not one of"),
    (("some.txt", "--runs", "0"), "--runs must be a whole number from 1"),
    (("some.txt", "-j", "0"), "--concurrency must be a whole number from 1"),
    (("some.txt", "--stop", "never"), "stop must be"),
    (("some.txt", "--max-cost", "1"), "--max-cost must be left out where no price is known"),
    (("some.txt", "--max-cost", "-1"), "--max-cost must be"),
    (("some.txt", "--choices", "a,b", "--answer", "text"), "--choices already says"),
    (("some.txt", "-o", "x", "--backend", "nonesuch"), "there is no backend called 'nonesuch'"),
]


@pytest.mark.parametrize(("words", "says"), BAD_INPUT, ids=[" ".join(words) for words, _ in BAD_INPUT])
def test_bad_input_is_exit_2_and_makes_nothing(run: Command, words: tuple[str, ...], says: str) -> None:
    Path("empty.jsonl").touch()
    Path("table.csv").write_text("a,b\n1,2\n")
    Path("some.txt").write_text("Is it?\n")
    Path("x.journal").write_text("Is it?\n")
    Path("array.json").write_text('\n[\n {"question": "Is it?"},\n {"question": "Was it?"}\n]\n')
    Path("link").symlink_to("some.txt")
    before = {path.name for path in Path().iterdir()}
    ended = run("batch", words[0], "--backend", "fake", *words[1:])
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
    assert {path.name for path in Path().iterdir()} == before
    assert Path("some.txt").read_text() == "Is it?\n"


def test_a_folder_that_cannot_be_written_to(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    three()
    monkeypatch.setattr("fanin.cli.batch_files.os.access", lambda path, _: str(path) != ".")
    ended = batch(run)
    assert ended.code == 2
    assert "rows.jsonl: its folder . cannot be written to" in ended.err
    assert [path.name for path in Path().iterdir()] == ["questions.jsonl"]


def test_what_an_item_sets_wrongly_is_its_own_bad_row(run: Command) -> None:
    odd: list[Any] = [-1, "x", True, [5], {"a": 1}, 1e400, 10**30, [], ""]
    names = ("runs", "quorum", "temperature", "temperature_step", "seed", "max_tokens", "model", "system")
    wrong = [{"question": "Is it?", name: value} for name in names for value in odd]
    questions(*wrong, {"id": "good", "question": "Is it?"}, "x" * 11_000_000)
    ended = batch(run, "--runs", "1", "--ordered")
    assert ended.code == 1
    *found, good, giant = rows()
    assert good["answer"] == "yes"
    assert giant["error"] == "it is 11,000,000 bytes long; 10,485,760 are the most"
    bad = dict.fromkeys(names, 0)
    for row, item in zip(found, wrong, strict=True):
        [name] = item.keys() - {"question"}
        bad[name] += "error" in row
    assert all(bad[name] == len(odd) for name in ("runs", "quorum", "max_tokens"))
    assert all(bad[name] >= 3 for name in names)


def test_a_missing_key_is_exit_5_and_loses_nothing(run: Command) -> None:
    three()
    batch(run)
    before = {path.name: path.read_bytes() for path in Path().glob("rows*")}
    ended = run("batch", "questions.jsonl", "-o", "rows.jsonl", "--backend", "groq", "--overwrite")
    assert ended.code == 5
    assert {path.name: path.read_bytes() for path in Path().glob("rows*")} == before
    refused = batch(run, model="!auth", to="other.jsonl")
    assert refused.code == 5


def test_a_spent_budget_is_exit_6_and_says_how_to_go_on(run: Command) -> None:
    three()
    ended = batch(run, "--max-calls", "7", "-j", "1", "--ordered")
    assert ended.code == 6
    assert "the budget is spent" in ended.err
    assert "raise the cap first" in ended.err
    [line] = [line for line in ended.err.splitlines() if "to go on: " in line]
    words = shlex.split(line.partition("to go on: ")[2])
    assert words[0] == "fanin"
    # The cap counts what earlier sessions used.
    assert run(*words[1:]).code == 6
    more = run(*(word if word != "7" else "13" for word in words[1:]))
    assert (more.code, len(rows())) == (0, 3), more.err
    assert "7 from the journal" in more.err


def test_a_deadline_is_exit_6_and_what_is_done_is_written(run: Command) -> None:
    questions(*({"id": number, "question": f"Is {number}?"} for number in range(50)))
    ended = batch(run, "--deadline", "7s", "--runs", "2", "-j", "4", to=None, model="yes@1")
    assert ended.code == 6
    assert "the deadline came; " in ended.err
    assert 8 <= len(rows(ended)) <= 14


def test_a_wait_that_is_too_long_is_exit_6(run: Command) -> None:
    three()
    ended = batch(run, "--max-wait", "1m", model="!429:3600")
    assert ended.code == 6
    assert "to go on: fanin batch" in ended.err
    assert not Path("rows.jsonl").exists()


def test_calls_that_all_fail_alike_end_the_batch(run: Command) -> None:
    questions(*({"id": number, "question": f"Is {number}?"} for number in range(200)))
    ended = batch(run, "--runs", "1", model="!auth")
    assert ended.code == 5
    assert "every call fails alike" in ended.err
    assert len(rows()) < 40


def test_two_batches_at_once_on_one_output_are_refused(run: Command) -> None:
    three()
    batch(run)
    before = {path.name: path.read_bytes() for path in Path().glob("rows*")}
    with locked(Path("rows.jsonl.journal")):
        for words in (("--resume",), ("--overwrite",)):
            ended = batch(run, *words)
            assert ended.code == 2
            assert "another process is using it" in ended.err
    assert {path.name: path.read_bytes() for path in Path().glob("rows*")} == before


def test_a_terminal_is_shown_a_line_that_lives(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    three()
    # The stream that a test's stderr is, and rich's console, both ask for this.
    monkeypatch.setattr("_pytest.capture.CaptureIO.isatty", lambda _: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    ended = batch(run, "--runs", "1", model="yes@1")
    assert "of about 3 done" in ended.err
    assert "in flight" in ended.err
    assert "3 rows, 5 runs answered" in ended.err
    # No line that is written over, where the rows stand beside it.
    beside = batch(run, "--runs", "1", to=None, model="yes@1")
    assert "done" not in beside.err
    assert beside.out.count("\n") == 3


def test_without_a_journal_nothing_can_be_gone_on_with(run: Command) -> None:
    three()
    ended = batch(run, "--max-calls", "1", to=None)
    assert ended.code == 6
    assert "cannot be resumed" in ended.err
    kept = batch(run, "--journal", "kept", "--max-calls", "5", "-j", "1", to=None)
    assert kept.code == 6
    on = batch(run, "--journal", "kept", "--resume", to=None)
    assert on.code == 0
    assert len(rows(on)) == 3
    assert "8 runs answered and 5 from the journal" in on.err


def test_a_full_disk_ends_the_calls(run: Command) -> None:
    three()
    ended = run("batch", "questions.jsonl", "-o", "/dev/full", *FAKE, "--journal", "kept")
    assert ended.code == 1
    assert "/dev/full cannot be written: No space left on device" in ended.err
    assert "To go on, when there is room: fanin batch" in ended.err
    assert batch(run, "--journal", "kept", "--resume").code == 0


def test_as_many_open_files_as_calls_need(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    three()
    words = (
        "batch",
        "questions.jsonl",
        "--backend",
        "openai",
        "--base-url",
        "http://127.0.0.1:9/v1",
        "-m",
        "m",
    )
    words = (*words, "-j", "500", "--runs", "1", "--retries", "0", "-q")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    refused = run(*words)
    assert refused.code == 2
    assert "500 calls in flight need 532 open files, and this process may have 64" in refused.err
    assert "-j 32 at most" in refused.err
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 4096))
    assert run(*words).code == 1
    assert asked == [(532, 4096)]
    asked.clear()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (-1, -1))
    assert run(*words).code == 1
    assert asked == []


def test_every_five_seconds_a_line_where_there_is_no_terminal(run: Command) -> None:
    questions(*({"question": f"Is {number}?"} for number in range(40)))
    words = ("--price", "1/1", "-j", "4")
    ended = batch(run, *words, to=None, model="yes@1")
    shown = [line for line in ended.err.splitlines() if " done" in line]
    assert len(shown) in (9, 10)  # 40 x 5 calls of a second, 4 at once
    assert "of about 40 done" in shown[5]
    assert "4 in flight" in shown[5]
    assert "3.9 calls/s" in shown[5]  # four calls have not ended yet
    assert "left" in shown[5]
    assert "in all)" in shown[5]
    assert batch(run, *words, "-q", to=None, model="yes@1").err == ""


def test_what_calls_wait_for_is_told(run: Command) -> None:
    questions({"question": "Is it?"})
    ended = batch(run, "--runs", "1", to=None, model="!429:30>yes")
    assert ended.code == 0
    assert "0 in flight, 1 waiting to ask again" in ended.err
    told = batch(run, "--runs", "1", "-v", to=None, model="!500>yes")
    assert "item 1: " in told.err
    assert "asking again in" in told.err


def test_a_batch_in_one_line() -> None:
    standing = Standing(
        *(1100, 1000, 12, 0, 64, (("budget", 1), ("limit", 3))),
        calls=4000,
        recalled=1000,
        cost_usd=0.5,
        rates=(Rate("a", "m", "requests", 4000, 500.0),),
    )
    look = Look(standing, 3000.4, 2.0, (480,))
    assert str(look) == (
        "1,000 of about 3,000 done (12 failed), 60 in flight, 1 waiting for the budget, 3 waiting for the"
        " rate limit, 1,000 runs from the journal, US$ 0.5000 (about 1.7503 in all), 2.0 calls/s,"
        " rpm 480 of 500, about 1 h 23 min left"
    )
    unknown = Look(Standing(cost_usd=None), None, 0.0)
    assert str(unknown) == "0 done, 0 in flight, price unknown, 0.0 calls/min"


def test_each_limit_is_shown_with_what_the_last_minute_sent() -> None:
    shown = [
        Standing(rates=tuple(Rate(*rate, sent=sent, **more) for rate, sent, more in rates))
        for rates in (
            ((("a", "big", "requests"), 0, {"limit": 500.0}),),
            (
                (("a", "big", "requests"), 90, {"limit": 500.0}),
                (("a", "big", "tokens"), 7000, {"limit": 60_000.0}),
                (("b", "small", "requests"), 10, {"limit": 95.85, "found": True}),
                (("b", "small", "requests"), 10, {"limit": 14_400.0, "left": 13_982.4}),
            ),
        )
    ]
    looks = iter([*shown, shown[1], shown[1]])
    watching = Watching(lambda: next(looks), lambda: None)
    assert "rpm 0 of 500" in str(watching.look(0.0))
    assert str(watching.look(30.0)).endswith(
        "big: rpm 90 of 500, big: tpm 7,000 of 60,000, small: rpm 10 of about 96,"
        " small: 13,982 of 14,400 requests left"
    )
    assert "big: rpm 90 of 500, big: tpm 7,000 of" in str(watching.look(61.0))
    assert "big: rpm 0 of 500, big: tpm 0 of 60,000" in str(watching.look(95.0))


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (59.2, "1 min"), (61, "1 min 1 s"), (7199, "1 h 59 min"), (86400 * 3 + 3600, "3 d 1 h")],
)
def test_a_time_in_its_two_largest_units(seconds: float, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("standing", "code"),
    [
        (Standing(done=5, ended="all"), 0),
        (Standing(done=5, failed=1, ended="all"), 1),
        (Standing(done=5, failed=5, keys_refused=5, ended="circuit"), 5),
        (Standing(done=5, failed=5, keys_refused=4, ended="circuit"), 1),
        *((Standing(done=5, failed=1, ended=cut), 6) for cut in ("deadline", "budget", "limit")),
        (Standing(done=5, ended="journal"), 1),
        (Standing(done=5, failed=5, keys_refused=5, ended="interrupt"), 130),
    ],
)
def test_the_exit_code_tells_how_it_ended(standing: Standing, code: int) -> None:
    assert exit_code(standing) == code


def test_the_rules_and_the_help_are_there(run: Command) -> None:
    assert "certified:ALPHA" in run("batch", "x", "--stop", "help").out
    shown = run("batch", "--help").out
    for option in ("--resume", "--max-cost", "--ordered", "--column", "--deadline", "--warm-prefix"):
        assert option in shown
    assert "130 interrupted" in shown
    for command in ("batch", "export", "import"):
        assert command in run("--help").out


@pytest.mark.slow
def test_parquet_is_there_when_all_is_done(run: Command) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra fanin[parquet]")
    three()
    assert batch(run, "--max-calls", "7", "-j", "1", to="rows.parquet").code == 6
    assert pq.read_metadata("rows.parquet").num_rows == 1
    assert batch(run, "--resume", to="rows.parquet").code == 0
    assert sorted(filter(None, pq.read_table("rows.parquet").column("id").to_pylist())) == ["a", "b"]


def test_texts_of_a_batch_are_judged(run: Command) -> None:
    Path("what.txt").write_text("What is it?\nAnd what is that?\n")
    words = ("--backend", "fake", "-m", "A dog,One dog,A cat", "--runs", "3", "-q")
    ended = run("batch", "what.txt", "--cluster", "judge", "--judge", "same", *words)
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert [(row["votes"], row["judging"]["model"]) for row in rows] == [({"A dog": 3}, "same")] * 2
    picked = run("batch", "what.txt", "--select", "judge", "--judge", "It fits. Answer: 1", *words)
    for line in picked.out.splitlines():
        selection = json.loads(line)["judging"]["selection"]
        assert selection["picked"] == selection["shown"][0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--judge", "same"), "--judge must be left out where nothing is judged"),
        (("--cluster", "embedding"), "--embed must be given where the cluster is embedding"),
        (("--cluster", "judge", "--choices", "a,b"), "--cluster goes with texts"),
        (("--cluster", "judge", "--stop", "decided"), "--stop must be all"),
        (("--cluster", "judge", "--runs", "200"), "--runs must be at most 100"),
    ],
)
def test_texts_that_cannot_be_judged_are_told_before_a_call(
    run: Command, words: tuple[str, ...], says: str
) -> None:
    Path("what.txt").write_text("What is it?\n")
    ended = run("batch", "what.txt", "--backend", "fake", *words)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
