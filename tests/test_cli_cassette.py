"""`fanin cassette`: check, show, import and verify."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import httpx2
import pytest
from command import Command, Ended
from standin import Given, StandIn, chat, given

import fanin
from fanin.cli import main
from fanin.context import RUN_INDEX
from fanin.taping import storage, tape
from fanin.taping.recording import TapedError, TapedResponse

URL = "https://api.example.com/v1/chat/completions"
KEY = "sk-" + "abcdefghij0123456789"
ANSWER = {"choices": [{"message": {"role": "assistant", "content": "Answer: yes\x1b[31m"}}]}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    command = Command(monkeypatch, capsys)
    return lambda *words: command("cassette", *map(str, words))


def made(path: Path, prompts: tuple[str, ...] = ("Is it?",)) -> Path:
    """A tape on which each prompt is asked by one run."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=ANSWER))
    with tape(path, "all"), httpx2.Client(transport=transport) as http:
        for number, prompt in enumerate(prompts):
            token = RUN_INDEX.set(number)
            http.post(URL, json={"model": "m", "messages": [{"role": "user", "content": prompt}]})
            RUN_INDEX.reset(token)
    return path


def edited(path: Path, edit: Callable[[Any], object]) -> Path:
    stored = json.loads(path.read_text())
    edit(stored)
    path.write_text(json.dumps(stored))
    return path


# check


def test_a_folder_in_order(run: Callable[..., Ended], tmp_path: Path) -> None:
    made(tmp_path / "a.json")
    made(tmp_path / "deep" / "b.json")
    (tmp_path / "other.yaml").write_text("interactions: []")
    assert run("check", tmp_path) == Ended(0, "2 tapes checked, 0 problems\n", "")
    assert run("check", tmp_path / "a.json").out == "1 tapes checked, 0 problems\n"


def _plant(stored: Any) -> None:
    stored["interactions"][0]["response"]["body"] = {"text": f"the key is {KEY}"}


def _older(stored: Any) -> None:
    stored["format"] = "fanin.tape/0"


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (_plant, "interaction 1, response body holds what looks like a key"),
        (_older, "its format is fanin.tape/0"),
        (lambda stored: stored.pop("models"), "the tape has no 'models'"),
        (lambda stored: stored.update(secret=KEY), "unknown member"),
    ],
)
def test_a_tape_that_must_not_be_kept(
    run: Callable[..., Ended], tmp_path: Path, edit: Callable[[Any], object], told: str
) -> None:
    made(tmp_path / "good.json")
    edited(made(tmp_path / "bad.json"), edit)
    ended = run("check", tmp_path)
    assert ended.code == 1
    assert told in ended.out
    assert "2 tapes checked" in ended.out
    assert "good.json" not in ended.out
    assert KEY not in ended.out + ended.err


def test_a_key_that_only_the_environment_knows(
    run: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "a.json", ("the pass phrase is swordfish",))
    assert run("check", tmp_path).code == 0
    monkeypatch.setenv("MY_SECRET", "swordfish")
    ended = run("check", tmp_path)
    assert (ended.code, "swordfish" in ended.out) == (1, False)
    (tmp_path / "a.json").write_text("cut short: swordfish")
    assert "it holds what looks like a key" in run("check", tmp_path).out


def test_what_no_test_was_served(run: Callable[..., Ended], tmp_path: Path) -> None:
    path = made(tmp_path / "t" / "a.json", ("Is it?", "Is it not?", "Why?"))
    made(tmp_path / "t" / "b.json")
    used = tmp_path / "used.jsonl"
    lines = [{"tape": str(path.resolve()), "served": each} for each in ([1], [1, 3])]
    used.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ended = run("check", tmp_path / "t", "--unused", used)
    assert ended.code == 1
    assert ended.out.splitlines() == [
        f"{path}: interaction 2 was served to no test",
        f"{tmp_path / 't' / 'b.json'}: interaction 1 was served to no test",
        "2 tapes checked, 2 problems",
    ]


@pytest.mark.parametrize("content", [None, "{", "[]", '{"tape": 1}'])
def test_a_list_that_is_none_is_refused(
    run: Callable[..., Ended], tmp_path: Path, content: str | None
) -> None:
    made(tmp_path / "a.json")
    if content is not None:
        (tmp_path / "used").write_text(content)
    ended = run("check", tmp_path / "a.json", "--unused", tmp_path / "used")
    assert ended.code == 2
    assert "no list of what tests were served" in ended.err


