"""Free text on the command line: clusters, a judge, and what does not go together."""

from __future__ import annotations

import json

import pytest
from command import Command

BASE = ("vote", "What is it?", "--backend", "fake", "--runs", "3")


@pytest.fixture
def fanin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def test_lexical_clusters_say_what_stands_for_what(fanin: Command) -> None:
    script = "the Eiffel Tower,Eiffel Tower,Big Ben"
    ended = fanin(*BASE, "-m", script, "--cluster", "lexical")
    assert (ended.code, ended.out) == (0, "Eiffel Tower\n")
    assert 'Eiffel Tower stands for "the Eiffel Tower" too' in ended.err
    assert "medium agreement: 2 of 3 runs (split), semantic entropy 0.64" in ended.err
    apart = fanin(*BASE, "-m", script, "--cluster", "lexical:0.95")
    assert (apart.code, apart.out) == (3, "")


def test_a_judge_is_one_more_model(fanin: Command) -> None:
    words = ("-m", "a dog,one dog,a cat", "--cluster", "judge", "--judge", "same", "--json")
    ended = fanin(*BASE, *words)
    assert ended.code == 0
    found = json.loads(ended.out)
    assert found["votes"] == {"a dog": 3}
    assert found["judging"]["model"] == "same"
    assert "5 calls" in ended.err
    assert fanin(*BASE, *words).out == ended.out


def test_a_judge_picks_one(fanin: Command) -> None:
    script = "It is red. So.,It is blue.,It is green"
    ended = fanin(*BASE, "-m", script, "--select", "judge", "--judge", "So say most. Answer: 2")
    assert (ended.code, ended.out) == (0, "It is green\n")
    assert "not by a majority: 1 of 3 runs gave it" in ended.err
    assert fanin(*BASE, "-m", script, "--select", "judge", "--judge", "None.").code == 3
    required = ("--require", "medium", "--judge", "Answer: 1")
    assert fanin(*BASE, "-m", script, "--select", "judge", *required).code == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--cluster", "lexica"), "--cluster must be one of exact, lexical, judge, embedding"),
        (("--cluster", "lexical:x"), "--cluster must be NAME or NAME:NUMBER"),
        (("--cluster", "lexical:2"), "threshold must be a number above 0, and 1 at most"),
        (("--cluster", "judge:0.5"), "threshold must be left out"),
        (
            ("--cluster", "judge", "--choices", "a,b"),
            "--cluster goes with texts (--answer text), not with --choices",
        ),
        (("--select", "judge", "--answer", "number"), "not with --answer number"),
        (("--cluster", "embedding"), "--embed must be given"),
        (
            ("--cluster", "embedding", "--embed", "nowhere"),
            "--embed must be a folder that holds a Model2Vec model",
        ),
        (("--embed", "."), "--embed must be left out"),
        (("--judge", "m"), "--judge must be left out where nothing is judged"),
        (("--cluster", "judge", "--stop", "decided"), "--stop must be all"),
        (("--cluster", "judge", "--runs", "101"), "--runs must be at most 100"),
        (("--select", "judge", "--structured"), "--structured must be left out where a judge selects"),
        (("--select", "judge", "--escalate", "no"), "--escalate must be left out where a judge selects"),
    ],
)
def test_what_does_not_go_together(fanin: Command, words: tuple[str, ...], message: str) -> None:
    ended = fanin(*BASE, "-m", "a,b,c", *words)
    assert (ended.code, ended.out) == (2, "")
    assert message in " ".join(ended.err.split())


def test_the_help_and_the_prompt_know_of_it(fanin: Command) -> None:
    assert "--cluster HOW" in fanin("vote", "--help").out
    assert "Give your whole answer" in fanin(*BASE, "--select", "judge", "--prompt").out
