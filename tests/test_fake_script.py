"""The grammar of the fake's scripts."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fanin.errors import CallError, InputError
from fanin_backends.fake_script import FAULTS, Item, Script, Step, escape, parse, parse_items

texts = st.text() | st.text(alphabet='\\,>{}"!@=0123.n \n\t', max_size=12)


def said(script: Script) -> list[list[str]]:
    """The texts of every item's answers."""
    return [[step.text for step in item.steps] for item in script.items]


@given(texts)
@example("")
@example(" \n")
@example("\\n")
@example("x=3@5")
@example('{"a": 1, "b": "}"}')
def test_what_is_escaped_is_one_item_of_that_text(text: str) -> None:
    expected = Script((Item((Step(text),)),))
    assert parse(escape(text)) == expected
    assert parse_items([escape(text)]) == expected


@given(st.lists(st.lists(texts, min_size=1, max_size=4), min_size=1, max_size=4))
def test_escaped_texts_join_to_items_and_answers(items: list[list[str]]) -> None:
    script = parse(" , ".join(" > ".join(escape(text) for text in item) for item in items))
    assert said(script) == items
    assert all(item.weight is None for item in script.items)


@given(st.text())
def test_any_text_is_a_script_or_an_input_error(text: str) -> None:
    try:
        script = parse(text)
    except InputError:
        return
    assert script.items
    assert all(item.steps for item in script.items)


@given(st.integers(1, 9), st.integers(0, 50), st.none() | st.integers(0, 2**31))
def test_run_i_gets_item_i_modulo_the_length(length: int, index: int, seed: int | None) -> None:
    script = parse(",".join(f"item {number}" for number in range(length)))
    assert script.item(index, seed) is script.items[index % length]


@given(st.integers(1, 6), st.integers(1, 20))
def test_successive_calls_stay_at_the_last_answer(length: int, attempt: int) -> None:
    item = parse(">".join(f"answer {number}" for number in range(1, length + 1))).items[0]
    assert item.step(attempt).text == f"answer {min(attempt, length)}"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", [["yes"]]),
        (" \n", [["yes"]]),
        ("yes", [["yes"]]),
        ("yes,yes,no", [["yes"], ["yes"], ["no"]]),
        (" yes , no ", [["yes"], ["no"]]),
        ("a > b,c", [["a", "b"], ["c"]]),
        (r"a\, b\> c", [["a, b> c"]]),
        (r"one\ntwo", [["one\ntwo"]]),
        (r"\!important\@5", [["!important@5"]]),
        (r"x\=3", [["x=3"]]),
        (r"\ a\ ", [[" a "]]),
        (r"a\\,b", [["a\\"], ["b"]]),
        (r"\boxed{4},\é", [[r"\boxed{4}"], ["\\é"]]),
        ("a\\", [["a\\"]]),
        ('{"answer": "yes, > no", "n": [1, 2]},x', [['{"answer": "yes, > no", "n": [1, 2]}'], ["x"]]),
        (r'{"a": "\"}, \n"},x', [[r'{"a": "\"}, \n"}'], ["x"]]),
        ("{a: {b, c}, d},e", [["{a: {b, c}, d}"], ["e"]]),
        ('"a, b > c",d', [['"a, b > c"'], ["d"]]),
        ('"a@5"', [['"a@5"']]),
        ("{x=3}", [["{x=3}"]]),
        ("a}b,c", [["a}b"], ["c"]]),
        ("don't,won't", [["don't"], ["won't"]]),
        ("a=b", [["a=b"]]),
        ("me@example.org", [["me@example.org"]]),
        ("x=3>y", [["x=3", "y"]]),
        ("what!", [["what!"]]),
        ("@0.5 is late", [["@0.5 is late"]]),
    ],
)
def test_texts(script: str, expected: list[list[str]]) -> None:
    parsed = parse(script)
    assert said(parsed) == expected
    assert all(step.latency_s == 0 for item in parsed.items for step in item.steps)
    assert all(item.weight is None for item in parsed.items)


def test_commas_in_a_list_are_plain_text() -> None:
    assert said(parse_items(["a, b", "c\\, d > e"])) == [["a, b"], ["c, d", "e"]]


@pytest.mark.parametrize(
    ("script", "latencies"),
    [
        ("yes@0.3", [0.3]),
        ("yes @3", [3.0]),
        ("yes@.5", [0.5]),
        ("!429:2.5@0.1>yes@2", [0.1, 2.0]),
        ('{"a": 1}@4', [4.0]),
    ],
)
def test_latencies(script: str, latencies: list[float]) -> None:
    [item] = parse(script).items
    assert [step.latency_s for step in item.steps] == latencies
    assert not any("@" in step.text for step in item.steps)


