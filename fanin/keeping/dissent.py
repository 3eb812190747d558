"""The minority report of a vote: who says something else, why, and what silent runs could have changed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from fanin.answers.json_shape import Leaf, Node, Object
from fanin.answers.json_text import ABSENT, Broken, Path, json_block, pointer
from fanin.answers.json_values import counted_as
from fanin.answers.protocol import is_parted
from fanin.show import count, endings, one_line
from fanin.stages.aligning import written_of
from fanin.stages.field_votes import PRESENT, look
from fanin.stages.grade import grade
from fanin.stages.tiered_fields import merged
from fanin.values import Ballot, Tally
from fanin.verdict import Verdict

_FENCE = re.compile(r"`{3,}\w*$")
_NAMED = 10
"""So many fields are named."""


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

    Empty for a field within a list, whose items are told apart only among all runs.
    """
    field = verdict.fields[place]
    tier = verdict.tiers[field.tier - 1] if field.tier is not None and verdict.tiers else verdict
    if tier.basis is None or not is_parted(tier.basis.plan.answer):
        return {}
    answer = tier.basis.plan.answer
    steps = [step.replace("~1", "/").replace("~0", "~") for step in place.split("/")[1:]]
    node = _node_at(answer.shape, steps)
    if node is None:
        return {}
    sights = {cast.index: _sight(answer.parts(cast.choice), steps) for cast in tier.ballots if cast.choice}
    said = {index: _vote_of(sight, field.what) for index, sight in sights.items()}
    texts = [text for text in said.values() if text]
    same = (
        counted_as(node, texts, answer.tolerance) if isinstance(node, Leaf) and field.what == "value" else {}
    )
    found: dict[str, tuple[Ballot, ...]] = {}
    for cast in tier.ballots:
        if (text := said.get(cast.index)) is not None:
            choice = look(same.get(text, text))
            found[choice] = (*found.get(choice, ()), cast)
    return found if {choice: len(casts) for choice, casts in found.items()} == field.votes else {}


def _node_at(node: Node, steps: Sequence[str]) -> Node | None:
    for step in steps:
        if not isinstance(node, Object):
            return None
        below = next((member.node for member in node.members if member.name == step), node.rest)
        if below is None:
            return None
        node = below
    return node


_NOWHERE = Broken("there is no such place")


def _sight(document: Any, steps: Sequence[str]) -> Any:
    """What stands there; ABSENT where it is left out, broken where there is no place for it."""
    for step in steps[:-1]:
        if not isinstance(document, dict) or step not in document:
            return _NOWHERE
        document = document[step]
    if not steps:
        return document
    return document.get(steps[-1], ABSENT) if isinstance(document, dict) else _NOWHERE


def _vote_of(sight: Any, what: str) -> str | None:
    """The vote on a value, a length or a presence, as the tallies of fields have it; None is none."""
    if what == "length" and isinstance(sight, list):
        return str(len(sight))
    if what == "presence" and isinstance(sight, dict):
        return PRESENT
    return written_of(sight) if what == "value" or sight is None or sight is ABSENT else None


def thoughts(reply: str) -> str:
    """What a reply says beside its document; empty where it is the document alone."""
    try:
        whole = json.loads(reply)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, dict) and isinstance(whole.get("reasoning"), str):
        return str(whole["reasoning"]).strip()
    block = json_block(reply)
    return reply.strip() if block is None else _FENCE.sub("", reply[: reply.rfind(block)].rstrip()).strip()


def fields_still_open(verdict: Verdict) -> str:
    """The same of a vote on parts: which of them the runs that said nothing of it could have changed."""
    tiers = verdict.tiers or (verdict,)
    entries = merged(tiers).entries
    silent = {path: entry.tally.counting - entry.tally.runs.valid for path, entry in entries.items()}
    of_tier = [_silent(tier) for tier in tiers]
    told = []
    for number, (tier, lost) in enumerate(zip(tiers, of_tier, strict=True), 1):
        if lost:
            of = f"Of tier {number}: " if len(tiers) > 1 else ""
            told.append(f"{of}{count(lost, 'run')} cast no vote ({endings(tier.runs)}).")
    # A place in a list for which several items would do has no votes of its own.
    own = {
        path: entry.vote for path, entry in entries.items() if entry.vote.votes or entry.vote.outcome != "tie"
    }
    partly = [path for path, vote in own.items() if silent[path] > of_tier[(vote.tier or 1) - 1]]
    if partly:
        told.append(f"Some say nothing valid for {_some(partly)}.")
    if not told:
        return "Every run that counts cast a vote, so nothing was left open."
    places = [path for path, vote in own.items() if silent[path] and _margin(vote.votes) <= silent[path]]
    if not places:
        return f"{' '.join(told)} They could have changed no field."
    return f"{' '.join(told)} Had all of them said one thing, they could have changed {_some(places)}."


def _some(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return f"{', '.join(pointer(path) or 'the whole' for path in paths[:_NAMED])}{more}"


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
