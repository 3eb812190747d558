"""Stage 4 of a panel: named texts under headers, in one message that can be taken apart again.

    === Name ===
    text

A text with a line that could be taken for a header, or that is a quotation through and through, is
quoted line by line with `> `; every other text stands untouched. So `split(combine(parts)) == parts`
for every text, and no text can put words into another one's mouth.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from fanin.errors import InputError

_QUOTE = "> "
_HEADER = re.compile(r"(?:\A|\n\n)=== ([^\n]+) ===\n")
# At a line's beginning, whatever marks stand before it, or as long as a header's own sign: `a == b` is none.
_HEADER_SIGN = re.compile(r"[^\w=]*==|.*===")
# Signs that a model reads as "=" and that NFKD leaves as they are.
_LOOK_ALIKES = str.maketrans(dict.fromkeys("═꞊⹀゠᐀꓿\U0001f7f0☰⚌≡≣〓≈≋━─—–", "="))


def combine(parts: Sequence[tuple[str, str]]) -> str:
    """One text of (name, text) parts, in the order given, each under `=== Name ===`.

    Raises InputError for a name that is blank, holds a line break or `===`, or stands twice.
    """
    names = [name for name, _ in parts]
    for name in names:
        _check_name(name, names)
    return "\n\n".join(f"=== {name} ===\n{quoted(text)}" for name, text in parts)


def split(combined: str) -> tuple[tuple[str, str], ...]:
    """The parts that `combine` was given; what stands before the first header is passed over."""
    found = list(_HEADER.finditer(combined))
    if not found:
        return ()
    ends = [match.start() for match in found[1:]] + [len(combined)]
    return tuple(
        (match[1], _unquoted(combined[match.end() : end])) for match, end in zip(found, ends, strict=True)
    )


def quoted(text: str) -> str:
    """The text, each line after `> ` where one of them could be taken for a header.

    A text of nothing but quoted lines is quoted again, so that it can be told from this.
    """
    lines = text.splitlines(keepends=True)
    echo = bool(lines) and all(line.startswith(_QUOTE) for line in lines)
    if not echo and not any(map(is_header_like, lines)):
        return text
    return "".join(_QUOTE + line for line in lines)


def _check_name(name: str, names: list[str]) -> None:
    plain = name.strip() == name and name.isprintable() and name
    if not plain or is_header_like(name):
        raise InputError("name", "one printable line without === and without space around it", name)
    if names.count(name) > 1:
        raise InputError("name", "used once", name)


def is_header_like(line: str) -> bool:
    """Whether a reader could take the line for a header, its signs in whatever code points."""
    bare = "".join(
        char
        for char in unicodedata.normalize("NFKD", line).translate(_LOOK_ALIKES)
        if not char.isspace() and unicodedata.category(char)[0] not in "CMZ"
    )
    return _HEADER_SIGN.match(bare) is not None


def _unquoted(text: str) -> str:
    lines = text.splitlines(keepends=True)
    if lines and all(line.startswith(_QUOTE) for line in lines):
        return "".join(line.removeprefix(_QUOTE) for line in lines)
    return text
