"""Documents for the laws: a schema with a field of every kind, and what runs may make of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from fanin.answers import Spoiled
from fanin.answers.document import Document
from fanin.documents import Json
from fanin.stages.field_votes import Polled, poll
from fanin.stages.vote import vote
from fanin.values import Ballot, Completion, Failure, Gathered, Sample

LINE: dict[str, Any] = {
    "type": "object",
    "properties": {"sku": {"type": "string"}, "pieces": {"type": "integer", "minimum": 1}},
    "required": ["sku", "pieces"],
    "additionalProperties": False,
}
INVOICE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "number": {"type": "string"},
        "total": {"type": "number"},
        "currency": {"enum": ["EUR", "USD"]},
        "paid": {"type": "boolean"},
        "day": {"type": "string", "format": "date"},
        "note": {"type": ["string", "null"]},
        "buyer": {"anyOf": [{"$ref": "#/$defs/party"}, {"type": "null"}]},
        "lines": {"type": "array", "items": LINE},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["number", "total", "currency", "paid", "day", "lines"],
    "additionalProperties": False,
    "$defs": {
        "party": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    },
}
BY_SKU = Json(INVOICE, keys={"lines": "sku"})
BY_LIKENESS = Json(INVOICE)

_LINES = st.fixed_dictionaries({"sku": st.sampled_from(["a", "A.", "b", "c"]), "pieces": st.integers(0, 2)})
DOCUMENTS = st.fixed_dictionaries(
    {
        "number": st.sampled_from(["F-1", "f-1.", "F-2", 7]),
        "total": st.sampled_from([10, 10.0, 12.5, "10", None]),
        "currency": st.sampled_from(["EUR", "USD", "GBP"]),
        "paid": st.booleans(),
        "lines": st.lists(_LINES, max_size=3),
    },
    optional={
        "day": st.sampled_from(["2025-04-03", "2025-04-04", "03/04/2025"]),
        "note": st.sampled_from(["ok", None]),
        "buyer": st.sampled_from([{"name": "x"}, {"name": "y"}, {}, None]),
        "tags": st.lists(st.sampled_from(["red", "Red", "blue"]), max_size=3),
        "more": st.just(1),
    },
)
"""Invoices, valid and not."""


def polled(answer: Document, documents: Sequence[Any], *, failed: int = 0) -> Polled:
    """The vote on documents that as many runs gave, beside runs that failed."""
    read = [answer.read(json.dumps(document), ()) for document in documents]
    ballots = [
        Ballot(index, None, one.reason) if isinstance(one, Spoiled) else Ballot(index, one)
        for index, one in enumerate(read)
    ]
    gathered = Gathered(
        tuple(Sample(index, Completion("")) for index in range(len(read))),
        tuple(Failure(len(read) + place, "server", "it failed") for place in range(failed)),
    )
    whole = vote(ballots, gathered, answer)
    return poll([cast.choice for cast in ballots if cast.choice is not None], whole, answer)
