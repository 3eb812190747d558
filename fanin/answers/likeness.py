"""How alike two texts are, by their letters alone, and which of many belong together.

The likeness is that of Dice over sets of character trigrams (Dice 1945; Adamson and Boreham 1974). It knows
nothing of meaning, so texts whose numbers or negations differ are never alike, however little else does.
Nothing here depends on the order of its arguments.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from typing import TypeAlias

Likeness: TypeAlias = Callable[[str, str], float]
"""How alike two texts are, 0.0 to 1.0; the same both ways round."""

GRAM = 3
"""Characters of a gram."""
ALIKE = 0.7
"""The usual threshold: `the Eiffel Tower` and `Eiffel Tower` are at 0.86, `Niger` and `Nigeria` at 0.67."""

_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
_NEGATION = re.compile(r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|cannot)\b|n't\b")


@lru_cache(maxsize=16)  # a vote asks for the same groups several times
def lexical_groups(votes: tuple[tuple[str, int], ...], threshold: float) -> tuple[tuple[str, ...], ...]:
    """The texts of (text, its votes) in groups: two that are alike share one, and so do their neighbours.

    The texts are distinct and sorted. Alike is a likeness of `threshold` (above 0, 1 at most) or more, the
    same numbers and as many negations. The medoid of a group comes first; all else is in the order given.
    """
    forms = [form for form, _ in votes]
    grams, marks = _Grams(forms), [_marks(form) for form in forms]

    sizes, bits = grams.sizes, grams.bits

    def alike(one: int, other: int) -> bool:  # asked for every pair, so it calls nothing it need not
        if marks[one] != marks[other]:
            return False
        needed = threshold * (sizes[one] + sizes[other]) / 2
        # Texts of very different length cannot share enough.
        if sizes[one] < needed or sizes[other] < needed:
            return False
        return (bits[one] & bits[other]).bit_count() >= needed

    places = {form: place for place, form in enumerate(forms)}
    near = _near(grams, places)
    return tuple(
        medoid_first({forms[place]: votes[place][1] for place in group}, near)
        for group in components(len(forms), alike)
    )


def likeness_among(texts: Sequence[str]) -> Likeness:
    """The likeness of these texts, to be asked often: twice the shared trigrams / the trigrams of both."""
    distinct = list(dict.fromkeys(texts))
    return _near(_Grams(distinct), {text: place for place, text in enumerate(distinct)})


def components(size: int, linked: Callable[[int, int], bool]) -> list[list[int]]:
    """The places 0 to size - 1 in connected groups: each group ascending, groups by their first place."""
    left = list(range(size))
    groups = []
    while left:
        group, reached = [left[0]], 0
        left = left[1:]
        while reached < len(group) and left:
            near = [place for place in left if linked(group[reached], place)]
            if near:
                taken = set(near)
                left = [place for place in left if place not in taken]
                group += near
            reached += 1
        groups.append(sorted(group))
    return groups


def medoid_first(votes: Mapping[str, int], near: Likeness) -> tuple[str, ...]:
    """The texts, the one before all others that is nearest to all, each as often as it has votes.

    Of several that are, the one with the most votes, and of those the first by text.
    """
    total = {text: [float(number)] for text, number in votes.items()}
    for one, other in combinations(votes, 2):
        both = near(one, other)
        total[one].append(votes[other] * both)
        total[other].append(votes[one] * both)
    # Exact sums, since the last digit of others depends on what is summed first.
    first = min(votes, key=lambda text: (-math.fsum(total[text]), -votes[text], text))
    return first, *(text for text in votes if text != first)


def _near(grams: _Grams, places: Mapping[str, int]) -> Likeness:
    return lambda one, other: grams.likeness(places[one], places[other])


class _Grams:
    """The trigrams of texts, each text's as the bits of one number: two are compared in a microsecond."""

    def __init__(self, forms: Sequence[str]) -> None:
        of_each = [_grams(form) for form in forms]
        uses = Counter(gram for grams in of_each for gram in grams)
        # A trigram of one text alone is shared with none, and so needs no bit.
        bits = {gram: place for place, gram in enumerate(gram for gram in uses if uses[gram] > 1)}
        self.sizes = [len(grams) for grams in of_each]
        self.bits = [_number([bits[gram] for gram in grams if gram in bits]) for grams in of_each]

    def likeness(self, one: int, other: int) -> float:
        """How alike the texts in these places are."""
        if one == other:
            return 1.0
        return 2 * (self.bits[one] & self.bits[other]).bit_count() / (self.sizes[one] + self.sizes[other])


def _number(places: Sequence[int]) -> int:
    """The number with those bits."""
    found = bytearray(max(places, default=0) // 8 + 1)
    for place in places:
        found[place >> 3] |= 1 << (place & 7)
    return int.from_bytes(found, "little")


def _grams(form: str) -> frozenset[str]:
    padded = f" {form} "
    return frozenset(padded[place : place + GRAM] for place in range(max(1, len(padded) - GRAM + 1)))


def _marks(form: str) -> tuple[tuple[str, ...], int]:
    """What must be the same in texts that are alike: their numbers, and how many negations they have."""
    return tuple(sorted(_NUMBER.findall(form))), len(_NEGATION.findall(form))
