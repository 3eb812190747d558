"""What all who share the pace of an account and model have in joint, and what one look at it does.

Pure: `exchanged(joint, visit, now_s)` is the whole of a transaction, so that it may run twice where
somebody else came between.
"""

from __future__ import annotations

import math

import attrs

from fanin.policy import pacing
from fanin.policy.pacing import Booked, Happened, Load, Pace, Ticket
from fanin.policy.pacing.load import Unit

SEEN_S = 60.0
"""Who has not looked for so long is gone."""
KEPT_REFUSALS = 5
"""The newest refusals are kept for people to see."""


@attrs.frozen
class Given:
    """The user's own limits."""

    rpm: float | None = None
    """Requests a minute."""
    tpm: float | None = None
    """Tokens a minute."""
    stagger_s: float = 0.0
    """Seconds between two starts."""
    cap_s: float = 600.0
    """The most that the delay may grow to."""


@attrs.frozen
class Member:
    """One of those who share it, as it was when it last looked."""

    name: str
    """Its own, and nobody else's."""
    seen_s: float = 0.0
    """When it last looked."""
    waiting: int = 0
    """How many requests stood in its line."""
    took_s: float = -math.inf
    """When it was last given a ticket."""
    given: Given = attrs.field(factory=Given)
    """The limits that its user gave."""


@attrs.frozen
class Refused:
    """A refusal, for people."""

    at_s: float
    """When it was noticed."""
    wait_s: float | None
    """The wait it told; None: none."""
    unit: Unit | None
    """What the limit counts, where the refusal told."""


@attrs.frozen
class Joint:
    """What they have in joint. Times are seconds on the store's clock."""

    account: str
    """Whose limits: an address and a fingerprint of the key."""
    model: str
    """Of which model."""
    booked: Booked = attrs.field(factory=Booked)
    """The pace, and what was taken for later."""
    members: tuple[Member, ...] = ()
    """Who looked lately, by name."""
    refusals: tuple[Refused, ...] = ()
    """The newest refusals, oldest first."""
    parted_s: float = -math.inf
    """When somebody came back who had done without the store; who has not looked since still does."""


@attrs.frozen
class Visit:
    """What a member brings to a look, and what it would take."""

    member: Member
    """Who it is; `seen_s` is filled in."""
    news: tuple[Happened, ...] = ()
    """What happened since its last look, in order."""
    loads: tuple[Load, ...] = ()
    """The requests at the head of its line."""
    alone_s: float = -math.inf
    """When it last began to do without the store."""


def exchanged(joint: Joint, visit: Visit, now_s: float) -> tuple[Joint, tuple[Ticket, ...]]:
    """What is joint after a look, and the tickets that the member takes with it."""
    others = present(joint.members, now_s, but=visit.member.name)
    took_s = max((m.took_s for m in joint.members if m.name == visit.member.name), default=-math.inf)
    member = attrs.evolve(visit.member, seen_s=now_s, took_s=took_s)
    members = (*others, member)
    booked = joint.booked
    for news in visit.news:
        booked = pacing.learnt(booked, news)
    booked = pacing.brought(booked, now_s)
    parted_s = now_s if visit.alone_s > joint.parted_s else joint.parted_s
    # What the others send meanwhile is told when they are back: until then all keep to their parts.
    back = sum(m.seen_s >= parted_s for m in members)
    pace = pacing.divided(under(booked.pace, members, now_s), back / len(members), now_s)
    booked = attrs.evolve(booked, pace=pace)
    booked, tickets = pacing.leased(
        booked,
        visit.loads,
        now_s,
        in_turn=in_turn(members, member.name),
        waiting=1 + sum(m.waiting > 0 for m in others),
    )
    if tickets:
        members = (*others, attrs.evolve(member, took_s=now_s))
    refusals = [
        Refused(news.at_s, news.refusal.wait_s, news.refusal.unit)
        for news in visit.news
        if news.what == "refused"
    ]
    kept = (*joint.refusals, *refusals)[-KEPT_REFUSALS:]
    members = tuple(sorted(members, key=_name))
    return Joint(joint.account, joint.model, booked, members, kept, parted_s), tickets


def present(members: tuple[Member, ...], now_s: float, *, but: str = "") -> tuple[Member, ...]:
    """The members that looked lately, without the one of that name."""
    return tuple([m for m in members if m.name != but and now_s - m.seen_s <= SEEN_S])


def in_turn(members: tuple[Member, ...], name: str) -> bool:
    """Whether all others that wait were given a ticket later than the member of that name."""
    took_s = max((m.took_s for m in members if m.name == name), default=-math.inf)
    return not any(m.took_s < took_s and m.waiting for m in members if m.name != name)


def under(pace: Pace, members: tuple[Member, ...], now_s: float) -> Pace:
    """The pace under the tightest of the limits that the members' users gave."""
    given = [member.given for member in members]
    tightest = Given(
        min((g.rpm for g in given if g.rpm is not None), default=None),
        min((g.tpm for g in given if g.tpm is not None), default=None),
        max((g.stagger_s for g in given), default=0.0),
        min((g.cap_s for g in given), default=600.0),
    )
    return limited_by(pace, tightest, now_s)


def limited_by(pace: Pace, given: Given, now_s: float) -> Pace:
    """The pace under the user's own limits."""
    rpm, tpm, stagger_s, cap_s = given.rpm, given.tpm, given.stagger_s, given.cap_s
    return pacing.limited(pace, now_s, rpm=rpm, tpm=tpm, stagger_s=stagger_s, cap_s=cap_s)


def _name(member: Member) -> str:
    return member.name
