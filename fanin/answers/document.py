"""A JSON document, of which every field is voted on by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

import attrs

from fanin.answers.final import without_thoughts
from fanin.answers.json_asking import asked_schema, is_closed, without_nulls
from fanin.answers.json_shape import Node
from fanin.answers.json_text import (
    BadJsonError,
    Broken,
    Path,
    broken_at,
    canonical_json,
    json_block,
    json_with_broken,
    parse_json,
    without_broken,
)
from fanin.answers.normal import quote
from fanin.answers.number import Number
from fanin.answers.protocol import Spoiled

Problems: TypeAlias = "Sequence[tuple[Path, str]]"
"""Where a document is not valid, and why."""
Check: TypeAlias = Callable[[Any], Problems]
"""A validator: a document in, its problems out."""


@attrs.frozen
class Document:
    """One JSON document by a schema; `fanin.Json` makes it with a validator.

    A run's choice is its whole document as canonical JSON, invalid parts and all: those are spoiled when the
    fields are counted. A document that is invalid as a whole is a spoiled ballot.
    """

    schema_text: str
    """The JSON Schema as JSON text."""
    shape: Node = attrs.field(eq=False, repr=False)
    """What of it is voted on."""
    check: Check = attrs.field(repr=False)
    """The validator. It is given values as `json.loads` makes them."""
    tolerance: Number = attrs.field(factory=Number)
    """When two numbers of a field are one."""
    keys: tuple[tuple[str, str], ...] = ()
    """Path of a list and the property that aligns its items, sorted."""

    @property
    def name(self) -> str:
        """`json`."""
        return "json"

    @property
    def options(self) -> tuple[str, ...]:
        """Empty: they cannot be listed."""
        return ()

    @cached_property
    def prefers_schema(self) -> bool:
        """Whether a backend's own schema output takes this schema, so that it is asked for unasked."""
        return is_closed(json.loads(self.schema_text))

    def instruction(self, order: Sequence[str]) -> str:
        """The schema, and the form of the answer: a fenced block at the end."""
        return (
            "The answer is one JSON document that follows this JSON Schema:\n\n"
            f"```json\n{self.schema_text}\n```\n\n"
            "First think step by step, in a few sentences. "
            "Then end with the whole document in one block that begins with ```json and ends with ```."
        )

    def schema(self, order: Sequence[str]) -> Mapping[str, Any]:
        """The schema in the form that providers take: every property required, those that may be left out
        nullable."""
        return asked_schema(json.loads(self.schema_text))

    def read(self, text: str, order: Sequence[str]) -> str | Spoiled:
        """The document that the text is, as canonical JSON."""
        try:
            document = parse_json(text)
        except BadJsonError as problem:
            return Spoiled(f"{problem}: {quote(text)}")
        try:
            choice = canonical_json(document)
        except TypeError:  # a key that came twice: only the text itself tells
            choice = text
        parts = self.parts(choice)
        return Spoiled(f"not valid: {parts.reason}") if isinstance(parts, Broken) else choice

    def read_reply(self, reply: str, *, structured: bool) -> str | Spoiled:
        """The document in a whole reply: in its last fenced block, or, where it was asked for by schema,
        under `answer`; there a reply without that key is the document itself."""
        block = json_block(without_thoughts(reply))
        if block is None:
            return Spoiled(f"no JSON block: {quote(reply)}")
        if not structured:
            return self.read(block, ())
        try:
            whole = parse_json(block)
        except BadJsonError as problem:
            return Spoiled(f"{problem}: {quote(reply)}")
        answer = whole.get("answer", whole) if isinstance(whole, dict) else whole
        if isinstance(answer, Broken):
            return Spoiled(f"{answer.reason}: {quote(reply)}")
        return self.read(json_with_broken(without_nulls(self.shape, answer)), ())

    def same(self, choices: Sequence[str]) -> Mapping[str, str]:
        """Each is its own: it is the fields that are compared."""
        return {choice: choice for choice in choices}

    def show(self, choice: str) -> str:
        """The canonical JSON."""
        return choice

    def parts(self, choice: str) -> Any:
        """The document with a `Broken` at every place that is not valid."""
        return (_remembered if len(choice) <= _SMALL else _checked)(self, choice)

    def problems(self, document: Any) -> Problems:
        """What the validator says."""
        return self.check(document)

    def written(self, document: Any) -> str:
        """The document on one line, keys in the order of the schema."""
        return json.dumps(document, ensure_ascii=False)


def _checked(answer: Document, choice: str) -> Any:
    """The parts of a choice, read and validated."""
    document, broken = without_broken(parse_json(choice))
    problems = [problem for problem in answer.check(document) if not _within(problem[0], broken)]
    return broken_at(document, [*broken, *problems])


_SMALL = 8_000
"""Up to so many characters the parts of a choice are remembered: a stop rule looks at them many times."""
_remembered = lru_cache(maxsize=1024)(_checked)  # shared: nobody may change what it gives


def _within(path: Path, broken: Problems) -> bool:
    return any(path[: len(above)] == above for above, _ in broken)
