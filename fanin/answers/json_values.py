"""When two values of a document's field are the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

from fanin.answers.json_shape import Leaf
from fanin.answers.json_text import read_canonical
from fanin.answers.normal import MAX_ANSWER, normalise
from fanin.answers.number import Number, canonical

_NUMERAL = re.compile(r'"(-?[0-9]{1,100}(?:\.[0-9]{1,100})?)"')
"""A number as a text, which a pydantic model takes for a Decimal."""


def counted_as(leaf: Leaf, written: Sequence[str], tolerance: Number) -> Mapping[str, str]:
    """Each value, as canonical JSON, to the one of them that it is counted as.

    `written` are the values of all ballots, one each. Of equals the most frequent one counts, then the
    first by text; numbers are grouped as `Number.same` does. The order never matters.
    """
    votes = Counter(written)
    if len(votes) == 1:
        return {value: value for value in votes}
    forms = {value: form_of(leaf, value) for value in votes}
    numbers = {value: form for value, form in forms.items() if form.startswith("#")}
    if len(numbers) > 1 and leaf.kind != "choice":
        spelled = [form[1:] for value, form in numbers.items() for _ in range(votes[value])]
        same = tolerance.same(spelled)
        forms |= {value: f"#{same[form[1:]]}" for value, form in numbers.items()}
    heads: dict[str, str] = {}
    for value in sorted(votes, key=lambda value: (-votes[value], value)):
        heads.setdefault(forms[value], value)
    return {value: heads[form] for value, form in forms.items()}


def form_of(leaf: Leaf, written: str) -> str:
    """What equal values, as canonical JSON, have in common, tolerances of numbers apart."""
    return _form(written, leaf.kind in ("choice", "date"), leaf.kind == "number")


@lru_cache(maxsize=4096)
def _form(written: str, exact: bool, number: bool) -> str:
    if number and (numeral := _NUMERAL.fullmatch(written)):
        return f"#{canonical(Fraction(numeral[1]))}"
    if written[0] == '"' and not exact:
        text = read_canonical(written)
        return '"' + (normalise(text) if len(text) <= MAX_ANSWER else " ".join(text.split()))
    if written[0] in "-0123456789":
        # 5 and 5.0 are one number in JSON Schema.
        if written.isdecimal():
            return f"#{written}"
        return f"#{canonical(Fraction(written))}"
    return written
