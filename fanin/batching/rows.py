"""What a batch gives back: one row an item."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from fanin.verdict import escape_unprintable

_WITHOUT = ("failed", "no_report")
_encode = json.JSONEncoder(ensure_ascii=False).encode


@attrs.frozen
class Row:
    """What one item came to: the object of its job, or why there is none."""

    number: int
    """The item's place in the input, from 1."""
    id: str | int | None
    """The item's id; None where it has none."""
    object: Mapping[str, Any] | None
    """What the job gave, as plain values: of a vote, `fanin.vote/1`; of an analysis,
    `fanin.analysis/1`; of a panel, `fanin.panel/1` with its `question`. None for a bad row."""
    error: str | None = None
    """Why there is no object, in one sentence; None where there is one."""

    @property
    def failed(self) -> bool:
        """Whether what was asked for did not come of it: no object, a vote of which every run failed, an
        analysis without an answer, or a panel without a report."""
        found = self.object
        return found is None or found.get("outcome") in _WITHOUT or found.get("success") is False

    @property
    def partial(self) -> bool:
        """Whether somebody is missing in what came of it."""
        return self.object is not None and self.object.get("outcome") in ("partial", "no_report")

    @property
    def line(self) -> bytes:
        """One line of JSON with its newline: `id` first (left out where there is none), then the object.

        A bad row is `{"id", "line", "error"}`, where `line` is its place in the input.
        """
        named = {} if self.id is None else {"id": self.id}
        rest = {"line": self.number, "error": self.error} if self.object is None else self.object
        text = _encode({**named, **rest})
        return f"{escape_unprintable(text)}\n".encode("utf-8", "surrogatepass")
