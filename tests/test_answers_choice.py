"""Options: named by their words, by the letter that the run was shown, or by both."""

from __future__ import annotations

from string import ascii_uppercase
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import dressed, option_lists, replies

from fanin.answers import Choice, Spoiled
from fanin.answers.choice import MAX_OPTION
from fanin.answers.normal import normalise
from fanin.answers.reply import read_reply
from fanin.errors import InputError

SEA = Choice(["whale", "shark", "tuna"])


@given(st.data(), option_lists())
def test_an_option_in_any_dress_and_reply_reads_as_itself_in_any_order(
    data: st.DataObject, options: list[str]
) -> None:
    answer, order = Choice(options), data.draw(st.permutations(options))
    option = data.draw(st.sampled_from(options))
    worn = data.draw(dressed(option))
    assert answer.read(worn, order) == option
    assert read_reply(data.draw(replies(worn)), answer, order) == option


@given(st.data(), option_lists())
def test_a_letter_is_the_option_that_the_run_was_shown_beside_it(
    data: st.DataObject, options: list[str]
) -> None:
    answer, order = Choice(options), data.draw(st.permutations(options))
    assume(answer.labels)
    shown = answer.instruction(order)
    for letter, option in zip(ascii_uppercase, order, strict=False):
        assert f"\n{letter}. {option}\n" in shown
        form = data.draw(
            st.sampled_from(["{}", "({})", "{}.", "{})", "option {}", "Choice {}:", "**{}**", "[{}]"])
        )
        assert answer.read(form.format(data.draw(st.sampled_from([letter, letter.lower()]))), order) == option
        form = data.draw(
            st.sampled_from(["{}. {}", "({}) {}", "**{}**: *{}*", "Option {} - {}", "{}) **{}**."])
        )
        worn = form.format(letter, option)
        assert answer.read(worn, order) == option
        assert read_reply(data.draw(replies(worn)), answer, order) == option


@given(st.data(), st.lists(st.text(max_size=8), min_size=2, max_size=5))
def test_options_of_any_kind_are_refused_or_told_apart(data: st.DataObject, options: list[str]) -> None:
    try:
        answer = Choice(options)
    except InputError:
        return
    assert answer.options == tuple(option.strip() for option in options)
    assert len({normalise(option) for option in options}) == len(options)
    order = data.draw(st.permutations(answer.options))
    assert [answer.read(option, order) for option in answer.options] == list(answer.options)


@given(option_lists())
def test_a_letter_and_the_words_of_another_option_are_neither(options: list[str]) -> None:
    answer = Choice(options)
    assume(answer.labels)
    assert isinstance(answer.read(f"A. {options[1]}", options), Spoiled)
    assert isinstance(read_reply(f"Answer: A. {options[1]}", answer, options), Spoiled)


@pytest.mark.parametrize(
    ("options", "text", "option"),
    [
        (["whale", "whale shark"], "Whale shark.", "whale shark"),
        (["whale", "whale shark"], "whale", "whale"),
        (["no", "not sure"], "not sure", "not sure"),
        (["no", "not sure"], "no", "no"),
        (["A", "A*"], "A*", "A*"),
        (["A", "A*"], "**A**", "A"),
        (["A", "B"], "B", "B"),
        (["A", "B"], "B) because it is", "B"),
        (["B", "A"], "a.", "A"),
        (["-5", "5"], "\u22125", "-5"),
        (["1.5", "15"], "15", "15"),
        (["C", "C++", "C#"], "C++", "C++"),
        (["yes", "no"], "No!", "no"),
        (["\u4e2d\u56fd", "\u65e5\u672c"], "\u65e5\u672c\u3002", "\u65e5\u672c"),
        (["(a) left", "(b) right"], "(b) right", "(b) right"),
        (["Stra\u00dfe", "Weg"], "STRASSE", "Stra\u00dfe"),
        (["  left ", "right"], "left", "left"),
    ],
)
def test_options_that_are_near_to_one_another(options: list[str], text: str, option: str) -> None:
    for order in (options, options[::-1], ()):
        assert Choice(options).read(text, order) == option


@pytest.mark.parametrize(
    "text", ["dolphin", "D", "whale shark", "whal", "", "A B", "A.whale", "aa", "a1", "not whale"]
)
def test_what_is_none_of_the_options(text: str) -> None:
    if text == "A.whale":  # a dot alone parts a label too
        assert SEA.read(text, SEA.options) == "whale"
    else:
        assert SEA.read(text, SEA.options) == Spoiled(f'none of the options: "{text}"')


def test_a_letter_against_its_words() -> None:
    assert SEA.read("B. whale", SEA.options) == Spoiled(
        'the letter says "shark", the words do not: "B. whale"'
    )
    assert SEA.read("B. whale", ("tuna", "whale", "shark")) == "whale"


def test_a_text_too_long_for_an_answer_is_no_option() -> None:
    assert SEA.read(" " * 1996 + "tuna", ()) == "tuna"
    assert isinstance(SEA.read(" " * 1997 + "tuna", ()), Spoiled)


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        (["a", "cat"], False),
        (["option b", "cat"], False),
        (["(x) one", "(y) two"], False),
        (["a. one", "two"], False),
        (["a - one", "two"], False),
        (["ab", "cat"], True),
        (["1", "2"], True),
        ([f"n{number}" for number in range(26)], True),
        ([f"n{number}" for number in range(27)], False),
    ],
)
def test_letters_are_shown_where_no_option_looks_like_one(options: list[str], labels: bool) -> None:
    answer = Choice(options)
    assert answer.labels is labels
    lines = answer.instruction(()).splitlines()
    assert lines[0] == "Options:"
    assert lines[1] == (f"A. {options[0]}" if labels else f"- {options[0]}")
    assert len(lines) == len(options) + 3
    assert ("the letter and the text" in lines[-1]) is labels
    assert ("word for word" in lines[-1]) is not labels


@pytest.mark.parametrize(
    ("options", "bound", "value"),
    [
        ([], "at least two", []),
        (["a"], "at least two", ["a"]),
        ("ab", "a list of texts", "ab"),
        (5, "a list of texts", 5),
        (["a", 5], "texts that are not blank", 5),
        (["a", None], "texts that are not blank", None),
        (["a", " "], "texts that are not blank", ""),
        (["a", "\u200b"], "texts that are not blank", "\u200b"),
        (["a", "b\nc"], f"one line of at most {MAX_OPTION} characters each", "b\nc"),
        (["a", "b" * 301], f"one line of at most {MAX_OPTION} characters each", "b" * 301),
        (["no", "No"], "told apart by more than case, white space, quotes or dots", ("no", "No")),
        (
            ["a b", "x", '"A  b."'],
            "told apart by more than case, white space, quotes or dots",
            ("a b", '"A  b."'),
        ),
    ],
)
def test_options_that_cannot_be_used(options: Any, bound: str, value: object) -> None:
    with pytest.raises(InputError) as caught:
        Choice(options)
    assert (caught.value.field, caught.value.bound, caught.value.value) == ("options", bound, value)
    assert bound in str(caught.value)


def test_equal_options_are_named_with_their_normal_form() -> None:
    with pytest.raises(InputError) as caught:
        Choice(["no", "No"])
    assert caught.value.mend == 'Both read as "no": leave one out or word it differently.'


def test_the_longest_option_is_read() -> None:
    longest = "b" * MAX_OPTION
    assert Choice(["a c", longest]).read(longest, ()) == longest


def test_options_may_come_from_any_iterable() -> None:
    assert Choice(option for option in ("x y", "z")) == Choice(["x y", "z"])
