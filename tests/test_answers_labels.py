"""Labels: any number of them, read strictly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import odd_texts

from fanin.answers import Answer, Labels, Spoiled
from fanin.errors import InputError

LABELS = Labels(["Urgent", "legal advice", "spam"])


@given(st.lists(st.sampled_from(LABELS.labels), min_size=1), st.sampled_from([", ", "; ", " and ", ",and "]))
def test_a_list_is_read_in_declared_order(chosen: list[str], between: str) -> None:
    read = LABELS.read(between.join(chosen).upper(), ())
    assert read == ", ".join(label for label in LABELS.labels if label in chosen)


@given(odd_texts())
def test_reading_never_raises_and_reads_what_it_read_as_itself(text: str) -> None:
    choice = LABELS.read(text, ())
    if isinstance(choice, str):
        assert LABELS.read(choice, ()) == choice


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("none", "none"),
        ("**None.**", "none"),
        ("[spam]", "spam"),
        ("spam, urgent, and legal advice", "Urgent, legal advice, spam"),
        ('"spam", "urgent"', "Urgent, spam"),
        ("spam, ham", None),
        ("not spam", None),
        ("none, spam", None),
        ("", None),
        (", ,", None),
        ("spam," * 1000, None),
    ],
)
def test_what_is_read(text: str, choice: str | None) -> None:
    read = LABELS.read(text, ())
    if choice is None:
        assert isinstance(read, Spoiled)
        assert read.reason.startswith("not a list of the labels")
    else:
        assert read == choice


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (["a"], "at least two"),
        (["a", "A"], "told apart"),
        (["a", "None"], "other than 'none'"),
        (["a, b", "c"], "without commas"),
        (["a and b", "c"], "without commas"),
        ("a,b", "a list of texts"),
    ],
)
def test_labels_that_cannot_be_told_apart(labels: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        Labels(labels)


def test_labels_are_an_answer() -> None:
    assert isinstance(LABELS, Answer)
    assert (LABELS.name, LABELS.options) == ("labels", ())
    assert LABELS.schema(())["type"] == "string"
    assert "- legal advice" in LABELS.instruction(())
    assert LABELS.same(["spam"]) == {"spam": "spam"}
    assert LABELS.show("spam") == "spam"
    assert LABELS.parts("Urgent, spam") == {"Urgent": True, "legal advice": False, "spam": True}
    assert not any(LABELS.parts("none").values())
    assert LABELS.problems({}) == ()
    assert LABELS.written(dict.fromkeys(LABELS.labels, False)) == "none"
