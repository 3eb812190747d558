"""One pace for several members: the store's laws, and votes that share a provider's limits."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import anyio
import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limited_provider import LimitedBackend, Limits, Offer, Profile, Provider, told_makespan_s
from shared_store import MemoryStore
from virtual_time import LOOPS, run_virtual

from fanin.clock import Clock, LoopClock
from fanin.conductor import Conductor
from fanin.errors import InputError, SharedPaceWarning
from fanin.limiter import Limiter
from fanin.limiters import Limiters
from fanin.policy import pacing
from fanin.policy.pacing import Booked, Happened, Level, Load, Pace, Refusal, Ticket
from fanin.policy.pacing.bracket import Bracket
from fanin.policy.pacing.leasing import BLOCK, HORIZON_S, PROBING_S, REACH_S, SAME_S
from fanin.policy.pacing.mirror import Bucket, Limit
from fanin.sharing import codec
from fanin.sharing.joint import SEEN_S, Given, Joint, Member, Visit, exchanged, in_turn
from fanin.sharing.opening import store_for
from fanin.sharing.share import Share
from fanin.sharing.store import Found, Key, Step, T
from fanin.sharing.telling import facts
from fanin.terms import Terms
from fanin.values import Message, Request, Sample
from fanin.waiter import TooLong

KEY = Key("https://api.example/v1#fingerprint", "m")
NEW = Joint(KEY.account, KEY.model)

few = settings(max_examples=max(10, settings().max_examples // 3))

# --- states, as they come about


@attrs.frozen
class Turn:
    """What a member does at one look."""

    who: str
    after_s: float
    waiting: int
    ends: tuple[tuple[str, float], ...]
    """What becomes of its oldest tickets: what, and how many seconds the refusal tells."""
    given: Given


def turns() -> st.SearchStrategy[list[Turn]]:
    ends = st.tuples(
        st.sampled_from(["answered", "refused", "failed", "returned"]),
        st.floats(0.0, 3.0).map(lambda s: round(s, 2)),
    )
    turn = st.builds(
        Turn,
        st.sampled_from(["a", "b"]),
        st.floats(0.0, 2.0).map(lambda s: round(s, 3)),
        st.integers(0, 6),
        st.lists(ends, max_size=3).map(tuple),
        st.sampled_from([Given(), Given(rpm=30.0), Given(tpm=600.0, stagger_s=0.1, cap_s=5.0)]),
    )
    return st.lists(turn, max_size=12)


def played(
    script: list[Turn], *, through: Any = lambda joint: joint, as_one: bool = False, telling: bool = True
) -> tuple[Joint, list[Ticket]]:
    """What is joint after these looks, and every ticket. `through` is done to every state; `as_one`: both
    members are one; not `telling`: nobody tells that they wait, so that everybody is in turn."""
    joint, now_s, taken = NEW, 1000.0, list[Ticket]()
    open_tickets = {"a": list[Ticket](), "b": list[Ticket]()}
    for turn in script:
        now_s += turn.after_s
        news = []
        for what, told_s in turn.ends:
            if open_tickets[turn.who]:
                ticket = open_tickets[turn.who].pop(0)
                levels = (Level("requests", "requests", 10.0, 4.0, 0.6, 0.001),) if what == "answered" else ()
                news.append(Happened(what, ticket, now_s, levels, Refusal(told_s), 30.0))  # type: ignore[arg-type]
        visit = Visit(
            Member("a" if as_one else turn.who, waiting=turn.waiting * telling, given=turn.given),
            tuple(news),
            (Load(1, 40),) * turn.waiting,
        )
        joint, tickets = exchanged(joint, visit, now_s)
        joint = through(joint)
        open_tickets[turn.who] += tickets
        taken += tickets
    return joint, taken


# --- the codec


@few
@given(turns())
def test_a_state_that_was_written_and_read_decides_the_same(script: list[Turn]) -> None:
    joint, taken = played(script)
    assert codec.decode(codec.encode(joint)) == joint
    assert played(script, through=lambda joint: codec.decode(codec.encode(joint)))[1] == taken


def test_of_a_long_history_the_newest_is_kept() -> None:
    pace = Pace()
    for at in range(3000):
        pace, ticket = pacing.sent(pace, Load(1, 10), at / 10)
    read = codec.decode(codec.encode(attrs.evolve(NEW, booked=Booked(pace)))).booked.pace
    told = (Level("requests", "requests", 600.0, 100.0, 50.0, 0.001),)
    assert attrs.evolve(read, history=pace.history) == pace
    assert read.history.total == pace.history.total
    answered = [pacing.answered(state, ticket, told, 300.0) for state in (pace, read)]
    assert answered[0].buckets == answered[1].buckets


@given(
    st.one_of(
        st.binary(max_size=30),
        st.recursive(st.none() | st.integers() | st.text(max_size=3), st.lists).map(str).map(str.encode),
    )
)
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        codec.decode(data)


def test_the_version_is_one_of_the_fields() -> None:
    assert codec.version() == codec.version()
    assert len(codec.version()) == 8


# --- looks


@few
@given(turns())
def test_two_members_send_as_one_would_who_looks_as_often(script: list[Turn]) -> None:
    alike = [attrs.evolve(turn, given=Given()) for turn in script]
    two, taken_by_two = played(alike, as_one=False, telling=False)
    one, taken_by_one = played(alike, as_one=True, telling=False)
    assert taken_by_one == taken_by_two
    assert one.booked == two.booked
    assert one.refusals == two.refusals


@few
@given(turns())
def test_the_users_own_limits_hold_for_all_together(script: list[Turn]) -> None:
    tight = [attrs.evolve(turn, given=Given(rpm=30.0), ends=()) for turn in script]
    _, taken = played(tight)
    sent_s = sorted(ticket.sent_s for ticket in taken)
    for first, began_s in enumerate(sent_s):
        for last, ended_s in enumerate(sent_s[first:], first):
            assert last - first + 1 <= 30 + 0.5 * (ended_s - began_s) + 1e-6


@few
@given(turns())
def test_nobody_takes_more_than_a_horizon_ahead(script: list[Turn]) -> None:
    joint, now_s = NEW, 1000.0
    for turn in script:
        now_s += turn.after_s
        visit = Visit(
            Member(turn.who, waiting=turn.waiting, given=turn.given), (), (Load(1, 40),) * turn.waiting
        )
        joint, tickets = exchanged(joint, visit, now_s)
        ahead_s = [ticket.sent_s - now_s for ticket in tickets]
        assert ahead_s == sorted(ahead_s)
        assert all(0 <= s <= REACH_S + SAME_S for s in ahead_s[:1])
        assert all(0 <= s <= HORIZON_S + SAME_S for s in ahead_s[1:])
        assert joint.booked.ahead == tuple(sorted(joint.booked.ahead, key=lambda t: t.sent_s))
        assert joint.booked.pace.history.last_s <= now_s


def test_while_a_limit_is_found_out_next_to_nothing_is_taken_ahead() -> None:
    joint, taken = NEW, list[Ticket]()
    for _ in range(50):
        joint, tickets = exchanged(joint, Visit(Member("a"), (), (Load(),) * 50), 1000.0)
        assert len(tickets) <= 1
        taken += tickets
    assert 4 <= len(taken) <= 6
    assert taken[-1].sent_s <= 1000.0 + PROBING_S + SAME_S


@given(st.integers(1, 99), st.integers(1, 64))
def test_all_who_wait_take_their_part_of_a_block(waiting: int, wanted: int) -> None:
    whole = Booked(pacing.limited(Pace(probes=()), 0.0, rpm=60_000))
    _, tickets = pacing.leased(whole, (Load(),) * wanted, 0.0, waiting=waiting)
    assert len(tickets) == min(wanted, max(1, BLOCK // waiting))


def test_a_ticket_that_is_given_back_before_its_time_was_never_taken() -> None:
    limited = pacing.limited(Pace(), 0.0, rpm=60)
    for at in range(60):
        limited, _ = pacing.sent(limited, Load(), at / 1000)
    before = Booked(limited)
    booked, (ticket,) = pacing.leased(before, (Load(),), 0.1)
    assert ticket.sent_s > 0.1
    assert pacing.learnt(booked, Happened("returned", ticket, 0.2)) == before


def test_who_was_served_longest_ago_is_in_turn() -> None:
    members = (
        Member("a", waiting=3, took_s=5.0),
        Member("b", waiting=3, took_s=4.0),
        Member("c", took_s=1.0),
    )
    assert [in_turn(members, name) for name in "abc"] == [False, True, True]


def test_who_does_not_look_is_gone_after_a_while() -> None:
    joint, _ = exchanged(NEW, Visit(Member("a", given=Given(rpm=6.0))), 1000.0)
    joint, _ = exchanged(joint, Visit(Member("b")), 1000.0 + SEEN_S)
    assert [member.name for member in joint.members] == ["a", "b"]
    assert [bucket.limit.name for bucket in joint.booked.pace.buckets] == ["rpm"]
    joint, _ = exchanged(joint, Visit(Member("b")), 1000.1 + SEEN_S)
    assert [member.name for member in joint.members] == ["b"]
    assert joint.booked.pace.buckets == ()


@given(st.integers(2, 9), st.floats(0.5, 600.0), st.integers(1, 40))
def test_alone_everybody_keeps_to_a_part(members: int, rpm: float, seconds: int) -> None:
    whole = pacing.limited(Pace(), 0.0, rpm=rpm)
    pace = pacing.divided(whole, 1 / members, 0.0)
    assert pacing.divided(pace, 1, 0.0) == whole
    sent, now_s = 0, 0.0
    while now_s <= seconds:
        now_s = max(now_s, pacing.outlook(pace, Load()).at_s)
        if now_s <= seconds:
            pace, _ = pacing.sent(pace, Load(), now_s)
            sent += 1
    assert sent <= max(1.0, rpm / members) + rpm / 60 / members * seconds + 1


# --- votes


def held(
    loop: str,
    provider: Provider,
    store: MemoryStore,
    *,
    members: int = 2,
    requests: int = 60,
    during: Any = None,
) -> tuple[list[float], list[object]]:
    """When each member was done, and what came of every request."""
    ends_s, outcomes = [0.0] * members, list[object]()

    async def main() -> None:
        began_s = anyio.current_time()
        async with anyio.create_task_group() as group:
            for member in range(members):
                backend, limiters = LimitedBackend(provider), Limiters(lambda pace: store)
                conductor = Conductor(backend, Terms(concurrency=1000, retries=8), limiters=limiters)
                conductor._begin()

                async def one(index: int, member: int = member, conductor: Conductor = conductor) -> None:
                    outcomes.append(
                        await conductor.ask(Request(index, "m", (Message("user", "?"),), max_tokens=8))
                    )
                    ends_s[member] = anyio.current_time() - began_s

                for index in range(requests // members):
                    group.start_soon(one, index)
            if during is not None:
                group.start_soon(during)

    run_virtual(loop, main)
    return ends_s, outcomes


@pytest.mark.parametrize(("profile", "ahead_s"), [("full", 0.0), ("full", 1e6), ("groq", 0.0), ("none", 0.0)])
def test_two_members_need_hardly_longer_than_one_who_is_told_the_limit(
    profile: Profile, ahead_s: float
) -> None:
    offer = Offer(Limits(10, 10), profile=profile, latency_s=0.3, seed=1)
    provider, store = Provider(offer), MemoryStore(ahead_s=ahead_s)
    ends_s, outcomes = held("asyncio", provider, store, requests=80)
    assert all(isinstance(outcome, Sample) for outcome in outcomes)
    most = 1.05 if profile == "full" else 1.2
    assert max(ends_s) <= most * told_makespan_s(offer, {"m": [9.0] * 80})
    assert len(provider.counts["m"].refused_s) <= (0.05 if profile == "full" else 0.15) * 80
    assert min(ends_s) >= 0.6 * max(ends_s)  # nobody is served before the other


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("forgets", [False, True])
def test_a_store_that_goes_and_comes_back(loop: str, forgets: bool) -> None:
    provider = Provider(Offer(Limits(10, 10), latency_s=0.3))
    store = MemoryStore()

    async def outage() -> None:
        await anyio.sleep(2.0)
        store.gone = True
        await anyio.sleep(3.0)
        store.gone = False
        if forgets:
            store.forget(None)

    with pytest.warns(SharedPaceWarning) as said:
        ends_s, outcomes = held(loop, provider, store, requests=100, during=outage)
    assert all(isinstance(outcome, Sample) for outcome in outcomes)
    assert [str(warning.message) for warning in said] == [
        "the memory is gone; each of 2 keeps to its part of the pace until it is back",
        "the memory is back, and the pace is shared again",
    ]
    assert len(provider.counts["m"].refused_s) <= 3
    assert max(ends_s) <= 1.1 * 9.3


@pytest.mark.parametrize("loop", LOOPS)
def test_nobody_waits_for_a_store_that_hangs(loop: str) -> None:
    class Hanging(MemoryStore):
        async def exchange(self, key: Key, fresh: Joint, step: Step[T], clock: Clock) -> Found[T]:
            if self.gone:
                await anyio.sleep(0.5)
            return await super().exchange(key, fresh, step, clock)

    offer = Offer(Limits(10, 10), latency_s=0.3)
    provider, store = Provider(offer), Hanging()
    store.patience_s = 0.5

    async def outage() -> None:
        await anyio.sleep(2.0)
        store.gone = True

    with pytest.warns(SharedPaceWarning):
        ends_s, outcomes = held(loop, provider, store, requests=100, during=outage)
    assert all(isinstance(outcome, Sample) for outcome in outcomes)
    # The first look that hangs is waited for, and then each begins with an empty part.
    assert max(ends_s) <= 9.3 + 2.0
    gaps = pairwise(provider.counts["m"].admitted_s)
    assert max(later - earlier for earlier, later in gaps) <= 1.0


def test_while_some_are_alone_those_who_are_back_keep_to_their_part() -> None:
    members = tuple([Member(name, seen_s=1000.0, waiting=9) for name in "abcd"])
    limited = Pace(probes=(), buckets=(Bucket(Limit("requests", "requests", 100.0, Bracket(40.0, 40.0))),))
    joint = attrs.evolve(NEW, booked=Booked(limited), members=members)
    rates = []
    for late, name in enumerate("abcda"):
        visit = Visit(Member(name, waiting=9), (), (), alone_s=1001.0)
        joint, _ = exchanged(joint, visit, 1002.0 + late)
        rates.append(min(bucket.limit.rate for bucket in joint.booked.pace.buckets))
    assert rates == pytest.approx([10.0, 20.0, 30.0, 40.0, 40.0])
    assert [bucket.limit.name for bucket in joint.booked.pace.buckets] == ["requests"]


@pytest.mark.parametrize("loop", LOOPS)
def test_no_member_sends_before_a_wait_that_another_was_told_is_over(loop: str) -> None:
    store, clock = MemoryStore(), LoopClock()

    async def main() -> tuple[float, float]:
        one, other = (Limiter(Share(store, KEY)) for _ in range(2))
        for limiter in (one, other):
            limiter.limit(clock.now_s(), rpm=600, tpm=None, stagger_s=0.2, cap_s=600)
        ticket = await one.admit(Load(), clock)
        assert isinstance(ticket, Ticket)
        sent_s = [0.0]

        async def wait() -> None:
            assert isinstance(await other.admit(Load(), clock), Ticket)
            sent_s[0] = clock.now_s()

        async with anyio.create_task_group() as group:
            group.start_soon(wait)  # takes a ticket for the next moments
            await anyio.sleep(0.1)
            refused_s = clock.now_s()
            one.refused(ticket, (), Refusal(30.0), refused_s)
            await one.settled(clock)
        return sent_s[0], refused_s

    sent_s, refused_s = run_virtual(loop, main)
    assert sent_s >= refused_s + 30.0 - 1e-6


def test_a_ticket_is_not_waited_for_past_the_deadline() -> None:
    store, clock = MemoryStore(), LoopClock()

    async def main() -> object:
        one, other = (Limiter(Share(store, KEY)) for _ in range(2))
        for limiter in (one, other):
            limiter.limit(clock.now_s(), rpm=None, tpm=None, stagger_s=0.8, cap_s=600)
        await one.admit(Load(), clock)
        return await other.admit(Load(), clock, max_wait_s=0.5)

    late = run_virtual("asyncio", main)
    assert isinstance(late, TooLong)
    assert late.wait_s == pytest.approx(0.8)
    assert codec.decode(store.held[KEY]).booked.ahead == () or late.wait_s > 0.5


def test_what_is_known_is_told_with_where_it_comes_from() -> None:
    provider, store = Provider(Offer(Limits(10, 10), latency_s=0.3)), MemoryStore()
    held("asyncio", provider, store, requests=20)
    (joint,) = store.entries()
    told = facts(joint, joint.members[0].seen_s)
    assert [(limit["name"], limit["from"], limit["burst"]) for limit in told["limits"]] == [
        ("requests", "header", 10.0)
    ]
    assert told["limits"][0]["per_s"] == pytest.approx(10, rel=0.05)
    assert (told["sent"] >= 20, told["waiting"], told["processes"]) == (True, 0, 2)
    text = repr(told)
    assert not any(word in text for word in ("inf", "nan"))
    assert math.isfinite(told["delay_s"])


# --- which store


@pytest.mark.parametrize("pace", ["file", "redis://127.0.0.1/0"])
def test_nothing_is_shared_where_the_environment_says_so(pace: str) -> None:
    assert store_for(pace) is None


def test_off_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FANIN_SHARED_PACE")
    assert store_for("off") is None
    assert store_for("file") is store_for("file")


@pytest.mark.parametrize("pace", ["", "on", "http://localhost", 3, None, "ftp://user:secret@host"])
def test_what_names_no_store_is_refused(pace: Any) -> None:
    with pytest.raises(InputError, match="pace must be file, off, or a Redis address") as refused:
        Terms(pace=pace)
    assert "secret" not in str(refused.value)


def test_a_backend_without_limits_has_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FANIN_SHARED_PACE")
    asked: list[str] = []
    limiters = Limiters(asked.append)

    async def main() -> None:
        backend = LimitedBackend(Provider(Offer()), limited=False)
        await Conductor(backend, Terms(), limiters=limiters).ask(Request(0, "m", (Message("user", "?"),)))

    run_virtual("asyncio", main)
    assert set(asked) <= {"off"}
