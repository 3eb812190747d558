"""The pytest plugin, in test suites of its own: each is run by a pytest of its own, in a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from shutil import copytree, ignore_patterns

import attrs
import pytest
from standin import Given, Seen, StandIn, chat

from fanin.cli import main

SAMPLE = Path(__file__).parent / "sample_project"
RENEWAL = "cassettes/test_contracts/test_a_contract_that_renews_by_itself.json"

pytestmark = pytest.mark.slow  # starts processes


@attrs.frozen
class Suite:
    """A folder with tests, and nothing of this machine."""

    folder: Path

    def pytest(self, *words: str, code: int = 0, **environ: str) -> str:
        """Runs its tests; what pytest printed."""
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:cacheprovider", *words],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "COLUMNS": "300", **environ},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def tape(self, name: str) -> str:
        """The text of a tape."""
        return (self.folder / name).read_text("utf-8")


class Model(StandIn):
    """Says yes to contracts that renew."""

    def answer(self, seen: Seen) -> Given:
        super().answer(seen)
        return chat("Answer: yes" if "unless" in str(seen.json["messages"]) else "Answer: no")

    @property
    def named(self) -> Mapping[str, str]:
        """The environment that leads to it."""
        return {"OPENAI_BASE_URL": f"{self.url}/v1"}


@pytest.fixture
def sample(tmp_path: Path) -> Suite:
    """A copy of the sample project."""
    return Suite(Path(copytree(SAMPLE, tmp_path / "sample", ignore=ignore_patterns("__pycache__"))))


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """A folder for tests."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\nfilterwarnings = error\n")
    return Suite(tmp_path)


# The sample project


def test_it_is_green_with_no_key_and_no_network(sample: Suite) -> None:
    assert "3 passed" in sample.pytest(CI="true")


def test_it_is_red_when_its_prompt_changes_and_says_what_to_do(sample: Suite) -> None:
    program = sample.folder / "contracts.py"
    program.write_text(program.read_text().replace("renew by itself", "end by itself"))
    said = sample.pytest(code=1, CI="true")
    assert "2 failed, 1 passed" in said
    assert "error" not in said.splitlines()[-1]  # a miss is told once
    assert "Does this contract [-renew-]{+end+} by itself?" in said
    command = "pytest test_contracts.py::test_a_contract_that_renews_by_itself --fanin-record=new"
    assert command in said
    before = {name: sample.tape(name) for name in (RENEWAL, "cassettes/one-year.json")}
    with Model([chat("")]) as model:
        # The tapes name the address they were recorded at.
        before = {name: text.replace("http://127.0.0.1:8080", model.url) for name, text in before.items()}
        for name, text in before.items():
            (sample.folder / name).write_text(text, "utf-8")
        sample.pytest(*command.split()[1:])
        assert len(model.seen) == 3
    assert sample.tape("cassettes/one-year.json") == before["cassettes/one-year.json"]
    added = json.loads(sample.tape(RENEWAL))["interactions"]
    assert [each for each in json.loads(before[RENEWAL])["interactions"] if each not in added] == []
    assert len(added) == 6
    assert "1 passed" in sample.pytest(*command.split()[1:2])


def test_once_records_the_tape_that_is_missing_and_ci_records_none(sample: Suite) -> None:
    (sample.folder / RENEWAL).unlink()
    with Model([chat("")]) as model:
        said = sample.pytest("--fanin-record=once", code=1, CI="1", **model.named)
        assert "CI is set, so tapes are replayed and nothing is recorded" in said
        assert "there is no such tape" in said
        assert "3 passed" in sample.pytest("--fanin-record=once", CI="false", **model.named)
        assert len(model.seen) == 3
    assert "3 passed" in sample.pytest()


