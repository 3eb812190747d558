"""What an answer type has to be able to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import attrs


@attrs.frozen
class Spoiled:
    """A reply that casts no vote, with the reason in a few words."""

    reason: str
    """Why nothing could be read, for people."""


@runtime_checkable
class Answer(Protocol):
    """A type of answer. Implementations are frozen and pure."""

    @property
    def name(self) -> str:
        """What it is called on the command line and in the record."""
        ...

    @property
    def options(self) -> tuple[str, ...]:
        """The legal answers in declared order; empty where they cannot be listed."""
        ...

    def instruction(self, order: Sequence[str]) -> str:
        """What a prompt says about the form of the answer; `order`: the options as this run sees them."""
        ...

    def schema(self, order: Sequence[str]) -> Mapping[str, Any]:
        """The JSON Schema of the answer alone, for backends with schema output."""
        ...

    def read(self, text: str, order: Sequence[str]) -> str | Spoiled:
        """The canonical spelling of the value that `text` (an answer alone, no reasoning) stands for."""
        ...

    def same(self, choices: Sequence[str]) -> Mapping[str, str]:
        """Which canonical answers are one: each to the answer it is counted as, whatever the order."""
        ...

    def show(self, choice: str) -> str:
        """The answer as people are shown it."""
        ...
