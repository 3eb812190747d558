"""What a batch gives back: one row an item."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from fanin.verdict import escape_unprintable

_encode = json.JSONEncoder(ensure_ascii=False).encode


@attrs.frozen
class Row:
    """What one item came to: the object of its job, or why there is none."""

    number: int
    """The item's place in the input, from 1."""
    id: str | int | None
    """The item's id; None where it has none."""
    object: Mapping[str, Any] | None
    """What the job gave, as plain values: of a vote, `fanin.vote/1`. None for a bad row."""
    error: str | None = None
    """Why there is no object, in one sentence; None where there is one."""

    @property
    def failed(self) -> bool:
        """Whether nothing usable came of it: no object, or a vote of which every run failed."""
        return self.object is None or self.object.get("outcome") == "failed"

    @property
    def line(self) -> bytes:
        """One line of JSON with its newline: `id` first (left out where there is none), then the object.

        A bad row is `{"id", "line", "error"}`, where `line` is its place in the input.
        """
        named = {} if self.id is None else {"id": self.id}
        rest = {"line": self.number, "error": self.error} if self.object is None else self.object
        text = _encode({**named, **rest})
        return f"{escape_unprintable(text)}\n".encode("utf-8", "surrogatepass")
