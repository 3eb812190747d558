"""Yes or no: these two words in any dress, and nothing that is only near them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import dressed, odd_texts, replies

from fanin.answers import Spoiled, YesNo
from fanin.answers.reply import read_reply

WORDS = ("yes", "no")


@given(st.data(), st.sampled_from(WORDS))
def test_either_word_in_any_dress_and_reply_reads_as_itself(data: st.DataObject, word: str) -> None:
    worn = data.draw(dressed(word))
    assert YesNo().read(worn, data.draw(st.permutations(WORDS))) == word
    assert read_reply(data.draw(replies(worn)), YesNo(), WORDS) == word


@given(odd_texts())
def test_nothing_is_a_word_that_is_not_in_it(text: str) -> None:
    choice = YesNo().read(text, WORDS)
    assert isinstance(choice, Spoiled) or choice in text.casefold().translate(
        {0xFF59: "y", 0xFF45: "e", 0xFF53: "s"}
    )


@pytest.mark.parametrize(
    "text", ["_yes_", "(yes)", "[Yes]", "{yes}", "<yes>", "'yes", "**yes", "yes)", "`'Yes.'`"]
)
def test_unbalanced_dress_is_no_part_of_a_word(text: str) -> None:
    assert YesNo().read(text, WORDS) == "yes"


@pytest.mark.parametrize(
    "text",
    [
        "not sure",
        "not yes",
        "no way",
        "yes or no",
        "nope",
        "yep",
        "y",
        "n",
        "true",
        "ja",
        "yes no",
        "yesno",
        "-no",
        "1",
        "",
        "it is not true",
        "yes?",
        "unknown",
        "not",
        "n o",
        "y\u00e9s",
        "yes" * 2,
    ],
)
def test_what_is_neither(text: str) -> None:
    assert YesNo().read(text, WORDS) == Spoiled(f'neither yes nor no: "{text}"')


def test_a_text_too_long_for_an_answer_is_neither() -> None:
    assert YesNo().read(" " * 1997 + "yes", WORDS) == "yes"
    assert isinstance(YesNo().read(" " * 1998 + "yes", WORDS), Spoiled)


def test_the_instruction_names_the_words_in_the_order_of_the_run() -> None:
    assert '"Answer: yes" or "Answer: no"' in YesNo().instruction(())
    assert '"Answer: yes" or "Answer: no"' in YesNo().instruction(("yes", "no"))
    assert '"Answer: no" or "Answer: yes"' in YesNo().instruction(("no", "yes"))
