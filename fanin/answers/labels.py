"""Any number of labels, each of which is voted on by itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs

from fanin.answers.choice import Choice
from fanin.answers.json_shape import Leaf, Member, Object
from fanin.answers.json_text import Path
from fanin.answers.normal import MAX_ANSWER, normalise, quote
from fanin.answers.number import Number
from fanin.answers.protocol import Spoiled
from fanin.errors import InputError

NONE = "none"
"""The answer where no label fits."""

_BETWEEN = re.compile(r"[,;]|\band\b|&", re.IGNORECASE)


def _labels(labels: Sequence[str]) -> tuple[str, ...]:
    # What tells options apart tells labels apart.
    return Choice(labels).options


def _told_apart(_: Any, field: attrs.Attribute[Any], labels: tuple[str, ...]) -> None:
    for label in labels:
        if _BETWEEN.search(label):
            raise InputError(field.name, 'without commas, semicolons, "&" and "and"', label)
        if normalise(label) == NONE:
            raise InputError(field.name, f"other than {NONE!r}, which says that none fits", label)


@attrs.frozen
class Labels:
    """Those of the labels that fit: one yes/no vote a label.

    The answer is the labels in declared order, `urgent, legal`, or `none`. Where a label is tied there is no
    answer, and `Verdict.document` and `Verdict.fields` tell of each. Raises InputError for labels that cannot
    be told apart.
    """

    labels: tuple[str, ...] = attrs.field(converter=_labels, validator=_told_apart)
    """At least two texts, as the options of a `Choice`."""

    @cached_property
    def _forms(self) -> Mapping[str, str]:
        return {normalise(label): label for label in self.labels}

    @property
    def name(self) -> str:
        """`labels`."""
        return "labels"

    @property
    def options(self) -> tuple[str, ...]:
        """Empty: an answer is any number of them."""
        return ()

    def instruction(self, order: Sequence[str]) -> str:
        """The labels, and the form of the answer."""
        return "\n".join(
            (
                "Labels:",
                *(f"- {label}" for label in self.labels),
                "",
                "First think step by step, in a few sentences. "
                'Then end with one last line: "Answer: " and every label that fits, word for word, separated '
                f'by commas, or "{NONE}".',
            )
        )

    def schema(self, order: Sequence[str]) -> Mapping[str, Any]:
        """A string, since the list is read from text."""
        return {"type": "string", "description": f"the labels that fit, separated by commas, or {NONE}"}

    def read(self, text: str, order: Sequence[str]) -> str | Spoiled:
        """The labels that the text lists, in declared order; spoiled where a part of it is none of them."""
        if len(text) > MAX_ANSWER:
            return Spoiled(f"not a list of the labels: {quote(text)}")
        listed = normalise(text).strip("[]() ")
        if listed == NONE:
            return NONE
        parts = [normalise(part.strip("[]() ")) for part in _BETWEEN.split(listed)]
        # `a, b, and c` has nothing between a comma and its `and`.
        found = {self._forms.get(part) for part in parts if part}
        if None in found or not found:
            return Spoiled(f"not a list of the labels: {quote(text)}")
        return ", ".join(label for label in self.labels if label in found)

    def same(self, choices: Sequence[str]) -> Mapping[str, str]:
        """Each is its own."""
        return {choice: choice for choice in choices}

    def show(self, choice: str) -> str:
        """The labels, separated by commas."""
        return choice

    @cached_property
    def shape(self) -> Object:
        """Yes or no for every label."""
        yes_no = Leaf("choice", ("true", "false"))
        return Object(tuple(Member(label, yes_no, required=True) for label in self.labels))

    @property
    def tolerance(self) -> Number:
        """There are no numbers."""
        return Number()

    def parts(self, choice: str) -> dict[str, bool]:
        """Label -> whether it fits."""
        chosen = choice.split(", ")
        return {label: label in chosen for label in self.labels}

    def problems(self, document: Any) -> Sequence[tuple[Path, str]]:
        """None: any set of labels is valid."""
        return ()

    def written(self, document: Any) -> str:
        """The labels that fit, in declared order."""
        return ", ".join(label for label in self.labels if document[label]) or NONE
