"""Numbers: read exactly from any way of writing them, and never one for another."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import dressed, number_types, odd_texts, replies, values, written

from fanin.answers import Number, Spoiled
from fanin.answers.number import MAX_DIGITS, canonical
from fanin.answers.reply import read_reply
from fanin.errors import InputError

EXACT = Number()


@given(st.data(), values())
def test_a_number_however_written_reads_as_its_exact_value(data: st.DataObject, value: Fraction) -> None:
    # Two values written in any two ways are so never read as one.
    form = data.draw(written(value))
    assert EXACT.read(form, ()) == canonical(value)
    worn = data.draw(dressed(form, words=False)) if "'" not in form and "$" not in form else form
    assert EXACT.read(worn, ()) == canonical(value)
    assert read_reply(data.draw(replies(worn)), EXACT, ()) == canonical(value)


@given(st.fractions())
def test_the_canonical_spelling_is_exact(value: Fraction) -> None:
    assert Fraction(canonical(value)) == value


@given(odd_texts(), st.sampled_from(["-", "\u2212", "+", ".", "1", "0", "/", ",", "e"]))
def test_what_is_read_has_a_digit_in_the_text(text: str, more: str) -> None:
    if isinstance(choice := EXACT.read(text + more, ()), str):
        assert any(map(str.isnumeric, text + more))
        assert sum(map(str.isdigit, choice)) <= MAX_DIGITS
        Fraction(choice)


@given(st.data(), number_types(), st.lists(values(), max_size=12))
def test_groups_part_the_choices_and_are_no_wider_than_the_tolerance(
    data: st.DataObject, answer: Number, numbers: list[Fraction]
) -> None:
    choices = [canonical(number / data.draw(st.sampled_from([1, 1, 10**6]))) for number in numbers]
    same, votes = answer.same(choices), Counter(choices)
    assert answer.same(data.draw(st.permutations(choices))) == same
    assert set(same) == set(choices)
    for head in set(same.values()):
        members = sorted((choice for choice in votes if same[choice] == head), key=Fraction)
        low, high = Fraction(members[0]), Fraction(members[-1])
        widest = max(Fraction(str(answer.abs_tol)), Fraction(str(answer.rel_tol)) * max(abs(low), abs(high)))
        assert high - low <= widest
        assert head == min(members, key=lambda member: (-votes[member], Fraction(member)))
        # Nothing between the smallest and the largest belongs to another group.
        assert [choice for choice in votes if low <= Fraction(choice) <= high] == [
            choice for choice in votes if choice in members
        ]


@given(st.lists(values()))
def test_without_a_tolerance_only_equal_numbers_are_one(numbers: list[Fraction]) -> None:
    choices = [canonical(number) for number in numbers]
    assert EXACT.same(choices) == {choice: choice for choice in choices}


@pytest.mark.parametrize(
    ("answer", "choices", "counted_as"),
    [
        (Number(abs_tol=1), "1 2 3", "1 1 3"),
        (Number(abs_tol=1), "1 2 3 3 2 2", "2 2 3"),
        (Number(abs_tol=1), "1 2.0001", "1 2.0001"),
        (Number(abs_tol=0.1), "0.1 0.2 0.3", "0.1 0.1 0.3"),
        (Number(rel_tol=0.1), "90 100", "90 90"),
        (Number(rel_tol=0.1), "-100 -90", "-100 -100"),
        (Number(rel_tol=0.1), "89 100", "89 100"),
        (Number(rel_tol=0.01, abs_tol=5), "1 6 1000 1010", "1 1 1000 1000"),
        (Number(rel_tol=0.1), "0 0.001", "0 0.001"),
        (Number(abs_tol=0.5), "1/3 0.5", "1/3 1/3"),
        (Number(abs_tol=1), "-0.5 0.5", "-0.5 -0.5"),
        (Number(abs_tol=10), "9 10", "9 9"),
    ],
)
def test_groups_begin_at_the_smallest(answer: Number, choices: str, counted_as: str) -> None:
    same = answer.same(choices.split())
    assert [same[choice] for choice in dict.fromkeys(choices.split())] == counted_as.split()


@pytest.mark.parametrize("sign", [1, -1])
def test_fractions_as_near_as_their_denominators_allow_are_in_order(sign: int) -> None:
    low, high = sorted([sign * (4 - Fraction(1, 3**40)), sign * (4 - Fraction(1, 3**40 + 1))])
    assert high - low == Fraction(1, 3**40 * (3**40 + 1))
    choices = [canonical(high), canonical(low), canonical(high + 1)]
    apart = Number(abs_tol=float(high - low) * 1.01)
    assert apart.same(choices) == {choices[0]: choices[1], choices[1]: choices[1], choices[2]: choices[2]}
    nearer = Number(abs_tol=float(high - low) * 0.99)
    assert nearer.same(choices) == {choice: choice for choice in choices}


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("1/2", "0.5"),
        ("0.5", "0.5"),
        (".5", "0.5"),
        ("50e-2", "0.5"),
        ("\u00bd", "0.5"),
        ("1\u20442", "0.5"),
        ("-5", "-5"),
        ("\u22125", "-5"),
        ("5", "5"),
        ("+5", "5"),
        ("- 5", None),
        ("--5", None),
        ("-0", "0"),
        ("1.5", "1.5"),
        ("15", "15"),
        ("1,500", "1500"),
        ("1,5", None),
        ("12,34", None),
        ("1,234,56", None),
        ("1,234,567.89", "1234567.89"),
        ("1 234 567", "1234567"),
        ("1'234", "1234"),
        ("1,234 567", None),
        ("0,123", None),
        ("1234,567", None),
        ("007", "7"),
        ("1.500.000", None),
        ("1.2.3", None),
        ("\uff11\uff12\uff13", "123"),
        ("\u0661", None),
        ("\u4e94", None),
        ("\u2464", None),
        ("10\u2079", None),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("1.5e-3", "0.0015"),
        ("2 x 10^3", "2000"),
        ("2\u00d710^{-2}", "0.02"),
        ("2 \\times 10^{3}", "2000"),
        ("2\\cdot10^3", "2000"),
        ("e3", None),
        ("10^3", None),
        ("2^3", None),
        ("\\frac{1}{3}", "1/3"),
        ("-\\dfrac{2}{6}", "-1/3"),
        ("1\\frac{1}{3}", None),
        ("1 1/2", None),
        ("3/4", "0.75"),
        ("6/3", "2"),
        ("1/0", None),
        ("0/5", "0"),
        ("1/2/3", None),
        ("1,000/2,000", "0.5"),
        ("1\u00bd", None),
        ("$1,000", "1000"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("\u20ac 5", "5"),
        ("\\$5", "5"),
        ("5 \u20ac", None),
        ("42 km", "42"),
        ("42km", "42"),
        ("42 km/h", "42"),
        ("42 square metres", "42"),
        ("42 km\u00b2", "42"),
        ("42 m\u00b2", None),
        ("5 apples", "5"),
        ("5 big red apples", None),
        ("5 m", None),
        ("5k", None),
        ("2x", None),
        ("5 million", None),
        ("5 dozen", None),
        ("3 or 4", None),
        ("5 to 6", None),
        ("21\u00b0", "21"),
        ("21 \u00b0C", "21"),
        ("90^\\circ", "90"),
        ("5\\text{ cm}", "5"),
        ("5 \\mathrm{cm}", "5"),
        ("12 o'clock", "12"),
        ("12 pm", None),
        ("50%", None),
        ("50 percent", None),
        ("50\\%", None),
        ("50 per cent", None),
        ("50 pct", None),
        ("6!", None),
        ("6 !", None),
        ("\uff16\uff01", None),
        ("6 !x", None),
        ("3-4", None),
        ("3 - 4", None),
        ("x = 7", "7"),
        ("x=7", "7"),
        ("= 7", "7"),
        ("~7", "7"),
        ("\u2248 7", "7"),
        ("xy = 7", None),
        ("x = ", None),
        ("7.", "7"),
        ("7.0", "7"),
        ("100", "100"),
        ("1.10", "1.1"),
        ("0.10", "0.1"),
        ("0", "0"),
        ("0.0", "0"),
        ("", None),
        (".", None),
        ("-", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("five", None),
        ("1_000", "1000"),
        ("1__000", None),
        ("0x10", None),
        ("5\u00b2", None),
        ("5 \u00b2", None),
        ("5 3", None),
        ("seven 7", None),
        ("5 k\u00bd", None),
        ("5 minus", None),
        ("5 non-smokers", "5"),
        ("5 kg-plus", None),
        ("1{,}000", "1000"),
        ("1\\,000", "1000"),
        ("1\\!000", "1000"),
        ("\\pm 5", None),
        ("5\x00", None),
    ],
)
def test_numbers(text: str, choice: str | None) -> None:
    read = EXACT.read(text, ())
    assert (None if isinstance(read, Spoiled) else read) == choice


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("five", 'not a number: "five"'),
        ("6!", 'not a number: "6!"'),
        ("50%", 'a percentage and not a plain number: "50%"'),
        ("50\u2030", 'a percentage and not a plain number: "50\u2030"'),
        ("5 or 6", 'not one plain number: "5 or 6"'),
        ("1/0", 'divided by zero: "1/0"'),
        ("1/000", 'divided by zero: "1/000"'),
        ("1e9999999", 'a number of more than 300 digits: "1e9999999"'),
        ("1" * 301, f'a number of more than 300 digits: "{"1" * 57}..."'),
        ("1e300", 'a number of more than 300 digits: "1e300"'),
        ("1e-300", 'a number of more than 300 digits: "1e-300"'),
        (" " * 2000 + "5", 'not a number: ""'),
    ],
)
def test_why_it_is_no_number(text: str, reason: str) -> None:
    assert EXACT.read(text, ()) == Spoiled(reason)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("1" * 300, "1" * 300),
        ("1e299", "1" + "0" * 299),
        ("1e-299", "0." + "0" * 298 + "1"),
        ("0e299", "0"),
        (" " * 1999 + "5", "5"),
    ],
)
def test_the_longest_numbers(text: str, choice: str) -> None:
    assert EXACT.read(text, ()) == choice


@pytest.mark.parametrize("field", ["rel_tol", "abs_tol"])
@pytest.mark.parametrize("value", [-1, -0.1, math.nan, math.inf, True, "1", None])
def test_tolerances_that_cannot_be_used(field: str, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        Number(**{field: value})
    assert (caught.value.field, caught.value.bound) == (field, "a finite number, 0 or more")
    assert caught.value.value is value


def test_no_tolerance_is_the_default() -> None:
    assert Number() == Number(rel_tol=0, abs_tol=0) == Number(0.0, 0.0)
