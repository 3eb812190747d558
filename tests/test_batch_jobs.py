"""Batches of analyses and of panels: each row is what the job gives alone, and nothing is asked twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import pytest
from analysis_script import asked_for
from analysis_script import replies as analysed
from command import Command
from doubles import Reply, Scripted
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import LOOPS, run_virtual

import fanin
from fanin import Agent, CallError, Completion
from fanin.batching import BatchInterrupt, Item, Limits, Row, Standing
from fanin.batching.analysing import AnalysesJob, AnalysisJob
from fanin.batching.engines.on_ray import RayEngine
from fanin.batching.jobs import BatchJob
from fanin.batching.journal import read_journal
from fanin.batching.panelling import PanelJob
from fanin.batching.runner import batch
from fanin.errors import FaninError, InputError
from fanin.policy.analysing import as_mode
from fanin.policy.pricing import Price
from fanin.seating import Panel
from fanin.values import Event, Request, ToolCall

both_loops = pytest.mark.parametrize("loop", LOOPS)


def items(count: int) -> list[Item]:
    return [Item(number, f"i{number}", f"Is {number} odd?") for number in range(1, count + 1)]


def look_up(name: str) -> str:
    """Looks a name up."""
    LOOKED_UP[name] += 1
    return f"{name} is there"


def counted(name: str) -> str:
    """Looks a name up; says something else each time."""
    LOOKED_UP[name] += 1
    return f"{name} was looked up {LOOKED_UP[name]} times"


LOOKED_UP: Counter[str] = Counter()

ANN = Agent("Ann", "You are Ann.", tools=(look_up,))
BOB = Agent("Bob", "You are Bob.", answer="yes/no")
PANEL = Panel("Panel", (ANN, BOB))


def who(request: Request) -> str:
    """The name in the system prompt; the aggregator's is its own."""
    last = request.messages[0].content.split("\n\n")[-1]
    return last.split()[2].rstrip(".") if last.startswith("You are A") or "Bob" in last else "Chief"


def number_in(request: Request) -> str:
    return next(word for word in request.messages[1].content.split() if word.isdigit())


def panelled(request: Request) -> Reply:
    """Ann looks something up first, Bob answers, and the aggregator repeats what it got."""
    match who(request):
        case "Ann" if request.messages[-1].role == "user":
            wanted = json.dumps({"name": f"n{number_in(request)}"})
            return Completion("", "tool_calls", tool_calls=(ToolCall("1", request.tools[0].name, wanted),))
        case "Ann":
            return f"Ann: {request.messages[-1].content}"
        case "Bob":
            return "Bob's words\nAnswer: yes"
    return f"Report: {request.messages[-1].content}"


class ToolUser(Scripted):
    """A scripted backend whose models call tools; keeps the requests that it answered."""

    def __init__(self, reply: Callable[[Request], Reply], **options: Any) -> None:
        super().__init__(self._counted, limited=False, **options)
        self.capabilities = attrs.evolve(self.capabilities, tools=True)
        self._own = reply
        self.answered: list[Request] = []

    def _counted(self, request: Request) -> Reply:
        reply = self._own(request)
        if not isinstance(reply, BaseException):
            self.answered.append(request)
        return reply


async def collect(backend: Any, **options: Any) -> tuple[list[Row], Standing]:
    questions = options.pop("questions", None) or items(options.pop("count", 4))
    async with batch(questions, backend=backend, **{"runs": 2, **options}) as rows:
        return [row async for row in rows], rows.standing


def done(backend: Any, loop: str = "asyncio", **options: Any) -> tuple[list[Row], Standing]:
    return run_virtual(loop, partial(collect, backend, **options))


def objects(rows: list[Row]) -> list[dict[str, Any]]:
    return [dict(row.object or {}) for row in rows]


JOBS: dict[str, tuple[BatchJob, Callable[[Request], Reply]]] = {
    "analysis": (AnalysisJob("balanced"), analysed()),
    "analyses": (AnalysesJob("quick"), analysed()),
    "panel": (PanelJob(PANEL), panelled),
}
each_job = pytest.mark.parametrize("name", JOBS)


