"""The Report: what a panel came to, who is missing in it, and what everybody said; and its JSON object.

The object `fanin.panel/1` holds no wall-clock and is the same to the byte for the same outcomes in any
order of arrival.
"""

from __future__ import annotations

import json
from typing import Any, Literal, TypeAlias

import attrs

from fanin.agent_run import AgentRun
from fanin.stages.combine import combine
from fanin.stages.grade import grade
from fanin.values import Event, StoppedBy, Tally, Usage
from fanin.verdict import escape_unprintable

SCHEMA = "fanin.panel/1"

PanelOutcome: TypeAlias = Literal["complete", "partial", "no_report", "failed"]


@attrs.frozen
class Missing:
    """Somebody who gave nothing that the report could be made from."""

    name: str
    """Who; `Panel / Name` for somebody of a panel within the panel."""
    kind: str
    """A kind of failure as in `fanin.Failure`, or `empty`, or `refused`."""
    message: str
    """Why, in one sentence for people."""


@attrs.frozen
class PanelTally:
    """The votes of the specialists that were asked for the same type of answer, counted by code."""

    answer: str
    """The type of the answer, as `yes/no`."""
    tally: Tally
    """The count; its choices are canonical."""
    shown: dict[str, str]
    """Canonical choice -> the answer as people are shown it."""
    kind: Any = attrs.field(default=None, eq=False, repr=False)
    """The type itself, so that the answers can be read again."""
    voters: tuple[int, ...] = ()
    """The places in the panel of those that were asked for it."""

    @property
    def votes(self) -> dict[str, int]:
        """Answer -> votes: most first, then in declared order or by text."""
        return {self.shown[choice]: votes for choice, votes in self.tally.counts}

    @property
    def winner(self) -> str | None:
        """The answer with the most votes; None where there is no one winner."""
        return None if self.tally.winner is None else self.shown[self.tally.winner]

    @property
    def words(self) -> str:
        """The count in a sentence, without its full stop."""
        counted = ", ".join(f"{answer} {votes}" for answer, votes in self.votes.items()) or "none"
        silent = self.tally.runs.planned - self.tally.runs.valid
        without = f"; {silent} of {self.tally.runs.planned} gave none" if silent else ""
        won = {
            "decided": f"{self.winner} wins with {grade(self.tally)} agreement",
            "tie": "it is a tie",
            "no_quorum": "too few to decide",
            "failed": "nobody voted",
        }[self.tally.outcome]
        return f"{counted}{without}; {won}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, keys in their documented order."""
        return {
            "answer": self.answer,
            "outcome": self.tally.outcome,
            "winner": self.winner,
            "grade": grade(self.tally),
            "votes": self.votes,
            "runs": attrs.asdict(self.tally.runs),
        }


