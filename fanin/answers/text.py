"""A free text that counts as the same where its normal form is the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from fanin.answers.normal import normalise, quote
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

    The canonical spelling is the normal form: `"The Hague."` counts, and is shown, as `the hague`.
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
        """The normal form of the text; spoiled where it is blank, a refusal or longer than MAX_TEXT."""
        alone = text.strip()
        if len(alone) > MAX_TEXT:
            return Spoiled(f"longer than {MAX_TEXT} characters: {quote(alone)}")
        choice = normalise(alone)
        if not choice.strip("."):
            return Spoiled("empty")
        if is_refusal(choice):
            return Spoiled(f"refused: {quote(alone)}")
        return choice

    def same(self, choices: Sequence[str]) -> Mapping[str, str]:
        """Each is its own: reading has brought equal ones to one spelling."""
        return {choice: choice for choice in choices}

    def show(self, choice: str) -> str:
        """The normal form."""
        return choice
