"""An encoder from the user's own folder: loaded from there, and never fetched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fanin.embedding import encoder
from fanin.errors import InputError, MissingExtraError

MAKE = """
import sys
import numpy
from model2vec import StaticModel
from tokenizers import Tokenizer, models, pre_tokenizers

words = {"[UNK]": 0, "[PAD]": 1, "dog": 2, "hound": 3, "cat": 4, "a": 5, "the": 6}
tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
vectors = numpy.array(
    [[0, 0], [0, 0], [1, 0], [0.9, 0.1], [0, 1], [0.01, 0.01], [0.01, 0.01]], dtype=numpy.float32
)
StaticModel(vectors, tokenizer).save_pretrained(sys.argv[1])
"""
VOTE = """
import socket, sys

def refuse(*_):
    raise AssertionError("something was to be fetched")

socket.socket.connect = socket.getaddrinfo = refuse
import fanin

verdict = fanin.vote_sync(
    "What is it?", answer=fanin.Text("embedding"), embed=sys.argv[1], runs=3,
    backend=fanin.Fake(["Answer: a dog", "Answer: the hound", "Answer: a cat"]),
)
assert sorted(verdict.votes.values()) == [1, 2], verdict.votes
print("settled")
"""


@pytest.mark.slow
def test_a_model_in_a_folder_clusters_without_a_network(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", MAKE, tmp_path / "model"], check=True, stdin=subprocess.DEVNULL)
    done = subprocess.run(
        [sys.executable, "-c", VOTE, tmp_path / "model"],
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.stdout == "settled\n"


@pytest.mark.slow
def test_a_folder_that_holds_no_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder that holds a Model2Vec model"):
        encoder(tmp_path)


def test_what_is_no_folder_is_never_looked_for_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder that holds a Model2Vec model, not 'somebody/a-model'"):
        encoder("somebody/a-model")


def test_the_extra_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "model2vec", None)
    with pytest.raises(MissingExtraError, match=r"fanin\[embed\]"):
        encoder(tmp_path)
