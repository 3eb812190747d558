"""Yes or no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from fanin.answers.normal import MAX_ANSWER, normalise, quote
from fanin.answers.protocol import Spoiled

_DRESS = "*_~`()[]{}<>\"' "  # no part of either answer, so it may be unbalanced


@attrs.frozen
class YesNo:
    """Yes or no, and nothing else: a negation, a doubt or `true` is neither."""

    @property
    def name(self) -> str:
        """`yes/no`."""
        return "yes/no"

    @property
    def options(self) -> tuple[str, ...]:
        """`yes` and `no`."""
        return ("yes", "no")

    def instruction(self, order: Sequence[str]) -> str:
        """The form of the answer; names yes and no in the order given."""
        first, second = order or self.options
        return (
            "First think step by step, in a few sentences. "
            f'Then end with one last line that says only "Answer: {first}" or "Answer: {second}".'
        )

    def schema(self, order: Sequence[str]) -> Mapping[str, Any]:
        """One of the two words."""
        return {"type": "string", "enum": list(order or self.options)}

    def read(self, text: str, order: Sequence[str]) -> str | Spoiled:
        """`yes` or `no` where the text is that word, in any case and dress."""
        if len(text) <= MAX_ANSWER and (word := normalise(normalise(text).strip(_DRESS))) in self.options:
            return word
        return Spoiled(f"neither yes nor no: {quote(text)}")

    def same(self, choices: Sequence[str]) -> Mapping[str, str]:
        """Each is its own."""
        return {choice: choice for choice in choices}

    def show(self, choice: str) -> str:
        """The word itself."""
        return choice
