"""The command as a process of its own: signals, pipes, tapes and keys, against a stand-in server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from standin import StandIn, chat, error

pytestmark = pytest.mark.slow

KEY = "sk-canary-0123456789abcdefghij"


def command(*words: str) -> list[str]:
    """The command as it is started."""
    return [sys.executable, "-m", "fanin", "vote", "Is it so?", *words]


def environment(**more: str) -> dict[str, str]:
    """Nothing of this machine but what a process needs."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **more}


def run(*words: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    """The command run to its end."""
    return subprocess.run(
        command(*words), capture_output=True, stdin=subprocess.DEVNULL, env=environment(**more), check=False
    )


def started(*words: str) -> subprocess.Popen[bytes]:
    """The command, once it has begun to ask."""
    process = subprocess.Popen(
        command(*words, "-v"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        env=environment(),
    )  # fmt: skip
    assert process.stderr is not None
    while b"answered" not in process.stderr.readline():
        pass
    return process


def test_ctrl_c_once_reports_what_is_there() -> None:
    process = started("--backend", "fake", "-m", "yes,yes@600", "--json")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out)["stopped"]["by"] == "interrupt"
    assert b"Ctrl-C again leaves at once" in err


def test_ctrl_c_twice_leaves_at_once(tmp_path: Path) -> None:
    # A report that nobody reads blocks the command: only leaving at once can end it.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(pipe, os.O_WRONLY)
    process = subprocess.Popen(
        command("--backend", "fake", "-m", "yes,yes@600", "--json", "--runs", "1000", "-j", "500", "-v"),
        stdout=writing, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment(),
    )  # fmt: skip
    assert process.stderr is not None
    while b"answered" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    while b"stopping" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    os.close(writing)
    os.close(reading)
    assert process.returncode == 130


def test_a_tape_answers_again_without_the_server_and_holds_no_key(tmp_path: Path) -> None:
    tape = tmp_path / "tape.json"
    echo = [
        error(429, f"too fast, {KEY}: try again in 10ms"),
        error(500, KEY),
        chat(f"I see {KEY}.\nAnswer: yes"),
    ]
    with StandIn(echo) as server:
        words = ("--backend", "openai", "--base-url", f"{server.url}/v1", "-m", "some-model", "--json", "-v")
        recorded = run(*words, "--record", str(tape), OPENAI_API_KEY=KEY)
        assert any(seen.headers.get("authorization") == f"Bearer {KEY}" for seen in server.seen)
    assert recorded.returncode == 0, recorded.stderr
    for concurrency in ("1", "8", "64"):
        replayed = run("--replay", str(tape), "--json", "-j", concurrency)
        assert replayed.returncode == 0, replayed.stderr
        assert json.loads(replayed.stdout)["votes"] == {"yes": 5}
    for wrote in (recorded.stdout, recorded.stderr, tape.read_bytes()):
        for start in range(len(KEY) - 7):
            assert KEY[start : start + 8].encode() not in wrote


def test_an_interrupted_recording_leaves_the_old_tape(tmp_path: Path) -> None:
    tape = tmp_path / "tape.json"
    with StandIn([chat("Answer: yes")]) as server:
        words = ("--backend", "openai", "--base-url", f"{server.url}/v1", "-m", "some-model")
        assert run(*words, "--record", str(tape)).returncode == 0
        before = tape.read_bytes()
    with StandIn([chat("Answer: yes"), error(429, "Please try again in 500s")]) as server:
        words = ("--backend", "openai", "--base-url", f"{server.url}/v1", "-m", "some-model")
        process = started(*words, "--record", str(tape), "-j", "1")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert tape.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["tape.json"]


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    process = subprocess.Popen(
        command("--backend", "fake", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL, env=environment(),
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert b"Traceback" not in err


def test_a_python_without_the_extra_says_how_to_install_it() -> None:
    hidden = (
        "import sys; sys.modules['litellm'] = None; sys.argv[1:] = %r; from fanin.cli import main; main()"
    )
    words = ["vote", "Is it?", "--backend", "litellm", "-m", "openai/x"]
    ended = subprocess.run(
        [sys.executable, "-c", hidden % words], capture_output=True, stdin=subprocess.DEVNULL, check=False,
        env=environment(OPENAI_API_KEY=KEY),
    )  # fmt: skip
    assert ended.returncode == 2
    assert b"pip install 'fanin[litellm]'" in ended.stderr
