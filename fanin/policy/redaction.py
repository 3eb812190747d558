"""Keys out of texts: nothing that is shown, saved or handed on holds a part of a key.

A server may echo the key it was sent, whole, cut or many times over. So a key is found by value and
by its parts: wherever 8 characters of it stand in a row they are taken out, with all that overlaps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain

import attrs

PART = 8
"""So many characters of a key in a row are a leak. Shorter keys are placeholders, and left alone."""

_BLOCK = PART // 2


def _parts(key: str) -> frozenset[str]:
    return frozenset(key[start : start + PART] for start in range(len(key) - PART + 1))


def _blocks(key: str) -> frozenset[str]:
    return frozenset(key[start : start + _BLOCK] for start in range(0, len(key) - _BLOCK + 1, _BLOCK))


@attrs.frozen(init=False)
class Redaction:
    """Takes the given keys out of texts."""

    _parts: frozenset[str]
    # Every run of 8 characters of a key holds one of its blocks of 4 whole, so that a text without
    # any block, which is nearly every text, is known to be clean after a quarter of the searching.
    _blocks: frozenset[str]
    _mark: str

    def __init__(self, keys: Iterable[str]) -> None:
        keys = [key for key in keys if len(key) >= PART]
        used = set("".join(keys))
        # A mark that shares no character with any key can neither hold nor complete a part of one.
        marks = chain("*#?", map(chr, range(0x2580, 0x2580 + len(used) + 1)))
        mark = next(mark for mark in marks if mark not in used)
        self.__attrs_init__(
            frozenset().union(*map(_parts, keys)), frozenset().union(*map(_blocks, keys)), mark * 3
        )

    def clean(self, text: str) -> str:
        """`text` with `***` in place of every stretch of 8 or more characters of a key.

        The mark is another one where a key holds asterisks. A text without such a stretch comes back
        as it is.
        """
        if not any(block in text for block in self._blocks):
            return text
        found = [part for part in self._parts if part in text]
        if not found:
            return text
        hidden = bytearray(len(text))
        for part in found:
            # A lookahead finds the overlapping ones too.
            for match in re.finditer(f"(?={re.escape(part)})", text):
                hidden[match.start() : match.start() + PART] = b"\1" * PART
        return self._joined(text, hidden)

    def _joined(self, text: str, hidden: bytearray) -> str:
        pieces, shown_to = [], 0
        for stretch in re.finditer(b"\1+", bytes(hidden)):
            pieces += [text[shown_to : stretch.start()], self._mark]
            shown_to = stretch.end()
        return "".join([*pieces, text[shown_to:]])
