"""`fanin analyze` as a process of its own: signals, and what it loads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def environment() -> dict[str, str]:
    """Nothing of this machine but what a process needs."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}


def test_ctrl_c_once_reports_what_was_found() -> None:
    script = r"1. Look at a\n2. Look at b>It is so.>Too late.@600"
    words = ["analyze", "Is it so?", "--mode", "quick", "--backend", "fake", "-m", script, "--json", "-v"]
    process = subprocess.Popen(
        [sys.executable, "-m", "fanin", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment(),
    )  # fmt: skip
    assert process.stderr is not None
    while b"step 2 of 2" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    found = json.loads(out)
    assert process.returncode == 130
    assert (found["success"], found["failure"]["kind"]) == (False, "interrupted")
    assert [step["text"] for step in found["steps"]] == ["It is so."]
    assert b"Ctrl-C again leaves at once" in err


def test_an_analysis_loads_only_what_it_uses() -> None:
    program = (
        "import sys\n"
        "from fanin.cli import main\n"
        "sys.argv = ['fanin', 'analyze', 'Is it?', '--mode', 'quick', '--backend', 'fake', '-q',"
        " '-m', '1. a>so>Answer: no>Yes.>Answer: yes']\n"
        "try:\n    main()\n"
        "except SystemExit as leaving:\n    assert not leaving.code\n"
        "print({'litellm', 'httpx2', 'vcr', 'rich', 'pydantic'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True, env=environment(),
    )  # fmt: skip
    assert done.stdout.splitlines() == ["Yes.", "", "Answer: yes", "set()"]
