"""What the README shows is run: every `fanin` line and every Python block, live backends on tape."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path
from typing import Any

import anyio
import pytest
from command import Command

import fanin

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
INPUTS = ROOT / "cassettes" / "inputs"
LIVE = ("groq", "openai", "ollama")


def blocks(language: str) -> list[str]:
    """The README's code blocks in that language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


LINES = [line for block in blocks("sh") for line in block.splitlines() if re.search(r"(^|\| )fanin ", line)]
PYTHON = blocks("python")


def test_there_is_something_to_run() -> None:
    assert len(LINES) >= 5
    assert len(PYTHON) >= 3
    assert any("scripts/demo" in block and "scripts/test" in block for block in blocks("sh"))


@pytest.mark.parametrize("line", LINES)
def test_the_lines_do_what_they_say(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    before, _, after = line.rpartition("| ")
    words = shlex.split(after)[1:]
    live = [name for name in LIVE if name in words]
    if live and "--prompt" not in words:
        words += ["--replay", f"cassettes/{live[0]}.json"]
    stdin = INPUTS / before.split()[1] if before.startswith("cat ") else None
    ended = Command(monkeypatch, capsys)(*words, stdin=stdin)
    assert ended.code == 0, ended.err
    assert ended.out


@pytest.mark.parametrize("block", PYTHON)
def test_the_python_blocks_run(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    scope: dict[str, Any] = {"fanin": fanin, "text": (INPUTS / "change.txt").read_text("utf-8")}
    exec(f"async def shown():\n{textwrap.indent(block, '    ')}", scope)
    if '"openai"' in block:
        with fanin.tape(ROOT / "cassettes" / "openai.json"):
            anyio.run(scope["shown"])
    else:
        anyio.run(scope["shown"])


def test_the_demo_prints_what_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    shown = re.search(r"```\n\$ fanin (.*)\n((?:.*\n)*?)```", README)
    assert shown is not None
    ended = Command(monkeypatch, capsys)(*shlex.split(shown[1]))
    assert ended.out + ended.err == shown[2]
    assert shown[1] in (ROOT / "scripts" / "demo").read_text("utf-8")
