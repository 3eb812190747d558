"""Stage 5 for documents: every field is voted on by itself, and the winners are put together.

An object that is left out, and a list that lacks an item, casts no vote on what would be inside; it still
counts, so support is always measured against all runs that count. Lists are taken item by item
(`fanin.stages.aligning`): as many items as their length's vote says, those that most runs have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, Literal

import attrs

from fanin.answers.json_shape import Array, Node, Object, needs
from fanin.answers.json_text import ABSENT, Broken, Path, pointer, read_canonical
from fanin.answers.json_values import counted_as
from fanin.answers.normal import quote
from fanin.answers.number import Number
from fanin.answers.protocol import Parted
from fanin.stages.aligning import Cluster, align, written_of
from fanin.stages.grade import grade
from fanin.values import Decision, Grade, Runs, Tally
from fanin.verdict import FieldVote

_ABSENT: Final = ""
PRESENT: Final = "present"
"""The vote for an object that is there."""
_OUTCOMES = ("invalid", "failed", "no_quorum", "tie", "decided")
_GRADES = ("none", "low", "medium", "high")


class _Undecided:
    def __repr__(self) -> str:
        return "UNDECIDED"


UNDECIDED: Final = _Undecided()


@attrs.frozen
class Entry:
    """A field that was voted on."""

    vote: FieldVote
    """What came of it."""
    tally: Tally
    """How it was counted."""


@attrs.frozen
class Polled:
    """The vote on all fields of a document."""

    document: Any
    """The winners put together: a field without one is null, or left out where it is not required. None where
    nothing could be put together."""
    fields: Mapping[str, FieldVote]
    """JSON Pointer -> the vote, in the order of the document."""
    weakest: str | None
    """The pointer of the field that makes the grade of the whole; None where there is no field."""
    tallies: Mapping[str, Tally]
    """The tallies of the fields that the document needs: the required ones, all where none is."""
    conditional: Mapping[str, Tally] = attrs.field(factory=dict)
    """The tallies of what it may come to need: of objects that may be left out, and of what such an object
    cannot do without."""
    entries: Mapping[Path, Entry] = attrs.field(factory=dict)
    """Path -> the vote with its tally, of every field, in the same order."""

    @property
    def decided(self) -> bool:
        """Whether every field that the document needs has a winner."""
        return all(self.fields[place].outcome == "decided" for place in self.tallies)


def poll(choices: Sequence[str], whole: Tally, answer: Parted) -> Polled:
    """The vote on the fields of the documents that were chosen, one a valid ballot, in any order.

    `whole` is the tally of the documents as they are, which says how the runs ended and what the quorum is.
    """
    # In an order of their contents, so that nothing below can depend on the order of the runs.
    documents = [answer.parts(choice) for choice in sorted(choices)]
    polling = _Polling(whole, answer.tolerance)
    if not documents:
        return Polled(None, {}, None, {})
    document = polling.vote(answer.shape, (), documents, 0, may_lack=False, required=True)
    if not polling.entries:  # an object that holds nothing in any run
        document = polling.held("value", (), Counter({"{}": len(documents)}), 0, documents, required=True)
    document = polling.made_valid(None if document is UNDECIDED else document, answer)
    return _polled(document, polling.entries, polling.conditional)


def repoll(document: Any, entries: Mapping[Path, Entry], whole: Tally, answer: Parted) -> Polled:
    """The vote on a document whose fields were voted on apart: null where they are not valid together."""
    polling = _Polling(whole, answer.tolerance, dict(entries))
    return _polled(polling.made_valid(document, answer), polling.entries)


def _polled(document: Any, entries: Mapping[Path, Entry], conditional: Collection[Path] = ()) -> Polled:
    found = {pointer(path): entry for path, entry in entries.items()}
    needed = {place: entry for place, entry in found.items() if entry.vote.required} or found
    weakest = min(needed, key=lambda place: _strength(needed[place]), default=None)
    return Polled(
        document,
        {place: entry.vote for place, entry in found.items()},
        weakest,
        {place: entry.tally for place, entry in needed.items()},
        {pointer(path): entries[path].tally for path in conditional},
        entries,
    )


def _strength(entry: Entry) -> tuple[int, int, float]:
    vote = entry.vote
    return _OUTCOMES.index(vote.outcome), _GRADES.index(vote.grade), vote.confidence


@attrs.define
class _Polling:
    """The votes on the fields of one document, as they are held."""

    whole: Tally
    tolerance: Number
    entries: dict[Path, Entry] = attrs.field(factory=dict)
    conditional: list[Path] = attrs.field(factory=list)
    """What the document needs, or what is in it, only if an object is there that may be left out."""

    def vote(
        self, node: Node, at: Path, sights: Sequence[Any], others: int, *, may_lack: bool, required: bool
    ) -> Any:
        """What the runs come to at a place: a value, ABSENT or UNDECIDED.

        `sights`: what each run has there whose document has what it stands in. `others`: the valid runs whose
        documents do not.
        """
        if isinstance(node, Object):
            return self.object(node, at, sights, others, may_lack=may_lack, required=required)
        if isinstance(node, Array):
            return self.array(node, at, sights, others, required=required)
        written = [text for sight in sights if (text := written_of(sight)) is not None]
        same = counted_as(node, [text for text in written if text], self.tolerance)
        votes = Counter([same.get(text, text) for text in written])
        return self.held("value", at, votes, others, sights, required=required, options=node.options)

    def object(
        self, node: Object, at: Path, sights: Sequence[Any], others: int, *, may_lack: bool, required: bool
    ) -> Any:
        there = [sight for sight in sights if isinstance(sight, dict)]
        lacking = [
            _ABSENT if sight is ABSENT else "null" for sight in sights if sight is ABSENT or sight is None
        ]
        # Where nothing inside is required, nothing inside would tell that it is no object at all.
        if may_lack or node.nullable or (at and not any(member.required for member in node.members)):
            votes = Counter([*lacking, *([PRESENT] * len(there))])
            winner = self.held("presence", at, votes, others, sights, required=required)
            if needs(node):
                self.conditional.append(at)
            if winner != PRESENT:
                return winner
        others += len(lacking)
        members = [(member.name, member.node, member.required) for member in node.members]
        if node.rest is not None:
            more = {name for sight in there for name in sight} - {member.name for member in node.members}
            members += [(name, node.rest, False) for name in sorted(more)]
        found: dict[str, Any] = {}
        for name, below, needed in members:
            missing = Broken("it is left out") if needed else ABSENT
            inner = [sight.get(name, missing) for sight in there]
            value = self.vote(
                below, (*at, name), inner, others, may_lack=not needed, required=required and needed
            )
            if needed and not required and (*at, name) in self.entries:
                self.conditional.append((*at, name))
            if value is UNDECIDED and needed:
                found[name] = None
                self.need((*at, name))
            elif value is not UNDECIDED and value is not ABSENT:
                found[name] = value
        return found

    def array(self, node: Array, at: Path, sights: Sequence[Any], others: int, *, required: bool) -> Any:
        lists = [sight for sight in sights if isinstance(sight, list)]
        lacking = [
            _ABSENT if sight is ABSENT else "null" for sight in sights if sight is ABSENT or sight is None
        ]
        votes = Counter([*lacking, *(str(len(items)) for items in lists)])
        length = self.held("length", at, votes, others, sights, required=required)
        if not isinstance(length, int):
            return length
        others += len(lacking)
        placed = min(length, len(node.first))
        found = []
        for place in range(placed):
            inner = [items[place] for items in lists if len(items) > place]
            without = others + len(lists) - len(inner)
            found.append(
                self.vote(node.first[place], (*at, place), inner, without, may_lack=False, required=required)
            )
        rest = [items[len(node.first) :] for items in lists]
        for place, cluster in enumerate(_slots(node, rest, length - placed, self.tolerance), placed):
            if isinstance(cluster, str):
                self.undecided((*at, place), cluster, required=required)
                found.append(UNDECIDED)
                continue
            without = others + len(lists) - len(cluster.items)
            found.append(
                self.vote(node.item, (*at, place), cluster.items, without, may_lack=False, required=required)
            )
        for place, value in enumerate(found):
            if value is UNDECIDED:
                self.need((*at, place))
        return [None if value is UNDECIDED else value for value in found]

    def need(self, at: Path) -> None:
        """Has an open place that cannot be left out count as required, though null may be valid there."""
        entry = self.entries[at]
        self.entries[at] = attrs.evolve(entry, vote=attrs.evolve(entry.vote, required=True))

    def held(
        self,
        what: Literal["value", "length", "presence"],
        at: Path,
        votes: Counter[str],
        others: int,
        sights: Sequence[Any],
        *,
        required: bool,
        options: Sequence[str] = (),
    ) -> Any:
        """Counts, keeps the field, and gives the winner, ABSENT or UNDECIDED."""
        # Who says that there is no such place does not make up for a place of which nothing is known.
        tally = self.tally(votes, votes.total() + others if votes else 0, options)
        outcome, sureness, support = _came_to(
            tuple(number for _, number in tally.counts), tally.runs, tally.counting, tally.quorum
        )
        winner = tally.counts[0][0] if outcome == "decided" else None
        shown = _shown(tally)
        self.entries[at] = Entry(
            FieldVote(
                what=what,
                outcome=outcome,
                answer=None if winner is None else _value(winner),
                grade=sureness,
                confidence=support,
                votes=shown,
                required=required,
                reason=None if winner is not None else _reason(tally, shown, sights),
            ),
            tally,
        )
        if winner is None:
            return UNDECIDED
        return ABSENT if winner == _ABSENT else _value(winner)

    def undecided(self, at: Path, reason: str, *, required: bool) -> None:
        """Keeps a place in a list for which there is no one item."""
        vote = FieldVote("value", "tie", None, "none", 0.0, {}, required, reason)
        self.entries[at] = Entry(vote, self.tally(Counter(), 0, ()))

    def tally(self, votes: Counter[str], valid: int, options: Sequence[str]) -> Tally:
        """The tally of one field: what is no vote on it is spoiled here."""
        runs = self.whole.runs
        declared = {option: place for place, option in enumerate(options)}
        counts = sorted(
            votes.items(), key=lambda item: (-item[1], declared.get(item[0], len(declared)), item[0])
        )
        came = runs.valid + runs.spoiled
        here = Runs(runs.planned, valid, came - valid, runs.failed, runs.cancelled, runs.unasked)
        return Tally(tuple(counts), here, self.whole.counting, self.whole.quorum)

    def made_valid(self, document: Any, answer: Parted) -> Any:
        """The document with null where its fields, each a winner, are not valid beside one another.

        Where it is not valid for a field that is open, that field is a required one from here on.
        """
        problems: Sequence[tuple[Path, str]] = ()
        for _ in range(len(self.entries) + 1):
            problems = answer.problems(document)
            open_at = [path for path, entry in self.entries.items() if entry.vote.reason is not None]
            wrong = [
                (path, why) for path, why in problems if not any(_along(path, there) for there in open_at)
            ]
            if not wrong:
                break
            path, why = min(wrong, key=lambda problem: (len(problem[0]), pointer(problem[0]), problem[1]))
            before = self.entries.get(path)
            self.entries[path] = Entry(
                FieldVote(
                    what="value" if before is None else before.vote.what,
                    outcome="invalid",
                    answer=None,
                    grade="none",
                    confidence=0.0,
                    votes={} if before is None else before.vote.votes,
                    required=True,
                    reason=f"beside the other fields it is not valid: {why}",
                    tier=None if before is None else before.vote.tier,
                ),
                self.whole if before is None else before.tally,
            )
            document = _with_null(document, path)
        self.needed([path for path, _ in problems])
        return document

    def needed(self, broken: Sequence[Path]) -> None:
        """Has open fields count as required at whose places the document is not valid.

        They are those that an object needs which may be left out itself, and is there.
        """
        for path, entry in self.entries.items():
            vote = entry.vote
            if vote.reason is not None and any(_along(path, place) for place in broken):
                self.entries[path] = attrs.evolve(entry, vote=attrs.evolve(vote, required=True))


@lru_cache(maxsize=1024)  # most fields of a document come to the same few counts
def _came_to(
    numbers: tuple[int, ...], runs: Runs, counting: int, quorum: int
) -> tuple[Decision, Grade, float]:
    """Outcome, grade and support of a tally of so many votes."""
    tally = Tally(tuple((str(place), votes) for place, votes in enumerate(numbers)), runs, counting, quorum)
    return tally.outcome, grade(tally), float(tally.support)


def _along(path: Path, other: Path) -> bool:
    """Whether one of the two leads to or through the other."""
    short = min(len(path), len(other))
    return path[:short] == other[:short]


def _with_null(document: Any, path: Path) -> Any:
    if not path:
        return None
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = None
    return document


def _slots(
    node: Array, lists: Sequence[Sequence[Any]], length: int, tolerance: Number
) -> list[Cluster | str]:
    """The items that fill a list of that length, in their order; a reason where several would fit."""
    if length <= 0:
        return []
    clusters = align(node.item, node.key, lists, tolerance)
    chosen: list[tuple[Fraction, Cluster | str]] = [(cluster.place, cluster) for cluster in clusters[:length]]
    if len(clusters) > length:
        least = len(clusters[length].items)
        rivals = sum(len(cluster.items) == least for cluster in clusters)
        places = sum(len(cluster.items) == least for cluster in clusters[:length])
        if places:
            why = f"a tie: {rivals} items that {least} of {len(lists)} lists have, and room for {places}"
            chosen = [
                (place, why if isinstance(one, Cluster) and len(one.items) == least else one)
                for place, one in chosen
            ]
    chosen += [(Fraction(length), "too few items could be read")] * (length - len(chosen))
    return [one for _, one in sorted(chosen, key=lambda slot: slot[0])]


def _value(choice: str) -> Any:
    """What a choice stands for; None for an absent field."""
    if choice == _ABSENT:
        return None
    return choice if choice == PRESENT else read_canonical(choice)


def _shown(tally: Tally) -> dict[str, int]:
    """The votes as people are shown them: texts as they are, unless two choices would look alike."""
    looks = [look(choice) for choice, _ in tally.counts]
    twice = {look for look, number in Counter(looks).items() if number > 1}
    return {
        choice if look in twice and choice.startswith('"') else look: votes
        for look, (choice, votes) in zip(looks, tally.counts, strict=True)
    }


def look(choice: str) -> str:
    """A choice as people are shown it; two may look alike."""
    if choice == _ABSENT:
        return "(absent)"
    return str(read_canonical(choice)) if choice.startswith('"') else choice


def _reason(tally: Tally, shown: Mapping[str, int], sights: Sequence[Any]) -> str:
    if tally.outcome == "tie":
        tied = [quote(look, 40) for look in list(shown)[: len(tally.leaders)]]
        return f"a tie between {', '.join(tied[:4])}{' and others' if len(tied) > 4 else ''}"
    broken = Counter(sight.reason for sight in sights if isinstance(sight, Broken))
    why = f" ({min(broken, key=lambda reason: (-broken[reason], reason))})" if broken else ""
    if not tally.runs.valid:
        return f"no run gave a valid value{why}"
    return f"only {tally.runs.valid} of {tally.counting} runs are valid here, {tally.quorum} are needed{why}"
