"""What every backend promises, held against each of them: the fake, and the others on tape."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import attrs
import pytest
from virtual_time import virtual

import fanin
from fanin.answers import Answer
from fanin.connecting import BUILT_IN, GROUP, known_backends
from fanin.errors import EventLoopError
from fanin.values import Message, Request

YES_NO = fanin.YesNo()
CASSETTES = Path(__file__).parent.parent / "cassettes"


@attrs.frozen
class Case:
    """A backend, and the vote that its tape holds."""

    backend: str
    question: str
    runs: int = 5
    tape: str | None = None
    context: str | None = None
    answer: Answer = YES_NO
    model: str | None = None
    loops: tuple[str, ...] = ("asyncio", "trio")

    async def vote(self, concurrency: int = 8, **options: Any) -> fanin.Verdict:
        """The recorded vote, or with `options` another one."""
        context = None if self.context is None else (CASSETTES / "inputs" / self.context).read_text("utf-8")
        asked = {
            "context": context,
            "answer": self.answer,
            "runs": self.runs,
            "model": self.model,
            "backend": self.backend,
            "concurrency": concurrency,
        }
        return await fanin.vote(**{"question": self.question, **asked, **options})


CASES = [
    Case("fake", "Is it so?", model="yes@3,yes@2,no@1"),
    Case("groq", "Does this contract renew by itself?", tape="groq.json", context="contract.txt"),
    Case("openai", "Should we merge?", tape="openai.json", context="change.txt"),
    Case("ollama", "Is 1009 a prime number?", tape="ollama.json"),
    Case("litellm", "Is 1009 a prime number?", runs=3, tape="litellm.json", loops=("asyncio",)),
]
# Importing litellm takes longer than all other cases together.
_MARKS = {"litellm": (pytest.mark.slow,)}


@pytest.fixture(params=[pytest.param(c, id=c.backend, marks=_MARKS.get(c.backend, ())) for c in CASES])
def case(request: pytest.FixtureRequest) -> Case:
    """Each backend in turn."""
    found = request.param
    assert isinstance(found, Case)
    return found


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest, case: Case) -> Any:
    """Both event loops, on virtual time; a backend that runs on one alone skips the other."""
    if request.param not in case.loops:
        pytest.skip(f"{case.backend} runs on {case.loops[0]} alone")
    return virtual(request.param)


@asynccontextmanager
async def on_tape(case: Case) -> AsyncIterator[None]:
    if case.tape is None:
        yield
        return
    with fanin.tape(CASSETTES / case.tape):
        yield


@pytest.mark.anyio
async def test_the_same_bytes_at_any_concurrency(case: Case) -> None:
    told = []
    for concurrency in (1, 8, 64):
        async with on_tape(case):
            told.append((await case.vote(concurrency)).to_json())
    assert told[0] == told[1] == told[2]
    verdict = json.loads(told[0])
    assert verdict["runs"]["planned"] == verdict["runs"]["valid"] + verdict["runs"]["spoiled"]
    assert verdict["backend"] == case.backend
    assert verdict["usage"]["input_tokens"] > 0
    assert verdict["usage"]["output_tokens"] > 0


@pytest.mark.anyio
async def test_one_client_serves_many_votes(case: Case) -> None:
    async def vote_twice() -> None:
        async with on_tape(case), fanin.connect(case.backend, model=case.model) as backend:
            first = await case.vote(backend=backend, model=None)
            assert first.outcome == "decided"
            again = await case.vote(backend=backend, model=None)
            assert again.to_json() == first.to_json()
            await backend.aclose()

    if case.tape is None:
        await vote_twice()
    else:
        # The tape holds each run once: asked again, the client is still open, and the tape says no.
        with pytest.raises(fanin.CassetteMissError, match="2 times"):
            await vote_twice()


@pytest.mark.anyio
async def test_a_request_that_the_tape_does_not_hold_is_a_miss(case: Case) -> None:
    if case.tape is None:
        pytest.skip("the fake sends no HTTP")
    with pytest.raises(fanin.CassetteMissError) as missed:
        async with on_tape(case):
            await case.vote(question="Is this another question?")
    assert "Is this another question?" in str(missed.value) or "question" in str(missed.value)


@pytest.mark.anyio
async def test_its_facts_hold_no_key(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GROQ_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "not-a-real-key-0123456789")
    async with fanin.connect(case.backend, model=case.model) as backend:
        assert backend.name == case.backend
        assert isinstance(backend, fanin.Backend)
        assert 0 < backend.capabilities.max_temperature <= 2
        assert "not-a-real-key" not in f"{backend.account}{backend.base_url}{backend!r}"


@pytest.mark.anyio
async def test_complete_answers_one_request_or_raises_a_call_error(case: Case) -> None:
    request = Request(0, "!500" if case.backend == "fake" else "some-model", (Message("user", "Hi"),))
    address = None if case.backend == "fake" else "http://127.0.0.1:9"
    if case.backend == "litellm":
        request = attrs.evolve(request, model="openai/some-model")
    async with fanin.connect(case.backend, base_url=address) as backend:
        with pytest.raises(fanin.CallError) as failed:
            await backend.complete(request)
    assert failed.value.kind == ("server" if case.backend == "fake" else "connection")
    assert failed.value.message


def test_the_built_in_backends_are_registered_like_any_other() -> None:
    registered = {point.name: point.value for point in entry_points(group=GROUP)}
    for name in BUILT_IN:
        assert registered[name] == f"fanin_backends.{name}:open_backend"
    assert known_backends() == tuple(sorted(registered))


@pytest.mark.slow
def test_litellm_says_that_it_does_not_run_on_trio() -> None:
    import trio

    async def ask() -> None:
        await fanin.vote(
            "Is it?", backend="litellm", model="openai/some-model", base_url="http://127.0.0.1:9"
        )

    with pytest.raises(EventLoopError):
        trio.run(ask)
