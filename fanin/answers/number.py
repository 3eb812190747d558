"""An exact number."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

import attrs

from fanin.answers.normal import MAX_ANSWER, fold, normalise, quote
from fanin.answers.protocol import Spoiled
from fanin.errors import InputError

MAX_DIGITS = 300
"""The most digits of a number written out in full, so that `1e999999999` cannot fill the memory."""

_Ratio: TypeAlias = tuple[int, int]
"""An exact value: numerator and denominator, of which the second is above 0."""

_WHOLE = r"[1-9][0-9]{{0,2}}(?:(?P<{0}>[, _'])[0-9]{{3}}(?:(?P={0})[0-9]{{3}})*)|[0-9]+"
_LITERAL = re.compile(
    r"(?:(?:[a-z] ?)?= ?|[\u2248~] ?)?"  # x = 5, \u2248 5
    r"(?:[$\u20ac\u00a3\u00a5] ?)?(?P<sign>[+-]?)(?:[$\u20ac\u00a3\u00a5] ?)?"
    rf"(?P<whole>{_WHOLE.format('gap')})?(?P<part>\.[0-9]+)?"
    r"(?:e(?P<e>[+-]?[0-9]+)| ?[x\u00d7*\u00b7] ?10 ?\^ ?\{?(?P<ten>[+-]?[0-9]+)\}?)?"
    rf"(?: ?/ ?(?P<below>{_WHOLE.format('gap_below')}))?"
)
_LATEX = (
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\!"), ""),
    (re.compile(r"\\[,;: ]"), " "),
    (re.compile(r"\\([$%])"), r"\1"),
    (re.compile(r"\\(?:times|cdot)"), "\u00d7"),
    (re.compile(r"\^ ?\{?\\circ\}?"), "\u00b0"),
    (re.compile(r"\\(?:text(?:bf|it|rm)?|math(?:bf|it|rm)|mbox) ?\{([^{}]*)\}"), r" \1"),
    # Not after a digit: 1\frac{1}{2} is not 11/2.
    (re.compile(r"(?<![0-9])\\[dt]?frac ?\{([^{}]*)\} ?\{([^{}]*)\}"), r"\1/\2"),
)
_FACTORIAL = re.compile(r"[0-9] ?!")  # normalising would take the mark for an exclamation
_VULGAR = re.compile("(?<![0-9.])[\u00bc-\u00be\u2150-\u215e]")
_PERCENT = re.compile(r" ?(?:[%\u2030]|per ?cent|percentage|pct\b)")
_CHANGES_IT = re.compile(
    r"hundreds?|thousands?|(?:m|b|tr|quadr)illi(?:on|ard)\w*|mio|mrd|tausend|mille?|lakh|crore|bn|mn|mm|tn"
    r"|dozens?|score|half|halves|quarters?|thirds?|fourths?|fifths?|tenths?|squared|cubed|factorial|pi|times"
    r"|point|or|to|is|are|was|not|and|plus|minus|less|more|below|am|pm"
)
_BETWEEN = re.compile(r"[/'.-]")


def _tolerance(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value < math.inf:
        raise InputError(field.name, "a finite number, 0 or more", value)


@attrs.frozen
class Number:
    """A number, read and compared exactly. Raises InputError for a tolerance below 0, nan or infinite.

    The canonical spelling is the decimal in full (`1e3` is `1000`), or the fraction in lowest terms where
    no decimal is exact (`1/3`). One unit or currency sign is left out, so the question should name it;
    a percentage is not read (`50%` is neither 50 nor 0.5), and neither is what a word changes (`5 million`)
    or what could be two numbers (`1,5`, `12,34`, `3-4`, `1 1/2`).
    """

    rel_tol: float = attrs.field(default=0.0, validator=_tolerance)
    """Numbers are one if they differ by no more than this share of the larger magnitude."""
    abs_tol: float = attrs.field(default=0.0, validator=_tolerance)
    """Numbers are one if they differ by no more than this."""

    @property
    def name(self) -> str:
        """`number`."""
        return "number"

    @property
    def options(self) -> tuple[str, ...]:
        """Empty: they cannot be listed."""
        return ()

    def instruction(self, order: Sequence[str]) -> str:
        """The form of the answer: digits alone."""
        return (
            "First think step by step, in a few sentences. "
            'Then end with one last line: "Answer: " and one number in digits, without a unit.'
        )

    def schema(self, order: Sequence[str]) -> Mapping[str, Any]:
        """A JSON number, which is read by its digits and never rounded."""
        return {"type": "number"}

    def read(self, text: str, order: Sequence[str]) -> str | Spoiled:
        """The canonical spelling of the one number that the text is."""
        if len(text) > MAX_ANSWER:
            return Spoiled(f"not a number: {quote(text)}")
        form = _without_latex(normalise(text))
        found = _LITERAL.match(form)
        if found is None or not (found["whole"] or found["part"]) or _FACTORIAL.search(fold(text)):
            return Spoiled(f"not a number: {quote(text)}")
        rest = form[found.end() :]
        if _PERCENT.match(rest):
            return Spoiled(f"a percentage and not a plain number: {quote(text)}")
        if not _is_unit(rest):
            return Spoiled(f"not one plain number: {quote(text)}")
        if found["below"] and not found["below"].strip("0"):
            return Spoiled(f"divided by zero: {quote(text)}")
        value = _value(found)
        if value is None:
            return Spoiled(f"a number of more than {MAX_DIGITS} digits: {quote(text)}")
        return canonical(value)

    def same(self, choices: Sequence[str]) -> Mapping[str, str]:
        """Groups from the smallest up, none wider than the tolerance between its smallest and largest.

        `choices` are the canonical answers of all ballots: a group is counted as its most frequent
        member, of equals the smallest. The order of `choices` never matters.
        """
        if not self.abs_tol and not self.rel_tol:
            return {choice: choice for choice in choices}
        votes = Counter(choices)
        ratios = {choice: _ratio(choice) for choice in votes}
        # Two distinct values are at least as far apart as the square of the largest denominator says, so
        # that in these units their whole parts are in order.
        unit = max((below for _, below in ratios.values()), default=1) ** 2
        sizes = {choice: above * unit // below for choice, (above, below) in ratios.items()}
        rising, close = sorted(votes, key=sizes.__getitem__), self._close()
        counted_as = {choice: choice for choice in votes}
        first = 0
        for place in range(1, len(rising) + 1):
            if place < len(rising) and close(ratios[rising[first]], ratios[rising[place]]):
                continue
            if place - first > 1:
                group = rising[first:place]
                # Of the most frequent ones the first, which is the smallest.
                counted_as.update(dict.fromkeys(group, max(group, key=votes.__getitem__)))
            first = place
        return counted_as

    def _close(self) -> Callable[[_Ratio, _Ratio], bool]:
        """Whether two numbers, the lower one first, are one."""
        # By the decimal that was written: the float 0.1 is a little more than a tenth.
        most, of_most = Fraction(str(self.abs_tol)).as_integer_ratio()
        share, of_share = Fraction(str(self.rel_tol)).as_integer_ratio()

        def close(low: _Ratio, high: _Ratio) -> bool:
            one, another = low[0] * high[1], high[0] * low[1]
            apart = another - one
            if most and apart * of_most <= most * low[1] * high[1]:
                return True
            return bool(share) and apart * of_share <= share * max(abs(one), abs(another))

        return close

    def show(self, choice: str) -> str:
        """The canonical spelling."""
        return choice


def _ratio(choice: str) -> _Ratio:
    """A canonical number as a numerator and a denominator, not in lowest terms: made fast, compared fast."""
    whole, point, part = choice.partition(".")
    if point:
        return int(whole + part), 10 ** len(part)
    above, slash, below = choice.partition("/")
    return int(above), int(below) if slash else 1


def _without_latex(form: str) -> str:
    for pattern, plain in _LATEX:
        form = pattern.sub(plain, form)
    form = _VULGAR.sub(lambda char: unicodedata.normalize("NFKC", char[0]), form)
    return " ".join(form.replace("\u2044", "/").split())


def _is_unit(rest: str) -> bool:
    """Nothing, or one or two words that leave the number as it is."""
    words = rest.split()
    return len(words) <= 2 and all(map(_is_unit_word, words))


def _is_unit_word(word: str) -> bool:
    # One letter alone is a variable or a scale as often as a unit: 2x, 5k, 3 m. Some signs are numbers
    # by themselves: \u00b2, \u00bd, \u4e07.
    word = word.rstrip("\u00b2\u00b3") if word[0].isalpha() else word
    if word in ("\u00b0", "\u00b0c", "\u00b0f"):
        return True
    parts = _BETWEEN.split(word)
    return len(word) > 1 and all(
        part.isalpha() and not any(map(str.isnumeric, part)) and not _CHANGES_IT.fullmatch(part)
        for part in parts
    )


def _value(found: re.Match[str]) -> Fraction | None:
    whole, part, below = (re.sub("[^0-9]", "", found[name] or "") for name in ("whole", "part", "below"))
    exponent = found["e"] or found["ten"] or "0"
    # Lengths before values: no power is worked out, and no text converted, before it is known to be short.
    if len(exponent) > 5 or len(whole + part + below) + abs(int(exponent)) > MAX_DIGITS:
        return None
    value = Fraction(int(whole + part), 10 ** len(part)) * Fraction(10) ** int(exponent) / int(below or 1)
    value = -value if found["sign"] == "-" else value
    return value if sum(char.isdigit() for char in canonical(value)) <= MAX_DIGITS else None


def canonical(value: Fraction) -> str:
    """The one spelling of an exact value: `1000`, `-0.5`, or `1/3` where no decimal is exact."""
    places = _decimal_places(value.denominator)
    if places is None:
        return f"{value.numerator}/{value.denominator}"
    digits = str(abs(value.numerator) * 10**places // value.denominator).zfill(places + 1)
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def _decimal_places(denominator: int) -> int | None:
    """Digits after the point that write 1 / denominator exactly, at most MAX_DIGITS; None if none do."""
    places = 0
    while denominator > 1:
        step = math.gcd(denominator, 10)
        if step == 1 or places == MAX_DIGITS:
            return None
        denominator //= step
        places += 1
    return places
