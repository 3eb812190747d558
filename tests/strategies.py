"""Answers for the laws: values of every type, and the many ways in which models write them down."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from hypothesis import strategies as st

from fanin.answers import Answer, Choice, Number, Text, YesNo
from fanin.answers.normal import normalise

_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}

# At most one of each row is put around a value: the same mark twice in a row is another mark.
_WRAPPERS = (
    ("*{}*", "**{}**", "***{}***"),
    ("`{}`", "``{}``", "```{}```"),
    ('"{}"', "\u201c{}\u201d", "\u00ab{}\u00bb"),
    ("${}$", "$${}$$"),
    ("\\({}\\)", "\\[{}\\]"),
    ("\\boxed{{{}}}", "\\fbox{{{}}}"),
    ("\\text{{{}}}", "\\textbf{{{}}}", "\\mathrm{{{}}}", "\\mbox {{{}}}"),
    ("{}.", "{}...", "{};", "{}\u3002"),
    (" {}", "{}  ", "\t{}", "\u200b{}", "{}\u00a0"),
)
_WORD_WRAPPERS = (
    ("'{}'", "\u2018{}\u2019"),
    ("~~{}~~",),
    ("{}!",),
)
_BULLETS = ("{}", "{}", "{}", "- {}", "* {}", "> {}", "## {}", "\u2022 {}")

ANSWER_LINES = (
    "Answer: {}",
    "Answer:{}",
    "ANSWER: {}",
    "answer : {}",
    "Final answer: {}",
    "Final answer: Answer: {}",
    "**Answer:** {}",
    "**Answer**: {}",
    "__Final Answer__: {}",
    "### Answer: {}",
    "> Answer: {}",
    "1. Answer: {}",
    "- **Answer:** {}",
    "The final answer is: {}",
    "So, the correct answer is: {}",
    "That settles it. Answer: {}",
    "Answer (in short): {}",
    "\uff21\uff4e\uff53\uff57\uff45\uff52\uff1a {}",
    "Answer:\n{}",
    "## Answer\n\n{}",
    "**Final answer**\n{}",
)
"""Answer lines in the forms that models give them."""

_THOUGHTS = (
    "Let me think about it.",
    "It could be either; at first sight it is yes, but no rule says so.",
    "Some would answer no, and the answer would then be wrong.",
    "Answer: dolphin",
    "Answer: no",
    "**Final answer:** 17",
    "We get \\boxed{99} for the first part.",
    "```python\nanswer = 3\n```",
    "| a | b |\n|---|---|",
    "{ \\{ } ***",
    "",
)


@st.composite
def dressed(draw: st.DrawFn, text: str, *, words: bool = True) -> str:
    """The text as a model may write it: in any width, in markup, quotes and LaTeX, with trailing dots.

    `words`: also in any case and with marks that would change a number.
    """
    if words:
        text = draw(st.sampled_from([str, str, str.upper, str.lower, str.title]))(text)
    if draw(st.integers(0, 3)) == 0:
        text = text.translate(_WIDE)
    rows = draw(
        st.lists(st.sampled_from(_WRAPPERS + (_WORD_WRAPPERS if words else ())), max_size=3, unique=True)
    )
    for row in rows:
        text = draw(st.sampled_from(row)).format(text)
    bare = text.strip("\t \u200b")
    # A dash before a digit may be a minus, and a digit after `#` a name.
    return text if bare[0].isdigit() or not words else draw(st.sampled_from(_BULLETS)).format(text)


@st.composite
def replies(draw: st.DrawFn, text: str) -> str:
    """A whole reply whose final answer is the text: reasoning, other answers, then the answer line."""
    thoughts = draw(st.lists(st.sampled_from(_THOUGHTS), max_size=4))
    line = draw(st.sampled_from(ANSWER_LINES)).format(text)
    hidden = draw(st.sampled_from(["", "", "<think>\nAnswer: no\n</think>\n", "Answer: 12\n</thinking>"]))
    after = draw(st.sampled_from(["", "\n", "\r\n\r\n", "\n```", "\n\nI hope that helps!"]))
    return hidden + "\n".join([*thoughts, line]) + after


def plain_texts() -> st.SearchStrategy[str]:
    """Short texts of letters and digits without anything that could be dress."""
    word = st.text("abXYnot\u00e9\u00df\u4e2d0127", min_size=1, max_size=6)
    return st.lists(word, min_size=1, max_size=3).map(" ".join)


@st.composite
def option_lists(draw: st.DrawFn) -> list[str]:
    """Two to five options that can be told apart; often one begins with another."""
    options = draw(st.lists(plain_texts(), min_size=1, max_size=3))
    longer = [
        draw(st.sampled_from(options)) + " " + tail for tail in draw(st.lists(plain_texts(), max_size=2))
    ]
    unique = list({normalise(option): option for option in [*options, *longer, "maybe"]}.values())
    return unique if len(unique) > 1 else [*unique, "or else"]


def values() -> st.SearchStrategy[Fraction]:
    """Exact numbers: whole ones, decimals and fractions, near to one another and far apart."""
    return st.one_of(
        st.integers(-20, 20).map(Fraction),
        st.integers(-(10**12), 10**12).map(Fraction),
        st.builds(Fraction, st.integers(-(10**6), 10**6), st.sampled_from([10, 1000, 10**7])),
        st.builds(Fraction, st.integers(-99, 99), st.integers(1, 99)),
    )


@st.composite
def written(draw: st.DrawFn, value: Fraction) -> str:
    """The number as a model may write it down."""
    sign = (
        draw(st.sampled_from(["-", "\u2212", "\u2013"]))
        if value < 0
        else draw(st.sampled_from(["", "", "+"]))
    )
    top, below = abs(value.numerator), value.denominator
    zeros = 0
    while zeros < 12 and 10**zeros % below:
        zeros += 1
    if 10**zeros % below:
        forms = [f"{top}/{below}", f"{2 * top} / {2 * below}", f"\\frac{{{top}}}{{{below}}}"]
        return sign + draw(st.sampled_from(forms))
    digits = str(top * 10**zeros // below).zfill(zeros + 1)
    whole, part = (digits[:-zeros], f".{digits[-zeros:]}") if zeros else (digits, "")
    gap = draw(st.sampled_from(["", "", ",", " ", "_", "'", "\u202f", "\u2019", "{,}", "\\,"]))
    full = f"{int(whole):,}".replace(",", gap) + part
    more = draw(st.sampled_from(["", "0", "00"])) if part else draw(st.sampled_from(["", ".0"]))
    forms = [full, full + more, f"{digits}e-{zeros}", f"{digits}E+0000", f"{digits} \\times 10^{{-{zeros}}}"]
    return sign + draw(st.sampled_from(forms[:3] if not zeros else [*forms[:3], forms[4]]))


def number_types() -> st.SearchStrategy[Number]:
    """Numbers without a tolerance, with an absolute one, with a relative one, with both."""
    tolerances = st.sampled_from([0, 0, 0.1, 0.5, 1, 3])
    return st.builds(Number, rel_tol=tolerances, abs_tol=tolerances)


def answer_types() -> st.SearchStrategy[Answer]:
    """Every type of answer that there is."""
    return st.one_of(
        st.just(YesNo()),
        st.sampled_from([Text(), Text("lexical"), Text("judge"), Text(select="judge")]),
        number_types(),
        option_lists().map(Choice),
    )


def odd_texts() -> st.SearchStrategy[str]:
    """Any text: lone surrogates and NUL too, and often what the readers look for."""
    parts = (
        "Answer:",
        "answer",
        "yes",
        "no",
        "5",
        "1,000",
        "1/2",
        "-",
        "\u2212",
        ".",
        ",",
        ":",
        " ",
        "\n",
        "\r",
        "*",
        "**",
        "_",
        "`",
        "```",
        '"',
        "'",
        "$",
        "\\",
        "{",
        "}",
        "\\boxed{",
        "\\text{",
        "\\frac{1}{2}",
        "(",
        ")",
        "<think>",
        "</think>",
        "#",
        "> ",
        "A.",
        "b)",
        "whale",
        "\ud800",
        "\x00",
        "\u00bd",
        "\u2460",
        "\uff11",
    )
    return st.one_of(
        st.text(st.characters(codec=None), max_size=40),
        st.lists(st.sampled_from(parts), max_size=15).map("".join),
    )


def orders_of(answer: Answer) -> st.SearchStrategy[Sequence[str]]:
    """The orders in which a run may be shown the options."""
    return st.permutations(answer.options)
