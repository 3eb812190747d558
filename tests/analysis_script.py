"""Replies for analyses: a backend that answers each of an analysis's calls by what that call asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from doubles import Reply

from fanin.values import Request

Asked: TypeAlias = Literal["plan", "judge", "step", "assess", "synthesize", "focus"]

_SIGNS: Mapping[str, Asked] = {
    "Make a plan for": "plan",
    "plans for working out": "judge",
    "Carry out this one step": "step",
    "Is anything still missing": "assess",
    "Write the final answer": "synthesize",
    "is an analysis of this question": "focus",
}

USUAL: Mapping[Asked, Reply] = {
    "plan": "1. Look at a\n2. Look at b",
    "judge": "The first one.\nAnswer: 1",
    "step": "It is so.",
    "assess": "Nothing.\nAnswer: no",
    "synthesize": "It is so, since a and b agree.",
    "focus": "Answer: yes",
}


def asked_for(request: Request) -> Asked:
    """Which call of an analysis a request is."""
    text = request.messages[-1].content
    [kind] = {kind for sign, kind in _SIGNS.items() if sign in text}
    return kind


def replies(**other: Reply | Callable[[Request], Reply]) -> Callable[[Request], Reply]:
    """The usual replies, with others for the calls that are named; a function is given the request."""

    def reply(request: Request) -> Reply:
        kind = asked_for(request)
        chosen = other.get(kind, USUAL[kind])
        return chosen(request) if callable(chosen) else chosen

    return reply
