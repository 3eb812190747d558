"""A program that asks a model: fanin is all it depends on."""

from __future__ import annotations

import fanin

QUESTION = "Does this contract renew by itself?"


def renews(contract: str) -> bool | None:
    """Whether a contract renews by itself; None where the model does not agree with itself."""
    verdict = fanin.vote_sync(QUESTION, context=contract, backend="openai", model="gpt-4o-mini", runs=3)
    return None if verdict.answer is None else verdict.answer == "yes"
