"""Free texts: the same where their normal forms are, shown as most of them are spelled."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import dressed, plain_texts, replies

from fanin.answers import Spoiled, Text
from fanin.answers.normal import normalise
from fanin.answers.reply import read_reply
from fanin.answers.text import MAX_TEXT, is_refusal


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