@pytest.mark.parametrize("name", [".", "missing"])
def test_a_folder_without_tapes_is_no_success(run: Callable[..., Ended], tmp_path: Path, name: str) -> None:
    ended = run("check", tmp_path / name)
    assert (ended.code, ended.out) == (2, "")
    assert "there is no tape in it" in ended.err


# show


def test_a_tape_is_a_table_that_moves_no_cursor(run: Callable[..., Ended], tmp_path: Path) -> None:
    path = made(tmp_path / "a.json", ("Is\n it \x9b?", "Why? " * 100))
    ended = run("show", path)
    title, head, first, second = ended.out.splitlines()
    assert title == f"{path}: 2 interactions"
    assert head.split() == ["#", "run", "request", "model", "asks", "answer"]
    assert first.split()[:5] == ["1", "0", "POST", "/v1/chat/completions", "m"]
    assert "Is it \\x9b?" in first
    assert first.endswith("200  Answer: yes\\x1b[31m")
    assert "..." in second
    assert ended.out.replace("\n", "").isprintable()
    assert ended.code == 0


def test_errors_and_calls_without_a_run_are_shown(run: Callable[..., Ended], tmp_path: Path) -> None:
    path = made(tmp_path / "a.json", ("Is it?", "Why?"))
    held = storage.load(str(path))
    one, two = held.interactions
    listed = (attrs.evolve(one, run=None), attrs.evolve(two, outcome=TapedError("timeout", "No answer.")))
    storage.save(attrs.evolve(held, backend="groq", models=("m",), interactions=listed), str(path))
    title, _, first, second = run("show", path).out.splitlines()
    assert title.endswith("backend groq; models m; 2 interactions")
    assert first.startswith("1  -  ")
    assert second.endswith("timeout  No answer.")


def test_what_is_no_tape_is_not_shown(run: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    assert run("show", tmp_path / "a.json").code == 2


# import


def vcrpy_cassette(path: Path) -> Path:
    """One that vcrpy itself wrote: two equal requests, a key, and a compressed answer."""
    vcr = pytest.importorskip("vcr")
    answers = [chat("Answer: 1", set_cookie="a=b"), chat("Answer: 2")]
    with StandIn(answers) as server, vcr.use_cassette(str(path), allow_playback_repeats=False):
        for number in range(2):
            httpx2.post(
                f"{server.url}/v1/chat/completions?key={KEY}",
                json={"model": "m", "messages": [{"role": "user", "content": f"Is it {number}?"}]},
                headers={"authorization": f"Bearer {KEY}"},
            )
    return path


def test_a_cassette_of_vcrpy_becomes_a_tape(run: Callable[..., Ended], tmp_path: Path) -> None:
    old = vcrpy_cassette(tmp_path / "old.yaml")
    before = old.read_bytes()
    ended = run("import", old)
    assert (ended.code, ended.err) == (0, "")
    assert old.read_bytes() == before
    text = (tmp_path / "old.json").read_text()
    assert KEY not in text
    assert "set-cookie" not in text
    held = storage.load(str(tmp_path / "old.json"))
    assert [each.run for each in held.interactions] == [None, None]
    url = held.interactions[0].request.url
    with tape(tmp_path / "old.json"), httpx2.Client() as http:
        for number in (1, 0):
            body = {"messages": [{"role": "user", "content": f"Is it {number}?"}], "model": "m"}
            said = http.post(url, json=body).json()["choices"][0]["message"]["content"]
            assert said == f"Answer: {number + 1}"


def test_an_import_replaces_nothing(run: Callable[..., Ended], tmp_path: Path) -> None:
    old = vcrpy_cassette(tmp_path / "old.yaml")
    (tmp_path / "old.json").write_text("mine")
    ended = run("import", old)
    assert ended.code == 2
    assert "it is there already" in ended.err
    assert (tmp_path / "old.json").read_text() == "mine"
    assert run("import", old, "--to", tmp_path / "new.json").code == 0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("!!python/object/apply:os.system ['touch ran']", "not YAML that is safe to load"),
        ("a: [", "not YAML that is safe to load"),
        ("[" * 5000, "no"),
        ("", "no list of interactions"),
        ("- request: {}", "no list of interactions"),
        ("interactions: 3", "no list of interactions"),
        ("interactions: []", "it holds no interaction"),
        ("interactions: [3]", "interaction 1 is none of vcrpy's"),
        ("interactions: [{request: {method: GET, uri: u, headers: {}, body: 3}}]", "interaction 1"),
        ('{"format": "fanin.tape/1", "interactions": [1]}', "no cassette of vcrpy"),
    ],
)
def test_what_is_no_cassette_is_refused_and_runs_nothing(
    run: Callable[..., Ended], tmp_path: Path, content: str, told: str
) -> None:
    (tmp_path / "old.yaml").write_text(content)
    ended = run("import", tmp_path / "old.yaml")
    assert ended.code == 2
    assert told in ended.err
    assert not Path("ran").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["old.yaml"]