@both_loops
def test_a_row_is_what_an_analysis_of_that_question_gives(loop: str) -> None:
    rows, standing = done(Scripted(analysed(), limited=False), loop, job=AnalysisJob("quick"), ordered=True)
    alone = run_virtual(
        loop, partial(fanin.analyze, "Is 2 odd?", mode="quick", backend=Scripted(analysed(), limited=False))
    )
    assert rows[1].object == alone.to_dict()
    assert [row.id for row in rows] == ["i1", "i2", "i3", "i4"]
    assert standing.calls == 4 * alone.calls
    assert not any(row.failed for row in rows)


@both_loops
@pytest.mark.parametrize("at_once", [1, 40])
def test_a_row_is_what_a_vote_over_analyses_of_that_question_gives(loop: str, at_once: int) -> None:
    def reply(request: Request) -> Reply:
        return analysed(focus=f"Answer: {'yes' if request.index else 'no'}")(request)

    asked = {"mode": ("quick", "balanced"), "runs": 3, "system": "Be brief."}
    own = Item(9, "own", "Is 2 odd?", options=(("runs", 2), ("system", ["One.", "Two."])))
    backend = Scripted(reply, limited=False)
    rows, standing = done(
        backend, loop, questions=[*items(3), own], ordered=True, jobs=at_once, **asked, stop="decided"
    )
    for row, more in ((rows[1], {}), (rows[3], {"runs": 2, "system": ["One.", "Two."]})):
        vote = partial(
            fanin.vote, "Is 2 odd?", backend=Scripted(reply, limited=False), stop="decided", **asked | more
        )
        assert row.object == run_virtual(loop, vote).to_dict()
        assert len(row.object["analyses"]) == row.object["runs"]["planned"]
    assert standing.calls == len(backend.sent)
    assert rows[0].line.startswith(b'{"id": "i1", "schema": "fanin.vote/1", "question": "Is 1 odd?", ')


@both_loops
def test_a_rule_that_is_satisfied_spares_analyses(loop: str) -> None:
    options = {"job": AnalysesJob("quick"), "runs": 5, "stop": "decided"}
    rows, _ = done(Scripted(analysed(), limited=False), loop, jobs=1, **options)
    assert {(row.object["runs"]["planned"], len(row.object["analyses"])) for row in rows} == {(5, 4)}


@both_loops
def test_an_analysis_that_fails_is_in_the_row_of_its_vote_and_is_asked_again(
    loop: str, tmp_path: Path
) -> None:
    def failing_once(request: Request) -> Reply:
        usual = analysed()(request)
        return CallError("server", "It is down.", final=True) if request.index == 1 else usual

    options = {"job": AnalysesJob("quick"), "runs": 3, "journal": tmp_path / "journal", "count": 2}
    rows, standing = done(Scripted(failing_once, limited=False), loop, retries=0, **options)
    for found in objects(rows):
        assert (found["runs"]["failed"], found["votes"]) == (1, {"yes": 2})
        assert [each["success"] for each in found["analyses"]] == [True, False, True]
    assert standing.failed == 0
    backend = Scripted(analysed(), limited=False)
    again, _ = done(backend, loop, resume=True, **options)
    assert [found["votes"] for found in objects(again)] == [{"yes": 3}] * 2
    assert {request.index for request in backend.sent} == {1}


@both_loops
def test_a_row_is_what_a_panel_on_that_question_gives(loop: str) -> None:
    LOOKED_UP.clear()
    questions = [Item(1, "a", "Is 1 odd?", "It is 1."), Item(2, "b", "Is 2 odd?")]
    rows, standing = done(ToolUser(panelled), loop, job=PanelJob(PANEL), ordered=True, questions=questions)
    LOOKED_UP.clear()
    alone = run_virtual(
        loop, partial(fanin.panel, PANEL, "Is 1 odd?", context="It is 1.", backend=ToolUser(panelled))
    )
    assert rows[0].object == {"question": "Is 1 odd?", **alone.to_dict()}
    assert rows[0].line.startswith(b'{"id": "a", "question": "Is 1 odd?", "schema": "fanin.panel/1", ')
    assert alone.outcome == "complete"
    assert standing.calls == 8


def ended_by(interrupt: BatchInterrupt, how: str, answers: int) -> Callable[[int, Event], None]:
    """Watches, and drains or stops the batch when there are so many answers."""
    left = iter(range(answers - 1, 0, -1))

    def watch(_: int, event: Event) -> None:
        if event.kind == "answered" and next(left, None) is None:
            getattr(interrupt, how)()

    return watch


