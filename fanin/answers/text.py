"""A free text that counts as the same where its normal form is the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from fanin.answers.normal import normalise, quote, spelling
from fanin.answers.protocol import Spoiled

MAX_TEXT = 300
"""The most characters of a text answer: longer ones are never word for word the same."""

_REFUSAL = re.compile(
    r"(?:(?:i'm |i am )?sorry[,.]? (?:but )?|i apologi[sz]e[,.]? (?:but )?|unfortunately,? )?"
    r"(?:as an ai\b|(?:i'm|i am) (?:not able|unable) to\b"
    r"|i (?:cannot|can't|can not|won't|will not) "
    r"(?:help|assist|comply|answer|provide|fulfil|continue|discuss|engage|do that|determine)\b)"
)


def is_refusal(text: str) -> bool:
    """Whether the text opens as models do that decline to answer: `I'm sorry, but I can't help ...`."""
    return bool(_REFUSAL.match(normalise(text[:MAX_TEXT])))


@attrs.frozen
class Text:
    """A short text; two are the same where their normal forms are, and nothing fuzzier is tried.

    The canonical spelling keeps the case and leaves off the dress: `"The Hague."` is `The Hague`.
    Spellings of one normal form are counted, and shown, as the most frequent of them.
    """

    @property
    def name(self) -> str:
        """`text`."""
        return "text"

    @property
    def options(self) -> tuple[str, ...]:
        """Empty: they cannot be listed."""
        return ()

    def instruction(self, order: Sequence[str]) -> str:
        """The form of the answer: as short as it can be, so that equal answers read equal."""
        return (
            "First think step by step, in a few sentences. "
            'Then end with one last line: "Answer: " and the answer alone, in as few words as possible.'
        )

    def schema(self, order: Sequence[str]) -> Mapping[str, Any]:
        """A string."""
        return {"type": "string"}

    def read(self, text: str, order: Sequence[str]) -> str | Spoiled:
        """The text without its dress; spoiled where it is blank, a refusal or longer than MAX_TEXT."""
        alone = text.strip()
        if len(alone) > MAX_TEXT:
            return Spoiled(f"longer than {MAX_TEXT} characters: {quote(alone)}")
        choice = spelling(alone)
        if not choice.strip("."):
            return Spoiled("empty")
        if is_refusal(choice):
            return Spoiled(f"refused: {quote(alone)}")
        return choice

    def same(self, choices: Sequence[str]) -> Mapping[str, str]:
        """Those of one normal form are the most frequent spelling of it, of equals the first by text.

        `choices` are the canonical answers of all ballots. The order of `choices` never matters.
        """
        votes = Counter(choices)
        forms = {choice: normalise(choice) for choice in votes}
        counted_as: dict[str, str] = {}
        for choice in sorted(votes, key=lambda choice: (-votes[choice], choice)):
            counted_as.setdefault(forms[choice], choice)
        return {choice: counted_as[form] for choice, form in forms.items()}

    def show(self, choice: str) -> str:
        """The canonical spelling."""
        return choice
