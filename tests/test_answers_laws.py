"""What holds for every type of answer, and for the normal form they share."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import answer_types, dressed, odd_texts, orders_of, plain_texts

from fanin.answers import Answer, Choice, Number, Spoiled, Text, YesNo
from fanin.answers.normal import closing_brace, fold, normalise, quote, spelling


@given(odd_texts())
@example("\\BOXED{Paris}")
@example("\u1fb3\u0345")
@example("\u00ad**\u201cA\u201d.**")
def test_normalising_is_idempotent(text: str) -> None:
    form = normalise(text)
    assert normalise(form) == form
    assert fold(fold(text)) == fold(text)
    spelled = spelling(text)
    assert spelling(spelled) == spelled
    assert normalise(spelled) == form


@given(odd_texts())
def test_nothing_but_a_blank_text_normalises_to_nothing(text: str) -> None:
    assert bool(normalise(text)) == bool(" ".join(fold(text).split()))


@given(st.data(), plain_texts())
def test_dress_is_taken_off(data: st.DataObject, text: str) -> None:
    assert normalise(data.draw(dressed(text))) == fold(text)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("  The \n Hague. ", "the hague"),
        ("...", "..."),
        ("**", "**"),
        ("****", "****"),
        ("''", "''"),
        ('"a" and "b"', '"a" and "b"'),
        ("*a*b*", "*a*b*"),
        ("\\text{a} \\text{b}", "\\text{a} \\text{b}"),
        ("\\text{a\\}", "\\text{a\\}"),
        ("\\text{{a}\\{b\\}}", "{a}\\{b\\}"),
        ("\\boxed {\\textbf{x}}", "x"),
        ("\\boxed{}", "\\boxed{}"),
        ("\\(x\\]", "x"),
        ("\\(x", "\\(x"),
        ("- a", "a"),
        ("###### a", "a"),
        ("####### a", "####### a"),
        ("-a", "-a"),
        ("- 5", "- 5"),
        ("\u2022 a", "a"),
        ("5\u2013", "5-"),
        ("a\u2014b", "a\u2014b"),
        ("x\u00b2", "x\u00b2"),
        ("10\u2079", "10\u2079"),
        ("1\u00bd", "1\u00bd"),
        ("\u2464", "\u2464"),
        ("\u3392", "\u3392"),
        ("\ufb01sh", "fish"),
        ("STRASSE", "strasse"),
        ("Stra\u00dfe", "strasse"),
        ("e\u0301", "\u00e9"),
        ("a\u200bb", "ab"),
        ("a\u202eb", "ab"),
        ("\u3010a\u3011", "\u3010a\u3011"),
        ("a\u3002", "a"),
        ("a!;:,. ", "a"),
        (".5", ".5"),
    ],
)
def test_normal_forms(text: str, form: str) -> None:
    # A square is one of the forms that keep their meaning.
    assert normalise(text) == form


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("**The Hague.**", "The Hague"),
        ("\\boxed{\\text{McDonald}}", "McDonald"),
        ("\uff30aris", "Paris"),
        ("\u201cO\u2019Hara\u201d", "O'Hara"),
        ("Stra\u00dfe", "Stra\u00dfe"),
        ("A  B", "A B"),
    ],
)
def test_the_spelling_keeps_the_case(text: str, spelled: str) -> None:
    assert spelling(text) == spelled


@pytest.mark.parametrize(
    ("text", "start", "place"),
    [("a}", 0, 1), ("{a}b}c", 0, 4), ("\\}a\\{}", 0, 5), ("}", 1, -1), ("{}", 0, -1), ("", 0, -1)],
)
def test_where_a_brace_closes(text: str, start: int, place: int) -> None:
    assert closing_brace(text, start) == place


@pytest.mark.parametrize(
    ("text", "width", "quoted"),
    [
        ("a\n\t b", 60, '"a b"'),
        ("x" * 60, 60, f'"{"x" * 60}"'),
        ("x" * 61, 60, f'"{"x" * 57}..."'),
        ("abcdef", 5, '"ab..."'),
        (" " * 20 + "a", 5, '""'),
        ("", 5, '""'),
    ],
)
def test_quotes_are_one_short_line(text: str, width: int, quoted: str) -> None:
    assert quote(text, width) == quoted


@given(st.data(), answer_types(), odd_texts())
def test_reading_never_raises_and_reads_what_it_read_as_itself(
    data: st.DataObject, answer: Answer, text: str
) -> None:
    order = data.draw(orders_of(answer))
    choice = answer.read(text, order)
    if isinstance(choice, Spoiled):
        assert choice.reason
    else:
        assert answer.read(choice, order) == choice
        assert not answer.options or choice in answer.options
        assert answer.same([choice]) == {choice: choice}
        assert answer.show(choice) == choice


@given(st.data(), answer_types())
def test_equal_answers_are_counted_as_one_of_them_whatever_the_order(
    data: st.DataObject, answer: Answer
) -> None:
    texts = data.draw(
        st.lists(st.sampled_from(answer.options) if answer.options else odd_texts(), max_size=12)
    )
    read = [answer.read(text, answer.options) for text in texts]
    choices = [choice for choice in read if isinstance(choice, str)]
    same = answer.same(choices)
    assert set(same) == set(choices) >= set(same.values())
    assert all(same[head] == head for head in same.values())
    assert answer.same(data.draw(st.permutations(choices))) == same


@pytest.mark.parametrize("answer", [YesNo(), Text(), Number(), Choice(["a b", "c d"])])
def test_every_type_is_an_answer_and_a_value(answer: Answer) -> None:
    assert isinstance(answer, Answer)
    assert len({answer, type(answer)(["a b", "c d"]) if isinstance(answer, Choice) else type(answer)()}) == 1
    assert "think step by step" in answer.instruction(answer.options)
    assert answer.instruction(answer.options).index("think") < answer.instruction(answer.options).index(
        '"Answer: '
    )


@pytest.mark.parametrize(
    ("answer", "name", "schema"),
    [
        (YesNo(), "yes/no", {"type": "string", "enum": ["yes", "no"]}),
        (Text(), "text", {"type": "string"}),
        (Number(), "number", {"type": "number"}),
        (Choice(["b", "a"]), "choice", {"type": "string", "enum": ["b", "a"]}),
    ],
)
def test_names_and_schemas(answer: Answer, name: str, schema: dict[str, object]) -> None:
    assert answer.name == name
    assert answer.schema(answer.options) == answer.schema(()) == schema
    if answer.options:
        turned = answer.options[::-1]
        assert answer.schema(turned) == {"type": "string", "enum": list(turned)}
