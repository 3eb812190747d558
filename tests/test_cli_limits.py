"""`fanin limits`, and what the commands say of the pace."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Command
from limited_provider import LimitedBackend, Limits, Offer, Provider
from virtual_time import run_virtual

from fanin.cli.progress import detail, held_by
from fanin.conductor import Conductor
from fanin.limiters import Limiters
from fanin.sharing.file import FileStore
from fanin.sharing.joint import Joint
from fanin.sharing.opening import _opened
from fanin.sharing.store import StoreError
from fanin.terms import Terms
from fanin.values import Event, Message, Request


@pytest.fixture
def fanin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def store(empty_folder: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> FileStore:
    """The store that the command looks at; it holds what a few requests have taught."""
    kept = FileStore(empty_folder() / "fanin")
    _opened.cache_clear()
    monkeypatch.setattr("fanin.sharing.opening._opened", lambda pace: kept)

    async def ask() -> None:
        backend = LimitedBackend(
            Provider(Offer(Limits(1, 2), latency_s=0.1)), account="https://a.example/v1#f00"
        )
        terms = Terms(tpm=6000)
        for model in ("m", "n"):
            conductor = Conductor(backend, terms, limiters=Limiters(lambda pace: kept))
            for index in range(4):
                await conductor.ask(Request(index, model, (Message("user", "?"),), max_tokens=8))

    run_virtual("asyncio", ask)
    return kept


def test_what_is_known_is_shown_with_where_it_comes_from(fanin: Command, store: FileStore) -> None:
    ended = fanin("limits")
    assert ended.code == 0
    assert "https://a.example/v1#f00  m\n" in ended.out
    assert "  requests: 2 at once, " in ended.out
    assert "(told in headers)" in ended.out
    assert "  tpm: 6000 at once, 6000 a minute" in ended.out
    assert "(your own limit)" in ended.out


def test_as_json(fanin: Command, store: FileStore) -> None:
    told = json.loads(fanin("limits", "--json").out)
    assert told["schema"] == "fanin.limits/1"
    assert [(pace["account"], pace["model"]) for pace in told["paces"]] == [
        ("https://a.example/v1#f00", "m"),
        ("https://a.example/v1#f00", "n"),
    ]
    assert {limit["from"] for limit in told["paces"][0]["limits"]} >= {"user", "header"}


def test_it_can_be_forgotten(fanin: Command, store: FileStore) -> None:
    assert fanin("limits", "reset", "https://a.example/v1#f00", "n").err == "fanin: forgot 1\n"
    assert [pace["model"] for pace in json.loads(fanin("limits", "--json").out)["paces"]] == ["m"]
    assert fanin("limits", "reset", "another").code == 2
    assert fanin("limits", "reset").code == 0
    ended = fanin("limits")
    assert (ended.code, ended.out, ended.err) == (0, "", "fanin: nothing is known yet\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rpm", "0"), "--rpm must be a number above 0 a minute"),
        (("--rpm", "nan"), "--rpm must be a number above 0 a minute"),
        (("--tpm", "-5"), "--tpm must be a number above 0 a minute"),
        (("--tpm", "inf"), "--tpm must be a number above 0 a minute"),
        (("--stagger", "-1"), "--stagger must be a number of seconds, 0 to 3600"),
        (("--stagger", "nan"), "--stagger must be a number of seconds, 0 to 3600"),
        (("--pace", "nowhere"), "--pace must be file, off, or a Redis address"),
    ],
)
def test_limits_that_are_none_are_refused_before_anything_is_asked(
    fanin: Command, words: tuple[str, ...], said: str
) -> None:
    ended = fanin("vote", "Is it?", "--backend", "fake", *words)
    assert ended.code == 2
    assert said in ended.err
    assert ended.out == ""


def test_limits_may_stand_in_the_configuration(fanin: Command) -> None:
    Path("fanin.toml").write_text('backend = "fake"\nrpm = 6000\nstagger = 0.01\npace = "off"\n')
    assert fanin("vote", "Is it?", "--runs", "3").code in (0, 3)


def test_a_file_that_came_with_a_repository_names_no_redis(fanin: Command) -> None:
    Path("fanin.toml").write_text('backend = "fake"\npace = "redis://:secret@elsewhere.example/0"\n')
    ended = fanin("vote", "Is it?")
    assert ended.code == 2
    assert "pace can only be file or off in a working directory" in ended.err
    assert "secret" not in ended.err


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("retry-after", "the provider asked to wait"),
        ("requests", "the limit of requests that the provider tells"),
        ("tokens-minute", "the limit of tokens that the provider tells"),
        ("rpm", "--rpm"),
        ("stagger", "--stagger"),
        ("probing", "still being found out"),
        ("line", "in line behind other calls"),
        ("part of rpm", "this process' part of your limit of requests a minute"),
    ],
)
def test_a_wait_is_told_with_what_holds_it(why: str, said: str) -> None:
    assert said in held_by(why)
    told = detail(Event("limit", 3, 1.5, 1, 0.0 if why == "line" else 2.5, why))
    assert said in told
    assert ("until" in told) == (why != "line")


PLAN = ("plan", "Is it?", "--runs", "6", "--backend", "openai", "--seconds-per-call", "1", "--json", "-m")
THERE = ("--base-url", "https://a.example/v1")


def test_a_plan_knows_what_earlier_calls_were_told(
    fanin: Command, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FANIN_SHARED_PACE")
    found = json.loads(fanin(*PLAN, "m", *THERE).out)
    told = {(each["counts"], each["size"]): each["per_s"] for each in found["limits"]["told"]}
    assert set(told) == {("requests", 2.0), ("tokens", 6000.0)}
    rate = told["requests", 2.0]
    assert found["expected"][0]["seconds"] == pytest.approx(1 + (6 - 2) / rate, abs=0.01)
    words = [word for word in PLAN if word != "--json"]
    assert "; 2 requests at once and " in fanin(*words, "m", *THERE).err
    own = json.loads(fanin(*PLAN, "m", *THERE, "--rpm", "1").out)
    assert own["expected"][0]["seconds"] == 301.0
    for other in (("unheard-of", *THERE), ("m",), ("m", "--base-url", "https://b.example/v1")):
        assert json.loads(fanin(*PLAN, *other).out)["limits"] is None
    monkeypatch.setitem(sys.modules, "litellm", None)
    there = [word if word != "openai" else "litellm" for word in PLAN]
    assert json.loads(fanin(*there, "m", *THERE).out)["limits"] is None
    monkeypatch.setattr(store, "entries", _gone)
    assert json.loads(fanin(*PLAN, "m", *THERE).out)["limits"] is None


def test_a_plan_knows_nothing_where_nothing_is_shared(fanin: Command, store: FileStore) -> None:
    assert json.loads(fanin(*PLAN, "m", *THERE).out)["limits"] is None


def _gone() -> list[Joint]:
    raise StoreError("it is gone")
