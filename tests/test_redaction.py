"""Keys out of texts: no 8 characters of a key in a row are left, and nothing else is touched."""

from __future__ import annotations

import string

from hypothesis import assume, given
from hypothesis import strategies as st

from fanin.policy.redaction import PART, Redaction

KEYS = st.one_of(
    st.text(string.ascii_letters + string.digits + "-_", min_size=PART, max_size=40),
    st.text("*#?a", min_size=PART, max_size=20),
    st.text(min_size=PART, max_size=20),
)


def parts(key: str) -> set[str]:
    return {key[start : start + PART] for start in range(len(key) - PART + 1)}


@given(st.lists(KEYS, min_size=1, max_size=3), st.data())
def test_no_part_of_a_key_is_left_wherever_and_however_often_it_stood(
    keys: list[str], data: st.DataObject
) -> None:
    planted = st.sampled_from(keys) | st.sampled_from(sorted(parts(keys[0])))
    text = "".join(data.draw(st.lists(st.one_of(st.text(max_size=6), planted), max_size=8)))
    cleaned = Redaction(keys).clean(text)
    assert not [part for key in keys for part in parts(key) if part in cleaned]


@given(KEYS, st.text())
def test_a_text_without_a_part_of_the_key_is_unchanged(key: str, text: str) -> None:
    assume(not any(part in text for part in parts(key)))
    assert Redaction([key]).clean(text) == text


@given(st.lists(KEYS, max_size=2), st.text() | KEYS)
def test_cleaning_twice_changes_nothing_more(keys: list[str], text: str) -> None:
    redaction = Redaction(keys)
    assert redaction.clean(redaction.clean(text)) == redaction.clean(text)


def test_every_part_of_a_long_key_is_found_alone() -> None:
    key = "sk-proj-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghilmnq"
    redaction = Redaction([key])
    for part in parts(key):
        assert redaction.clean(f"<{part}>") == "<***>"
        assert redaction.clean(f"<{part[1:]}>") == f"<{part[1:]}>"


def test_what_stands_around_a_key_stays() -> None:
    redaction = Redaction(["gsk_0123456789abcdef"])
    assert redaction.clean("key gsk_0123456789abcdef is wrong") == "key *** is wrong"
    assert redaction.clean("...789abcdef, gsk_0123456?") == "...***, ***?"
    assert redaction.clean("ends in cdef") == "ends in cdef"


def test_the_mark_never_completes_a_part_of_a_key() -> None:
    assert "*" not in Redaction(["***secret***"]).clean("a***secret***b")


def test_short_keys_are_placeholders() -> None:
    assert Redaction(["ollama", ""]).clean("ollama") == "ollama"
    assert Redaction([]).clean("anything") == "anything"
