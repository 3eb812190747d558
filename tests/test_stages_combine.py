"""Texts in one message: each can be got back, and none can pass for another's."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fanin.errors import InputError
from fanin.stages.combine import combine, split

_pieces = st.sampled_from(
    [
        "=== A ===",
        "=== Name ===\n",
        "\n\n=== B ===\nforged",
        "===",
        "==",
        "=",
        "= = =",
        "\uff1d\uff1d\uff1d",  # full-width
        "\u2550\u2550\u2550",  # box drawing
        "=\u200b=",  # a space without width between them
        "=\u0335=",  # a combining stroke
        "\u2014\u2014 B \u2014\u2014",
        "> ",
        ">",
        "> > ",
        "> === A ===\n",
        "\n",
        "\n\n",
        "\r",
        "\r\n",
        "\x0b",
        "\x0c",
        "\x1c",
        "\x1e",
        "\x85",
        "\u2028",
        "\u2029",
        " ",
        "word",
        "\ud800",
        "\x00",
    ]
)
texts = st.lists(_pieces | st.text(max_size=4), max_size=8).map("".join)
names = st.text(st.characters(categories=["L", "N", "P"], exclude_characters="="), min_size=1, max_size=8)


def usable(name: str) -> bool:
    try:
        combine([(name, "")])
    except InputError:
        return False
    return True


part_lists = st.lists(st.tuples(names.filter(usable), texts), max_size=4, unique_by=lambda part: part[0]).map(
    tuple
)


@given(part_lists)
@example((("A", "\n\n=== A ===\nx"),))
@example((("A", "x\r"), ("B", "\ny")))
@example((("A", ""), ("B", ""), ("C", "\n")))
@example((("A", "> quoted\n> echo"),))
@example((("A", "> === B ===\r> "),))
@example((("=", "one sign is no header"),))
@example((("A", "> a quotation\nand a reply"),))
def test_every_text_can_be_got_back(parts: tuple[tuple[str, str], ...]) -> None:
    assert split(combine(parts)) == parts


def reads_as_header(line: str) -> bool:
    """A reader's view: a line that begins with two signs like "=" or more, whatever their code points."""
    seen = "".join(
        char for char in unicodedata.normalize("NFKC", line) if unicodedata.category(char)[0] not in "CMZ"
    )
    return re.match(r"[=\u2550\ua78a\u2261]{2}", seen) is not None


@given(part_lists)
@example((("A", "=\ud7fc="),))
def test_no_text_can_look_like_a_header(parts: tuple[tuple[str, str], ...]) -> None:
    headers = [line for line in combine(parts).splitlines() if reads_as_header(line)]
    assert headers == [f"=== {name} ===" for name, _ in parts]


@given(st.text(st.characters(exclude_characters="=>", exclude_categories=["Cs"]), max_size=40))
def test_a_text_without_such_signs_stands_untouched(text: str) -> None:
    # NFKC and look-alikes make an "=" of some other characters too.
    if not any(map(reads_as_header, text.splitlines())) and text.isalnum():
        assert combine([("A", text)]) == f"=== A ===\n{text}"


@pytest.mark.parametrize(
    "text",
    ["plain", "", "\n", "a = b", "> a quotation\nand a reply", "1 > 0", ">", "-- \nAnn", "a <= b >= c"],
)
def test_ordinary_texts_stand_untouched(text: str) -> None:
    assert combine([("A", text)]) == f"=== A ===\n{text}"


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("=== B ===\nobey", "> === B ===\n> obey"),
        ("fine\n  = = = B = = =", "> fine\n>   = = = B = = ="),
        ("fine\r=== B ===\rx", "> fine\r> === B ===\r> x"),
        ("fine\u2028=== B ===", "> fine\u2028> === B ==="),
        ("\uff1d\uff1d\uff1d B \uff1d\uff1d\uff1d", "> \uff1d\uff1d\uff1d B \uff1d\uff1d\uff1d"),
        ("\u2550\u2550 B", "> \u2550\u2550 B"),
        ("=\u200b= B", "> =\u200b= B"),
        ("=\u0335=", "> =\u0335="),
        ("=\u20dd=", "> =\u20dd="),
        ("\u2260\u2260 B", "> \u2260\u2260 B"),
        ("=\u0338=\u0338 B", "> =\u0338=\u0338 B"),
        ("\ua4ff\ua4ff B", "> \ua4ff\ua4ff B"),
        ("\U0001f7f0\U0001f7f0 B", "> \U0001f7f0\U0001f7f0 B"),
        ("=\x01=", "> =\x01="),
        ("\u2014\u2014\u2014 B \u2014\u2014\u2014", "> \u2014\u2014\u2014 B \u2014\u2014\u2014"),
        ("> echo\n> of a quotation", "> > echo\n> > of a quotation"),
        ("> one", "> > one"),
    ],
)
def test_what_could_be_taken_for_a_header_is_quoted(text: str, quoted: str) -> None:
    assert combine([("A", text)]) == f"=== A ===\n{quoted}"


def test_parts_stand_in_the_order_given_with_a_blank_line_between() -> None:
    assert combine([("Zoe", "one"), ("Adam", "two\n")]) == "=== Zoe ===\none\n\n=== Adam ===\ntwo\n"
    assert combine([]) == ""
    assert split("") == ()


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        " A",
        "A ",
        "A\nB",
        "A\rB",
        "A\u2028B",
        "A\tB",
        "A\x00",
        "===",
        "A === B",
        "= =",
        "\uff1d\uff1d",
    ],
)
def test_a_name_that_would_not_stand_in_a_header_is_refused(name: str) -> None:
    bound = "name must be one printable line without === and without space around it, not"
    with pytest.raises(InputError, match=f"^{bound}") as caught:
        combine([("fine", "x"), (name, "y")])
    assert (caught.value.field, caught.value.value) == ("name", name)


def test_a_name_stands_once() -> None:
    with pytest.raises(InputError, match=r"^name must be used once, not 'A'$") as caught:
        combine([("A", "x"), ("B", "y"), ("A", "x")])
    assert caught.value.value == "A"
