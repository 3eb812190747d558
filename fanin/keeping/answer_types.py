"""Types of answers as a kept run names them: fanin's own by name and settings, others by name alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from fanin.answers import Answer, Choice, Number, Spoiled, Text, YesNo
from fanin.errors import RecordError

OWN: dict[str, type] = {"yes/no": YesNo, "choice": Choice, "number": Number, "text": Text}
"""Name -> the type that is kept with its settings."""


@attrs.frozen
class ForeignAnswer:
    """Stands for a type of somebody's own: its name is kept, and not how it reads an answer."""

    name: str
    """What it was called."""
    options: tuple[str, ...] = ()
    """The legal answers; empty where they cannot be listed."""

    def instruction(self, order: Sequence[str]) -> str:
        """Raises RecordError, as all that needs the type itself."""
        raise self._error()

    def schema(self, order: Sequence[str]) -> Mapping[str, Any]:
        """Raises RecordError."""
        raise self._error()

    def read(self, text: str, order: Sequence[str]) -> str | Spoiled:
        """Raises RecordError."""
        raise self._error()

    def same(self, choices: Sequence[str]) -> Mapping[str, str]:
        """Raises RecordError."""
        raise self._error()

    def show(self, choice: str) -> str:
        """Raises RecordError."""
        raise self._error()

    def _error(self) -> RecordError:
        return RecordError(
            f"its answers are of the type {self.name!r}, which is none of fanin's own",
            mend="Say how to read them: --answer or --choices, or answer= in Python.",
        )


def answer_to_plain(answer: Answer) -> dict[str, Any]:
    """`{"type": name}` and the settings of a type of fanin's own."""
    if OWN.get(answer.name) is type(answer):
        settings = {
            field.name: list(value) if isinstance(value, tuple) else value
            for field in attrs.fields(type(answer))
            for value in [getattr(answer, field.name)]
        }
        return {"type": answer.name, **settings}
    return {"type": answer.name, "options": list(answer.options), "foreign": True}


def answer_of(found: Mapping[str, Any]) -> Answer:
    """The type that `answer_to_plain` wrote. Raises RecordError, or InputError for settings that cannot be."""
    settings = {name: value for name, value in found.items() if name != "type"}
    name = found.get("type")
    if not isinstance(name, str):
        raise RecordError("the type of the answer has no name")
    if settings.pop("foreign", False):
        return ForeignAnswer(name, tuple(map(str, settings.get("options") or ())))
    kind = OWN.get(name)
    if kind is None:
        raise RecordError(
            f"there is no type of answer {name!r} here", mend="Read it with the fanin that kept it."
        )
    known = {field.name for field in attrs.fields(kind)}
    if not settings.keys() <= known:
        raise RecordError(f"the type of answer {name!r} has no {', '.join(sorted(settings.keys() - known))}")
    answer: Answer = kind(**settings)
    return answer
