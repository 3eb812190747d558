"""The doors: `vote` and `vote_sync`, as other people's programs call them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from doubles import Reply, Scripted, always, down, scripts, too_often
from virtual_time import LOOPS, virtual

import fanin
from fanin import connecting
from fanin.answers import Choice, Number, Text, YesNo
from fanin.backend import Capabilities
from fanin.context import TapeOn, set_tape
from fanin.errors import CallError, CassetteError, CassetteMissError, InputError, UnknownBackendError
from fanin.policy.pricing import Price
from fanin.policy.retrying import backoff_s
from fanin.policy.variation import seed_of
from fanin.terms import Interrupt
from fanin.values import Completion, Event, Usage
from fanin.voting import as_answer
from fanin_backends.fake import Fake


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return virtual(request.param)


@pytest.fixture
def tape() -> Iterator[None]:
    """A tape that a test sets is taken off again."""
    yield
    set_tape(None)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """The backend that every name opens."""
    backend = Scripted(always("Answer: yes"))
    monkeypatch.setattr(connecting, "open_backend", lambda name, **options: backend)
    return backend


def near(seconds: float) -> Any:
    return pytest.approx(seconds, abs=1e-6)


# --- what comes of it


@pytest.mark.anyio
async def test_a_vote_with_the_fake() -> None:
    verdict = await fanin.vote("Is it?", runs=5, backend=Fake("yes,yes,no,yes,!500"))
    assert (verdict.outcome, verdict.answer, verdict.grade) == ("decided", "yes", "medium")
    assert verdict.votes == {"yes": 3, "no": 1}
    assert [failure.index for failure in verdict.failures] == [4]
    assert verdict.backend == "fake"


@pytest.mark.anyio
async def test_a_backend_by_name_with_its_model() -> None:
    verdict = await fanin.vote("Is it?", runs=3, backend="fake", model="no,no,yes")
    assert (verdict.answer, verdict.models) == ("no", ("no,no,yes",))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("script", "outcome", "grade"),
    [
        ("yes", "decided", "high"),
        ("yes,no", "tie", "none"),
        ("yes,!auth", "no_quorum", "none"),
        ("!auth", "failed", "none"),
        ("!empty,!cut", "failed", "none"),
    ],
)
async def test_every_outcome_is_a_verdict(script: str, outcome: str, grade: str) -> None:
    verdict = await fanin.vote("Is it?", runs=4, backend=Fake(script), quorum=3 if "," in script else None)
    if script == "yes,no":
        assert verdict.runs.valid == 4
    assert (verdict.outcome, verdict.grade) == (outcome, grade)
    assert (verdict.answer is None) == (outcome != "decided")


@pytest.mark.anyio
async def test_the_same_call_sends_the_same_requests_and_another_seed_others() -> None:
    async def sent(**options: Any) -> list[Any]:
        backend = Scripted(always("whale"))
        await fanin.vote(
            "Which?", answer=Choice(["whale", "shark", "tuna"]), backend=backend, concurrency=1, **options
        )
        return backend.sent

    assert await sent() == await sent() == await sent(seed=0)
    other = await sent(seed=1)
    assert [request.seed for request in other] == [seed_of(1, index) for index in range(5)]
    assert other != await sent()


@pytest.mark.anyio
async def test_waits_derive_from_the_seed_too() -> None:
    for seed in (0, 5):
        backend = Scripted(scripts({0: [down(), "yes"]}))
        verdict = await fanin.vote("Is it?", backend=backend, runs=1, seed=seed)
        assert verdict.events[1].wait_s == backoff_s(0, (seed, 0), 0, "error")


@pytest.mark.anyio
async def test_every_option_finds_its_way() -> None:
    told: list[Event] = []
    backend = Scripted(lambda request: Completion("Answer: 4", usage=Usage(1000, 500)))
    verdict = await fanin.vote(
        "What is 2 + 2?",
        context="two and two",
        answer="number",
        runs=4,
        backend=backend,
        model=["x", "y"],
        quorum=4,
        temperature=0.2,
        temperature_step=0.3,
        system=["be brief", None],
        seed=5,
        max_tokens=77,
        concurrency=1,
        price=Price(1.0, 2.0),
        watch=told.append,
    )
    assert [(request.model, request.temperature) for request in backend.sent] == [
        ("x", 0.2),
        ("y", 0.2),
        ("x", 0.2),
        ("y", 0.2),
    ]
    assert [request.messages[0].content for request in backend.sent[:2]] == ["be brief", "be brief"]
    assert [len(request.messages) for request in backend.sent] == [2, 2, 1, 1]
    assert all("two and two" in request.messages[-1].content for request in backend.sent)
    assert {request.max_tokens for request in backend.sent} == {77}
    assert (verdict.answer, verdict.models, verdict.cost_usd) == ("4", ("x", "y"), 0.008)
    assert tuple(told) == verdict.events
    assert backend.most_in_flight == 1


@pytest.mark.anyio
async def test_temperatures_stop_at_the_backend_s_maximum() -> None:
    backend = Scripted(always("yes"))
    backend.capabilities = Capabilities(max_temperature=0.7, http=False)
    await fanin.vote("Is it?", backend=backend, runs=3, concurrency=1)
    assert [request.temperature for request in backend.sent] == [0.6, 0.7, 0.7]


@pytest.mark.anyio
async def test_structured_output_is_asked_for_only_where_the_backend_has_it() -> None:
    backend = Scripted(always('{"reasoning": "", "answer": "yes"}'))
    backend.capabilities = Capabilities(structured=True, http=False)
    verdict = await fanin.vote("Is it?", backend=backend, structured=True)
    assert (verdict.answer, backend.sent[0].schema is None) == ("yes", False)
    plain = Scripted(always("Answer: yes"))
    verdict = await fanin.vote("Is it?", backend=plain, structured=True)
    assert (verdict.answer, plain.sent[0].schema) == ("yes", None)


@pytest.mark.anyio
async def test_strange_characters_come_through_and_back_out_of_the_json() -> None:
    strange = "\ud800 \x1b[31m \u202e \x00 \u2028 \U0001f600"
    backend = Scripted(always(f"Answer: {strange}x"))
    verdict = await fanin.vote(
        f"What is {strange}?", context=f"{strange} is it", system=strange, answer=Text(), backend=backend
    )
    assert strange in backend.sent[0].messages[-1].content
    line = verdict.to_json()
    assert line.isprintable()
    written = json.loads(line)
    assert written["question"] == f"What is {strange}?"
    assert written["ballots"][0]["text"] == f"Answer: {strange}x"
    assert written == verdict.to_dict()


# --- the type of the answer


@pytest.mark.parametrize(
    ("answer", "question", "kind"),
    [
        (None, "Is it?", YesNo()),
        ("auto", "Should we merge?", YesNo()),
        (None, "Which one?", Text()),
        ("yes/no", "Which one?", YesNo()),
        ("number", "Is it?", Number()),
        ("text", "Is it?", Text()),
        (Choice(["a", "b"]), "Is it?", Choice(["a", "b"])),
    ],
)
def test_which_answer_is_meant(answer: Any, question: str, kind: Any) -> None:
    assert as_answer(answer, question) == kind


@pytest.mark.parametrize("answer", [5, YesNo, ["yes", "no"], object()])
def test_what_is_no_answer_type_is_refused(answer: Any) -> None:
    with pytest.raises(InputError) as caught:
        as_answer(answer, "Is it?")
    assert (caught.value.field, caught.value.value) == ("answer", answer)


# --- what is wrong before the first call


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"question": ""}, "question"),
        ({"question": " \n\u2003"}, "question"),
        ({"question": None}, "question"),
        ({"context": 5}, "context"),
        ({"answer": 5}, "answer"),
        ({"answer": "maybe"}, "answer"),
        ({"runs": 0}, "runs"),
        ({"runs": 1001}, "runs"),
        ({"runs": True}, "runs"),
        ({"runs": None}, "runs"),
        ({"runs": "5"}, "runs"),
        ({"quorum": 6}, "quorum"),
        ({"quorum": 0}, "quorum"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 10**400}, "temperature"),
        ({"temperature_step": float("nan")}, "temperature_step"),
        ({"temperature_step": None}, "temperature_step"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"concurrency": 0}, "concurrency"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": None}, "timeout_s"),
        ({"deadline_s": 0.0}, "deadline_s"),
        ({"deadline_s": -1}, "deadline_s"),
        ({"retries": -1}, "retries"),
        ({"max_wait_s": float("inf")}, "max_wait_s"),
        ({"model": ""}, "models"),
        ({"model": ["m", " "]}, "models"),
        ({"model": 5}, "model"),
        ({"system": 5}, "system"),
        ({"system": [5]}, "systems"),
        ({"base_url": "http://localhost"}, "base_url"),
        ({"backend": 5}, "backend"),
        ({"backend": Scripted}, "backend"),
        ({"backend": Fake}, "backend"),
    ],
)
async def test_bad_input_is_named_before_any_call(options: dict[str, Any], field: str) -> None:
    class Unasked(Scripted):
        async def resolve(self, models: tuple[str, ...]) -> tuple[str, ...]:
            raise AssertionError("asked for its models")

    backend = Unasked(always("yes"))
    asked: dict[str, Any] = {"question": "Is it?", "backend": backend} | options
    with pytest.raises(InputError) as caught:
        await fanin.vote(**asked)
    assert caught.value.field == field
    assert caught.value.bound in str(caught.value)
    assert caught.value.exit_code == 2
    assert backend.sent == []


@pytest.mark.anyio
async def test_the_value_of_bad_input_is_kept_and_shown_shortly() -> None:
    with pytest.raises(InputError) as caught:
        await fanin.vote("Is it?", runs=1001, backend=Fake())
    assert str(caught.value) == "runs must be a whole number from 1 to 1000, not 1001"
    assert caught.value.value == 1001
    with pytest.raises(InputError) as caught:
        await fanin.vote("Is it?", answer="x" * 500, backend=Fake())
    assert len(str(caught.value)) < 300


@pytest.mark.anyio
async def test_an_unknown_backend_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownBackendError, match="Did you mean groq"):
        await fanin.vote("Is it?", backend="grok")


# --- who closes what


@pytest.mark.anyio
async def test_an_open_backend_is_left_open() -> None:
    backend = Scripted(always("yes"))
    await fanin.vote("Is it?", backend=backend)
    await fanin.vote("Is it?", backend=backend)
    assert (backend.closed, len(backend.sent)) == (0, 10)


@pytest.mark.anyio
async def test_a_backend_by_name_is_closed_when_the_vote_is_over(opened: Scripted) -> None:
    await fanin.vote("Is it?", backend="any")
    assert opened.closed == 1
    with pytest.raises(InputError):
        await fanin.vote("Is it?", backend="any", runs=0)
    assert opened.closed == 2


@pytest.mark.anyio
async def test_a_backend_by_name_is_closed_to_the_end_when_a_vote_is_cancelled(opened: Scripted) -> None:
    finished = False

    async def close_slowly() -> None:
        nonlocal finished
        await anyio.sleep(1.0)
        finished = True

    opened.aclose = close_slowly  # type: ignore[method-assign]
    opened._latency_s = lambda request: 100.0
    with anyio.move_on_after(5.0) as scope:
        await fanin.vote("Is it?", backend="any")
    assert scope.cancelled_caught
    assert finished
    assert opened.in_flight == 0


@pytest.mark.anyio
async def test_one_connection_serves_many_votes_and_names_their_models(opened: Scripted) -> None:
    async with fanin.connect("any", model=["x", "y"]) as backend:
        assert isinstance(backend, fanin.Backend)
        first = await fanin.vote("Is it?", backend=backend, runs=2)
        second = await fanin.vote("Is it?", backend=backend, runs=2, model="z")
        assert opened.closed == 0
        assert (backend.name, backend.account, backend.base_url) == ("scripted", "scripted", None)
        assert backend.capabilities is opened.capabilities
    assert (first.models, second.models) == (("x", "y"), ("z",))
    assert opened.closed == 1


@pytest.mark.anyio
async def test_a_connection_is_closed_when_its_block_fails(opened: Scripted) -> None:
    with pytest.raises(ZeroDivisionError):
        async with fanin.connect("any"):
            raise ZeroDivisionError
    assert opened.closed == 1


@pytest.mark.anyio
async def test_without_a_model_the_backend_s_default_is_asked() -> None:
    backend = Scripted(always("yes"))
    verdict = await fanin.vote("Is it?", backend=backend)
    assert verdict.models == ("default",)
    assert {request.model for request in backend.sent} == {"default"}


# --- a backend whose models cannot be found out


class Unreachable(Scripted):
    """A backend whose list of models fails, or takes its time."""

    def __init__(self, error: Exception | None = None, takes_s: float = 0.0) -> None:
        super().__init__(always("Answer: yes"))
        self._error = error
        self._takes_s = takes_s

    async def resolve(self, models: tuple[str, ...]) -> tuple[str, ...]:
        await anyio.sleep(self._takes_s)
        if self._error is not None:
            raise self._error
        return ("found",)


@pytest.mark.anyio
async def test_a_server_that_cannot_be_reached_fails_every_run() -> None:
    error = CallError("connection", "nobody answers at localhost:1", mend="Start it.")
    verdict = await fanin.vote("Is it?", backend=Unreachable(error), runs=3)
    assert (verdict.outcome, verdict.stopped.by, verdict.runs.failed) == ("failed", "all", 3)
    assert {(failure.kind, failure.message) for failure in verdict.failures} == {
        ("connection", "nobody answers at localhost:1\nStart it.")
    }
    assert json.loads(verdict.to_json())["outcome"] == "failed"


@pytest.mark.anyio
async def test_a_choice_that_has_to_be_made_is_raised() -> None:
    with pytest.raises(InputError):
        await fanin.vote("Is it?", backend=Unreachable(InputError("model", "one of a, b", None)))


@pytest.mark.anyio
async def test_a_list_of_models_may_take_no_longer_than_a_call() -> None:
    began_s = anyio.current_time()
    verdict = await fanin.vote("Is it?", backend=Unreachable(takes_s=500.0), runs=2, timeout_s=20.0)
    assert anyio.current_time() == near(began_s + 20.0)
    assert [failure.kind for failure in verdict.failures] == ["timeout"] * 2
    assert (verdict.outcome, verdict.stopped.by) == ("failed", "all")


@pytest.mark.anyio
async def test_the_deadline_holds_for_the_list_of_models_too() -> None:
    began_s = anyio.current_time()
    verdict = await fanin.vote("Is it?", backend=Unreachable(takes_s=500.0), runs=2, deadline_s=20.0)
    assert anyio.current_time() == near(began_s + 20.0)
    assert (verdict.outcome, verdict.stopped.by, verdict.runs.unasked) == ("failed", "deadline", 2)


@pytest.mark.anyio
async def test_the_deadline_counts_from_the_very_beginning() -> None:
    backend = Unreachable(takes_s=6.0)
    backend._latency_s = lambda request: 100.0
    began_s = anyio.current_time()
    verdict = await fanin.vote("Is it?", backend=backend, runs=2, deadline_s=10.0)
    assert anyio.current_time() == near(began_s + 10.0)
    assert (verdict.stopped.by, verdict.runs.failed) == ("deadline", 2)


@pytest.mark.anyio
async def test_an_interrupt_ends_the_wait_for_the_list_of_models() -> None:
    interrupt = Interrupt()

    async def stop() -> None:
        await anyio.sleep(3.0)
        interrupt.stop()

    began_s = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(stop)
        verdict = await fanin.vote("Is it?", backend=Unreachable(takes_s=60.0), runs=2, interrupt=interrupt)
    assert anyio.current_time() == near(began_s + 3.0)
    assert (verdict.outcome, verdict.stopped.by, verdict.runs.unasked) == ("failed", "interrupt", 2)


# --- how it ends early


@pytest.mark.anyio
async def test_terms_find_their_way() -> None:
    backend = Scripted(lambda request: CallError("server", "down"), latency_s=lambda request: 1.0)
    verdict = await fanin.vote("Is it?", backend=backend, runs=1, retries=2)
    assert verdict.failures[0].attempts == 3
    slow = Scripted(always("yes"), latency_s=lambda request: 50.0)
    verdict = await fanin.vote("Is it?", backend=slow, runs=1, retries=0, timeout_s=3.0)
    assert verdict.failures[0].message == "No answer within 3 s."
    refusing = Scripted(lambda request: too_often(50.0), account="another")
    verdict = await fanin.vote("Is it?", backend=refusing, runs=3, max_wait_s=40.0, concurrency=1)
    assert (verdict.stopped.by, verdict.runs.failed, verdict.runs.unasked) == ("limit", 1, 2)
    verdict = await fanin.vote("Is it?", backend=slow, runs=9, concurrency=2, deadline_s=20.0)
    assert (verdict.stopped.by, verdict.runs.failed, verdict.runs.unasked) == ("deadline", 2, 7)


@pytest.mark.anyio
async def test_a_replay_miss_is_raised_as_itself() -> None:
    def reply(request: Any) -> Reply:
        return CassetteMissError("demo.json", "no such request") if request.index == 2 else "yes"

    with pytest.raises(CassetteMissError):
        await fanin.vote("Is it?", backend=Scripted(reply))


# --- tapes


@pytest.mark.anyio
@pytest.mark.usefixtures("tape")
async def test_a_recording_tape_is_told_where_it_was_made() -> None:
    tape = TapeOn("record", "demo.json")
    set_tape(tape)
    backend = Scripted(always("yes"), http=True)
    backend.base_url = "http://localhost:1/v1"
    await fanin.vote("Is it?", backend=backend, model=["x", "y"])
    await fanin.vote("Is it?", backend=backend, model=["y", "z"])
    assert (tape.backend, tape.base_url) == ("scripted", "http://localhost:1/v1")
    assert tape.models == ("x", "y", "z")


@pytest.mark.anyio
@pytest.mark.usefixtures("tape")
async def test_a_replay_teaches_its_tape_nothing() -> None:
    tape = TapeOn("replay", "demo.json", "groq", None, ("x",))
    set_tape(tape)
    await fanin.vote("Is it?", backend=Scripted(always("yes"), http=True), model="y")
    assert tape == TapeOn("replay", "demo.json", "groq", None, ("x",))


@pytest.mark.anyio
@pytest.mark.usefixtures("tape")
async def test_a_replay_takes_backend_address_and_models_from_its_tape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked_for: list[tuple[str, dict[str, Any]]] = []
    backend = Scripted(always("yes"), http=True)

    def opening(name: str, **options: Any) -> Scripted:
        asked_for.append((name, options))
        return backend

    monkeypatch.setattr(connecting, "open_backend", opening)
    set_tape(TapeOn("replay", "demo.json", "groq", "http://localhost:1", ("x", "y")))
    verdict = await fanin.vote("Is it?")
    name, options = asked_for[0]
    assert (name, options["base_url"], options["replaying"]) == ("groq", "http://localhost:1", True)
    assert verdict.models == ("x", "y")
    verdict = await fanin.vote("Is it?", backend="openai")
    assert (asked_for[1][0], asked_for[1][1]["base_url"], verdict.models) == ("openai", None, ("default",))


@pytest.mark.anyio
@pytest.mark.usefixtures("tape")
@pytest.mark.parametrize("mode", ["record", "replay"])
async def test_a_backend_that_sends_no_http_cannot_be_taped(mode: Any, opened: Scripted) -> None:
    set_tape(TapeOn(mode, "demo.json", "scripted"))
    with pytest.raises(CassetteError, match="sends no HTTP"):
        await fanin.vote("Is it?", backend="any")
    assert opened.closed == 1


# --- without an event loop of one's own


def test_vote_sync_in_a_plain_script() -> None:
    verdict = fanin.vote_sync("Is it?", backend="fake", model="yes,yes,no", runs=3)
    assert (verdict.answer, verdict.votes) == ("yes", {"yes": 2, "no": 1})
    assert fanin.vote_sync("Is it?", backend=Fake("no")).answer == "no"


@pytest.mark.parametrize("loop", LOOPS)
def test_vote_sync_inside_a_running_event_loop(loop: str) -> None:
    async def main() -> Any:
        return fanin.vote_sync("Is it?", backend=Fake("yes"), runs=3)

    assert anyio.run(main, backend=loop).votes == {"yes": 3}


def test_vote_sync_raises_what_vote_raises() -> None:
    with pytest.raises(InputError, match="runs must be"):
        fanin.vote_sync("Is it?", backend="fake", runs=0)
    with pytest.raises(InputError, match="backend must be"):
        fanin.vote_sync("Is it?", backend=5)
    with pytest.raises(InputError, match="backend must be"):
        fanin.vote_sync("Is it?", backend=Fake)


def test_a_connection_of_another_event_loop_is_not_handed_over() -> None:
    backend = Scripted(always("yes"), http=True)
    with pytest.raises(InputError) as caught:
        fanin.vote_sync("Is it?", backend=backend)
    assert (caught.value.field, caught.value.value, backend.sent) == ("backend", backend, [])


@pytest.mark.anyio
async def test_votes_at_once_are_votes_of_their_own() -> None:
    answers: dict[int, str | None] = {}

    async def hold(number: int, text: str) -> None:
        backend = Scripted(
            scripts({index: [too_often(1.0), text] for index in range(5)}), account=str(number)
        )
        answers[number] = (await fanin.vote("Is it?", backend=backend)).answer

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(hold, number, "yes" if number % 2 else "no")
    assert answers == {number: "yes" if number % 2 else "no" for number in range(6)}