@attrs.frozen
class Report:
    """What came of a panel: every outcome is one, a missing report and a total failure too."""

    name: str
    """The panel's name: what it is called where the report goes into another panel."""
    query: str
    """What was asked."""
    outcome: PanelOutcome
    """`complete`: a report from all; `partial`: a report, and somebody is missing; `no_report`: the
    aggregator gave none; `failed`: no specialist gave anything, or not all did and all had to."""
    report: str | None
    """The aggregator's words; None without them."""
    missing: tuple[Missing, ...]
    """Who gave nothing and why: specialists in declared order, then the aggregator."""
    agents: tuple[AgentRun, ...]
    """Every specialist's work, in declared order; `index` is the place in this panel."""
    parts: tuple[tuple[str, str], ...]
    """(name, text) of those that gave a text, as the aggregator got it, in declared order."""
    aggregator: AgentRun | None
    """The aggregator's work; None where it was not asked."""
    combined: str | None
    """The one message that the aggregator was sent; None where it was not asked."""
    tally: PanelTally | None
    """The vote among the specialists; None where none was held."""
    usage: Usage
    """Tokens of all completions that came back; None where one of them is unknown."""
    cost_usd: float | None
    """US dollars; None is unknown."""
    stopped_by: StoppedBy = "all"
    """What ended the asking; `all`: everybody was asked."""
    panels: tuple[tuple[int, Report], ...] = ()
    """(index, report) of the specialists that are panels or reports themselves."""
    events: tuple[Event, ...] = attrs.field(default=(), eq=False, repr=False)
    """What happened on the way, with times, of the whole panel: in no object and in no comparison."""

    @property
    def text(self) -> str:
        """The whole for people: who is missing first, then the report or, without one, what there is."""
        lines = [f"Without {each.name} ({each.kind}): {_one_line(each.message)}" for each in self.missing]
        if self.outcome == "no_report":
            lines.append("There is no report. What the specialists gave:" if self.parts else "")
        if self.outcome == "failed":
            lines.append(
                "There is no report, since somebody is missing. What the others gave:"
                if self.parts
                else "There is no report: nobody gave anything."
            )
        said = combine(self.parts) if self.report is None else self.report
        return "\n\n".join(part for part in ("\n".join(lines), said) if part)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was out of the ordinary, beside who is missing: a sentence each."""
        everybody = (*self.agents, *([] if self.aggregator is None else [self.aggregator]))
        cut = ", ".join(run.name for run in everybody if run.status == "ok" and run.finish == "length")
        return (f"Cut off by the limit of tokens: {cut}.",) if cut else ()

    def to_dict(self) -> dict[str, Any]:
        """The object `fanin.panel/1`: plain values, keys in their documented order."""
        panels = dict(self.panels)
        return {
            "schema": SCHEMA,
            "outcome": self.outcome,
            "report": self.report,
            "missing": [attrs.asdict(each) for each in self.missing],
            "agents": [_agent(run, panels.get(run.index)) for run in self.agents],
            "combined": self.combined,
            "tally": None if self.tally is None else self.tally.to_dict(),
            "usage": attrs.asdict(self.usage),
            "cost_usd": self.cost_usd,
        }

    def to_json(self) -> str:
        """The object as one line of JSON; every character that is not printable is escaped."""
        return escape_unprintable(json.dumps(self.to_dict(), ensure_ascii=False))


def as_run(report: Report, index: int) -> AgentRun:
    """A report in the place of a specialist: its text is what a specialist would have said."""
    return AgentRun(
        index=index,
        name=report.name,
        status="ok" if report.report is not None or report.parts else "failed",
        text=report.text,
        turns=sum(run.turns for run in report.agents),
        usage=report.usage,
    )


def missing_in(run: AgentRun, panel: Report | None = None) -> tuple[Missing, ...]:
    """What is missing where this run, or the panel that stands for it, was to say something."""
    if panel is not None and run.status == "ok":
        return tuple(attrs.evolve(each, name=f"{run.name} / {each.name}") for each in panel.missing)
    if panel is not None:
        why = "; ".join(f"{each.name}: {_one_line(each.message)}" for each in panel.missing)
        return (Missing(run.name, panel.missing[0].kind, f"Nobody of it gave anything ({why})."),)
    if run.failure is not None:
        return (Missing(run.name, run.failure.kind, run.failure.message),)
    if run.status == "empty":
        return (Missing(run.name, "empty", "It gave an empty text."),)
    if run.finish in ("refusal", "content_filter"):
        return (Missing(run.name, "refused", f"It refused: {_one_line(run.text)[:200]}"),)
    return ()


def _agent(run: AgentRun, panel: Report | None) -> dict[str, Any]:
    about = {
        "index": run.index,
        "name": run.name,
        "status": run.status,
        "text": run.text,
        "answer": run.answer,
        "turns": run.turns,
        "tool_calls": [attrs.asdict(use) for use in run.tool_calls],
    }
    return about if panel is None else about | {"panel": panel.to_dict()}


def _one_line(text: str) -> str:
    return " ".join(text.split())
