"""The doors of the panel: specialists in parallel, each by itself, then an aggregator with all they said.

    report = await fanin.panel([fundamental, technical], "Analyse NVIDIA Corp. (NVDA) stock.")

A panel is made of agents, of panels, and of reports that are there already; so rounds one after the
other, and panels of panels, are plain Python.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Literal, TypeAlias

import anyio
import attrs

from fanin.agent import Agent
from fanin.agent_run import AgentRun
from fanin.answers.protocol import Answer
from fanin.backend import Backend
from fanin.desks import Desks, House
from fanin.errors import FaninError, InputError
from fanin.policy.pricing import Price, Prices, as_prices
from fanin.report import PanelTally, Report, as_run, missing_in
from fanin.seating import AGGREGATOR, MAX_CHARS, Member, Panel, Round, Seat, arranged, as_members
from fanin.stages.combine import combine
from fanin.stages.synthesis import cut_middle, synthesis, with_parts
from fanin.stages.vote import vote as count_votes
from fanin.terms import Interrupt, Terms
from fanin.values import Ballot, Event, Failure, Gathered, Usage


@attrs.frozen
class PanelEvent:
    """Something that happened to an agent while the panel worked; for the live view."""

    kind: Literal[
        "launched", "ended", "asked", "answered", "failed", "retry", "limit", "adapted", "tool", "hedge"
    ]
    """`launched` and `ended` are once an agent; the others are those of `fanin.Event` between them."""
    index: int
    """The agent's run."""
    name: str
    """The agent; `Panel / Name` where panels stand in panels."""
    at_s: float
    """Seconds since the panel began."""
    event: Event | None = None
    """What happened to the run; None for `launched` and `ended`."""
    run: AgentRun | None = None
    """How it ended; None but for `ended`."""


PanelWatch: TypeAlias = Callable[[PanelEvent], None]
"""Is told every event as it happens; must not block."""


async def panel(
    agents: Panel | Sequence[Member],
    query: str,
    *,
    aggregator: Agent | None = None,
    name: str = "Panel",
    require_all: bool = False,
    vote: Answer | str | None = None,
    max_chars: int | None = MAX_CHARS,
    context: str | Report | Sequence[Report] = (),
    backend: str | Backend | None = None,
    model: str | None = None,
    base_url: str | None = None,
    seed: int = 0,
    concurrency: int = 8,
    timeout_s: float = 120.0,
    deadline_s: float | None = None,
    retries: int = 4,
    max_wait_s: float = 600.0,
    rpm: float | None = None,
    tpm: float | None = None,
    stagger_s: float = 0.0,
    pace: str = "file",
    price: Price | Mapping[str, Price] | Mapping[str | None, Price] | None = None,
    watch: PanelWatch | None = None,
    interrupt: Interrupt | None = None,
) -> Report:
    """Asks every agent `query`, each by itself, then the aggregator with what they said; gives the Report.

    - `agents`: agents, panels (which work at the same time) and reports of rounds before, in the order in
      which the aggregator gets what they say; or one `Panel`, which brings `aggregator` to `max_chars`.
    - `aggregator`, `require_all`, `vote`, `max_chars`: as the fields of `fanin.panels.Panel` tell.
    - `name`: what the report is called where it goes into another panel, or into `context`.
    - `context`: a text, or the reports of rounds before, that every specialist is given below the query.
    - `backend`, `model`, `base_url`: for agents that name no backend of their own; None: the configured
      one, and its default model. Each distinct backend is opened once, and closed at the end.
    - `seed`: 0 or more; the agents' own seeds derive from it.
    - `timeout_s` bounds one call, `deadline_s` the whole panel, `max_wait_s` one wait that a provider asks
      for. Seconds. `concurrency` is how many agents work at once, on all backends together.
    - `price`, `retries`, `interrupt`: as in `fanin.vote`; `watch` is told every PanelEvent.

    An agent that fails, and an aggregator that fails, are values in the Report. Raises FaninError for what
    is wrong before the first call, and CassetteMissError where a replayed tape lacks a request.
    """
    if not isinstance(query, str) or not query.strip():
        raise InputError("query", "a text that is not blank", query)
    if isinstance(agents, Panel):
        if (aggregator, require_all, vote, max_chars) != (None, False, None, MAX_CHARS):
            raise InputError(
                "agents", "a list where aggregator to max_chars are given: a Panel has its own", agents
            )
    else:
        agents = Panel(name, agents, aggregator or AGGREGATOR, require_all, vote, max_chars)
    prompt = prompt_of(query, context)
    prices = None if price is None else as_prices(price)
    terms = Terms(concurrency, timeout_s, deadline_s, retries, max_wait_s, rpm, tpm, stagger_s, pace)
    round_ = arranged(agents)
    seats = tuple(round_.seats())
    paths = {seat.index: seat.path for seat in seats}
    interrupt = interrupt or Interrupt()
    happened: list[Event] = []
    async with AsyncExitStack() as stack:
        house = House(terms, backend, model, base_url, seed)
        desks = Desks(house, interrupt, _told(watch, paths, happened))
        await desks.open(stack, seats)
        report = await hold(round_, query, prompt, desks, prices, watch)
    return attrs.evolve(report, events=tuple(happened))


