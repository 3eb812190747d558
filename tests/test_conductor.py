"""The one place that waits: on both event loops, with time that jumps to where somebody wakes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import anyio
import attrs
import pytest
from doubles import Reply, Scripted, SharedClock, always, down, scripts, too_often
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import LOOPS, costly, run_virtual, virtual

from fanin.conductor import Conducted, Conductor
from fanin.context import RUN_INDEX, TapeOn, set_tape
from fanin.errors import CallError, CassetteMissError, InputError
from fanin.limiters import Limiters
from fanin.policy import retrying
from fanin.policy.variation import vary
from fanin.terms import Interrupt, Terms
from fanin.values import Completion, Event, Failure, Message, Outcome, Request, Run, Sample, Variation

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return virtual(request.param)


@pytest.fixture
def tape() -> Iterator[None]:
    """A tape that a test sets is taken off again."""
    yield
    set_tape(None)


def runs_of(count: int, *models: str) -> tuple[Run, ...]:
    variation = Variation(models or ("m",))
    return tuple(vary(variation, index, ()) for index in range(count))


def request_of(run: Run) -> Request:
    return Request(run.index, run.model, (Message("user", f"prompt {run.index}"),), run.temperature, run.seed)


@attrs.frozen
class Held:
    """How a job went: its end, the conductor, and how long it took."""

    conducted: Conducted
    conductor: Conductor
    took_s: float

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        return self.conducted.outcomes

    @property
    def by(self) -> str:
        return self.conducted.by

    @property
    def only(self) -> Outcome:
        (outcome,) = self.outcomes
        return outcome


async def hold(
    backend: Scripted,
    count: int = 1,
    terms: Terms | None = None,
    *,
    models: tuple[str, ...] = (),
    **options: Any,
) -> Held:
    conductor = Conductor(backend, terms or Terms(), **options)

    async def job(run: Run) -> Outcome | None:
        return await conductor.ask(request_of(run))

    began_s = anyio.current_time()
    conducted = await conductor.conduct(runs_of(count, *models), job)
    return Held(conducted, conductor, anyio.current_time() - began_s)


def near(seconds: float) -> Any:
    return pytest.approx(seconds, abs=1e-6)


# --- order and concurrency


async def test_outcomes_come_by_index_whatever_arrives_first() -> None:
    backend = Scripted(
        lambda request: f"answer {request.index}", latency_s=lambda request: 9.0 - request.index
    )
    held = await hold(backend, 8)
    assert [outcome.index for outcome in held.outcomes] == list(range(8))
    assert [o.completion.text for o in held.outcomes if isinstance(o, Sample)] == [
        f"answer {index}" for index in range(8)
    ]
    assert held.by == "all"
    assert held.took_s == near(9.0)


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_the_lowest_index_is_asked_first(concurrency: int) -> None:
    for _ in range(10):
        backend = Scripted(always("yes"), latency_s=lambda request: 1.0)
        await hold(backend, 7, Terms(concurrency=concurrency))
        assert [request.index for request in backend.sent] == list(range(7))


@pytest.mark.parametrize(("concurrency", "count", "most"), [(1, 5, 1), (3, 10, 3), (8, 20, 8), (8, 5, 5)])
async def test_no_more_calls_are_in_flight_than_the_terms_allow(
    concurrency: int, count: int, most: int
) -> None:
    backend = Scripted(scripts({1: [down(), "yes"]}), latency_s=lambda request: 1.0 + request.index % 3)
    held = await hold(backend, count, Terms(concurrency=concurrency))
    assert backend.most_in_flight == most
    assert backend.in_flight == 0
    assert len(held.outcomes) == count


async def test_each_call_sees_its_own_run_s_index_and_the_caller_sees_none() -> None:
    backend = Scripted(scripts({2: [down(), "yes"]}), latency_s=lambda request: 1.0 / (1 + request.index))
    await hold(backend, 5)
    assert backend.seen_indexes == [request.index for request in backend.sent]
    assert RUN_INDEX.get() is None


# --- retries and waits


async def test_a_failed_call_is_made_again_after_its_backoff() -> None:
    backend = Scripted(scripts({0: [down(), down(), "yes"]}))
    held = await hold(backend, seed=7)
    waits = [retrying.backoff_s(retry, (7, 0), retry, "error") for retry in (0, 1)]
    assert backend.sent_s == [near(backend.sent_s[0] + wait) for wait in (0, waits[0], sum(waits))]
    assert [request.attempt for request in backend.sent] == [1, 2, 3]
    assert isinstance(held.only, Sample)
    assert (held.only.attempts, held.only.completion.text) == (3, "yes")
    # But for the attempt, the same request each time.
    assert {attrs.evolve(request, attempt=1) for request in backend.sent} == {request_of(runs_of(1)[0])}


@pytest.mark.parametrize("retries", [0, 1, 4])
async def test_a_run_fails_when_its_retries_are_used_up(retries: int) -> None:
    held = await hold(Scripted(lambda request: down()), terms=Terms(retries=retries))
    assert held.only == Failure(0, "server", "the server is down", attempts=retries + 1)
    assert held.by == "all"


async def test_an_error_tells_its_mend_too() -> None:
    error = CallError("auth", "the key is refused", mend="Set another.", final=True)
    held = await hold(Scripted(lambda request: error))
    assert held.only == Failure(0, "auth", "the key is refused\nSet another.", attempts=1)


async def test_a_told_wait_is_waited_exactly() -> None:
    backend = Scripted(scripts({0: [too_often(2.5), "yes"]}))
    held = await hold(backend, terms=Terms(retries=0))
    assert held.took_s == near(2.5)
    assert isinstance(held.only, Sample)
    assert held.only.attempts == 2


async def test_so_many_refusals_fail_a_run() -> None:
    backend = Scripted(lambda request: too_often(1.0), limited=False)
    held = await hold(backend)
    assert held.only == Failure(0, "rate_limit", "asked too often", attempts=retrying.MAX_REFUSALS)
    assert held.took_s == near(retrying.MAX_REFUSALS - 1.0)


@pytest.mark.parametrize("error", [ValueError("sk-secret"), ExceptionGroup("sk-secret", [OSError()])])
async def test_a_backend_s_own_mistake_fails_its_run_alone_and_tells_no_text(error: Exception) -> None:
    backend = Scripted(scripts({1: [error]}), latency_s=lambda request: 1.0)
    held = await hold(backend, 3)
    assert [type(outcome) for outcome in held.outcomes] == [Sample, Failure, Sample]
    failure = held.outcomes[1]
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.attempts) == ("malformed", 1)
    assert type(error).__name__ in failure.message
    assert "secret" not in failure.message


@pytest.mark.parametrize("rubbish", [None, "yes", {"text": "yes"}])
async def test_a_backend_that_gives_back_no_completion_fails_its_run_alone(rubbish: object) -> None:
    class Rubbish(Scripted):
        async def complete(self, request: Request) -> Completion:
            good = await super().complete(request)
            return rubbish if request.index == 1 else good  # type: ignore[return-value]

    held = await hold(Rubbish(always("yes")), 3)
    assert [type(outcome) for outcome in held.outcomes] == [Sample, Failure, Sample]
    failure = held.outcomes[1]
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.attempts) == ("malformed", 1)
    assert type(rubbish).__name__ in failure.message


# --- time limits


async def test_a_call_s_time_is_for_the_whole_call() -> None:
    class Dripping(Scripted):
        async def complete(self, request: Request) -> Completion:
            for _ in range(3):  # each read alone is quick enough
                await anyio.sleep(2.0)
            return await super().complete(request)

    held = await hold(Dripping(always("yes")), terms=Terms(timeout_s=5.0, retries=0))
    assert held.only == Failure(0, "timeout", "No answer within 5 s.", attempts=1)
    assert held.took_s == near(5.0)


async def test_a_call_that_ran_out_of_its_time_is_made_again() -> None:
    backend = Scripted(always("yes"), latency_s=lambda request: 100.0 if request.attempt == 1 else 1.0)
    held = await hold(backend, terms=Terms(timeout_s=5.0))
    assert isinstance(held.only, Sample)
    assert held.only.attempts == 2
    assert held.took_s == near(6.0 + retrying.backoff_s(0, (0, 0), 0, "error"))


async def test_the_deadline_cuts_what_is_in_flight_and_leaves_the_rest_unasked() -> None:
    backend = Scripted(always("yes"), latency_s=lambda request: 1.0 if request.index < 2 else 100.0)
    held = await hold(backend, 6, Terms(concurrency=2, deadline_s=10.0))
    assert held.by == "deadline"
    assert held.took_s == near(10.0)
    assert [type(outcome) for outcome in held.outcomes] == [Sample, Sample, Failure, Failure]
    for index in (2, 3):
        assert held.outcomes[index] == Failure(index, "deadline", "Cut short: the deadline came.", attempts=1)
    assert backend.in_flight == 0


async def test_a_deadline_beats_a_call_s_own_time_and_its_retries() -> None:
    backend = Scripted(always("yes"), latency_s=lambda request: 100.0)
    held = await hold(backend, terms=Terms(timeout_s=4.0, deadline_s=10.0))
    assert held.took_s == near(10.0)
    assert isinstance(held.only, Failure)
    assert (held.only.kind, held.only.attempts) == ("deadline", 3)


async def test_a_job_that_is_done_before_its_deadline_is_not_stopped_by_it() -> None:
    held = await hold(Scripted(always("yes"), latency_s=lambda request: 1.0), 3, Terms(deadline_s=10.0))
    assert (held.by, len(held.outcomes)) == ("all", 3)
    assert held.took_s == near(1.0)


async def test_a_wait_that_would_end_after_the_deadline_is_not_begun() -> None:
    backend = Scripted(scripts({0: [too_often(60.0), "yes"]}))
    held = await hold(backend, terms=Terms(deadline_s=50.0))
    assert held.took_s == near(0.0)
    assert isinstance(held.only, Failure)
    assert (held.only.kind, held.only.attempts, held.by) == ("deadline", 1, "deadline")
    assert "wait" in held.only.message


async def test_a_run_whose_gate_opens_after_the_deadline_is_never_asked() -> None:
    backend, limiters = Scripted(scripts({0: [too_often(60.0), "yes"]})), Limiters()
    held = await hold(backend, 3, Terms(concurrency=1, deadline_s=50.0), limiters=limiters)
    assert [request.index for request in backend.sent] == [0]
    assert [outcome.index for outcome in held.outcomes] == [0]
    again = await hold(backend, 3, Terms(deadline_s=50.0), limiters=limiters)
    assert (again.outcomes, again.by) == ((), "deadline")
    assert again.took_s == near(0.0)


async def test_a_wait_that_ends_before_the_deadline_is_waited() -> None:
    backend = Scripted(scripts({0: [too_often(40.0), "yes"]}))
    held = await hold(backend, terms=Terms(deadline_s=50.0))
    assert isinstance(held.only, Sample)
    assert held.took_s == near(40.0)


# --- the gate


async def test_no_run_passes_the_gate_before_the_told_wait_is_over() -> None:
    def latency_s(request: Request) -> float:
        return {0: 1.0, 1: 2.0}.get(request.index, 0.5)

    backend = Scripted(scripts({0: [too_often(10.0), "yes"]}), latency_s=latency_s)
    held = await hold(backend, 4, Terms(concurrency=2))
    assert [request.index for request in backend.sent[:2]] == [0, 1]
    assert all(sent_s >= backend.sent_s[0] + 11.0 - 1e-6 for sent_s in backend.sent_s[2:])
    assert all(isinstance(outcome, Sample) for outcome in held.outcomes)


async def test_a_gate_that_moves_while_a_run_waits_holds_that_run() -> None:
    # Run 0 is refused at 1 s for 5 s; run 1, in flight since 0 s, at 4 s for 10 s: nobody before 14 s.
    backend = Scripted(
        scripts({0: [too_often(5.0), "yes"], 1: [too_often(10.0), "yes"]}),
        latency_s=lambda request: {0: 1.0, 1: 4.0}[request.index] if request.attempt == 1 else 0.0,
    )
    held = await hold(backend, 2)
    assert backend.sent_s[2] == near(backend.sent_s[0] + 14.0)
    assert len(held.outcomes) == 2


async def test_two_votes_at_once_share_the_gate_of_their_account_and_model() -> None:
    limiters = Limiters()
    first = Scripted(scripts({0: [too_often(10.0), "yes"]}))
    same, other_model, other_account = (Scripted(always("yes")) for _ in range(3))
    other_account.account = "another"
    began_s = anyio.current_time()

    async def later(backend: Scripted, models: tuple[str, ...]) -> None:
        await anyio.sleep(1.0)
        await hold(backend, 2, limiters=limiters, models=models)

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: hold(first, limiters=limiters))
        group.start_soon(later, same, ("m",))
        group.start_soon(later, other_model, ("n",))
        group.start_soon(later, other_account, ("m",))
    assert len(same.sent_s) == 2
    assert min(same.sent_s) >= began_s + 10.0 - 1e-6
    assert other_model.sent_s == [near(began_s + 1.0)] * 2
    assert other_account.sent_s == [near(began_s + 1.0)] * 2


async def test_a_vote_finds_the_gate_that_an_earlier_one_left_without_being_told() -> None:
    await hold(Scripted(scripts({0: [too_often(20.0), too_often(5.0), "yes"]})))
    backend = Scripted(lambda request: too_often(30.0))
    await hold(backend, terms=Terms(max_wait_s=29.0))
    assert len(backend.sent) == 1
    backend = Scripted(always("yes"))
    held = await hold(backend)
    assert held.took_s >= 30.0 - 1e-6


async def test_the_refusal_that_fails_a_run_moves_the_gate_for_the_others() -> None:
    limiters = Limiters()
    backend = Scripted(lambda request: too_often(1.0 if request.attempt < retrying.MAX_REFUSALS else 45.0))
    await hold(backend, limiters=limiters)
    held = await hold(Scripted(always("yes")), limiters=limiters)
    assert held.took_s >= 45.0 - 1e-6


async def test_a_backend_without_limits_is_never_paced() -> None:
    backend = Scripted(scripts({0: [too_often(10.0), "yes"]}), limited=False)
    held = await hold(backend, 3, Terms(concurrency=1))
    assert held.took_s == near(10.0)
    fresh = Scripted(scripts({0: [too_often(10.0), "yes"]}), limited=False)
    await hold(fresh, 3, Terms(concurrency=3))
    assert fresh.sent_s[:3] == [near(fresh.sent_s[0])] * 3


def test_two_threads_with_event_loops_of_their_own_share_the_gate(anyio_backend_name: str) -> None:
    limiters, clock = Limiters(), SharedClock(1000.0)
    refused = threading.Event()
    asked_s: list[float] = []

    def refuse(request: Request) -> Reply:
        if request.attempt > 1:
            return "yes"
        return too_often(30.0)

    def answer(request: Request) -> Reply:
        asked_s.append(clock.now_s())
        return "yes"

    def tell(event: Event) -> None:
        if event.kind == "limit":
            refused.set()

    async def hold_first() -> Held:
        return await hold(Scripted(refuse), clock=clock, limiters=limiters, watch=tell)

    async def hold_second() -> Held:
        return await hold(Scripted(answer), 2, clock=clock, limiters=limiters)

    first = threading.Thread(target=run_virtual, args=(anyio_backend_name, hold_first))
    first.start()
    refused.wait(60)
    run_virtual(anyio_backend_name, hold_second)
    first.join(60)
    assert not first.is_alive()
    assert len(asked_s) == 2
    assert min(asked_s) >= 1030.0


# --- a spent limit


async def test_a_spent_limit_leaves_the_runs_that_were_not_asked_yet() -> None:
    spent = CallError("rate_limit", "tokens per day are spent", exhausted=True)
    backend = Scripted(scripts({1: [spent]}), latency_s=lambda request: 1.0)
    held = await hold(backend, 6, Terms(concurrency=2))
    assert held.by == "limit"
    assert [request.index for request in backend.sent] == [0, 1, 2][: len(backend.sent)]
    assert len(backend.sent) <= 3
    assert Failure(1, "rate_limit", "tokens per day are spent", 1, exhausted=True) in held.outcomes


async def test_a_spent_limit_of_one_model_does_not_stop_the_others() -> None:
    def reply(request: Request) -> Reply:
        return CallError("quota", "no credit", exhausted=True) if request.model == "x" else "yes"

    held = await hold(Scripted(reply), 6, Terms(concurrency=1), models=("x", "y"))
    assert [(o.index, type(o)) for o in held.outcomes] == [
        (0, Failure),
        (1, Sample),
        (3, Sample),
        (5, Sample),
    ]
    assert held.by == "limit"


async def test_a_told_wait_above_what_is_allowed_is_a_spent_limit() -> None:
    backend = Scripted(lambda request: too_often(700.0))
    held = await hold(backend, 3, Terms(concurrency=1, max_wait_s=600.0))
    assert (held.by, held.took_s, len(backend.sent)) == ("limit", near(0.0), 1)


# --- interrupts and cancellation


async def test_an_interrupt_cuts_what_is_in_flight_and_asks_nothing_new() -> None:
    interrupt = Interrupt()
    backend = Scripted(always("yes"), latency_s=lambda request: 1.0 + 10.0 * request.index)

    async def stop() -> None:
        await anyio.sleep(5.0)
        interrupt.stop()

    async with anyio.create_task_group() as group:
        group.start_soon(stop)
        held = await hold(backend, 5, Terms(concurrency=2), interrupt=interrupt)
    assert (held.by, held.took_s) == ("interrupt", near(5.0))
    assert [type(outcome) for outcome in held.outcomes] == [Sample, Failure, Failure]
    for index in (1, 2):
        assert held.outcomes[index] == Failure(index, "interrupted", "Cut short: it was interrupted.", 1)


async def test_an_interrupt_from_within_a_watch_stops_at_once() -> None:
    interrupt = Interrupt()

    def watch(event: Event) -> None:
        if event.kind == "answered":
            interrupt.stop()

    backend = Scripted(always("yes"), latency_s=lambda request: 1.0)
    held = await hold(backend, 9, Terms(concurrency=1), interrupt=interrupt, watch=watch)
    assert (held.by, len(backend.sent)) == ("interrupt", 1)
    assert isinstance(held.outcomes[0], Sample)


async def test_an_interrupt_before_the_beginning_asks_nothing() -> None:
    interrupt = Interrupt()
    interrupt.stop()
    backend = Scripted(always("yes"))
    held = await hold(backend, 5, interrupt=interrupt)
    assert (held.outcomes, held.by, backend.sent) == ((), "interrupt", [])


async def test_an_interrupt_beats_the_deadline_and_waits_for_no_gate() -> None:
    interrupt = Interrupt()
    backend = Scripted(lambda request: too_often(100.0))
    async with anyio.create_task_group() as group:
        group.start_soon(_stop_after, interrupt, 3.0)
        held = await hold(backend, 2, Terms(deadline_s=200.0, concurrency=1), interrupt=interrupt)
    assert (held.by, held.took_s) == ("interrupt", near(3.0))
    assert [outcome.index for outcome in held.outcomes] == [0]


async def test_a_run_that_still_waits_for_its_first_call_when_it_is_cut_was_never_asked() -> None:
    limiters, interrupt = Limiters(), Interrupt()
    await hold(Scripted(lambda request: too_often(100.0)), terms=Terms(deadline_s=1.0), limiters=limiters)
    async with anyio.create_task_group() as group:
        group.start_soon(_stop_after, interrupt, 3.0)
        held = await hold(Scripted(always("yes")), 2, interrupt=interrupt, limiters=limiters)
    assert (held.outcomes, held.by, held.took_s) == ((), "interrupt", near(3.0))


async def _stop_after(interrupt: Interrupt, seconds: float) -> None:
    await anyio.sleep(seconds)
    interrupt.stop()


async def test_cancellation_from_outside_goes_through_and_leaves_nothing_behind() -> None:
    backend = Scripted(always("yes"), latency_s=lambda request: 100.0)
    returned = False
    with anyio.move_on_after(2.0) as scope:
        await hold(backend, 20)
        returned = True
    assert scope.cancelled_caught
    assert not returned
    assert backend.in_flight == 0
    assert len(backend.sent) == 8


# --- a replay miss, and other errors that end the job


def miss() -> CassetteMissError:
    return CassetteMissError("demo.json", "no such request")


async def test_a_replay_miss_ends_the_job_as_itself_and_cancels_the_others() -> None:
    backend = Scripted(scripts({2: [miss()]}), latency_s=lambda request: 1.0 if request.index == 2 else 50.0)
    began_s = anyio.current_time()
    with pytest.raises(CassetteMissError, match="no such request"):
        await hold(backend, 6)
    assert anyio.current_time() == near(began_s + 1.0)
    assert backend.in_flight == 0


async def test_several_misses_at_once_are_told_as_one() -> None:
    with pytest.raises(CassetteMissError):
        await hold(Scripted(lambda request: miss(), latency_s=lambda request: 1.0), 5)


async def test_a_miss_goes_before_a_mistake_of_the_caller() -> None:
    conductor = Conductor(Scripted(always("yes")))

    async def job(run: Run) -> Outcome | None:
        try:
            await anyio.sleep(1.0)
        finally:
            if run.index == 3:
                raise miss()
            raise ZeroDivisionError

    with pytest.raises(CassetteMissError):
        await conductor.conduct(runs_of(5), job)


async def test_a_miss_while_an_interrupt_cuts_is_told_as_itself() -> None:
    interrupt = Interrupt()
    conductor = Conductor(Scripted(always("yes")), interrupt=interrupt)

    async def job(run: Run) -> Outcome | None:
        if run.index == 1:
            interrupt.stop()
            raise miss()
        await anyio.sleep(100.0)
        return None

    with pytest.raises(CassetteMissError):
        await conductor.conduct(runs_of(3), job)


async def test_a_mistake_in_a_job_is_raised_as_itself() -> None:
    async def job(run: Run) -> Outcome | None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Conductor(Scripted(always("yes"))).conduct(runs_of(3), job)


# --- parameters that a model refuses


def refusing(parameter: str) -> Any:
    def reply(request: Request) -> Reply:
        if parameter in request.without:
            return "yes"
        return CallError("bad_request", f"{parameter} is not supported", status=400, refused=parameter)

    return reply


async def test_a_refused_parameter_is_left_out_at_once_and_it_is_no_failed_run() -> None:
    backend = Scripted(refusing("temperature"))
    held = await hold(backend, terms=Terms(retries=0))
    assert held.only == Sample(0, Completion("yes", usage=held.only.completion.usage), 2, ("temperature",))  # type: ignore[union-attr]
    assert [request.without for request in backend.sent] == [(), ("temperature",)]
    assert held.took_s == near(0.0)


async def test_a_model_that_refuses_what_was_left_out_fails_the_run() -> None:
    stubborn = CallError("bad_request", "seed is not supported", refused="seed")
    backend = Scripted(lambda request: stubborn)
    held = await hold(backend)
    assert held.only == Failure(0, "bad_request", "seed is not supported", attempts=2)


async def test_what_a_model_refuses_is_remembered_for_its_account_and_model() -> None:
    await hold(Scripted(refusing("seed")))
    again = Scripted(refusing("seed"))
    held = await hold(again, 2)
    assert [request.without for request in again.sent] == [("seed",)] * 2
    assert all(isinstance(outcome, Sample) and outcome.without == ("seed",) for outcome in held.outcomes)
    other_model, other_account = Scripted(always("yes")), Scripted(always("yes"), account="another")
    await hold(other_model, models=("n",))
    await hold(other_account)
    assert other_model.sent[0].without == other_account.sent[0].without == ()


async def test_what_a_model_refuses_is_remembered_without_limits_too() -> None:
    await hold(Scripted(refusing("seed"), limited=False))
    again = Scripted(refusing("seed"), limited=False)
    await hold(again)
    assert [request.without for request in again.sent] == [("seed",)]


# --- tapes


@pytest.mark.usefixtures("tape")
async def test_a_recording_tape_is_told_what_a_model_refuses() -> None:
    tape = TapeOn("record", "demo.json")
    set_tape(tape)
    await hold(Scripted(refusing("seed"), http=True))
    assert tape.refused == {"m": ("seed",)}
    # A tape that is begun later is told what was learnt before.
    later = TapeOn("record", "demo.json")
    set_tape(later)
    await hold(Scripted(always("yes"), http=True))
    assert later.refused == {"m": ("seed",)}


@pytest.mark.usefixtures("tape")
async def test_a_replay_knows_what_its_tape_knows_and_teaches_nobody() -> None:
    limiters = Limiters()
    set_tape(TapeOn("replay", "demo.json", refused={"m": ("seed",)}))
    backend = Scripted(refusing("temperature"), http=True)
    held = await hold(backend, limiters=limiters)
    assert [request.without for request in backend.sent] == [("seed",), ("seed", "temperature")]
    assert isinstance(held.only, Sample)
    assert limiters.refused("scripted", "m") == ()


@pytest.mark.usefixtures("tape")
async def test_a_replay_does_not_use_what_the_process_learnt() -> None:
    await hold(Scripted(refusing("seed"), http=True))
    set_tape(TapeOn("replay", "demo.json"))
    backend = Scripted(always("yes"), http=True)
    await hold(backend)
    assert [request.without for request in backend.sent] == [()]


@pytest.mark.usefixtures("tape")
async def test_a_replay_never_sleeps_and_minds_no_deadline() -> None:
    set_tape(TapeOn("replay", "demo.json"))
    backend = Scripted(scripts({0: [too_often(500.0), down(), down(), "yes"], 1: [down(), "no"]}), http=True)
    held = await hold(backend, 4, Terms(concurrency=2, deadline_s=1.0))
    assert held.took_s == near(0.0)
    assert [type(outcome) for outcome in held.outcomes] == [Sample] * 4
    assert held.by == "all"


@pytest.mark.usefixtures("tape")
async def test_a_replay_on_a_slow_machine_is_not_cut_and_tells_no_times() -> None:
    set_tape(TapeOn("replay", "demo.json"))
    backend = Scripted(scripts({0: [down(), "yes"]}), latency_s=lambda request: 500.0, http=True)
    held = await hold(backend, 3, Terms(timeout_s=1.0, deadline_s=1.0))
    assert [type(outcome) for outcome in held.outcomes] == [Sample] * 3
    assert {event.at_s for event in held.conductor.events} == {0.0}


@pytest.mark.usefixtures("tape")
async def test_a_replay_moves_no_gate_and_passes_every_one() -> None:
    limiters = Limiters()
    await hold(
        Scripted(lambda request: too_often(400.0), http=True), terms=Terms(deadline_s=1.0), limiters=limiters
    )
    before = limiters.of("scripted", "m").pace
    set_tape(TapeOn("replay", "demo.json"))
    held = await hold(Scripted(scripts({0: [too_often(3.0), "yes"]}), http=True), 2, limiters=limiters)
    assert held.took_s == near(0.0)
    assert limiters.of("scripted", "m").pace == before


@pytest.mark.usefixtures("tape")
async def test_a_recording_tape_is_told_every_failed_call_in_the_task_that_made_it() -> None:
    told: list[tuple[int | None, str, str]] = []

    def note(error: CallError) -> None:
        told.append((RUN_INDEX.get(), error.kind, error.message))

    set_tape(TapeOn("record", "demo.json", note_error=note))
    backend = Scripted(
        scripts({0: [down(), too_often(1.0), "yes"], 1: [ValueError()]}),
        latency_s=lambda request: 9.0 if request.index == 2 else 0.0,
        http=True,
    )
    await hold(backend, 3, Terms(timeout_s=5.0, retries=1))
    assert sorted(told, key=str) == [
        (0, "rate_limit", "asked too often"),
        (0, "server", "the server is down"),
        (1, "malformed", "The backend failed with ValueError."),
        (2, "timeout", "No answer within 5 s."),
        (2, "timeout", "No answer within 5 s."),
    ]


@pytest.mark.usefixtures("tape")
@pytest.mark.parametrize("wrapped", [CallError("server", "500: no such request", final=True), "yes"])
async def test_a_miss_that_a_client_has_wrapped_is_raised_as_itself(wrapped: Reply) -> None:
    tape = TapeOn("replay", "demo.json")
    set_tape(tape)

    def reply(request: Request) -> Reply:
        if request.index == 1:
            tape.missed = miss()
        return wrapped

    with pytest.raises(CassetteMissError, match="no such request"):
        await hold(Scripted(reply, http=True), 3)


@pytest.mark.usefixtures("tape")
async def test_a_tape_does_not_concern_a_backend_that_sends_no_http() -> None:
    tape = TapeOn("replay", "demo.json", refused={"m": ("seed",)})
    set_tape(tape)
    backend = Scripted(scripts({0: [too_often(2.0), "yes"]}))
    held = await hold(backend)
    assert held.took_s == near(2.0)
    assert backend.sent[0].without == ()


# --- what is told on the way


async def test_every_event_is_told_with_its_time_as_it_happens() -> None:
    told: list[Event] = []
    backend = Scripted(scripts({0: [down(), too_often(3.0), "yes"]}), latency_s=lambda request: 1.0)
    held = await hold(backend, watch=told.append)
    wait_s = retrying.backoff_s(0, (0, 0), 0, "error")
    assert held.conductor.events == told
    assert [(event.kind, event.attempt) for event in told] == [
        ("asked", 1),
        ("retry", 1),
        ("asked", 2),
        ("limit", 2),
        ("asked", 3),
        ("answered", 3),
    ]
    times = [0, 1, 1 + wait_s, 2 + wait_s, 5 + wait_s, 6 + wait_s]
    assert [event.at_s for event in told] == [near(at_s) for at_s in times]
    assert (told[1].wait_s, told[1].detail) == (near(wait_s), "retry 1 of 4: the server is down")
    assert told[3].wait_s == near(3.0)


async def test_a_refused_parameter_and_a_failure_are_told_too() -> None:
    told: list[Event] = []
    await hold(Scripted(refusing("seed")), watch=told.append)
    assert [event.kind for event in told] == ["asked", "adapted", "asked", "answered"]
    assert told[1].detail == "m does not accept seed"
    told.clear()
    await hold(Scripted(lambda request: CallError("auth", "no", final=True)), watch=told.append)
    assert [(event.kind, event.detail) for event in told] == [("asked", ""), ("failed", "no")]


async def test_the_calls_of_one_run_are_counted_through() -> None:
    """As in a job of several turns."""
    backend = Scripted(scripts({0: [down(), "one", "two"]}))
    conductor = Conductor(backend)

    async def job(run: Run) -> Outcome | None:
        await conductor.ask(request_of(run))
        return await conductor.ask(request_of(run))

    conducted = await conductor.conduct(runs_of(1), job)
    assert [request.attempt for request in backend.sent] == [1, 2, 3]
    (outcome,) = conducted.outcomes
    assert isinstance(outcome, Sample)
    assert (outcome.completion.text, outcome.attempts) == ("two", 3)


async def test_an_injected_clock_is_the_one_that_is_slept_on() -> None:
    clock = SharedClock(50.0)
    backend = Scripted(scripts({0: [too_often(7.0), down(), "yes"]}))
    held = await hold(backend, clock=clock, limiters=Limiters())
    assert held.took_s == near(0.0)
    assert clock.slept_s[:2] == [7.0, near(retrying.backoff_s(0, (0, 0), 0, "error"))]
    assert held.conductor.events[0].at_s == 0.0


# --- terms


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("concurrency", 0),
        ("concurrency", True),
        ("concurrency", 2.0),
        ("concurrency", None),
        ("timeout_s", 0),
        ("timeout_s", -1.0),
        ("timeout_s", float("nan")),
        ("timeout_s", float("inf")),
        ("timeout_s", None),
        ("deadline_s", 0),
        ("deadline_s", float("nan")),
        ("deadline_s", "10"),
        ("retries", -1),
        ("retries", 101),
        ("max_wait_s", 0),
        ("max_wait_s", float("inf")),
    ],
)
def test_terms_that_cannot_be_kept_are_refused(field: str, value: object) -> None:
    with pytest.raises(InputError) as caught:
        Terms(**{field: value})  # type: ignore[arg-type]
    assert (caught.value.field, caught.value.value) == (field, value) or value != value


# --- laws

_replies = st.lists(
    st.one_of(
        st.sampled_from(["yes", "no"]),
        st.builds(too_often, st.none() | st.floats(0, 20)),
        st.builds(down),
        st.just(CallError("bad_request", "no", refused="seed")),
        st.just(CallError("auth", "no", final=True)),
    ),
    min_size=1,
    max_size=5,
)
_latencies = st.lists(st.floats(0, 5), min_size=1, max_size=7)


def _alone(replies: list[Reply], index: int) -> Outcome:
    """What comes of a run, decided from its replies alone: the retry policy, without any waiting."""
    tried, attempts = retrying.Tried(), 0
    while True:
        reply = replies[min(attempts, len(replies) - 1)]
        attempts += 1
        if isinstance(reply, str):
            return Sample(index, Completion(reply), attempts)
        assert isinstance(reply, CallError)
        action = retrying.after(reply, tried, retries=4, max_wait_s=600.0, jitter=(0, index))
        if isinstance(action, retrying.GiveUp):
            return Failure(index, action.error.kind, str(action.error), attempts, action.error.exhausted)
        tried = action.tried


def _plain(outcome: Outcome) -> object:
    """An outcome without what is learnt from other runs on the way: what is left out, and when."""
    if isinstance(outcome, Sample):
        return (outcome.index, outcome.completion.text)
    return (outcome.index, outcome.kind, outcome.message)


@pytest.mark.parametrize("loop", LOOPS)
@costly
@given(st.lists(_replies, min_size=1, max_size=8), _latencies, st.integers(1, 8))
def test_what_comes_of_a_run_does_not_depend_on_the_others(
    loop: str, replies: list[list[Reply]], latencies: list[float], concurrency: int
) -> None:
    # A parameter that one run finds out spares the others a call, so it is left to a law of its own.
    plain = [
        [reply for reply in of_run if getattr(reply, "refused", None) is None] or ["yes"]
        for of_run in replies
    ]

    # The pace is shared: where every run is refused, the wait grows with all of them, and past any patience.
    terms = Terms(concurrency=concurrency, max_wait_s=86_400.0)

    async def main() -> Held:
        return await hold(backend, len(plain), terms, limiters=Limiters())

    backend = Scripted(
        scripts(dict(enumerate(plain))),
        latency_s=lambda request: latencies[(request.index * 3 + request.attempt) % len(latencies)],
    )
    held = run_virtual(loop, main)
    expected = [_alone(list(of_run), index) for index, of_run in enumerate(plain)]
    assert [_plain(outcome) for outcome in held.outcomes] == [_plain(outcome) for outcome in expected]
    assert [o.attempts for o in held.outcomes] == [o.attempts for o in expected]
    assert backend.most_in_flight <= concurrency
    for request in backend.sent:
        assert attrs.evolve(request, attempt=1) == request_of(runs_of(request.index + 1)[request.index])


@pytest.mark.parametrize("loop", LOOPS)
@costly
@given(st.lists(_replies, min_size=1, max_size=8), _latencies, st.integers(1, 8))
def test_no_request_is_sent_before_every_told_wait_is_over(
    loop: str, replies: list[list[Reply]], latencies: list[float], concurrency: int
) -> None:
    async def main() -> Held:
        return await hold(backend, len(replies), Terms(concurrency=concurrency), limiters=Limiters())

    backend = Scripted(
        scripts(dict(enumerate(replies))),
        latency_s=lambda request: latencies[(request.index * 3 + request.attempt) % len(latencies)],
    )
    run_virtual(loop, main)
    for sent_before, refused_s, told_s in backend.refusals:
        assert all(sent_s >= refused_s + told_s - 1e-6 for sent_s in backend.sent_s[sent_before:])


@pytest.mark.parametrize("loop", LOOPS)
@costly
@given(st.lists(_replies, min_size=1, max_size=8), _latencies, st.integers(1, 4), st.floats(0.01, 30))
def test_a_deadline_is_kept_and_every_run_is_told_of_once(
    loop: str, replies: list[list[Reply]], latencies: list[float], concurrency: int, deadline_s: float
) -> None:
    terms = Terms(concurrency=concurrency, deadline_s=deadline_s)

    async def main() -> Held:
        return await hold(backend, len(replies), terms, limiters=Limiters())

    backend = Scripted(
        scripts(dict(enumerate(replies))),
        latency_s=lambda request: latencies[(request.index * 3 + request.attempt) % len(latencies)],
    )
    held = run_virtual(loop, main)
    assert held.took_s <= deadline_s + 1e-6
    indexes = [outcome.index for outcome in held.outcomes]
    assert indexes == sorted(set(indexes))
    # Every run that was asked has an outcome, and no other.
    assert set(indexes) == {request.index for request in backend.sent}
    if len(indexes) < len(replies):
        assert held.by == "deadline"
