"""The backend `fake`: what it answers, when, and to whom."""

from __future__ import annotations

import random
import subprocess
import sys

import anyio
import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from fanin.answers import Spoiled, YesNo
from fanin.backend import Backend
from fanin.errors import CallError, FaninError, InputError
from fanin.values import Completion, Message, Request, Usage
from fanin_backends.fake import Fake, open_backend

REQUEST = Request(0, "yes", (Message("user", "Is it so?"),), seed=7)


def asked(index: int = 0, model: str = "yes", attempt: int = 1, seed: int | None = None) -> Request:
    """A request that differs from the others in what matters here."""
    return attrs.evolve(REQUEST, index=index, model=model, attempt=attempt, seed=seed)


async def outcome(fake: Fake, request: Request) -> Completion | str:
    """The answer, or the kind of the error."""
    try:
        return await fake.complete(request)
    except CallError as error:
        return error.kind


requests = st.builds(
    asked,
    index=st.integers(0, 20),
    model=st.sampled_from(["yes", "yes,no,!500", "yes=1,no=1", "!429>maybe", "!429:1,!cut>!empty>c", "!bad"]),
    attempt=st.integers(1, 4),
    seed=st.none() | st.integers(0, 100),
)


@given(st.lists(requests, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_answer_depends_on_the_request_alone(asked_for: list[Request], shuffled: random.Random) -> None:
    order = list(range(len(asked_for)))
    shuffled.shuffle(order)

    async def both() -> None:
        fake, other = Fake(), Fake()
        first = [await outcome(fake, request) for request in asked_for]
        later: dict[int, Completion | str] = {}

        async def one(position: int) -> None:
            later[position] = await outcome(other, asked_for[position])

        async with anyio.create_task_group() as group:
            for position in order:
                group.start_soon(one, position)
        assert [later[position] for position in range(len(asked_for))] == first

    anyio.run(both)


@pytest.mark.anyio
async def test_the_model_is_the_script() -> None:
    fake = Fake()
    assert [(await fake.complete(asked(run, "a,b,c"))).text for run in range(5)] == ["a", "b", "c", "a", "b"]
    assert (await fake.complete(asked(1, "yes"))).text == "yes"


@pytest.mark.anyio
@pytest.mark.parametrize("script", ["a,b", ["a", "b"], ("a", "b")])
async def test_a_script_of_its_own_holds_whatever_the_model(script: str | list[str]) -> None:
    fake = Fake(script)
    assert [(await fake.complete(asked(run, "gpt-x"))).text for run in range(3)] == ["a", "b", "a"]


@pytest.mark.anyio
async def test_attempts_go_on_through_the_item() -> None:
    fake = Fake(["!429:2.5>!timeout>yes"])
    assert await outcome(fake, asked(attempt=1)) == "rate_limit"
    assert await outcome(fake, asked(attempt=2)) == "timeout"
    for attempt in (3, 4, 9):
        assert (await fake.complete(asked(attempt=attempt))).text == "yes"


@pytest.mark.anyio
async def test_every_error_is_a_new_one() -> None:
    fake = Fake("!429:2.5")
    caught = []
    for _ in range(2):
        with pytest.raises(CallError) as error:
            await fake.complete(REQUEST)
        caught.append(error.value)
    assert caught[0] is not caught[1]
    assert [error.retry_after_s for error in caught] == [2.5, 2.5]


@pytest.mark.anyio
async def test_the_completion() -> None:
    answer = await Fake().complete(
        attrs.evolve(REQUEST, messages=(Message("user", "x" * 9),) * 2, model="12345")
    )
    assert answer == Completion("12345", "stop", Usage(5, 2), "12345")


@pytest.mark.anyio
async def test_the_default_answer_is_a_legal_one() -> None:
    fake = Fake()
    [model] = await fake.resolve(())
    answer = await fake.complete(asked(model=model))
    assert not isinstance(YesNo().read(answer.text, ()), Spoiled)


@pytest.mark.anyio
async def test_a_bad_script_is_found_before_the_first_call_and_at_the_call() -> None:
    with pytest.raises(InputError, match="!timeout"):
        await Fake().resolve(("yes", "!timout"))
    with pytest.raises(CallError, match="!timeout") as caught:
        await Fake().complete(asked(model="!timout"))
    assert (caught.value.kind, caught.value.final) == ("bad_request", True)
    with pytest.raises(InputError, match="!timeout"):
        Fake("!timout")


@pytest.mark.anyio
async def test_resolve() -> None:
    assert await Fake().resolve(()) == ("yes",)
    assert await Fake("").resolve(()) == ("yes",)
    assert await Fake("a,b").resolve(()) == ("a,b",)
    assert await Fake(["a", "b"]).resolve(()) == ("fake",)
    assert await Fake().resolve(("a", "b")) == ("a", "b")
    assert await Fake("yes").resolve(("!anything",)) == ("!anything",)


@pytest.mark.anyio
async def test_requests_are_kept_when_asked_for() -> None:
    fake = Fake("yes,!500", keep=True)
    assert not fake.requests
    await outcome(fake, asked(1))
    await outcome(fake, asked(0))
    assert fake.requests == (asked(1), asked(0))
    with pytest.raises(FaninError, match="keep=True"):
        _ = Fake().requests


@pytest.mark.parametrize("script", ["yes@0.3", "!500@0.3"])
def test_a_latency_passes_on_the_virtual_clock(script: str) -> None:
    async def elapsed_s() -> float:
        began_s = trio.current_time()
        await outcome(Fake(script), REQUEST)
        return trio.current_time() - began_s

    assert trio.run(elapsed_s, clock=MockClock(autojump_threshold=0)) == pytest.approx(0.3, abs=1e-9)


@pytest.mark.anyio
@pytest.mark.parametrize("script", ["yes", "!timeout"])
async def test_a_call_gives_way_and_can_be_cancelled(script: str) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await outcome(Fake(script), REQUEST)
    assert scope.cancelled_caught


@pytest.mark.anyio
async def test_it_is_a_backend_without_limits_or_network() -> None:
    fake = open_backend(environ={})
    assert isinstance(fake, Backend)
    assert (fake.name, fake.account, fake.base_url) == ("fake", "fake", None)
    assert not fake.capabilities.limited
    assert not fake.capabilities.http
    assert fake.capabilities.structured
    await fake.aclose()
    await fake.aclose()


def test_an_address_or_a_key_is_refused() -> None:
    with pytest.raises(InputError, match="base_url"):
        open_backend(base_url="http://127.0.0.1", environ={})
    with pytest.raises(InputError, match="key") as caught:
        open_backend(key="sk-0123456789", environ={})
    assert "0123456789" not in str(caught.value)


@pytest.mark.slow
def test_it_loads_no_client() -> None:
    code = "import sys, fanin_backends.fake; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"httpx2", "httpx", "vcr", "litellm", "openai", "rich", "pydantic"} & set(loaded.split())
