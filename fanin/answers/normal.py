"""The normal form of an answer: what is left when its dress is taken off.

Width, case, white space, markdown, quotes, LaTeX wrappers and trailing dots are dress. Signs, digits,
superscripts and everything inside the text are not: they tell one answer from another.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

MAX_ANSWER = 2000
"""The most characters an answer alone may have; a longer text is no answer but a reply."""

_SAME = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb", '"'),
        # Hyphens, en dash and minus sign; the em dash stays, as it divides sentences.
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
        # Invisible: soft hyphen, zero-width space, word joiner, byte order mark, emoji selector, bidi marks.
        **dict.fromkeys("\u00ad\u200b\u2060\ufeff\ufe0f\u200e\u200f", None),
        **dict.fromkeys(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))), None),
    }
)
# Compatibility forms that carry meaning: 10 to the 9th, 1 1/2 and a 5 in a circle are not 109, 11/2 and 5.
_MEANINGFUL = ("<super>", "<sub>", "<fraction>", "<circle>", "<square>")

_TRAILING = ".,;:!\u3002 "
_MARKED = re.compile(r"(\*{1,3}|`{1,3}|~~|\"|'|\$\$?)((?:(?!\1).)+)\1", re.DOTALL)
_BULLET = re.compile(r"(?:[-+*>\u2022]|#{1,6}) +(?=[^\d\s.])")
_COMMAND = re.compile(
    r"\\(?:boxed|fbox|text|text(?:bf|it|rm|sf|tt|normal)|math(?:bf|it|rm|sf|tt)|mbox|emph) ?\{",
    re.IGNORECASE,
)
_BRACES = re.compile(r"\\[{}]|[{}]")


def fold(text: str) -> str:
    """The text without the differences of width, case, quotation marks and dashes. Idempotent.

    Unicode NFKC and case folding (UAX 15, UAX 31), but superscripts, subscripts, vulgar fractions and
    enclosed characters stay what they are.
    """
    if text.isascii():
        return text.lower()
    return _to_rest(lambda text: unicodedata.normalize("NFC", _narrow_once(text).casefold()), text)


def _to_rest(step: Callable[[str], str], text: str) -> str:
    # Folding one thing can make another foldable; Unicode promises that this comes to rest.
    while (folded := step(text)) != text:
        text = folded
    return text


def _narrow_once(text: str) -> str:
    text = unicodedata.normalize("NFC", text.translate(_SAME))
    parts = [char if char.isascii() else _fold_char(char) for char in text]
    return unicodedata.normalize("NFC", "".join(parts))


def _fold_char(char: str) -> str:
    if unicodedata.decomposition(char).startswith(_MEANINGFUL):
        return char
    return unicodedata.normalize("NFKC", char)


@lru_cache(maxsize=512)  # the same few answers come again and again
def normalise(text: str) -> str:
    """The normal form: folded, white space single, wrappers and trailing dots peeled off. Idempotent.

    Never empty unless the text is blank: dots alone stay dots. Meant for texts of at most MAX_ANSWER
    characters; its time grows with the square of the wrappers.
    """
    return _peeled(fold(text))


def spelling(text: str) -> str:
    """The text without its dress, in the case it is written in: `**Paris.**` is `Paris`. Idempotent.

    Its normal form is that of the text.
    """
    return _peeled(_to_rest(_narrow_once, text))


def _peeled(text: str) -> str:
    text = " ".join(text.split())
    while (peeled := _peel(text)) != text:
        text = peeled
    return text


def _peel(text: str) -> str:
    """One layer less, or the text itself."""
    bare = text.strip().rstrip(_TRAILING)
    if bare and bare != text:
        return bare
    if text[:1].isalnum():  # as nearly every text; no wrapper begins so
        return text
    if marked := _MARKED.fullmatch(text):
        return marked[2].strip() or text
    if bullet := _BULLET.match(text):
        return text[bullet.end() :]
    if text.startswith(("\\(", "\\[")) and text.endswith(("\\)", "\\]")):
        return text[2:-2].strip() or text
    command = _COMMAND.match(text)
    if command and closing_brace(text, command.end()) == len(text) - 1:
        return text[command.end() : -1].strip() or text
    return text


def closing_brace(text: str, start: int) -> int:
    """Where the brace closes that was opened before `start`; -1 where it never does."""
    depth = 1
    for brace in _BRACES.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if not depth:
            return brace.start()
    return -1


def quote(text: str, width: int = 60) -> str:
    """The text in quotation marks, on one line and cut to `width` characters, for messages."""
    line = " ".join(text[: 4 * width].split())
    return f'"{line if len(line) <= width else line[: width - 3] + "..."}"'