def panel_sync(agents: Panel | Sequence[Member], query: str, **options: Any) -> Report:
    """`panel` for plain scripts and notebooks, with the same options: blocks until the report is there.

    Works inside a running event loop too, since it runs in a thread of its own; open backends belong to
    their own event loop and cannot be handed over.
    """
    from anyio.from_thread import start_blocking_portal

    agents = agents if isinstance(agents, Panel) else as_members(agents)
    for backend in (options.get("backend"), *_backends(agents), *_backends([options.get("aggregator")])):
        if isinstance(backend, Backend) and not isinstance(backend, type) and backend.capabilities.http:
            raise InputError("backend", "a name with panel_sync", backend)
    with start_blocking_portal() as portal:
        return portal.call(functools.partial(panel, agents, query, **options))


def _backends(agents: Panel | Sequence[Any]) -> Iterator[Any]:
    """What the agents name as their backends, those of the panels inside too."""
    for member in (*agents.agents, agents.aggregator) if isinstance(agents, Panel) else agents:
        if isinstance(member, Panel):
            yield from _backends(member)
        elif isinstance(member, Agent):
            yield member.backend


async def hold(
    work: Round,
    query: str,
    prompt: str,
    desks: Desks,
    prices: Prices | None,
    watch: PanelWatch | None = None,
) -> Report:
    """The report of a panel whose backends are open; `prompt` is what every specialist is sent.

    `prices` None: those that litellm's list has. Raises FaninError as a call does (a replay miss).
    """
    return await _Work(desks, prices, watch).hold(work, query, prompt)


def prompt_of(query: str, context: str | Report | Sequence[Report]) -> str:
    """What every specialist is sent: the query, and the context below it.

    Raises InputError for what is no context, and for two reports of one name.
    """
    return with_parts(query, _context(context))


def _context(context: str | Report | Sequence[Report]) -> list[tuple[str, str]]:
    if isinstance(context, str):
        return [("Context", context)] if context.strip() else []
    reports = [context] if isinstance(context, Report) else context
    if not isinstance(reports, Sequence) or not all(isinstance(report, Report) for report in reports):
        raise InputError("context", "a text, a Report or several", context)
    parts = [(report.name, report.text) for report in reports]
    combine(parts)  # two of one name, say, are refused before anybody is asked
    return parts


def _told(
    watch: PanelWatch | None, paths: Mapping[int, str], happened: list[Event]
) -> Callable[[Event], None]:
    """The watch of the conductors, which know of runs alone; notes what happens."""

    def told(event: Event) -> None:
        happened.append(event)
        if watch is not None:
            watch(PanelEvent(event.kind, event.index, paths[event.index], event.at_s, event))

    return told


