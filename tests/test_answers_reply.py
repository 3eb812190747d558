"""From a whole reply to one answer, or to the reason why there is none."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import ANSWER_LINES, answer_types, odd_texts, orders_of, values

from fanin.answers import Answer, Choice, Number, Spoiled, Text, YesNo
from fanin.answers.final import Final, final_answer, lone_line, without_thoughts
from fanin.answers.number import canonical
from fanin.answers.reply import read_answer, read_completion, read_reply, read_structured
from fanin.values import Completion, Finish

SEA = Choice(["whale", "shark", "tuna"])
ALL = (YesNo(), SEA, Number(), Text())


def read(reply: str, answer: Answer) -> str | None:
    """What the reply is read as; None where it is spoiled."""
    choice = read_reply(reply, answer, answer.options)
    return None if isinstance(choice, Spoiled) else choice


def reason(reply: str, answer: Answer) -> str:
    choice = read_reply(reply, answer, answer.options)
    assert isinstance(choice, Spoiled)
    return choice.reason


@given(st.data(), answer_types(), odd_texts(), st.booleans())
@example(None, YesNo(), "\ud800\x00", False)
def test_reading_never_raises(
    data: st.DataObject | None, answer: Answer, text: str, structured: bool
) -> None:
    order = data.draw(orders_of(answer)) if data else answer.options
    for given_text in (text, f"Answer: {text}", f"{text}\nAnswer: yes", f"\\boxed{{{text}}}"):
        choice = read_completion(Completion(given_text), answer, order, structured=structured)
        if isinstance(choice, Spoiled):
            assert choice.reason
        else:
            assert choice
            assert not answer.options or choice in answer.options


@given(odd_texts(), st.sampled_from(["length", "refusal", "content_filter"]), st.booleans())
def test_what_did_not_end_by_itself_never_counts(text: str, finish: Finish, structured: bool) -> None:
    for answer in ALL:
        for whole in (text, "Answer: yes", '{"reasoning": "", "answer": "yes"}'):
            completion = Completion(whole, finish)
            assert isinstance(
                read_completion(completion, answer, answer.options, structured=structured), Spoiled
            )


@pytest.mark.parametrize(
    ("text", "finish", "why"),
    [
        ("Answer: yes", "length", "cut off by length"),
        ("", "length", "cut off by length"),
        ("Answer: yes", "refusal", "refused"),
        ("Answer: yes", "content_filter", "stopped by a content filter"),
        ("", "stop", "empty"),
        (" \n\t\u00a0", "stop", "empty"),
        ("", "other", "empty"),
    ],
)
def test_why_a_completion_does_not_count(text: str, finish: Finish, why: str) -> None:
    for structured in (False, True):
        assert read_completion(Completion(text, finish), YesNo(), (), structured=structured) == Spoiled(why)


@pytest.mark.parametrize("finish", ["stop", "tool_calls", "other"])
def test_any_other_end_is_an_end(finish: Finish) -> None:
    assert read_completion(Completion("Answer: yes", finish), YesNo(), ()) == "yes"


@given(odd_texts(), st.sampled_from(["<think>", "<thinking>", "<THINK >", ""]))
def test_thoughts_never_count(thought: str, opens: str) -> None:
    closed = opens.replace("<", "</") or "</think>"
    assert read(f"{opens}{thought}\nAnswer: no{closed}\nAnswer: yes", YesNo()) == "yes"
    assert read(f"{opens}{thought}\nAnswer: no\n{closed}", YesNo()) is None
    if opens:
        assert read(f"{opens}\nAnswer: no", YesNo()) is None


@pytest.mark.parametrize(
    ("reply", "left"),
    [
        ("a", "a"),
        ("<think>a</think>b", "b"),
        ("a</think>b", "b"),
        ("a</think>b</think>c", "c"),
        ("a<think>b", "a"),
        ("a<think>b<think>c", "a"),
        ("<think>a</think>b<think>c", "b"),
        ("<think>a<think>b</think>c", "c"),
        ("<Thinking>a</THINKING >b", "b"),
        ("<thinks>a", "<thinks>a"),
        ("<think", "<think"),
    ],
)
def test_what_is_left_without_thoughts(reply: str, left: str) -> None:
    assert without_thoughts(reply) == left


@pytest.mark.parametrize("reply", ["<think>Answer: yes", "Answer: no</think>", "<think>a</think> \n"])
def test_thoughts_alone_are_no_answer(reply: str) -> None:
    assert reason(reply, YesNo()) == "thoughts and no answer"


@given(st.lists(st.sampled_from(["yes", "no"]), min_size=1, max_size=5), st.data())
def test_the_last_answer_line_counts(said: list[str], data: st.DataObject) -> None:
    forms = [line for line in ANSWER_LINES if not line.startswith("Final answer: A")]
    lines = [data.draw(st.sampled_from(forms)).format(word) for word in said]
    assert read("\nWell, then.\n".join(lines), YesNo()) == said[-1]


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("Answer: yes", "yes"),
        ("It is odd.\n\n**Answer: No**", "no"),
        ("_Answer:_ yes", "yes"),
        ("*Answer: yes*", "yes"),
        ("`Answer: yes`", "yes"),
        ("__Answer__: yes", "yes"),
        ("Answer\n\nyes", None),
        ("**Answer**\n\nyes", "yes"),
        ("# Answer\nyes", "yes"),
        ("Answer:\n\n```\nyes\n```", "yes"),
        ("Answer:\n---\n- yes", "yes"),
        ("Answer: yes\n\nLet me know if that helps.", "yes"),
        ("Answer: yes. It is prime.", "yes"),
        ("Answer: yes (it is prime)", "yes"),
        ("Answer: yes \u2014 it is prime", "yes"),
        ("Answer: yes - it is prime", "yes"),
        ("Answer: No, there is no divisor", "no"),
        ("Answer: yes, not no", None),
        ("Answer: yes or no", None),
        ("Answer: yes/no", None),
        ("Answer: not sure", None),
        ("Answer: it is not true", None),
        ("Answer: yes. Answer: no", None),
        ("Answer: yes. Answer: yes", "yes"),
        ("Final answer: Answer: yes", "yes"),
        ("Answer: The final answer is yes", "yes"),
        ("Answer: \\boxed{yes}", "yes"),
        ("Answer: yes \\boxed{yes}", "yes"),
        ("Answer: no \\boxed{yes}", None),
        ("Answer: \\boxed{yes} \\boxed{no}", None),
        ("\\boxed{no}\nAnswer: yes", "yes"),
        ("Answer: yes\n\\boxed{no}", "no"),
        ("Answer:\n\\boxed{no}", "no"),
        ("Answer: yes\n\nSo \\boxed{yes", "yes"),
        ("\\boxed{yes} and \\boxed{no}", None),
        ("\\boxed{yes}\n\\boxed{no}", "no"),
        ("\\boxed{\\boxed{yes}}", "yes"),
        ("The answer is yes", None),
        ("The answer is: yes", "yes"),
        ("So the answer is: yes", "yes"),
        ("Some answer: yes", None),
        ("I say so. Answer: yes", "yes"),
        ("A wrong answer: yes", None),
        ("Answers: yes", None),
        ("myanswer: yes", None),
        ("Yes.", "yes"),
        ("```\nyes\n```", "yes"),
        ("\n\n  **No** \n", "no"),
        ("Yes, it is.", None),
        ("It is not true.", None),
        ("yes\nno", None),
        ("Answer:", None),
        ("Answer: ?\nyes", None),
        ("Answer: yes\r\nAnswer: no\r\n", "no"),
        ("Answer: yes\rAnswer: no", "no"),
        ("\uff21nswer\uff1a no", "no"),
        ("1. Answer: yes\n2. Answer: no", "no"),
        ("Answer (yes or no): no", "no"),
    ],
)
def test_yes_or_no_in_replies(reply: str, choice: str | None) -> None:
    assert read(reply, YesNo()) == choice


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("Answer: B. shark", "shark"),
        ("Answer: B", "shark"),
        ("Answer: shark, a fish", "shark"),
        ("Answer: B. whale", None),
        ("Answer: B, as A is a fish", None),
        ("Answer: B. A whale is a mammal", None),
        ("Answer: shark, not whale", None),
        ("Answer: shark (whales are mammals)", "shark"),
        ("Answer: shark, since a fish it is", "shark"),
        ("Answer: B: shark. It breathes water.", "shark"),
        ("Answer: D", None),
        ("Answer: dolphin", None),
        ("C", "tuna"),
        ("tuna", "tuna"),
        ("\\boxed{\\text{tuna}}", "tuna"),
        ("\\boxed{C}", "tuna"),
        ("Answer: $\\boxed{C}$ tuna", "tuna"),
        ("Answer: $\\boxed{C}$ whale", None),
        ("The whale is one, the shark is not.", None),
    ],
)
def test_options_in_replies(reply: str, choice: str | None) -> None:
    assert read(reply, SEA) == choice


@pytest.mark.parametrize(
    ("options", "reply", "choice"),
    [
        (["whale", "whale shark"], "Answer: whale, no whale shark", None),
        (["whale", "whale shark"], "Answer: whale shark, a whale it is not", None),
        (["whale", "whale shark"], "Answer: whale shark, the whale shark is a fish", "whale shark"),
        (["no", "not sure"], "Answer: no, not sure", None),
        (["no", "not sure"], "Answer: not sure, really", "not sure"),
        (["red", "blue"], "Answer: red, it is coloured", "red"),
        (["red", "blue"], "Answer: red, it is bluer", "red"),
        (["red", "blue"], "Answer: red, it is blue", None),
        (["red", "blue"], "Answer: red, blue.", None),
        (["a, b", "a"], "Answer: a, b", "a, b"),
        (["-5", "5"], "Answer: \u22125", "-5"),
        (["A", "B"], "Answer: A, not B", None),
        (["A", "B"], "Answer: A, a good one", "A"),
        (["+", "-"], "Answer: +, not -", None),
    ],
)
def test_options_that_another_option_is_part_of(options: list[str], reply: str, choice: str | None) -> None:
    assert read(reply, Choice(options)) == choice


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("Answer: 1,234", "1234"),
        ("Answer: \u22125", "-5"),
        ("Answer: 1/2", "0.5"),
        ("So \\boxed{\\frac{1}{2}}.", "0.5"),
        ("Answer: 42. Six times seven.", "42"),
        ("Answer: 42, as 6 x 7", None),
        ("Answer: 10, 20%", None),
        ("Answer: 10 20", None),
        ("Answer: 42, which is exact", "42"),
        ("Answer: 42 (42.0)", "42"),
        ("Answer: x = \\boxed{7}", "7"),
        ("Answer: 6 + 1 = \\boxed{7}", None),
        ("Answer: 9. Answer: 9.0", "9"),
        ("Answer: 9. Answer: 8", None),
        ("17.", "17"),
        ("In 1492.", None),
    ],
)
def test_numbers_in_replies(reply: str, choice: str | None) -> None:
    assert read(reply, Number()) == choice


def test_numbers_within_the_tolerance_do_not_contradict_each_other() -> None:
    assert read("Answer: 9 (9.05 before rounding)", Number()) is None
    assert read("Answer: 9. Answer: 9.05", Number(abs_tol=0.1)) == "9"
    assert read("Answer: 9. Answer: 9.2", Number(abs_tol=0.1)) is None


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("Answer: Paris.", "Paris"),
        ("Answer: \\boxed{Paris}", "Paris"),
        ("Answer: $\\boxed{\\text{Paris}}$.", "Paris"),
        ("**Answer:** \u201c\\boxed{Paris}\u201d", "Paris"),
        ("Answer: \\boxed{Paris} paris", "Paris"),
        ("Answer: London \\boxed{Paris}", None),
        ("Answer: \\boxed{Paris} \\boxed{PARIS}", "Paris"),
        ("Answer: \\boxed{Paris} \\boxed{Rome}", None),
        ("Answer: Paris. Answer: Rome", None),
        ("Answer: Paris. Answer: paris", "Paris"),
        ("Answer: Paris, in France", "Paris, in France"),
        ("Paris", "Paris"),
        ("Paris\nor Rome", None),
        ("I'm sorry, but I can't help with that.", None),
        ("Answer: I cannot determine it", None),
    ],
)
def test_texts_in_replies(reply: str, choice: str | None) -> None:
    assert read(reply, Text()) == choice


@pytest.mark.parametrize(
    ("reply", "answer", "why"),
    [
        ("Hm.\nWell.", YesNo(), 'no answer line: "Hm. Well."'),
        ("Maybe.", YesNo(), 'no answer line: "Maybe."'),
        ("I'm sorry, but I can't help with that.", YesNo(), "refused"),
        ("Answer:", YesNo(), "the answer line is empty"),
        ("Answer: maybe", YesNo(), 'neither yes nor no: "maybe"'),
        ("Answer: yes, not no", YesNo(), 'more than one answer: "yes, not no"'),
        ("Answer: yes. Answer: no", YesNo(), 'more than one answer: "yes. no"'),
        ("Answer: dolphin", SEA, 'none of the options: "dolphin"'),
        ("Answer: 10, 20%", Number(), 'not one plain number: "10, 20%"'),
        ("Answer: no \\boxed{yes}", YesNo(), 'more than one answer: "yes no"'),
    ],
)
def test_why_a_reply_is_spoiled(reply: str, answer: Answer, why: str) -> None:
    assert reason(reply, answer) == why


@pytest.mark.parametrize(
    ("reply", "final"),
    [
        ("", None),
        ("yes", None),
        ("Answer: a", Final((" a",))),
        ("Answer: a\n\\boxed{b} c", Final(("b",))),
        ("Answer: \\boxed{a} b $", Final(("a",), "     b  ")),
        ("\\boxed{a} \\boxed{b}", Final(("a", "b"))),
        ("\\fbox{a}", Final(("a",))),
        ("\\boxed {a}", Final(("a",))),
        ("\\boxed{a\\}b}", Final(("a\\}b",))),
        ("\\boxed{a{b}}", Final(("a{b}",))),
        ("}\\boxed{a}", Final(("a",))),
        ("\\boxed{a", None),
        ("boxed{a}", None),
        ("Answer:", Final(("",))),
        ("Answer:\n\n!\na\nb", Final(("a",))),
    ],
)
def test_where_the_final_answer_stands(reply: str, final: Final | None) -> None:
    found = final_answer(reply)
    assert (found and found.texts) == (final and final.texts)
    assert (found and found.beside.split()) == (final and final.beside.split())


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        ("a", "a"),
        (" a \n\n", "a"),
        ("```\na\n```", "a"),
        ("~~~text\na\n~~~", "a"),
        ("a\nb", None),
        ("", None),
        ("```", None),
        ("```a b```", "```a b```"),
    ],
)
def test_lone_lines(reply: str, line: str | None) -> None:
    assert lone_line(reply) == line


def test_letters_are_those_that_the_run_was_shown() -> None:
    assert read_reply("Answer: A", SEA, ("tuna", "whale", "shark")) == "tuna"
    assert read_structured('{"answer": "A"}', SEA, ("tuna", "whale", "shark")) == "tuna"
    assert read_answer("A, a fish", SEA, ("tuna", "whale", "shark")) == "tuna"


# Structured replies


@given(values(), st.booleans())
def test_a_json_number_is_read_by_its_digits(value: object, spaced: bool) -> None:
    text = canonical(value)  # type: ignore[arg-type]
    written = text if "/" not in text else json.dumps(text)
    reply = f'{{"reasoning": "{text} + 1", "answer":{" " * spaced}{written}}}'
    assert read_structured(reply, Number(), ()) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | odd_texts(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["answer", "a"]), inner, max_size=2)
        ),
    ),
    st.integers(0, 60),
)
def test_json_of_any_kind_never_raises(value: object, cut: int) -> None:
    whole = json.dumps(value)
    for reply in (whole, whole[:cut], json.dumps({"answer": value}), f'{{"answer": {whole[:cut]}'):
        for answer in ALL:
            choice = read_structured(reply, answer, answer.options)
            assert isinstance(choice, (str, Spoiled))


@pytest.mark.parametrize(
    ("reply", "answer", "choice"),
    [
        ('{"reasoning": "r", "answer": "yes"}', YesNo(), "yes"),
        (' {"answer": "Yes."}\n', YesNo(), "yes"),
        ('```json\n{"answer": "no"}\n```', YesNo(), "no"),
        ('<think>{"answer": "no"}</think>{"answer": "yes"}', YesNo(), "yes"),
        ('{"reasoning": "</think>", "answer": "yes"}', YesNo(), "yes"),
        ('{"answer": "Answer: yes"}', YesNo(), None),
        ('{"answer": "yes", "answer": "yes"}', YesNo(), "yes"),
        ('{"answer": "yes", "answer": "no"}', YesNo(), None),
        ('{"answer": true}', YesNo(), None),
        ('{"answer": true}', Text(), "true"),
        ('{"answer": null}', Text(), None),
        ('{"answer": ["yes"]}', YesNo(), None),
        ('{"answer": {"answer": "yes"}}', YesNo(), None),
        ('{"answer": ""}', YesNo(), None),
        ('{"answer": 0.1}', Number(), "0.1"),
        ('{"answer": 1e400}', Number(), None),
        ('{"answer": NaN}', Number(), None),
        ('{"answer": 12345678901234567890123}', Number(), "12345678901234567890123"),
        ('{"answer": "1,000"}', Number(), "1000"),
        ('{"answer": "B. shark"}', SEA, "shark"),
        ('{"answer": "a\nb"}', Text(), "a b"),
        ('{"answer": "\\ud800"}', YesNo(), None),
        ('["yes"]', YesNo(), None),
        ('[["answer", "yes"]]', YesNo(), None),
        ('"yes"', YesNo(), None),
        ("Answer: yes", YesNo(), None),
        ('{"Answer": "yes"}', YesNo(), None),
        ('{"answer": "yes"', YesNo(), None),
        ("{}", YesNo(), None),
        ("{", YesNo(), None),
        ("yes", YesNo(), None),
    ],
)
def test_structured_replies(reply: str, answer: Answer, choice: str | None) -> None:
    read = read_structured(reply, answer, answer.options)
    assert (None if isinstance(read, Spoiled) else read) == choice


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("{", 'broken JSON: "{"'),
        ("{}", 'no answer in the JSON: "{}"'),
        ("[]", 'no answer in the JSON: "[]"'),
        ('{"answer": null}', 'the JSON\'s answer is no text and no number: "{"answer": null}"'),
        ('{"answer": "yes", "answer": "no"}', 'more than one answer: "yes no "'),
        ('{"answer": " "}', "the answer line is empty"),
    ],
)
def test_why_a_structured_reply_is_spoiled(reply: str, why: str) -> None:
    read = read_structured(reply, YesNo(), ())
    assert isinstance(read, Spoiled)
    assert read.reason.replace(' "', '"') == why.replace(' "', '"')


def test_only_a_structured_reply_is_read_as_json() -> None:
    reply = '{"reasoning": "", "answer": "yes"}'
    assert read_completion(Completion(reply), YesNo(), (), structured=True) == "yes"
    assert isinstance(read_completion(Completion(reply), YesNo(), ()), Spoiled)
    assert isinstance(read_completion(Completion("Answer: yes"), YesNo(), (), structured=True), Spoiled)


# Hostile sizes: time in proportion to the length, or these never end

LARGE = 100_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    [
        "{",
        "}",
        "{}",
        "*",
        "\\",
        "\\boxed{",
        "\\boxed{}",
        "\\text{",
        "7",
        " ",
        "\n",
        "<think>",
        "</think>",
        "<",
        "answer",
        "answer ",
        "Answer:",
        "Answer: ",
        "answer*",
        "**Answer",
        "\nAnswer:\n",
        "yes ",
        "# ",
        "`",
        '"',
        "$",
        "\u200b",
        "A. ",
        ", ",
        "\\boxed{yes} ",
        "Answer: yes. ",
        "\ud800",
        "\u00df",
        "Answer (",
    ],
)
def test_a_hundred_kilobytes_of_anything_is_read_once(part: str) -> None:
    reply = part * (LARGE // len(part))
    for answer in (SEA, Text()):
        read_reply(reply, answer, answer.options)
    read_reply(f"{reply}\nAnswer: 5", Number(), ())
    read_reply(f"Answer: 5{reply}", Number(), ())


@pytest.mark.parametrize(
    "part", ["*", "{", "\\text{", "`*", "- ", ", ", "yes, ", ". ", "$*'\"", "(", "A. ", "1,000", "1 "]
)
def test_the_longest_answers_are_read(part: str) -> None:
    for answer in ALL:
        read_answer(part * (1999 // len(part)), answer, answer.options)


@pytest.mark.parametrize(
    "reply",
    [
        "[" * 200_000,
        '{"answer":' * 200_000,
        '{"a":' + "[" * 200_000 + "]" * 200_000 + ', "answer": "yes"}',
        '{"answer": ' + "9" * LARGE + "}",
        '{"answer": "' + "y" * LARGE + '"}',
        "{" + ", ".join(f'"answer": "{"yes" * 1}"' for _ in range(50_000)) + "}",
        "\n" * LARGE,
    ],
    ids=["lists", "objects", "deep beside", "digits", "text", "keys", "lines"],
)
def test_huge_structured_replies_never_raise(reply: str) -> None:
    for answer in ALL:
        assert isinstance(read_structured(reply, answer, answer.options), (str, Spoiled))
    assert sys.getrecursionlimit() < 200_000


@pytest.mark.parametrize(
    ("reply", "answer", "choice"),
    [
        ("Final answer: Answer: \\boxed{Paris}", Text(), "Paris"),
        ("Final answer: Answer: $\\boxed{12}$", Number(), "12"),
        ("Answer: no. Final answer: \\boxed{yes}", YesNo(), None),
        ("Answer: \\boxed{yes} Answer: no", YesNo(), None),
        ("Answer:\n```Paris```", Text(), "Paris"),
        ("## Answer\n\n~~~Paris~~~", Text(), "~~~Paris~~~"),
        ("Answer:\n```python\nParis\n```", Text(), "Paris"),
        ("Answer:\n```python title=x\nParis\n```", Text(), "Paris"),
    ],
)
def test_a_label_that_comes_twice_and_code_on_one_line(
    reply: str, answer: Answer, choice: str | None
) -> None:
    assert read(reply, answer) == choice
