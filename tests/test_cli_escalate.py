"""`fanin vote --escalate` and `--price` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Command

from fanin.cli.progress import Live
from fanin.values import Event


@pytest.fixture
def fanin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def test_every_tier_is_told_and_the_answer_is_that_of_the_last(fanin: Command) -> None:
    words = ("--backend", "fake", "-m", "yes,no", "--escalate", "!empty", "--escalate", "no")
    ended = fanin("vote", "Is it?", *words)
    assert (ended.code, ended.out) == (0, "no\n")
    assert "tier 1 (yes,no): medium agreement: 3 of 5 runs (split); 5 calls" in ended.err
    assert "tier 2 (!empty): no answer" in ended.err
    assert "tier 3 (no): high agreement" in ended.err
    assert "Tier 3 of 3 (no) decides." in ended.err
    assert "15 calls" in ended.err


def test_the_object_has_the_tokens_of_all_tiers_and_the_tally_of_each(fanin: Command) -> None:
    plain = json.loads(fanin("vote", "Is it?", "--backend", "fake", "-m", "yes,no", "--json").out)
    words = ("--backend", "fake", "-m", "yes,no", "--escalate", "no", "--price", "no=1/1", "--price", "2/2")
    found = json.loads(fanin("vote", "Is it?", *words, "--json").out)
    assert list(found) == [*plain, "tiers"]
    first, last = found["tiers"]
    tally = ("outcome", "answer", "grade", "pattern", "stopped", "votes", "runs", "usage", "models")
    assert [first[key] for key in tally] == [plain[key] for key in tally]
    assert {key: last[key] for key in last if key not in ("models", "usage", "cost_usd")} == {
        key: found[key] for key in last if key not in ("models", "usage", "cost_usd")
    }
    assert first["cost_usd"] + last["cost_usd"] == pytest.approx(found["cost_usd"])
    assert found["models"] == ["yes,no", "no"]
    assert found["usage"]["input_tokens"] == 2 * plain["usage"]["input_tokens"]
    assert found["votes"] == {"no": 5}
    assert {ballot["model"] for ballot in found["ballots"]} == {"no"}
    tokens = sum(plain["usage"].values())
    assert found["cost_usd"] == pytest.approx(3 * tokens / 1e6)


def test_verbose_shows_the_replies_of_all_tiers(fanin: Command) -> None:
    words = ("--backend", "fake", "-m", "yes,no", "--escalate", "no", "--runs", "2", "-v")
    ended = fanin("vote", "Is it?", *words)
    assert "--- run 1 (yes,no, temperature 0.7): no" in ended.err
    assert "--- run 1 (no, temperature 0.7): no" in ended.err


def test_where_all_agree_the_next_tier_is_not_asked(fanin: Command) -> None:
    words = ("--backend", "fake", "-m", "yes,yes,yes,yes,no", "--escalate", "no")
    assert "Saved against asking no at once: about 5 runs" in fanin("vote", "Is it?", *words).err
    ended = fanin("vote", "Is it?", *words, "--escalate-when", "any-dissent")
    assert (ended.out, "Nothing was saved" in ended.err) == ("no\n", True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "a", "--escalate", "a"], "--escalate must be a model that no tier before it asks, not 'a'"),
        (["--escalate", "b", "--escalate", "b"], "the cheapest first"),
        (["-m", "a", "--escalate", "b", "--escalate-when", "high"], "is not one of 'split'"),
        (["-m", "a", "--escalate-when", "split"], "--escalate-when goes with --escalate"),
        (["--price", "a=1"], "is no price"),
        (["--price", "=1/2"], "names no model"),
        (["--price", "a=1/2", "--price", "a=1/3"], "one price for each model"),
    ],
)
def test_bad_input_is_exit_2(fanin: Command, words: list[str], said: str) -> None:
    ended = fanin("vote", "Is it?", "--backend", "fake", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_the_live_line_counts_the_runs_of_the_tier_that_is_asked() -> None:
    live = Live(2, verbose=False)
    for kind, index in (("asked", 0), ("asked", 1), ("answered", 0), ("failed", 1)):
        live.watch(Event(kind, index, 0.0))  # type: ignore[arg-type]
    assert live._line() == "2 of 2 runs done, 1 failed"
    live.watch(Event("asked", 0, 1.0))
    assert live._line() == "0 of 2 runs done, 1 asking"


def test_one_system_prompt_and_one_price_may_stand_in_a_file(fanin: Command) -> None:
    Path("fanin.toml").write_text('system = "Be brief."\nprice = "1/1"\n', "utf-8")
    found = json.loads(fanin("vote", "Is it?", "--backend", "fake", "--json").out)
    assert found["cost_usd"] == pytest.approx(sum(found["usage"].values()) / 1e6)
    assert "Be brief." in fanin("vote", "Is it?", "--prompt").out