@pytest.mark.parametrize("name", JOBS)
@settings(max_examples=3)
@given(data=st.data())
def test_stopped_anywhere_and_resumed_nothing_is_asked_twice(name: str, data: st.DataObject) -> None:
    job, reply = JOBS[name]
    at_once = data.draw(st.integers(1, 5))
    backend = ToolUser(reply, latency_s=lambda request: 1.0 + len(request.messages[-1].content) % 7)
    whole = done(ToolUser(reply), job=job, ordered=True)[0]
    LOOKED_UP.clear()
    ends = st.sampled_from(["drain", "stop"])
    stopped = False
    with TemporaryDirectory() as folder:
        ended = None
        while ended != "all":
            interrupt, how = BatchInterrupt(), data.draw(ends)
            stopped |= how == "stop"
            watch = ended_by(interrupt, how, data.draw(st.integers(3, 25)))
            rows, standing = done(
                backend, job=job, ordered=True, jobs=at_once, interrupt=interrupt, watch=watch,
                journal=Path(folder, "journal"), resume=True,
            )  # fmt: skip
            ended = standing.ended
    assert objects(rows) == objects(whole)
    assert set(Counter(attrs.evolve(request, attempt=1) for request in backend.answered).values()) == {1}
    assert stopped or set(LOOKED_UP.values()) <= {1}, "only a tool that was cut is called again"


def test_what_a_tool_gave_is_kept_too(tmp_path: Path) -> None:
    LOOKED_UP.clear()
    panel = Panel("Panel", (attrs.evolve(ANN, tools=(counted,)), BOB))
    options = {"job": PanelJob(panel), "journal": tmp_path / "journal", "ordered": True}
    backend = ToolUser(panelled)
    first, _ = done(backend, **options)
    again, standing = done(backend, **options, resume=True)
    assert objects(again) == objects(first)
    assert (standing.calls, standing.recalled) == (0, 16)
    assert set(LOOKED_UP.values()) == {1}
    with read_journal(tmp_path / "journal") as journal:
        assert [used.calls for used in journal.used()] == [16], "a tool is no call of a model"


def test_equal_questions_are_worked_on_each_by_itself(tmp_path: Path) -> None:
    questions = [Item(number, number, "Is 1 odd?") for number in (1, 2)]
    for name, (job, reply) in JOBS.items():
        backend = ToolUser(reply)
        options = {"job": job, "questions": questions, "journal": tmp_path / name}
        first = len(done(backend, **options)[0]), len(backend.answered)
        assert set(Counter(backend.answered).values()) == {2}
        rows, standing = done(backend, **options, resume=True)
        assert (len(rows), len(backend.answered), standing.calls) == (*first, 0)


def test_one_question_with_two_types_of_answer_is_two_analyses(tmp_path: Path) -> None:
    plans = iter(["1. First", "1. Second"])
    backend = ToolUser(analysed(plan=lambda _: next(plans)))
    questions = [Item(1, 1, "Is it?", answer="yes/no"), Item(2, 2, "Is it?", answer="text")]
    options = {
        "job": AnalysisJob("quick"),
        "questions": questions,
        "journal": tmp_path / "journal",
        "jobs": 1,
    }
    first, _ = done(backend, **options, ordered=True)
    again, standing = done(backend, **options, ordered=True, resume=True)
    assert objects(again) == objects(first)
    assert standing.calls == 0
    assert [found["plan"]["steps"] for found in objects(first)] == [["First"], ["Second"]]


def failing(kind: Any, *names: str) -> Callable[[Request], Reply]:
    def reply(request: Request) -> Reply:
        return CallError(kind, "It is down.", final=True) if who(request) in names else panelled(request)

    return reply


def test_a_specialist_that_fails_is_in_the_row_and_is_asked_again(tmp_path: Path) -> None:
    options = {"job": PanelJob(PANEL), "retries": 0, "count": 2, "journal": tmp_path / "journal"}
    rows, standing = done(ToolUser(failing("server", "Bob")), **options)
    assert [found["outcome"] for found in objects(rows)] == ["partial"] * 2
    assert all([each["name"] for each in found["missing"]] == ["Bob"] for found in objects(rows))
    assert (standing.failed, standing.ended) == (0, "all")
    backend = ToolUser(panelled)
    again, _ = done(backend, **options, resume=True)
    assert [found["outcome"] for found in objects(again)] == ["complete"] * 2
    assert Counter(map(who, backend.sent)) == {"Bob": 2, "Chief": 2}


