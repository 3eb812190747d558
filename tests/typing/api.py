"""The face as a type checker sees it: checked by mypy --strict, never run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, assert_type

import fanin


async def votes() -> None:
    verdict = await fanin.vote(
        "Should we merge?", context="...", answer=fanin.YesNo(), runs=5, backend="openai", model="gpt-4o-mini"
    )
    assert_type(verdict, fanin.Verdict)
    assert_type(verdict.answer, str | None)
    assert_type(verdict.outcome, Literal["decided", "tie", "no_quorum", "failed"])
    assert_type(verdict.grade, Literal["high", "medium", "low", "none"])
    assert_type(verdict.confidence, float)
    assert_type(verdict.votes, dict[str, int])
    assert_type(verdict.cost_usd, float | None)
    assert_type(verdict.to_dict(), dict[str, Any])
    for ballot in verdict.ballots:
        assert_type(ballot, fanin.Ballot)
        assert_type(ballot.choice, str | None)
    for failure in verdict.failures:
        assert_type(failure, fanin.Failure)
    assert_type(verdict.usage, fanin.Usage)
    verdict.answer = "yes"  # type: ignore[misc]


async def connections() -> None:
    async with fanin.connect("groq", model="openai/gpt-oss-20b") as backend:
        assert_type(backend, fanin.Backend)
        await fanin.vote("Is it?", backend=backend, answer="yes/no")
        await fanin.vote("Is it?", backend=backend, model=["one", "two"], system=["Be brief.", None])
    await fanin.vote("Is it?", backends="groq")  # type: ignore[call-arg]
    await fanin.vote("Is it?", runs="5")  # type: ignore[arg-type]


def answers() -> None:
    known: list[fanin.Answer] = [
        fanin.YesNo(),
        fanin.Choice(["a", "b"]),
        fanin.Number(rel_tol=0.01),
        fanin.Text(),
        fanin.Date("dmy"),
        fanin.Labels(["a", "b"]),
        fanin.Quantity("km", abs_tol=1),
        fanin.Json({"type": "object"}, keys={"items": "sku"}),
        fanin.Json("schema.json"),
    ]
    known.append(Vowel())


def in_tests() -> None:
    assert_type(fanin.vote_sync("Is it?", backend=fanin.Fake("yes,yes,no"), runs=3), fanin.Verdict)
    backends: list[fanin.Backend] = [fanin.Fake(["yes", "!429>no"]), Echo()]
    assert_type(backends[0].capabilities, fanin.Capabilities)
    with fanin.tape("demo.json", mode="none"):
        pass
    fanin.tape("demo.json", mode="some")  # type: ignore[arg-type]


async def watched() -> None:
    interrupt = fanin.Interrupt()

    def watch(event: fanin.Event) -> None:
        assert_type(event.at_s, float)
        interrupt.stop()

    await fanin.vote("Is it?", watch=watch, interrupt=interrupt, price=fanin.Price(0.15, 0.6))
    prices: dict[str, fanin.Price] = {"large": fanin.Price(0.15, 0.6)}
    tiered = await fanin.vote(
        "Is it?", model="small", escalate=["mid", "large"], escalate_when="not-high", price=prices
    )
    assert_type(tiered.tiers, tuple[fanin.Verdict, ...])


def errors(error: fanin.FaninError) -> None:
    assert_type(error.exit_code, int)
    assert_type(error.mend, str | None)
    match error:
        case fanin.InputError():
            assert_type(error.field, str)
        case fanin.MissingKeyError():
            assert_type(error.variable, str)
        case fanin.CassetteMissError():
            assert_type(error.path, str)
        case fanin.CallError():
            assert_type(error.retry_after_s, float | None)


class Echo:
    """A backend of somebody else's."""

    name = "echo"
    capabilities = fanin.Capabilities(limited=False, http=False)
    account = "echo"
    base_url: str | None = None

    async def resolve(self, models: tuple[str, ...]) -> tuple[str, ...]:
        return models or ("echo",)

    async def complete(self, request: fanin.Request) -> fanin.Completion:
        last: fanin.Message = request.messages[-1]
        return fanin.Completion(last.content)

    async def aclose(self) -> None:
        pass


class Vowel:
    """An answer type of somebody else's."""

    name = "vowel"
    options = ("a", "e", "i", "o", "u")

    def instruction(self, order: Sequence[str]) -> str:
        return f"One of {', '.join(order)}."

    def schema(self, order: Sequence[str]) -> Mapping[str, Any]:
        return {"enum": list(order)}

    def read(self, text: str, order: Sequence[str]) -> str | fanin.Spoiled:
        return text if text in order else fanin.Spoiled("no vowel")

    def same(self, choices: Sequence[str]) -> Mapping[str, str]:
        return {choice: choice for choice in choices}

    def show(self, choice: str) -> str:
        return choice


def get_price(symbol: str) -> float:
    """A tool of somebody else's."""
    return 1.0


async def look_up(symbol: str) -> list[str]:
    """An async one."""
    return [symbol]


def agents() -> None:
    agent = fanin.Agent("Technical", "You are one.", tools=[get_price, look_up], answer="yes/no")
    assert_type(agent.tools, tuple[Callable[..., Any], ...])
    assert_type(agent.answer, fanin.Answer | None)
    assert_type(agent.limits, fanin.ToolLimits)
    fanin.Agent("Technical", "You are one.", limits=fanin.ToolLimits(turns=2), backend="groq", model="m")
    fanin.Agent("Technical", "You are one.", tools=get_price)  # type: ignore[arg-type]
    agent.name = "other"  # type: ignore[misc]


async def panels() -> None:
    agents = [fanin.Agent("Technical", "You are one."), fanin.Agent("Sentiment", "You are one.")]
    report = await fanin.panel(agents, "Is it?", vote="yes/no", require_all=True, backend="groq")
    assert_type(report, fanin.Report)
    assert_type(report.report, str | None)
    assert_type(report.agents, tuple[fanin.AgentRun, ...])
    assert_type(await fanin.panel([report, *agents], "Is it?", context=report), fanin.Report)
    assert_type(fanin.panel_sync(agents, "Is it?"), fanin.Report)
    await fanin.panel(["Technical"], "Is it?")  # type: ignore[list-item]


async def analyses() -> None:
    analysis = await fanin.analyze("Should we merge?", context="...", mode="thorough", answer=fanin.YesNo())
    assert_type(analysis, fanin.Analysis)
    assert_type(analysis.success, bool)
    assert_type(analysis.final_answer, str | None)
    assert_type(analysis.focused_answer, str | None)
    assert_type(analysis.plan, tuple[str, ...])
    assert_type(analysis.to_dict(), dict[str, Any])
    assert_type(fanin.analyze_sync("Is it?", backend="fake"), fanin.Analysis)
    await fanin.analyze("Is it?", model=["one", "two"])  # type: ignore[arg-type]
    await fanin.vote("Is it?", mode=["quick", "thorough"])
    analysis.success = False  # type: ignore[misc]