def test_only_the_last_suffix_of_a_kind_counts() -> None:
    [item] = parse("x@1@2=3=4").items
    assert (item.steps[0].text, item.steps[0].latency_s, item.weight) == ("x@1@2=3", 0, 4)
    [item] = parse("x=1@2=3").items
    assert (item.steps[0].text, item.steps[0].latency_s, item.weight) == ("x=1", 2, 3)


def test_weights() -> None:
    script = parse("yes=0.8, no@1=0.2, a>b=1")
    assert [item.weight for item in script.items] == [0.8, 0.2, 1]
    assert said(script) == [["yes"], ["no"], ["a", "b"]]
    assert script.items[1].steps[0].latency_s == 1


@given(st.integers(0, 2**31 - 1), st.integers(0, 1000), st.integers(0, 1000))
def test_a_draw_depends_on_the_seed_alone(seed: int, index: int, other: int) -> None:
    script = parse("yes=0.5,no=0.5")
    assert script.item(index, seed) == script.item(other, seed)


def test_a_draw_without_a_seed_depends_on_the_index() -> None:
    script = parse("yes=0.5,no=0.5")
    drawn = [script.item(index, None) for index in range(50)]
    assert drawn == [script.item(index, None) for index in range(50)]
    assert len(set(drawn)) == 2


@pytest.mark.parametrize("scale", [1, 0.001, 1000])
def test_draws_follow_the_weights_whatever_their_sum(scale: float) -> None:
    script = parse(f"yes={0.7 * scale:f},no={0.2 * scale:f},never=0,maybe={0.1 * scale:f}")
    drawn = Counter(script.item(0, seed).steps[0].text for seed in range(20_000))
    assert drawn["yes"] == pytest.approx(14_000, rel=0.05)
    assert drawn["no"] == pytest.approx(4_000, rel=0.05)
    assert drawn["maybe"] == pytest.approx(2_000, rel=0.05)
    assert drawn["never"] == 0


def test_draws_are_the_same_on_every_machine() -> None:
    script = parse("yes=0.5,no=0.5")
    drawn = "".join(script.item(0, seed).steps[0].text[0] for seed in range(20))
    assert drawn == "yynnynyynnnynynyynnn"


@pytest.mark.parametrize(
    ("script", "kind", "status", "retry_after_s", "final", "exhausted"),
    [
        ("!429", "rate_limit", 429, None, False, False),
        ("!429:2.5", "rate_limit", 429, 2.5, False, False),
        ("!429:0", "rate_limit", 429, 0.0, False, False),
        ("!500", "server", 500, None, False, False),
        ("!timeout", "timeout", None, None, False, False),
        ("!connection", "connection", None, None, False, False),
        ("!html", "malformed", 200, None, False, False),
        ("!auth", "auth", 401, None, True, False),
        ("!quota", "quota", 429, None, True, True),
    ],
)
def test_faults_that_raise(
    script: str, kind: str, status: int | None, retry_after_s: float | None, final: bool, exhausted: bool
) -> None:
    [item] = parse(script).items
    assert item.steps[0].fault is not None
    error = item.steps[0].fault.error()
    assert isinstance(error, CallError)
    assert (error.kind, error.status, error.retry_after_s) == (kind, status, retry_after_s)
    assert (error.final, error.exhausted) == (final, exhausted)


@pytest.mark.parametrize(
    ("script", "finish", "empty"),
    [("!empty", "stop", True), ("!cut", "length", False), ("!refusal", "refusal", False)],
)
def test_faults_that_answer(script: str, finish: str, empty: bool) -> None:
    [item] = parse(script).items
    assert item.steps[0].finish == finish
    assert (item.steps[0].text == "") is empty
    assert item.steps[0].fault is None


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("!timout", "Did you mean !timeout?"),
        ("!529", "one of !429, !500"),
        ("!", "one of !429"),
        ("!Hello", r"\!"),
        ("!429:soon", "!429:SECONDS"),
        ("!429:", "!429:SECONDS"),
        ("!429:-1", "!429:SECONDS"),
        ("!500:3", "!429:SECONDS"),
        ("!429:10000000", "1000000"),
        ("yes@10000000", "1000000"),
        (f"yes@{'9' * 5000}", "1000000"),
        ("yes,,no", "!empty"),
        ("yes,", "!empty"),
        (">yes", "!empty"),
        ("=3", "!empty"),
        ("@3", "!empty"),
        ("yes=0.5,no", "x\\=3"),
        ("yes=0,no=0", "above 0"),
        ('say "yes', "every quote"),
        ('{"a": "b}', "every quote"),
        ("{a", "every brace"),
        ("{{a}", "every brace"),
    ],
)
def test_bad_scripts(script: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(script)
    assert words in str(caught.value)


@pytest.mark.parametrize("items", [[], ["yes", ""], ["yes", 1], [None]])
def test_bad_lists(items: list[str]) -> None:
    with pytest.raises(InputError):
        parse_items(items)


def test_every_fault_parses() -> None:
    for name, step in FAULTS.items():
        assert parse(f"!{name}").items[0].steps == (step,)