def test_an_aggregator_that_fails_keeps_what_the_others_said() -> None:
    rows, standing = done(ToolUser(failing("server", "Chief")), job=PanelJob(PANEL), retries=0)
    for found in objects(rows):
        assert (found["outcome"], found["report"]) == ("no_report", None)
        assert [each["status"] for each in found["agents"]] == ["ok", "ok"]
        assert found["agents"][1]["text"] == "Bob's words\nAnswer: yes"
    assert standing.failed == 4


def test_an_analysis_without_an_answer_is_a_failed_row() -> None:
    rows, standing = done(Scripted(analysed(plan="no list"), limited=False), job=AnalysisJob())
    assert all(row.failed for row in rows)
    assert standing.failed == 4


@pytest.mark.parametrize("names", [("Bob",), ("Ann", "Bob"), ("Chief",)])
def test_somebody_whose_key_is_refused_row_after_row_ends_the_batch(names: tuple[str, ...]) -> None:
    job = PanelJob(PANEL)
    rows, standing = done(ToolUser(failing("auth", *names)), job=job, count=60, identical_errors=5, jobs=2)
    assert standing.ended == "circuit"
    assert len(rows) < 10
    rows, standing = done(
        ToolUser(failing("server", *names)), job=job, retries=0, count=9, identical_errors=5
    )
    assert (standing.ended, len(rows)) == ("all", 9)


@each_job
def test_the_caps_hold_and_a_row_that_was_cut_is_left_for_later(name: str, tmp_path: Path) -> None:
    job, reply = JOBS[name]
    price = Price(1_000_000, 1_000_000)
    backend = ToolUser(reply, latency_s=lambda _: 1.0)
    options = {"job": job, "journal": tmp_path / "journal", "jobs": 3, "price": price}
    rows, standing = done(backend, limits=Limits(max_calls=7), **options)
    assert len(backend.sent) == 7
    assert standing.ended == "budget"
    assert len(rows) < 4
    rows, standing = done(backend, limits=Limits(max_cost=1e8), **options, resume=True)
    assert (len(rows), standing.ended) == (4, "all")
    assert len(backend.answered) == len(set(backend.answered))


@each_job
def test_the_deadline_is_the_whole_batch_s(name: str) -> None:
    job, reply = JOBS[name]
    rows, standing = done(ToolUser(reply, latency_s=lambda _: 1.0), job=job, count=50, deadline_s=20, jobs=4)
    assert standing.ended == "deadline"
    assert 0 < len(rows) < 50
    assert not any(row.failed for row in rows)


