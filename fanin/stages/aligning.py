"""Which items of the runs' lists are the same item.

Runs have to come in an order that their contents alone decide; then the clusters depend on the contents
alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import attrs

from fanin.answers.json_shape import Array, Leaf, Node, Object
from fanin.answers.json_text import ABSENT, Broken, canonical_json
from fanin.answers.json_values import counted_as, form_of
from fanin.answers.number import Number

MAX_PAIRS = 40_000
"""Past so many pairs of unlike items in one list, those are not compared: each is an item of its own."""

_Profile = frozenset[tuple[str, str]]


@attrs.frozen
class Cluster:
    """An item that some of the runs have."""

    items: tuple[Any, ...]
    """As the runs have it, one a run."""
    place: Fraction
    """Where it stands on average, from 0."""


def align(
    node: Node, key: str | None, lists: Sequence[Sequence[Any]], tolerance: Number
) -> tuple[Cluster, ...]:
    """The items of all lists, each in one cluster, no two of one list in the same; most runs first.

    Scalars go by their value, objects by the property `key` where there is one: what comes twice in a list
    is told apart by which time it comes. Everything else goes by what it has in common: an item equal to one
    seen before, else the one that shares the most values, of those the nearest. A broken item is in none.
    """
    if isinstance(node, Leaf):
        found = _by_label(node, [[*enumerate(items)] for items in lists], lists, tolerance)
    elif key is not None and isinstance(node, Object):
        leaf = next(member.node for member in node.members if member.name == key)
        labels = [
            [(place, item[key]) for place, item in enumerate(items) if isinstance(item, dict) and key in item]
            for items in lists
        ]
        found = _by_label(leaf if isinstance(leaf, Leaf) else Leaf("any"), labels, lists, tolerance)
    else:
        found = _by_likeness(node, lists)
    clusters = [_cluster(members, lists) for members in found]
    # What stands at one average place keeps the order in which it was met.
    return tuple(sorted(clusters, key=lambda cluster: (-len(cluster.items), cluster.place)))


def _cluster(members: Sequence[tuple[int, int]], lists: Sequence[Sequence[Any]]) -> Cluster:
    places = sum(place for _, place in members)
    return Cluster(tuple(lists[run][place] for run, place in members), Fraction(places, len(members)))


def _by_label(
    leaf: Leaf,
    labelled: Sequence[Sequence[tuple[int, Any]]],
    lists: Sequence[Sequence[Any]],
    tolerance: Number,
) -> list[list[tuple[int, int]]]:
    """(run, place) of the items that bear the same label for the same time in their list."""
    written = [
        (run, place, text)
        for run, labels in enumerate(labelled)
        for place, label in labels
        if (text := written_of(label)) is not None
    ]
    same = counted_as(leaf, [text for _, _, text in written], tolerance)
    times: Counter[tuple[int, str]] = Counter()
    found: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for run, place, text in written:
        label = same[text]
        times[run, label] += 1
        found.setdefault((label, times[run, label]), []).append((run, place))
    return list(found.values())


def written_of(value: Any) -> str | None:
    """The value as canonical JSON, empty where it is absent; None where something in it is broken."""
    if value is ABSENT:
        return ""
    if isinstance(value, Broken):
        return None
    try:
        return canonical_json(value)
    except TypeError:
        return None


@attrs.define
class _Open:
    """A cluster that is being made, by what its first item holds."""

    members: list[tuple[int, int]] = attrs.field(factory=list)


def _by_likeness(node: Node, lists: Sequence[Sequence[Any]]) -> list[list[tuple[int, int]]]:
    clusters: list[_Open] = []
    holders: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    exact: dict[_Profile, list[int]] = {}
    for run, items in enumerate(lists):
        profiles = {
            place: _profile(node, item) for place, item in enumerate(items) if not isinstance(item, Broken)
        }
        taken: dict[int, int] = {}  # cluster -> place
        left = {place for place in profiles if not _takes_exact(profiles[place], place, exact, taken)}
        for number, place in _pairs(sorted(left), profiles, clusters, holders, taken):
            if number not in taken and place in left:
                taken[number] = place
                left.remove(place)
        for place in sorted(left):
            taken[len(clusters)] = place
            for value in profiles[place]:
                holders[value].append(len(clusters))
            clusters.append(_Open())
        for number, place in taken.items():
            clusters[number].members.append((run, place))
            numbers = exact.setdefault(profiles[place], [])
            if number not in numbers:
                numbers.append(number)
    return [cluster.members for cluster in clusters]


def _takes_exact(
    profile: _Profile, place: int, exact: dict[_Profile, list[int]], taken: dict[int, int]
) -> bool:
    for number in exact.get(profile, ()):
        if number not in taken:
            taken[number] = place
            return True
    return False


def _pairs(
    left: Sequence[int],
    profiles: dict[int, _Profile],
    clusters: Sequence[_Open],
    holders: Mapping[tuple[str, str], Sequence[int]],
    taken: dict[int, int],
) -> list[tuple[int, int]]:
    """(cluster, place) that share a value, the likest first, of those the nearest.

    `holders`: the clusters that each value is in.
    """
    if len(left) * (len(clusters) - len(taken)) > MAX_PAIRS:
        return []
    found = []
    for place in left:
        shared = Counter(number for value in profiles[place] for number in holders.get(value, ()))
        found += [
            (-values, abs(clusters[number].members[0][1] - place), number, place)
            for number, values in shared.items()
            if number not in taken
        ]
    return [(number, place) for _, _, number, place in sorted(found)]


def _profile(node: Node, value: Any) -> _Profile:
    """(where, form) of every value in it that is one."""
    found: list[tuple[str, str]] = []
    _put_values(found, node, value, "")
    return frozenset(found)


def _put_values(found: list[tuple[str, str]], node: Node, value: Any, at: str) -> None:
    if isinstance(node, Leaf):  # the usual one: noisy lists have thousands
        if written := written_of(value):
            found.append((at, form_of(node, written)))
    elif isinstance(node, Object) and isinstance(value, dict):
        for member in node.members:
            if member.name in value:
                _put_values(found, member.node, value[member.name], f"{at}/{member.name}")
        if node.rest is not None:
            for name in value.keys() - {member.name for member in node.members}:
                _put_values(found, node.rest, value[name], f"{at}/{name}")
    elif isinstance(node, Array) and isinstance(value, list):
        for place, below in enumerate(value):
            _put_values(found, node.item, below, f"{at}/{place}")
    elif written := written_of(value):
        found.append((at, written))
