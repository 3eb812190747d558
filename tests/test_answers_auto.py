"""Which type of answer a question takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from strategies import odd_texts

from fanin.answers import Number, Text, YesNo
from fanin.answers.auto import auto_answer, parse_answer
from fanin.errors import InputError


@pytest.mark.parametrize(
    "question",
    [
        "Is 1009 a prime number?",
        "Are whales fish?",
        "Am I right?",
        "Was it so?",
        "Were they?",
        "Do whales sleep?",
        "Does this contract renew by itself?",
        "Did it rain?",
        "Has it ended?",
        "Have we won?",
        "Had they left?",
        "Can penguins fly?",
        "Could it be true?",
        "Will it rain?",
        "Would you merge it?",
        "Shall we?  Go on?",
        "Should we merge?",
        "May I enter?",
        "Might it fail?",
        "Must one vote?",
        "Ought we to?",
        "Isn't it true?",
        "Isn\u2019t it true?",
        "Aren't they?",
        "Can't we merge?",
        "Cannot it be?",
        "Won't it break?",
        "Ain't it so?",
        "Shan't we?",
        "Couldnt it be?",
        "is it lower case?",
        '  \u00bf"Is it dressed?',
        "Is it true or not?",
        "Is it a fish? Answer yes or no.",
        "Is there an orange organ?",
        "Can you fly it?",
        "Do you like it?",
    ],
)
def test_a_question_that_opens_like_one_takes_yes_or_no(question: str) -> None:
    assert auto_answer(question) == YesNo()


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of France?",
        "Which one is a mammal?",
        "Who is it?",
        "How many are there?",
        "Island nations are which?",
        "Isle of Man?",
        "Candy is what?",
        "Maybe?",
        "The answer is?",
        "Is it A or B?",
        "Is it a whale OR a fish?",
        "Should we merge, wait, or revert?",
        "Is it true or nothing?",
        "Can you tell me who wrote it?",
        "Could you please explain why?",
        "Would you list them?",
        "Do you know who wrote it?",
        "Will we find out? No: what is it?",
        "Can I name it?",
        "Can you summarise it?",
        "Can you summarize it?",
        "Is",
        "",
        " ",
    ],
)
def test_every_other_question_takes_a_text(question: str) -> None:
    if question.startswith("Will we find"):
        assert auto_answer("Will we find out?") == Text()  # asks to find
    assert auto_answer(question) == Text()


@given(odd_texts())
def test_every_question_has_a_type(question: str) -> None:
    assert auto_answer(question) in (YesNo(), Text())


@pytest.mark.parametrize(
    ("spec", "answer"),
    [
        ("yes/no", YesNo()),
        ("YesNo", YesNo()),
        ("yes-no", YesNo()),
        (" Number ", Number()),
        ("TEXT", Text()),
    ],
)
def test_types_by_name(spec: str, answer: object) -> None:
    assert parse_answer(spec) == answer


@pytest.mark.parametrize(
    ("spec", "mend"),
    [
        ("choice", "Name the options to choose from: --choices a,b,c, or fanin.Choice([...])."),
        ("Choices", "Name the options to choose from: --choices a,b,c, or fanin.Choice([...])."),
        ("numbr", "Did you mean number?"),
        ("json", "Use fanin.Json(schema) or fanin.Labels([...]), on the command line --schema or --labels."),
        ("yes", "Did you mean yes/no?"),
        ("", None),
        ("zzz", None),
    ],
)
def test_names_of_no_type(spec: str, mend: str | None) -> None:
    with pytest.raises(InputError) as caught:
        parse_answer(spec)
    error = caught.value
    assert (error.field, error.bound, error.value) == (
        "answer",
        "one of yes/no, number, text, date, quantity",
        spec,
    )
    assert error.mend == mend
