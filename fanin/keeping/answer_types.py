"""Types of answers as a kept run names them: fanin's own by name and settings, others by name alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import attrs

from fanin.answers import Answer, Spoiled
from fanin.errors import RecordError

_SETTINGS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "yes/no": ("fanin.answers", "YesNo", ()),
    "choice": ("fanin.answers", "Choice", ("options",)),
    "number": ("fanin.answers", "Number", ("rel_tol", "abs_tol")),
    "text": ("fanin.answers", "Text", ("cluster", "threshold", "select")),
    "date": ("fanin.answers", "Date", ("order",)),
    "labels": ("fanin.answers", "Labels", ("labels",)),
    "quantity": ("fanin.units", "Quantity", ("unit", "rel_tol", "abs_tol")),
    "json": ("fanin.documents", "Json", ("schema", "keys", "rel_tol", "abs_tol")),
}
"""Name -> (module, class, the settings that are kept and that it is made with)."""

OWN = tuple(_SETTINGS)
"""The names of the types that are kept with their settings."""


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
    if answer.name in _SETTINGS and type(answer).__module__.partition(".")[0] == "fanin":
        given = _given(answer)
        settings = {name: given[name] for name in _SETTINGS[answer.name][2]}
        return {"type": answer.name, **settings}
    return {"type": answer.name, "options": list(answer.options), "foreign": True}


def _given(answer: Any) -> dict[str, Any]:
    """Its settings by the names that they are given by."""
    tolerance = getattr(answer, "tolerance", answer)
    found = {name: getattr(tolerance, name, 0.0) for name in ("rel_tol", "abs_tol")}
    if answer.name == "json":
        return {**found, "schema": json.loads(answer.schema_text), "keys": dict(answer.keys)}
    own = {name: getattr(answer, name, None) for name in _SETTINGS[answer.name][2] if name not in found}
    return {**found, **{name: list(one) if isinstance(one, tuple) else one for name, one in own.items()}}


def answer_of(found: Mapping[str, Any]) -> Answer:
    """The type that `answer_to_plain` wrote.

    Raises RecordError, and FaninError for settings that cannot be or where an extra is missing.
    """
    settings = {name: value for name, value in found.items() if name != "type"}
    name = found.get("type")
    if not isinstance(name, str):
        raise RecordError("the type of the answer has no name")
    if settings.pop("foreign", False):
        return ForeignAnswer(name, tuple(map(str, settings.get("options") or ())))
    if name not in _SETTINGS:
        raise RecordError(
            f"there is no type of answer {name!r} here", mend="Read it with the fanin that kept it."
        )
    module, kind, known = _SETTINGS[name]
    if unknown := sorted(settings.keys() - set(known)):
        raise RecordError(f"the type of answer {name!r} has no {', '.join(unknown)}")
    try:
        answer: Answer = getattr(import_module(module), kind)(**settings)
    except TypeError as error:
        raise RecordError(f"the type of answer {name!r} cannot be made: {error}") from None
    return answer