@both_loops
def test_agents_may_ask_other_backends_through_the_same_slots(loop: str, tmp_path: Path) -> None:
    other = ToolUser(panelled, latency_s=lambda _: 1.0)
    other.name = "other"
    mine = ToolUser(panelled, latency_s=lambda _: 1.0)
    panel = Panel("Panel", (ANN, attrs.evolve(BOB, backend=other)))
    options = {"job": PanelJob(panel), "journal": tmp_path / loop, "jobs": 3, "count": 6}
    rows, standing = done(mine, loop, **options)
    assert (len(rows), standing.calls) == (6, 24)
    assert Counter(map(who, other.sent)) == {"Bob": 6}
    assert Counter(map(who, mine.sent)) == {"Ann": 12, "Chief": 6}
    assert mine.most_in_flight <= 3
    again, standing = done(mine, loop, **options, resume=True)
    assert (len(again), standing.calls, standing.recalled) == (6, 0, 24)
    third = ToolUser(panelled)
    third.name = "third"
    moved = PanelJob(Panel("Panel", (ANN, attrs.evolve(BOB, backend=third))))
    done(mine, loop, **{**options, "job": moved}, resume=True)
    assert len(third.sent) == 6, "another backend is another key"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("analysis", {"stop": "decided"}, "stop must be left out"),
        ("analysis", {"model": ["a", "b"]}, "model must be one"),
        ("analysis", {"system": ["a", "b"]}, "system must be one"),
        ("analysis", {"budget_runs": 9}, "budget_runs must be left out"),
        ("analysis", {"limits": Limits(max_cost=1)}, "max_cost must be left out where no price"),
        ("analyses", {"budget_runs": 9}, "budget_runs must be left out"),
        ("analyses", {"limits": Limits(max_cost=1)}, "max_cost must be left out where no price"),
        ("analyses", {"answer": fanin.Text(select="judge")}, "mode must be left out where a judge"),
        ("analyses", {"mode": "quick"}, "mode must be left out with a job"),
        ("analyses", {"stop": "soon"}, "stop must be"),
        ("panel", {"stop": "decided"}, "stop must be left out"),
        ("panel", {"answer": "yes/no"}, "answer must be left out"),
        ("panel", {"system": "Be brief."}, "system must be left out"),
        ("panel", {"quorum": 2}, "quorum must be left out"),
        ("panel", {"structured": True}, "structured must be left out"),
        ("panel", {"model": ["a", "b"]}, "model must be one"),
        ("panel", {"budget_runs": 9}, "budget_runs must be left out"),
        ("panel", {"limits": Limits(max_cost=1)}, "max_cost must be left out where no price"),
    ],
)  # fmt: skip
def test_what_says_nothing_to_a_job_is_refused_before_any_call(
    name: str, options: dict[str, Any], said: str
) -> None:
    job, reply = JOBS[name]
    backend = ToolUser(reply)
    with pytest.raises(InputError, match=said):
        done(backend, job=job, **options)
    assert backend.sent == []


def test_jobs_that_cannot_be_made() -> None:
    with pytest.raises(InputError, match="mode must be one of quick, balanced, thorough, research"):
        AnalysisJob("deep")
    with pytest.raises(InputError, match="panel must be a"):
        PanelJob([ANN])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="mode must be a mode's name, or several"):
        AnalysesJob(())
    dear = as_mode("quick", cost_limit_usd=1e-9)
    for job in (AnalysisJob(dear), AnalysesJob(dear)):
        with pytest.raises(InputError, match="cost_limit_usd must be enough"):
            done(Scripted(analysed()), job=job, price=Price(1, 1))


def test_calls_of_several_backends_cannot_be_made_elsewhere() -> None:
    panel = Panel("Panel", (ANN, attrs.evolve(BOB, backend=ToolUser(panelled))))
    with pytest.raises(InputError, match="engine must be left out where more than one backend is asked"):
        done("fake", job=PanelJob(panel), engine=RayEngine(None, None))


@pytest.mark.parametrize(
    ("name", "item", "said"),
    [
        ("analysis", Item(1, "x", "Is it?", options=(("runs", 3),)), "its runs is about votes"),
        ("analysis", Item(1, "x", "Is it?", options=(("model", ["a", "b"]),)), "model must be one"),
        ("analysis", Item(1, "x", " "), "question must be"),
        ("analyses", Item(1, "x", "Is it?", options=(("runs", 0),)), "runs must be"),
        ("analyses", Item(1, "x", " "), "question must be"),
        ("panel", Item(1, "x", "Is it?", answer="yes/no"), "its answer says nothing to a panel"),
        ("panel", Item(1, "x", "Is it?", options=(("seed", 3),)), "its seed says nothing to a panel"),
        ("panel", Item(1, "x", " "), "question must be"),
    ],
)  # fmt: skip
def test_an_item_that_sets_what_it_cannot_is_a_bad_row(name: str, item: Item, said: str) -> None:
    job, reply = JOBS[name]
    rows, standing = done(ToolUser(reply), job=job, questions=[item, *items(1)])
    [bad] = [row for row in rows if row.object is None]
    assert said in (bad.error or "")
    assert (bad.id, standing.done, standing.failed) == ("x", 2, 1)


def test_what_an_item_sets_holds_for_its_analysis_alone() -> None:
    own = Item(1, 1, "Which?", None, "text", (("model", "big"), ("max_tokens", 99), ("system", "Be brief.")))
    backend = Scripted(analysed(focus="Answer: red"), limited=False)
    rows, _ = done(backend, job=AnalysisJob("quick"), questions=[own, *items(1)], ordered=True, model="small")
    assert objects(rows)[0]["focused_answer"] == "red"
    assert {(request.model, request.max_tokens) for request in backend.sent} == {("big", 99), ("small", 2048)}
    assert {asked_for(request) for request in backend.sent if request.model == "big"} >= {"plan", "focus"}


