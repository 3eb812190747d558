"""What a batch is asked: items, and the lines of the input that are none."""

from __future__ import annotations

from typing import Any

import attrs

from fanin.answers import Answer
from fanin.errors import InputError
from fanin.values import whole

OPTIONS = frozenset(
    {"runs", "model", "quorum", "temperature", "temperature_step", "system", "seed", "max_tokens"}
)
"""The parameters of `fanin.vote` that an item may set for itself."""


def _options(_: Any, __: attrs.Attribute[Any], value: tuple[tuple[str, Any], ...]) -> None:
    for name, _given in value:
        if name not in OPTIONS:
            raise InputError("option", f"one of {', '.join(sorted(OPTIONS))}", name)


@attrs.frozen
class Item:
    """One question of a batch, and what it sets for itself."""

    number: int = attrs.field(validator=whole(1, 2**62))
    """Its place in the input, from 1: the line, where the input has lines."""
    id: str | int | None
    """What the caller calls it; it comes back with the row and is never used as a path. None: no id."""
    question: str
    """What is asked."""
    context: str | None = None
    """The text the question is about; None where it stands alone."""
    answer: Answer | str | None = None
    """The answer type or its name; None is the batch's own."""
    options: tuple[tuple[str, Any], ...] = attrs.field(default=(), validator=_options)
    """(parameter of `fanin.vote`, value) that hold for this item alone; names are those of `OPTIONS`."""


@attrs.frozen
class BadItem:
    """A part of the input that is no item: it becomes one bad row and stops nothing."""

    number: int
    """Its place in the input, from 1."""
    id: str | int | None
    """What the caller calls it, where that could be read."""
    message: str
    """What is wrong with it, in one sentence for people."""
