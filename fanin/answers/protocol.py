"""What an answer type has to be able to do."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeGuard, runtime_checkable

import attrs


@attrs.frozen
class Spoiled:
    """A reply that casts no vote, with the reason in a few words."""

    reason: str
    """Why nothing could be read, for people."""


@runtime_checkable
class ReadsReply(Protocol):
    """An answer that stands in a whole reply in a way of its own, not on an answer line."""

    @property
    def prefers_schema(self) -> bool:
        """Whether it is asked for by a backend's own schema output wherever there is one."""
        ...

    def read_reply(self, reply: str, *, structured: bool) -> str | Spoiled:
        """The canonical answer of a reply; `structured`: it is the JSON object that was asked for."""
        ...


@runtime_checkable
class Parted(Protocol):
    """An answer that is voted on part by part."""

    @property
    def shape(self) -> Any:
        """The parts, as `fanin.answers.json_shape` describes them."""
        ...

    @property
    def tolerance(self) -> Any:
        """When two numbers are one: a `Number`."""
        ...

    def parts(self, choice: str) -> Any:
        """The document that a choice stands for, with a `Broken` where a part is spoiled."""
        ...

    def problems(self, document: Any) -> Sequence[tuple[tuple[str | int, ...], str]]:
        """Where a document that was put together is not valid, and why."""
        ...

    def written(self, document: Any) -> str:
        """The answer that a document is, as people are shown it."""
        ...


@runtime_checkable
class Answer(Protocol):
    """A type of answer. Implementations are frozen and pure.

    One of your own is a subclass that brings the four methods `instruction`, `read`, `same` and `show`, and
    cannot be made without them. The others have what suits an answer that is a text.
    """

    @property
    def name(self) -> str:
        """What it is called on the command line and in the record."""
        return type(self).__name__.lower()

    @property
    def options(self) -> tuple[str, ...]:
        """The legal answers in declared order; empty where they cannot be listed."""
        return ()

    @abstractmethod
    def instruction(self, order: Sequence[str]) -> str:
        """What a prompt says about the form of the answer; `order`: the options as this run sees them."""
        ...

    def schema(self, order: Sequence[str]) -> Mapping[str, Any]:
        """The JSON Schema of the answer alone, for backends with schema output."""
        return {"type": "string"}

    @abstractmethod
    def read(self, text: str, order: Sequence[str]) -> str | Spoiled:
        """The canonical spelling of the value that `text` (an answer alone, no reasoning) stands for."""
        ...

    @abstractmethod
    def same(self, choices: Sequence[str]) -> Mapping[str, str]:
        """Which canonical answers are one: each to the answer it is counted as, whatever the order."""
        ...

    @abstractmethod
    def show(self, choice: str) -> str:
        """The answer as people are shown it."""
        ...


_PARTED: dict[type, bool] = {}
_READS: dict[type, bool] = {}


def is_parted(answer: Answer) -> TypeGuard[Parted]:
    """Whether an answer is voted on part by part; looked up once for each type, since every ballot asks."""
    kind = type(answer)
    if kind not in _PARTED:
        _PARTED[kind] = isinstance(answer, Parted)
    return _PARTED[kind]


def reads_reply(answer: Answer) -> TypeGuard[ReadsReply]:
    """Whether an answer stands in a whole reply in a way of its own; looked up once for each type."""
    kind = type(answer)
    if kind not in _READS:
        _READS[kind] = isinstance(answer, ReadsReply)
    return _READS[kind]