def test_a_missing_cassette_and_one_of_bytes(run: Callable[..., Ended], tmp_path: Path) -> None:
    assert "there is no such file" in run("import", tmp_path / "old.yaml").err
    (tmp_path / "old.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in run("import", tmp_path / "old.yaml").err


# verify


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A vote of two runs on tape."""
    path = tmp_path / "a.json"
    with StandIn([chat("Answer: yes")]) as server, tape(path, "all"):
        fanin.vote_sync("Is it?", backend="openai", model="m", base_url=f"{server.url}/v1", runs=2)
    return path


def verified(run: Callable[..., Ended], path: Path, *answers: Given, backend: str = "openai") -> Ended:
    with StandIn(answers) as server:
        ended = run("verify", path, "--backend", backend, "--base-url", f"{server.url}/v1")
        for seen in server.seen:
            assert seen.headers.get("authorization") == "Bearer a-key-of-ours"
    return ended


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-ours")


@pytest.mark.usefixtures("key")
def test_other_words_are_no_drift(run: Callable[..., Ended], recorded: Path) -> None:
    before = recorded.read_bytes()
    ended = verified(run, recorded, chat("Answer: yes"), chat("Answer: no"))
    assert ended.code == 0
    assert ended.out.splitlines() == [
        f"{recorded}: interaction 2 (in words only): the answer is 'Answer: no', on the tape 'Answer: yes'",
        "0 answers changed shape",
    ]
    assert recorded.read_bytes() == before


@pytest.mark.usefixtures("key")
def test_fields_headers_and_refusals_are_drift(run: Callable[..., Ended], recorded: Path) -> None:
    other = given({"choices": [{"message": {"content": None}}]}, retry_after="1")
    ended = verified(run, recorded, other, given({"error": {}}, 404))
    assert ended.code == 1
    for told in (
        "interaction 1: the header retry-after is new",
        "interaction 1: the field usage is gone",
        "interaction 1: the field choices[].message.content is null, on the tape string",
        "interaction 2: the status is 404, on the tape 200",
        "2 answers changed shape",
    ):
        assert told in ended.out


@pytest.mark.usefixtures("key")
def test_no_key_goes_where_only_the_tape_leads(run: Callable[..., Ended], recorded: Path) -> None:
    def lead_away(stored: Any) -> None:
        for each in stored["interactions"]:
            each["request"]["url"] = "https://elsewhere.example/v1/chat/completions"

    edited(recorded, lead_away)
    ended = verified(run, recorded, chat("Answer: yes"))
    assert ended.code == 2
    assert "whose key is for nobody else" in ended.err


def test_a_server_that_is_away_and_a_missing_key(run: Callable[..., Ended], recorded: Path) -> None:
    away = run("verify", recorded, "--backend", "ollama", "--base-url", "http://127.0.0.1:1/v1")
    assert away.code == 2
    assert "gave no answer" in away.err
    assert run("verify", recorded, "--backend", "groq").code == 5
    assert "--backend must be one of" in run("verify", recorded, "--backend", "fake").err


def test_a_taped_error_is_not_asked_again(run: Callable[..., Ended], recorded: Path) -> None:
    held = storage.load(str(recorded))
    assert isinstance(held.interactions[0].outcome, TapedResponse)
    errors = tuple(attrs.evolve(each, outcome=TapedError("timeout", "")) for each in held.interactions)
    storage.save(attrs.evolve(held, interactions=errors), str(recorded))
    assert verified(run, recorded, chat("")).out == "0 answers changed shape\n"


# What records a part


def test_the_ways_to_tape_a_vote_exclude_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.json"

    def vote(*words: str) -> int | str | None:
        # In real time: a server is asked.
        monkeypatch.setattr(sys, "argv", ["fanin", "vote", "Is it?", "--answer", "yes/no", *words])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code

    assert vote("--replay", str(path), "--record-new", "b") == 2
    assert "--record, --record-new and --replay exclude one another" in capsys.readouterr().err