def test_what_no_test_uses_is_found(
    sample: Suite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample.pytest("--fanin-used=used.jsonl", "-k", "contract_that_ends")
    monkeypatch.chdir(sample.folder)
    monkeypatch.setattr(sys, "argv", ["fanin", "cassette", "check", "cassettes", "--unused", "used.jsonl"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    said = capsys.readouterr().out
    assert said.count(f"{RENEWAL}: interaction") == 3
    assert "one-year" not in said
    sample.pytest("--fanin-used=used.jsonl")
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0


# The plugin


def test_plugging_in_loads_nothing_heavy(suite: Suite) -> None:
    (suite.folder / "test_light.py").write_text(
        "import sys\n\n"
        "def test_light():\n"
        "    heavy = {'vcr', 'httpx2', 'httpx', 'litellm', 'yaml', 'fanin.taping', 'attrs'}\n"
        "    assert 'fanin.pytest_plugin' in sys.modules\n"
        "    assert heavy & set(sys.modules) == set()\n"
    )
    suite.pytest("-p", "no:anyio", "-p", "no:hypothesispytest", "-p", "no:recording")


def test_the_marker_and_the_options_explain_themselves(suite: Suite) -> None:
    assert "@pytest.mark.fanin_cassette(name)" in suite.pytest("--markers")
    said = suite.pytest("--help")
    for option in ("--fanin-record", "--fanin-block-network", "--fanin-used"):
        assert option in said


_NAMES = """
import pytest

@pytest.mark.parametrize("value", ["a/b", "c"])
def test_names(fanin_cassette, value):
    pass

class TestIn:
    def test_names(self, fanin_cassette):
        pass
"""


def test_every_test_has_a_tape_of_its_own(suite: Suite) -> None:
    (suite.folder / "test_them.py").write_text(_NAMES)
    said = suite.pytest(code=1)
    for name in ("test_names-a-b-", "test_names-c-", "TestIn.test_names"):
        assert f"cassettes/test_them/{name}.json: there is no such tape" in said


_FAILING = """
import urllib.request

def test_it(fanin_cassette):
    assert fanin_cassette.mode == "record"
    urllib.request.urlopen("{url}/v1/models").read()
    assert {holds}
"""


def test_the_recording_of_a_test_that_fails_is_not_kept(suite: Suite) -> None:
    with StandIn(named={"/v1/models": chat("yes")}) as server:
        for holds, code in ((False, 1), (True, 0)):
            (suite.folder / "test_it.py").write_text(_FAILING.format(url=server.url, holds=holds))
            suite.pytest("--fanin-record=all", code=code)
            assert (suite.folder / "cassettes/test_it/test_it.json").exists() == holds


_SWALLOWED = """
import urllib.request

def test_it(fanin_cassette):
    try:
        urllib.request.urlopen("http://127.0.0.1:1/v1/other")
    except Exception:
        pass
"""


def test_a_miss_that_the_test_swallows_is_an_error_all_the_same(suite: Suite) -> None:
    with StandIn(named={"/v1/models": chat("yes")}) as server:
        (suite.folder / "test_it.py").write_text(_FAILING.format(url=server.url, holds=True))
        suite.pytest("--fanin-record=all")
    (suite.folder / "test_it.py").write_text(_SWALLOWED)
    said = suite.pytest(code=1)
    assert "1 passed, 1 error" in said
    assert "the URL is http://127.0.0.1:1/v1/other" in said


_LEAKING = """
import socket

def test_a_leak():
    socket.create_connection(("api.example.com", 443))
"""


def test_a_leaked_call_is_refused_without_a_tape_too(suite: Suite) -> None:
    (suite.folder / "test_leak.py").write_text(_LEAKING)
    said = suite.pytest("--fanin-block-network", code=1)
    assert "something tried to reach 'api.example.com'" in said


_BESIDE = """
import urllib.request

import pytest
import vcr

def ask(path):
    return urllib.request.urlopen("{url}" + path).read()

@pytest.mark.fanin_cassette("ours")
def test_ours():
    assert b"ours" in ask("/v1/models")

def test_vcrpy(tmp_path):
    with vcr.use_cassette("theirs.yaml", record_mode="{mode}"):
        assert b"theirs" in ask("/v1/theirs")

def test_ours_again(fanin_cassette):
    assert b"ours" in ask("/v1/models")

{recording}
"""
_RECORDING = """
@pytest.mark.vcr
def test_pytest_recording():
    assert b"theirs" in ask("/v1/theirs")
"""


def test_vcrpy_and_pytest_recording_live_beside_it(suite: Suite) -> None:
    recording, words = "", ("", "")
    if find_spec("pytest_recording") is not None:
        recording, words = _RECORDING, ("--record-mode=once", "--record-mode=none")
    with StandIn(named={"/v1/models": chat("ours"), "/v1/theirs": chat("theirs")}) as server:
        text = _BESIDE.format(url=server.url, mode="once", recording=recording)
        (suite.folder / "test_beside.py").write_text(text)
        suite.pytest("--fanin-record=all", *filter(None, words[:1]))
    (suite.folder / "test_beside.py").write_text(text.replace('"once"', '"none"'))
    assert "passed" in suite.pytest("--fanin-block-network", *filter(None, words[1:]))
