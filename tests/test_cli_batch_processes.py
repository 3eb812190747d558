"""`fanin batch` as a process of its own: signals, a reader that goes away, a disk that is full."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FANIN = (sys.executable, "-m", "fanin")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = [json.dumps({"id": number, "question": f"Is {number} so?"}) for number in range(300)]
    (tmp_path / "questions.jsonl").write_text("\n".join(lines))
    return tmp_path


def told(process: subprocess.Popen[bytes], what: bytes, times: int = 1) -> None:
    """Comes back when stderr has said so, that many times."""
    assert process.stderr is not None
    while times:
        line = process.stderr.readline()
        assert line, f"it never said {what!r}"
        times -= what in line


def started(folder: Path, *words: str, jobs: int = 1, model: str = "yes@1") -> subprocess.Popen[bytes]:
    """The command, once that many calls are in flight."""
    process = subprocess.Popen(
        [*FANIN, "batch", "questions.jsonl", "--backend", "fake", "-m", model, "--runs", "3", "-v",
         "-j", str(jobs), *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )  # fmt: skip
    told(process, b"asking", jobs)
    return process


def rows(folder: Path) -> list[int]:
    """The ids of the rows, each of which is whole."""
    text = (folder / "rows.jsonl").read_text()
    assert text.endswith("\n")
    return [json.loads(line)["id"] for line in text.splitlines()]


@pytest.mark.parametrize("signals", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_once_drains_twice_cuts_and_both_can_be_gone_on_with(
    signals: int, number: signal.Signals, folder: Path
) -> None:
    process = started(folder, "-o", "rows.jsonl", jobs=20)
    process.send_signal(number)
    told(process, b"20 calls in flight are waited for")
    if signals == 2:
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (b"20 runs answered" in err) == (signals == 1)
    [again] = [line for line in err.decode().splitlines() if "to go on: " in line]
    words = [*shlex.split(again.partition("to go on: ")[2])[1:], "-q", "-j", "1000"]
    ended = subprocess.run([*FANIN, *words], cwd=folder, stdin=subprocess.DEVNULL, check=False)
    assert ended.returncode == 0
    assert sorted(rows(folder)) == list(range(300))


def test_a_reader_that_goes_away_ends_the_calls(folder: Path) -> None:
    process = started(folder, "--journal", "kept", model="yes@0.01")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["answer"] == "yes"
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"Traceback" not in err
    assert err.count(b"answered") < 900


def test_a_full_disk_leaves_whole_rows_and_can_be_gone_on_with(folder: Path) -> None:
    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    words = (*FANIN, "batch", "questions.jsonl", "--backend", "fake", "-m", "yes", "-o", "rows.jsonl")
    words = (*words, "--journal", "kept")
    full = subprocess.run(
        words, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, preexec_fn=little_room, check=False
    )
    assert full.returncode == 1
    assert b"Traceback" not in full.stderr
    assert b"--resume" in full.stderr
    assert not (folder / "rows.jsonl").exists() or 0 < len(rows(folder)) < 300
    ended = subprocess.run([*words, "--resume"], cwd=folder, stdin=subprocess.DEVNULL, check=False)
    assert ended.returncode == 0
    assert sorted(rows(folder)) == list(range(300))


def test_a_full_disk_under_standard_output_is_exit_1(folder: Path) -> None:
    words = (*FANIN, "batch", "questions.jsonl", "--backend", "fake", "-m", "yes")
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            words, cwd=folder, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr == b"fanin: standard output cannot be written: No space left on device\n"


def on_a_terminal(folder: Path, *words: str, rows_too: bool) -> list[str]:
    """What a terminal is sent on stderr, and on stdout too where that is to be: its lines, bare."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        (*FANIN, "batch", "questions.jsonl", "--backend", "fake", "-m", "yes@0.05", "--runs", "1", *words),
        cwd=folder, stdin=subprocess.DEVNULL, stdout=theirs if rows_too else None, stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "400"},
    )  # fmt: skip
    os.close(theirs)
    sent = b""
    with suppress(OSError):  # a terminal that nobody holds any more
        while more := os.read(ours, 65536):
            sent += more
    os.close(ours)
    assert process.wait() == 0
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", sent.decode()))


def test_a_line_that_lives_runs_into_no_other(folder: Path) -> None:
    events = on_a_terminal(folder, "-v", "-o", "rows.jsonl", rows_too=False)
    assert any("of about" in line for line in events), "there is a line that lives"
    assert sum(line.startswith("item ") for line in events) == 600
    assert all(line.startswith("item ") for line in events if "item " in line)
    beside = on_a_terminal(folder, rows_too=True)
    assert sum(line.startswith("{") for line in beside) == 300


PANEL = """
backend = "fake"
[[agents]]
name = "Ann"
model = "Ann's words@0.02"
system = "You are Ann."
[[agents]]
name = "Bob"
model = "Bob's words@0.03"
system = "You are Bob."
[aggregator]
model = "the report@0.01"
system = "Aggregate."
"""


def test_panels_that_are_killed_are_gone_on_with_and_no_call_is_made_again(folder: Path) -> None:
    (folder / "panel.toml").write_text(PANEL)
    words = (*FANIN, "batch", "questions.jsonl", "--panel", "panel.toml", "-o", "rows.jsonl", "--resume")
    words = (*words, "-j", "20")
    for answers in (30, 60, 90):
        process = subprocess.Popen(
            (*words, "-v"), cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        told(process, b"answered", answers)
        process.kill()
        process.communicate()
    with sqlite3.connect(folder / "rows.jsonl.journal") as journal:
        assert journal.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        [kept] = journal.execute("SELECT count(*) FROM calls").fetchone()
    journal.close()
    assert kept >= 180 - 3 * 20, "what was told to be answered is kept, but for calls in flight"
    ended = subprocess.run(words, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert ended.returncode == 0
    assert f"{900 - kept} runs answered and {kept} from the journal".encode() in ended.stderr
    assert sorted(rows(folder)) == list(range(300))
    with sqlite3.connect(folder / "rows.jsonl.journal") as journal:
        calls = journal.execute("SELECT count(*), count(DISTINCT key) FROM calls").fetchone()
    journal.close()
    assert calls == (900, 900)


def test_the_help_loads_click_alone() -> None:
    program = (
        "import sys\nsys.argv = ['fanin', 'batch', '--help']\nfrom fanin.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'litellm', 'httpx2', 'vcr', 'rich', 'pydantic', 'pyarrow', 'anyio', 'sqlite3'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
