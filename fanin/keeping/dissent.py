"""The minority report of a vote: who says something else, why, and what silent runs could have changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from fanin.answers.json_shape import Leaf, Node, Object
from fanin.answers.json_text import ABSENT
from fanin.answers.json_values import counted_as
from fanin.answers.protocol import Parted
from fanin.show import count, endings, one_line
from fanin.stages.aligning import written_of
from fanin.stages.field_votes import look
from fanin.stages.grade import grade
from fanin.values import Ballot, Tally
from fanin.verdict import Verdict


@attrs.frozen
class Dissent:
    """One choice that did not win."""

    choice: str
    """The answer as people are shown it."""
    votes: int
    """Its votes."""
    reasons: tuple[str, ...]
    """The shortest texts that end with it, the shortest first."""
    models: tuple[tuple[str, int, int], ...]
    """(model, its votes for this, its valid votes): of every model that says so, in the order asked."""
    temperatures: tuple[tuple[float, int, int], ...]
    """(temperature, votes for this, valid votes): of every one at which it was said, ascending."""


def minority(verdict: Verdict, most_reasons: int = 1) -> tuple[Dissent, ...]:
    """Every choice that did not win, most votes first; of a tie all choices."""
    valid = [cast for cast in verdict.ballots if cast.choice is not None]
    return tuple(
        _dissent(choice, votes, valid, most_reasons)
        for choice, votes in verdict.votes.items()
        if choice != verdict.answer
    )


def _dissent(choice: str, votes: int, valid: Sequence[Ballot], most_reasons: int) -> Dissent:
    mine = [cast for cast in valid if cast.choice == choice]
    texts = sorted({cast.text.strip() for cast in mine}, key=lambda text: (len(text), text))
    by_model = Counter(cast.model for cast in valid)
    by_heat = Counter(cast.temperature for cast in valid if cast.temperature is not None)
    my_model = Counter(cast.model for cast in mine)
    my_heat = Counter(cast.temperature for cast in mine if cast.temperature is not None)
    return Dissent(
        choice,
        votes,
        tuple(texts[:most_reasons]),
        tuple((model, my_model[model], by_model[model]) for model in by_model if my_model[model]),
        tuple((heat, my_heat[heat], by_heat[heat]) for heat in sorted(my_heat)),
    )


def still_open(verdict: Verdict) -> str:
    """What the runs that cast no vote could have changed, had they all said one thing; one sentence.

    Runs that a satisfied stop rule spared are no part of it.
    """
    silent = _silent(verdict)
    if not silent:
        return "Every run that counts cast a vote, so nothing was left open."
    who = f"{count(silent, 'run')} cast no vote ({endings(verdict.runs)})"
    outcomes = [(choice, _with(verdict, choice, silent)) for choice in (*verdict.votes, None)]
    changed = [
        f"{_named(choice)}, {_told(tally)}"
        for choice, tally in outcomes
        if (tally.outcome, tally.winner or "") != (verdict.outcome, verdict.answer or "")
    ]
    if changed:
        return f"{who}. Had all of them said {'; had they said '.join(changed)}."
    best = max((grade(tally) for _, tally in outcomes), key=("none", "low", "medium", "high").index)
    if best != verdict.grade:
        return f"{who}. They could not have changed the answer, but its grade: up to {best}."
    return f"{who}. They could have changed neither the answer nor its grade."


def who_said(verdict: Verdict, place: str) -> dict[str, tuple[Ballot, ...]]:
    """Choice -> the ballots for it, of the vote on one field (`FieldVote.votes` has the same choices).

    Empty for a field within a list, whose items are told apart only among all runs, and for one that is no
    value.
    """
    field = verdict.fields[place]
    tier = verdict.tiers[field.tier - 1] if field.tier is not None and verdict.tiers else verdict
    answer = None if tier.basis is None else tier.basis.plan.answer
    steps = [step.replace("~1", "/").replace("~0", "~") for step in place.split("/")[1:]]
    node = _leaf_at(answer.shape, steps) if isinstance(answer, Parted) else None
    if answer is None or node is None or field.what != "value":
        return {}
    said = {cast.index: _written_at(answer.parts(cast.choice), steps) for cast in tier.ballots if cast.choice}
    same = counted_as(node, [text for text in said.values() if text], answer.tolerance)
    found: dict[str, tuple[Ballot, ...]] = {}
    for cast in tier.ballots:
        if (text := said.get(cast.index)) is not None:
            choice = look(same.get(text, text))
            found[choice] = (*found.get(choice, ()), cast)
    return found if {choice: len(casts) for choice, casts in found.items()} == field.votes else {}


def _leaf_at(node: Node, steps: Sequence[str]) -> Leaf | None:
    for step in steps:
        members = node.members if isinstance(node, Object) else ()
        inner = [member.node for member in members if member.name == step]
        if not inner:
            return None
        node = inner[0]
    return node if isinstance(node, Leaf) else None


def _written_at(document: Any, steps: Sequence[str]) -> str | None:
    """The value as canonical JSON, empty where it is absent; None where there is none, or no place for it."""
    for step in steps[:-1]:
        if not isinstance(document, dict) or step not in document:
            return None
        document = document[step]
    if steps and not isinstance(document, dict):
        return None
    return written_of(document.get(steps[-1], ABSENT) if steps else document)


def fields_still_open(verdict: Verdict) -> str:
    """The same of a vote on parts: which of them the silent runs could have changed; one sentence."""
    silent = _silent(verdict)
    if not silent:
        return "Every run that counts cast a vote, so nothing was left open."
    who = f"{count(silent, 'run')} cast no vote ({endings(verdict.runs)})"
    places = [
        place or "the whole" for place, field in verdict.fields.items() if _margin(field.votes) <= silent
    ]
    if not places:
        return f"{who}. They could have changed no field."
    return f"{who}. Had all of them said one thing, they could have changed {', '.join(places)}."


def _margin(votes: Mapping[str, int]) -> int:
    most = [*sorted(votes.values(), reverse=True), 0, 0]
    return most[0] - most[1]


def _silent(verdict: Verdict) -> int:
    """Runs that cast no vote, those that a satisfied stop rule spared apart."""
    runs = verdict.runs
    spared = runs.cancelled + runs.unasked if verdict.stopped.by == "rule" else 0
    return runs.planned - runs.valid - spared


def _with(verdict: Verdict, choice: str | None, more: int) -> Tally:
    """The tally had so many silent runs said `choice`; None is an answer that nobody gave."""
    votes = Counter(verdict.votes)
    votes["" if choice is None else choice] += more
    runs = verdict.runs
    spared = verdict.stopped.by == "rule"
    counting = runs.planned - (runs.cancelled + runs.unasked if spared else 0)
    return Tally(
        counts=tuple(sorted(votes.items(), key=lambda item: (-item[1], item[0]))),
        runs=attrs.evolve(
            runs,
            valid=runs.valid + more,
            spoiled=0,
            failed=0,
            cancelled=runs.cancelled if spared else 0,
            unasked=runs.unasked if spared else 0,
        ),
        counting=counting,
        quorum=1,  # with every run's vote there is one
    )


def _named(choice: str | None) -> str:
    return "something that nobody said" if choice is None else one_line(choice, 60)


def _told(tally: Tally) -> str:
    if tally.outcome != "decided":
        return f"it would be {'a tie' if tally.outcome == 'tie' else 'no decision'}"
    winner = "that" if tally.winner == "" else one_line(tally.winner or "", 60)
    return f"the answer would be {winner} ({grade(tally)})"
