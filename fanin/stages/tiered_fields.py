"""The fields of a document on which several tiers of a cascade voted, each on what was open before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from fanin.answers.json_shape import Node, Object
from fanin.answers.json_text import Path, pointer
from fanin.answers.narrowing import parts_of, stands_in_required
from fanin.answers.protocol import Parted
from fanin.policy.escalating import Came, When, calls_for_next
from fanin.stages.ballot import ballot
from fanin.stages.field_votes import Entry, Polled, poll, repoll
from fanin.stages.grade import pattern
from fanin.stages.vote import vote
from fanin.values import Tally
from fanin.verdict import Basis, Verdict


def merged(asked: Sequence[Verdict]) -> Polled:
    """The vote on the parts of the whole, each from the last tier that was asked and has a quorum on it.

    The first tier was asked for the whole. What is put together is valid by the whole schema, or null where
    it is not.
    """
    answer: Parted = _basis(asked[0]).plan.answer
    so_far, whole = _polled(asked[0])
    document, entries = so_far.document, _of_tier(1, so_far.entries)
    for number, later in enumerate(asked[1:], 2):
        came, _ = _polled(later)
        for path in parts_of(answer.shape, _basis(later).plan.answer.shape):
            part = {place: entry for place, entry in came.entries.items() if place[: len(path)] == path}
            if any(entry.vote.outcome not in ("failed", "no_quorum") for entry in part.values()):
                required = stands_in_required(answer.shape, path)
                document = _with_part(answer.shape, document, came.document, path)
                entries = _replaced(entries, path, _of_tier(number, part, required=required))
    return repoll(document, entries, whole, answer) if entries else so_far


def _basis(verdict: Verdict) -> Basis:
    assert verdict.basis is not None, "a verdict that was concluded holds what it was concluded from"
    return verdict.basis


def _polled(verdict: Verdict) -> tuple[Polled, Tally]:
    """The vote on the parts that a verdict tells of, counted again, and that on the whole."""
    basis = _basis(verdict)
    plan, gathered = basis.plan, basis.gathered
    read = [ballot(sample, basis.runs[sample.index], plan) for sample in gathered.samples]
    spared = verdict.stopped.by == "rule"
    whole = vote(read, gathered, plan.answer, quorum=plan.quorum, spared=spared)
    return poll([cast.choice for cast in read if cast.choice is not None], whole, plan.answer), whole


def _of_tier(number: int, entries: Mapping[Path, Entry], *, required: bool = True) -> dict[Path, Entry]:
    return {
        place: attrs.evolve(
            entry, vote=attrs.evolve(entry.vote, tier=number, required=entry.vote.required and required)
        )
        for place, entry in entries.items()
    }


def _replaced(entries: dict[Path, Entry], path: Path, part: dict[Path, Entry]) -> dict[Path, Entry]:
    """The entries with those at `path` and below it changed for others, in the same place."""
    found: dict[Path, Entry] = {}
    for place, entry in entries.items():
        if place[: len(path)] == path:
            found |= part
        else:
            found[place] = entry
    return found | part


def _with_part(node: Node, document: Any, source: Any, path: Path) -> Any:
    """The document with what stands at `path` as it is in `source`, or left out where it is there."""
    if not path:
        return source
    assert isinstance(node, Object), "parts of a whole stand in objects"
    step, found = path[0], dict(document)
    inner = {member.name: member.node for member in node.members}
    if len(path) > 1:
        found[str(step)] = _with_part(inner[str(step)], document[step], source[step], path[1:])
    elif step in source:
        found[str(step)] = source[step]
    else:
        found.pop(str(step), None)
    declared = {name: place for place, name in enumerate(inner)}
    return {name: found[name] for name in sorted(found, key=lambda name: declared.get(name, len(declared)))}


def open_parts(polled: Polled, when: When) -> tuple[Path, ...]:
    """What the next tier is asked for, the topmost places alone: the fields that call for it by themselves.

    Nothing where no field that the document needs does; the whole where no run gave a valid document.
    """
    if not polled.entries:
        return ((),)
    calling = {place for place, entry in polled.entries.items() if _calls(entry, when)}
    if not any(pointer(place) in polled.tallies for place in calling):
        return ()
    return tuple(
        place
        for place in polled.entries
        if place in calling and not any(place[:length] in calling for length in range(len(place)))
    )


def _calls(entry: Entry, when: When) -> bool:
    vote = entry.vote
    outcome = "tie" if vote.outcome == "invalid" else vote.outcome
    return calls_for_next(Came(outcome, len(vote.votes), pattern(entry.tally), vote.grade), when)
