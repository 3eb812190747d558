"""Free texts: the same where their normal forms are, shown as most of them are spelled."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import dressed, plain_texts, replies

from fanin.answers import Spoiled, Text
from fanin.answers.normal import MAX_ANSWER, normalise
from fanin.answers.reply import read_reply
from fanin.answers.text import MAX_TEXT, MAX_WHOLE, SettledText, is_refusal, parse_cluster
from fanin.errors import InputError


@given(st.data(), plain_texts())
def test_a_text_in_any_dress_and_reply_reads_as_itself(data: st.DataObject, text: str) -> None:
    worn = data.draw(dressed(text))
    choice = Text().read(worn, ())
    assert isinstance(choice, str)
    assert normalise(choice) == normalise(text)
    assert read_reply(data.draw(replies(worn)), Text(), ()) == choice


@given(plain_texts(), plain_texts())
def test_texts_of_two_normal_forms_are_two(one: str, other: str) -> None:
    same = Text().same([one, other])
    assert (same[one] == same[other]) == (normalise(one) == normalise(other))


@given(st.lists(st.sampled_from(["Paris", "paris", "PARIS", "Rome", "rome", "Stra\u00dfe", "Strasse"])))
def test_equal_texts_are_counted_as_their_most_frequent_spelling(choices: list[str]) -> None:
    same, votes = Text().same(choices), Counter(choices)
    for choice, head in same.items():
        equals = [other for other in votes if normalise(other) == normalise(choice)]
        assert {same[other] for other in equals} == {head}
        assert head == min(equals, key=lambda other: (-votes[other], other))


def test_a_spelling_that_most_runs_gave_is_shown() -> None:
    assert Text().same(["paris", "Paris", "Paris"]) == {"paris": "Paris", "Paris": "Paris"}
    assert Text().same(["Paris", "paris", "paris"]) == {"paris": "paris", "Paris": "paris"}
    assert Text().same(["b", "a", "B"]) == {"b": "B", "B": "B", "a": "a"}
    assert Text().same([]) == {}


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("Paris.", "Paris"),
        ("**The Hague**", "The Hague"),
        (' "McDonald\'s" ', "McDonald's"),
        ("C++", "C++"),
        ("x_1", "x_1"),
        ("-5", "-5"),
        ("no", "no"),
        ("I am Legend", "I am Legend"),
        ("x" * MAX_TEXT, "x" * MAX_TEXT),
        (" " * MAX_TEXT + "a b", "a b"),
    ],
)
def test_texts(text: str, choice: str) -> None:
    assert Text().read(text, ()) == choice


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x" * (MAX_TEXT + 1), f'longer than 300 characters: "{"x" * 57}..."'),
        ("", "empty"),
        (" ... ", "empty"),
        (
            "**I'm sorry, but I cannot help with that.**",
            'refused: "**I\'m sorry, but I cannot help with that.**"',
        ),
    ],
)
def test_what_is_no_text_answer(text: str, reason: str) -> None:
    assert Text().read(text, ()) == Spoiled(reason)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry. I can\u2019t assist with this request.",
        "Sorry, I cannot comply",
        "I apologize, but I am unable to answer",
        "Unfortunately, I'm not able to do so",
        "As an AI, I have no view",
        "I will not discuss it",
        "I cannot determine the answer",
        "i won't engage in it",
    ],
)
def test_refusals(text: str) -> None:
    assert is_refusal(text)
    assert isinstance(Text().read(text, ()), Spoiled)
    assert read_reply(text, Text(), ()) == Spoiled("refused")


@pytest.mark.parametrize(
    "text", ["Sorry", "I cannot helpfully say", "As an airport", "I can help", "No, I'm sorry, I can't help"]
)
def test_what_is_no_refusal(text: str) -> None:
    assert not is_refusal(text)


def test_only_how_a_text_opens_makes_it_a_refusal() -> None:
    assert is_refusal("I cannot help " + "x" * 1000)
    assert not is_refusal("x" * MAX_TEXT + " I cannot help")


def test_spellings_of_one_cluster_are_counted_as_its_medoid() -> None:
    answer = Text("lexical")
    choices = ["The Eiffel Tower", "the eiffel tower", "Eiffel Tower", "Big Ben", "the eiffel tower"]
    same = answer.same(choices)
    assert same == {**dict.fromkeys(choices, "the eiffel tower"), "Big Ben": "Big Ben"}
    assert Text("lexical", 0.9).same(choices)["Eiffel Tower"] == "Eiffel Tower"


def test_settled_texts_are_those_of_their_group() -> None:
    answer = SettledText("judge", groups=(("a dog", "one dog", "hound"), ("cat",)))
    assert answer.same(["One dog", "hound", "a cat", "ONE DOG", "ONE DOG"]) == {
        "One dog": "ONE DOG",
        "ONE DOG": "ONE DOG",
        "hound": "ONE DOG",
        "a cat": "a cat",
    }
    assert answer.same(["hound"]) == {"hound": "hound"}
    assert (Text("judge").unsettled, answer.unsettled, Text("lexical").unsettled) == (True, False, False)


def test_how_long_a_text_may_be() -> None:
    assert isinstance(Text("lexical").read("x" * MAX_ANSWER, ()), str)
    assert isinstance(Text("judge").read("x" * (MAX_ANSWER + 1), ()), Spoiled)
    assert isinstance(Text(select="judge").read("x" * MAX_WHOLE, ()), str)
    assert isinstance(Text(select="judge").read("x" * (MAX_WHOLE + 1), ()), Spoiled)


def test_a_whole_reply_is_an_answer_as_it_stands() -> None:
    whole = Text(select="judge")
    reply = "<think>Answer: no</think>\n**One.**\n\nTwo.\nAnswer: three. "
    assert read_reply(reply, whole, ()) == "**One.**\n\nTwo.\nAnswer: three."
    assert read_reply("<think>so", whole, ()) == Spoiled("thoughts and no answer")
    assert read_reply("I'm sorry, but I can't help with that.", whole, ()) == Spoiled(
        "refused: \"I'm sorry, but I can't help with that.\""
    )
    assert "whole answer" in whole.instruction(())
    assert whole.same(["A  b", "a b", "a b"]) == {"A  b": "a b", "a b": "a b"}
    assert "in one short sentence" in Text("judge").instruction(())


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("exact", ("exact", None)),
        (" Lexical : 0.8 ", ("lexical", 0.8)),
        ("embedding:.9", ("embedding", 0.9)),
        ("judge", ("judge", None)),
    ],
)
def test_ways_of_clustering(spec: str, found: tuple[str, float | None]) -> None:
    assert parse_cluster(spec) == found


@pytest.mark.parametrize("spec", ["", "lexica", "lexical:", "lexical:x", ":0.5", "judge judge"])
def test_what_is_no_way_of_clustering(spec: str) -> None:
    with pytest.raises(InputError, match="cluster must be"):
        parse_cluster(spec)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cluster": "lexicl"}, r"cluster must be one of .*Did you mean lexical"),
        ({"cluster": None}, "cluster must be one of"),
        ({"select": "model"}, "select must be votes or judge"),
        ({"threshold": 0.5}, "threshold must be left out where the cluster is exact"),
        ({"cluster": "judge", "threshold": 0.5}, "threshold must be left out"),
        ({"cluster": "lexical", "threshold": 0}, "threshold must be a number above 0"),
        ({"cluster": "lexical", "threshold": 1.1}, "threshold must be a number above 0"),
        ({"cluster": "embedding", "threshold": float("nan")}, "threshold must be a number above 0"),
        ({"cluster": "lexical", "threshold": "0.5"}, "threshold must be a number above 0"),
        ({"cluster": "lexical", "threshold": True}, "threshold must be a number above 0"),
    ],
)
def test_settings_of_a_text_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        Text(**settings)