@attrs.frozen
class _Work:
    """The work of one call of `panel`, with all panels inside it."""

    desks: Desks
    prices: Prices | None
    watch: PanelWatch | None

    async def hold(self, work: Round, query: str, prompt: str) -> Report:
        """Fans out, waits for all, fans in. Raises the first FaninError that was raised by a member."""
        came: dict[int, AgentRun | Report] = {}
        errors: dict[int, FaninError] = {}

        async def one(place: int, member: Seat | Round) -> None:
            try:
                if isinstance(member, Seat):
                    came[place] = await self.ask(member, prompt)
                else:
                    came[place] = await self.hold(member, query, prompt)
            except FaninError as error:
                errors[place] = error
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for place, member in enumerate(work.members):
                if isinstance(member, Report):
                    came[place] = member
                    continue
                if isinstance(member, Seat):
                    await self.desks.slot()
                group.start_soon(one, place, member)
        if errors:
            raise errors[min(errors)]
        return await self._fan_in(work, query, [came[place] for place in range(len(work.members))])

    async def ask(self, seat: Seat, prompt: str) -> AgentRun:
        """One agent's work, from `launched` to `ended`."""
        self._tell("launched", seat)
        run = await self.desks.ask(seat, prompt)
        self._tell("ended", seat, run)
        return run

    async def _fan_in(self, work: Round, query: str, came: Sequence[AgentRun | Report]) -> Report:
        report = gathered(work.panel, query, came)
        if report.outcome != "failed" and self.desks.by != "interrupt":
            message = synthesis(
                query,
                report.parts,
                missing=[(each.name, f"{each.kind}: {each.message}") for each in report.missing],
                tally=None if report.tally is None else report.tally.words,
            )
            await self.desks.slot()
            report = reported(report, await self.ask(work.aggregator, message), message)
        seats = tuple(work.seats())
        return attrs.evolve(
            report,
            usage=self.desks.usage(seats),
            cost_usd=self.desks.cost_usd(seats, self.prices),
            stopped_by=self.desks.by,
        )

    def _tell(self, kind: Literal["launched", "ended"], seat: Seat, run: AgentRun | None = None) -> None:
        if self.watch is not None:
            self.watch(PanelEvent(kind, seat.index, seat.path, self.desks.now_s(), run=run))


def gathered(panel: Panel, query: str, came: Sequence[AgentRun | Report]) -> Report:
    """The report as far as it goes before the aggregator: what came of every specialist, in their order.

    Its outcome is `no_report`, or `failed` where the aggregator has nothing to be asked for.
    """
    runs = [as_run(each, place) if isinstance(each, Report) else each for place, each in enumerate(came)]
    runs = [attrs.evolve(run, index=place) for place, run in enumerate(runs)]
    panels = {place: each for place, each in enumerate(came) if isinstance(each, Report)}
    absent = {run.index: missing_in(run, panels.get(run.index)) for run in runs}
    parts = [
        (run.name, run.text if panel.max_chars is None else cut_middle(run.text, panel.max_chars))
        for run in runs
        if run.index in panels or not absent[run.index]
        if run.status == "ok"
    ]
    missing = tuple(each for run in runs for each in absent[run.index])
    return Report(
        name=panel.name,
        query=query,
        outcome="failed" if not parts or (panel.require_all and missing) else "no_report",
        report=None,
        missing=missing,
        agents=tuple(runs),
        parts=tuple(parts),
        aggregator=None,
        combined=None,
        tally=_tally(panel, runs),
        usage=Usage(),
        cost_usd=None,
        panels=tuple(panels.items()),
    )


def reported(report: Report, run: AgentRun, message: str) -> Report:
    """The report with what came of the aggregator, who was sent `message`."""
    report = attrs.evolve(report, aggregator=run, combined=message)
    if absent := missing_in(run):
        return attrs.evolve(report, missing=report.missing + absent)
    return attrs.evolve(report, outcome="partial" if report.missing else "complete", report=run.text)


def _tally(panel: Panel, runs: Sequence[AgentRun]) -> PanelTally | None:
    """The votes of the agents that were asked for the type of answer that is counted."""
    answer = panel.counted
    if answer is None:
        return None
    voters = [
        run
        for run, member in zip(runs, panel.agents, strict=True)
        if isinstance(member, Agent) and (member.answer or panel.vote) == answer
    ]
    return tally_of(answer, voters)


def tally_of(answer: Answer, voters: Sequence[AgentRun]) -> PanelTally:
    """The votes of agents that were asked for that type of answer."""
    failures = tuple(
        run.failure or Failure(run.index, "malformed", "") for run in voters if run.status == "failed"
    )
    ballots = [
        Ballot(run.index, run.choice, None if run.choice is not None else run.spoiled or "no answer")
        for run in voters
        if run.status != "failed"
    ]
    tally = count_votes(ballots, Gathered((), failures), answer)
    shown = {choice: answer.show(choice) for choice, _ in tally.counts}
    return PanelTally(answer.name, tally, shown, answer, tuple(run.index for run in voters))