PANEL_FILE = """
backend = "fake"
[[agents]]
name = "Ann"
model = "Ann's words"
system = "You are Ann."
[[agents]]
name = "Bob"
model = "{bob}"
system = "You are Bob."
[aggregator]
model = "{chief}"
system = "Aggregate."
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    Path("q.jsonl").write_text('{"id": "a", "question": "Is it?"}\n{"id": "b", "question": "Why?"}\n')
    panel_file()
    return Command(monkeypatch, capsys)


def panel_file(bob: str = "Bob's words", chief: str = "the report") -> None:
    Path("panel.toml").write_text(PANEL_FILE.format(bob=bob, chief=chief))


def written(path: str = "r.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_a_batch_of_panels_from_the_command_line(run: Command) -> None:
    words = ("batch", "q.jsonl", "--panel", "panel.toml", "-o", "r.jsonl", "--ordered")
    ended = run(*words)
    assert (ended.code, ended.out) == (0, ""), ended.err
    assert [(row["id"], row["question"], row["report"]) for row in written()] == [
        ("a", "Is it?", "the report"), ("b", "Why?", "the report"),
    ]  # fmt: skip
    assert "2 rows, 6 runs answered" in ended.err
    again = run(*words, "--resume")
    assert (again.code, "0 runs answered and 6 from the journal" in again.err) == (0, True)
    shown = run("show", "r.jsonl.journal")
    assert (shown.code, "it holds no votes" in shown.err) == (2, True), shown.err
    panel_file(bob="!500")
    partial_ = run(*words, "--resume", "--retries", "0")
    assert partial_.code == 0
    assert "2 rows without all specialists" in partial_.err
    panel_file(chief="!500")
    without = run(*words, "--resume", "--retries", "0")
    assert without.code == 1
    assert "line 1: The fake has an error of its own." in without.err
    assert [row["outcome"] for row in written()] == ["no_report"] * 2


def test_what_goes_before_the_defaults_of_the_file_is_asked_with(run: Command) -> None:
    words = ("batch", "q.jsonl", "--panel", "panel.toml", "-o", "r.jsonl")
    assert run(*words).code == 0
    same = run(*words, "--resume", "--seed", "0")
    assert "0 runs answered and 6 from the journal" in same.err
    other = run(*words, "--resume", "--temperature", "1.5")
    assert "6 runs answered" in other.err, "another temperature is another call"
    assert "6 runs answered" in run(*words, "--resume", "--max-tokens", "9").err


def test_a_batch_of_analyses_from_the_command_line(run: Command) -> None:
    script = "1. Look at it. Answer: no"
    ended = run("batch", "q.jsonl", "--mode", "quick", "--backend", "fake", "-m", script, "-o", "r.jsonl")
    assert ended.code == 0, ended.err
    assert [row["schema"] for row in written()] == ["fanin.analysis/1"] * 2
    assert [row["mode"]["name"] for row in written()] == ["quick"] * 2


def test_a_batch_of_votes_over_analyses_from_the_command_line(run: Command) -> None:
    script = "1. Look at it. Answer: no"
    words = ("batch", "q.jsonl", "--backend", "fake", "-m", script, "-o", "r.jsonl", "--answer", "text")
    for of_modes, names in (("--mode", {"quick"}), ("--modes", {"quick", "balanced"})):
        ended = run(*words, of_modes, ",".join(sorted(names)), "--runs", "2", "--overwrite")
        assert ended.code == 0, ended.err
        for row in written():
            assert (row["schema"], row["runs"]["planned"]) == ("fanin.vote/1", 2)
            assert {each["mode"]["name"] for each in row["analyses"]} == names
    again = run(*words, "--modes", "balanced,quick", "--runs", "2", "--resume")
    assert "0 runs answered and" in again.err
    assert run(*words[:-4], "-o", "r.csv", "--mode", "quick", "--runs", "1", "-q").code == 0


def test_a_configuration_does_not_stand_in_the_way_of_a_job(run: Command) -> None:
    Path("fanin.toml").write_text('runs = 3\nmax_tokens = 99\nsystem = "Be brief."\n')
    assert run("batch", "q.jsonl", "--panel", "panel.toml", "-q").code == 0
    ended = run("batch", "q.jsonl", "--mode", "quick", "--backend", "fake", "-m", "1. x. Answer: no", "-q")
    assert ended.code == 0, ended.err


REFUSED = [
    ("--panel", "panel.toml", "--runs", "3", "--runs does not go with --panel"),
    ("--panel", "panel.toml", "--stop", "decided", "--stop does not go with --panel"),
    ("--panel", "panel.toml", "--budget-runs", "9", "--budget-runs does not go with --panel"),
    ("--panel", "panel.toml", "--warm-prefix", "--warm-prefix does not go with --panel"),
    ("--panel", "panel.toml", "--answer", "text", "--answer does not go with --panel"),
    ("--panel", "panel.toml", "--choices", "a,b", "--choices does not go with --panel"),
    ("--panel", "panel.toml", "--system", "x", "--system does not go with --panel"),
    ("--panel", "panel.toml", "--max-tokens", "0", "--max-tokens must be a whole number from 1"),
    ("--panel", "panel.toml", "--temperature", "9", "--temperature must be from 0 to 2"),
    ("--panel", "panel.toml", "--judge", "m", "--judge does not go with --panel"),
    ("--mode", "quick", "--cluster", "judge", "--cluster does not go with --mode"),
    ("--panel", "panel.toml", "--format", "openai", "cannot be written as openai"),
    ("--panel", "panel.toml", "-o", "r.csv", "cannot be written as csv"),
    ("--panel", "panel.toml", "--mode", "quick", "exclude one another"),
    ("--panel", "panel.toml", "-m", "a", "-m", "b", "--panel goes with one --model"),
    ("--panel", "none.toml", "none.toml: there is no such file"),
    ("--panel", "q.jsonl", "not valid TOML"),
    ("--panel", "panel.toml", "--max-cost", "1", "--max-cost must be left out where no price is known"),
    ("--mode", "deep", "--mode must be one of quick, balanced, thorough, research"),
    ("--mode", "quick", "--modes", "quick", "--mode and --modes exclude one another"),
    ("--panel", "panel.toml", "--modes", "quick", "--panel and --modes exclude one another"),
    ("--modes", "quick,deep", "mode must be one of quick, balanced, thorough, research, not 'deep'"),
    ("--mode", "quick", "--runs", "3", "--budget-runs", "9", "--budget-runs must be left out with"),
    ("--mode", "quick", "--runs", "0", "--runs must be a whole number from 1"),
    ("--mode", "quick", "--quorum", "3", "it is about votes (--runs N is a vote over N analyses)"),
    ("--mode", "quick", "--temperature-step", "0", "--temperature-step does not go with --mode"),
    ("--mode", "quick", "--format", "parquet", "cannot be written as parquet"),
    ("--mode", "quick", "--system", "a", "--system", "b", "--mode goes with one --system"),
]


@pytest.mark.parametrize("words", REFUSED, ids=lambda words: " ".join(words[:-1]))
def test_what_does_not_go_with_a_job_is_exit_2(run: Command, words: tuple[str, ...]) -> None:
    before = {path.name for path in Path().iterdir()}
    ended = run("batch", "q.jsonl", "--backend", "fake", *words[:-1])
    assert (ended.code, ended.out) == (2, "")
    assert words[-1] in ended.err
    assert {path.name for path in Path().iterdir()} == before


def test_a_journal_is_written_over_only_when_nothing_is_wrong(run: Command) -> None:
    words = ("batch", "q.jsonl", "--backend", "fake", "-m", "yes", "-o", "r.jsonl")
    assert run(*words).code == 0
    before = {path.name: path.read_bytes() for path in Path().glob("r.jsonl*")}
    assert run(*words, "--overwrite", "--max-cost", "1").code == 2
    assert {path.name: path.read_bytes() for path in Path().glob("r.jsonl*")} == before


def test_errors_of_a_job_of_one_s_own_are_bad_rows() -> None:
    async def job(item: Item, _: Any) -> dict[str, Any]:
        raise FaninError(f"{item.id} is not to be had")

    rows, _ = done(Scripted(analysed()), job=job, count=1)
    assert rows[0].error == "i1 is not to be had"
