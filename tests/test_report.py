"""The Report: its text, its votes in words, and its JSON object."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.agent_run import AgentRun, ToolUse
from fanin.answers import YesNo
from fanin.report import Missing, PanelTally, Report, as_run, missing_in
from fanin.stages.vote import vote
from fanin.values import Ballot, Failure, Gathered, Usage

ANN = AgentRun(
    0,
    "Ann",
    "ok",
    "words",
    answer="yes",
    choice="yes",
    turns=2,
    tool_calls=(ToolUse("look", '{"at": 1}', "seen"), ToolUse("lok", "{", error="There is no tool lok.")),
    usage=Usage(10, 2),
)
BOB = AgentRun(1, "Bob", "failed", failure=Failure(1, "timeout", "No answer\nwithin 5 s."))


def report_of(**change: Any) -> Report:
    fields: dict[str, Any] = {
        "name": "Panel",
        "query": "Is it?",
        "outcome": "partial",
        "report": "The report.",
        "missing": (Missing("Bob", "timeout", "No answer\nwithin 5 s."),),
        "agents": (ANN, BOB),
        "parts": (("Ann", "words"),),
        "aggregator": None,
        "combined": "sent",
        "tally": None,
        "usage": Usage(20, 4),
        "cost_usd": None,
    }
    return Report(**(fields | change))


def test_the_object_is_as_documented() -> None:
    assert report_of().to_dict() == {
        "schema": "fanin.panel/1",
        "outcome": "partial",
        "report": "The report.",
        "missing": [{"name": "Bob", "kind": "timeout", "message": "No answer\nwithin 5 s."}],
        "agents": [
            {
                "index": 0,
                "name": "Ann",
                "status": "ok",
                "text": "words",
                "answer": "yes",
                "turns": 2,
                "tool_calls": [
                    {"name": "look", "arguments": '{"at": 1}', "result": "seen", "error": None},
                    {"name": "lok", "arguments": "{", "result": None, "error": "There is no tool lok."},
                ],
            },
            {
                "index": 1,
                "name": "Bob",
                "status": "failed",
                "text": "",
                "answer": None,
                "turns": 0,
                "tool_calls": [],
            },
        ],
        "combined": "sent",
        "tally": None,
        "usage": {"input_tokens": 20, "output_tokens": 4},
        "cost_usd": None,
    }


@given(st.text(), st.text())
def test_the_json_is_one_printable_line_that_loses_nothing(words: str, query: str) -> None:
    report = report_of(report=words, combined=query)
    line = report.to_json()
    assert line.isprintable()
    assert json.loads(line) == report.to_dict()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"outcome": "complete", "missing": ()}, "The report."),
        ({}, "Without Bob (timeout): No answer within 5 s.\n\nThe report."),
        (
            {"outcome": "no_report", "report": None},
            "Without Bob (timeout): No answer within 5 s.\nThere is no report. What the specialists gave:\n\n"
            "=== Ann ===\nwords",
        ),
        (
            {"outcome": "failed", "report": None},
            "Without Bob (timeout): No answer within 5 s.\n"
            "There is no report, since somebody is missing. What the others gave:\n\n=== Ann ===\nwords",
        ),
        (
            {"outcome": "failed", "report": None, "parts": ()},
            "Without Bob (timeout): No answer within 5 s.\nThere is no report: nobody gave anything.",
        ),
    ],
)
def test_the_text_says_first_what_is_missing(change: dict[str, Any], text: str) -> None:
    assert report_of(**change).text == text


def test_a_text_that_was_cut_off_is_remarked_upon() -> None:
    cut = AgentRun(0, "Ann", "ok", "words and", finish="length")
    assert report_of(agents=(cut,), aggregator=cut).remarks == ("Cut off by the limit of tokens: Ann, Ann.",)
    assert report_of().remarks == ()


@pytest.mark.parametrize(
    ("run", "kind", "message"),
    [
        (BOB, "timeout", "No answer\nwithin 5 s."),
        (AgentRun(0, "A", "empty"), "empty", "It gave an empty text."),
        (AgentRun(0, "A", "ok", "I\ncan't.", finish="refusal"), "refused", "It refused: I can't."),
        (AgentRun(0, "A", "ok", "", finish="content_filter"), "refused", "It refused: "),
    ],
)
def test_why_somebody_is_missing(run: AgentRun, kind: str, message: str) -> None:
    assert missing_in(run) == (Missing(run.name, kind, message),)
    assert missing_in(ANN) == ()


def test_a_report_stands_for_a_specialist() -> None:
    run = as_run(report_of(name="First"), 3)
    assert (run.index, run.name, run.status, run.turns, run.usage) == (3, "First", "ok", 2, Usage(20, 4))
    assert run.text == "Without Bob (timeout): No answer within 5 s.\n\nThe report."
    assert missing_in(run, report_of()) == (Missing("First / Bob", "timeout", "No answer\nwithin 5 s."),)
    nothing = report_of(name="First", outcome="failed", report=None, parts=())
    run = as_run(nothing, 0)
    assert run.status == "failed"
    why = "Nobody of it gave anything (Bob: No answer within 5 s.)."
    assert missing_in(run, nothing) == (Missing("First", "timeout", why),)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        (("yes", "yes", "no"), "yes 2, no 1; yes wins with medium agreement"),
        (("yes", "no"), "yes 1, no 1; it is a tie"),
        (("yes", None, None), "yes 1; 2 of 3 gave none; too few to decide"),
        ((None,), "none; 1 of 1 gave none; nobody voted"),
    ],
)
def test_the_votes_in_words(choices: tuple[str | None, ...], words: str) -> None:
    ballots = [
        Ballot(index, choice, None if choice else "no answer line") for index, choice in enumerate(choices)
    ]
    tally = vote(ballots, Gathered((), ()), YesNo())
    counted = PanelTally("yes/no", tally, {choice: choice for choice, _ in tally.counts})
    assert counted.words == words
    assert sum(counted.to_dict()["votes"].values()) == tally.runs.valid
