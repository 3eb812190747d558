"""Asking questions with known answers: each once, as many at once as allowed, and kept whatever happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from command import Command
from doubles import Scripted, down
from hypothesis import given
from hypothesis import strategies as st
from standin import StandIn, chat
from virtual_time import LOOPS, costly, run_virtual

import fanin
import fanin.asking
from fanin.answers import YesNo
from fanin.asking import Asked, Calls, ask_labelled
from fanin.backend import Capabilities
from fanin.errors import CallError, FaninError, InputError
from fanin.labelled import Labelled, read_labelled
from fanin.policy.pricing import Price
from fanin.terms import Interrupt
from fanin.values import Completion, Question, Request, Usage


@pytest.fixture
def fanin_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def labelled(questions: int = 4, **changes: Any) -> str:
    lines = [
        {"question": f"Is {number} even?", "label": "no" if number % 2 else "yes", "answer": "yes/no"}
        for number in range(questions)
    ]
    Path("labelled.jsonl").write_text("\n".join(json.dumps({**line, **changes}) for line in lines), "utf-8")
    return "labelled.jsonl"


QUESTIONS = [Labelled(f"q{number}", Question(f"Is {number} even?"), YesNo(), "yes") for number in range(6)]


def asked_of(
    backend: Scripted,
    *questions: Labelled,
    loop: str = "asyncio",
    calls: Calls | None = None,
    **options: Any,
) -> Asked:
    """What came of asking `questions` (all of them where none is named) of that backend."""

    class Opened:
        async def __aenter__(self) -> Scripted:
            return backend

        async def __aexit__(self, *_: object) -> None:
            await backend.aclose()

    async def ask() -> Asked:
        return await ask_labelled(questions or QUESTIONS, calls or Calls(runs=2), **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fanin.asking, "connect", lambda *_, **__: Opened())
        return run_virtual(loop, ask)


def even(request: Request) -> str:
    """The right answer."""
    number = int(request.messages[-1].content.split()[1])
    return "Answer: yes" if number % 2 == 0 else "Answer: no"


@costly
@given(runs=st.integers(1, 6), concurrency=st.integers(1, 12), loop=st.sampled_from(LOOPS))
def test_every_question_is_asked_once_and_no_more_calls_are_in_flight_than_allowed(
    runs: int, concurrency: int, loop: str
) -> None:
    backend = Scripted(even, latency_s=lambda request: 1 + request.index, limited=False)
    asked = asked_of(backend, loop=loop, calls=Calls(runs=runs, concurrency=concurrency))
    assert backend.most_in_flight <= concurrency
    assert len(backend.sent) == runs * len(QUESTIONS)
    assert backend.closed == 1
    found = [json.loads(line) for line in asked.lines]
    assert [line["id"] for line in found] == [one.id for one in QUESTIONS]
    assert [line["samples"][0]["answer"] for line in found] == ["yes", "no"] * 3
    assert {len(line["samples"]) for line in found} == {runs}
    assert (asked.new, asked.ended) == (len(QUESTIONS), None)


def test_the_bytes_do_not_depend_on_who_answers_first() -> None:
    quick = asked_of(Scripted(even, limited=False))
    late = Scripted(even, latency_s=lambda request: 60 - int(request.messages[-1].content.split()[1]))
    assert asked_of(late, calls=Calls(runs=2, concurrency=12)).lines == quick.lines


def test_what_is_kept_is_not_asked_again() -> None:
    asked_of(Scripted(even), *QUESTIONS[:4], save="votes.jsonl")
    before = Path("votes.jsonl").read_text("utf-8")
    backend = Scripted(even)
    asked = asked_of(backend, save="votes.jsonl")
    assert len(backend.sent) == 2 * 2
    assert (asked.new, len(asked.lines)) == (2, 6)
    assert Path("votes.jsonl").read_text("utf-8").startswith(before)
    again = asked_of(Scripted(lambda request: down()), save="votes.jsonl")
    assert (again.new, again.lines) == (0, asked.lines)


def test_questions_of_another_file_stay_in_the_one_that_keeps_them() -> None:
    asked_of(Scripted(even), *QUESTIONS[3:], save="votes.jsonl")
    asked = asked_of(Scripted(even), *QUESTIONS[:2], save="votes.jsonl")
    kept = [json.loads(line)["id"] for line in Path("votes.jsonl").read_text().splitlines()]
    assert kept == ["q0", "q1", "q3", "q4", "q5"]
    assert len(asked.lines) == 2


def test_a_line_that_was_cut_off_is_asked_anew() -> None:
    asked = asked_of(Scripted(even), save="votes.jsonl")
    whole = Path("votes.jsonl").read_bytes()
    Path("votes.jsonl").write_bytes(whole[:-40])
    backend = Scripted(even)
    assert asked_of(backend, save="votes.jsonl").lines == asked.lines
    assert len(backend.sent) == 2
    assert Path("votes.jsonl").read_bytes() == whole


@pytest.mark.parametrize(
    ("calls", "text"),
    [
        (Calls(runs=3), "it was asked with other models, prompts, temperatures or another number of runs"),
        (Calls(runs=2, temperature=0.1), "it was asked with other models"),
        (Calls(runs=2, system=("Be brief.",)), "it was asked with other models"),
    ],
)
def test_votes_of_other_runs_are_never_mixed_in(calls: Calls, text: str) -> None:
    asked_of(Scripted(even), save="votes.jsonl")
    with pytest.raises(FaninError, match=text) as raised:
        asked_of(Scripted(even), calls=calls, save="votes.jsonl")
    assert raised.value.message.startswith("votes.jsonl, line 1: ")
    assert raised.value.mend == "Name another file to --save."


def test_another_question_under_a_known_id_is_refused_before_any_call() -> None:
    asked_of(Scripted(even), save="votes.jsonl")
    backend = Scripted(even)
    other = Labelled("q1", Question("Is 1 even?"), YesNo(), "no")
    with pytest.raises(FaninError, match="line 2: it has another question, or another label, under the id"):
        asked_of(backend, QUESTIONS[0], other, save="votes.jsonl")
    assert backend.sent == []


@pytest.mark.parametrize("text", ["what is this?\n", "[]\n", '{"id": 1}\n', '{"id": 1, "samples": [5]}\n'])
def test_a_file_that_holds_something_else_is_left_alone(text: str) -> None:
    Path("votes.jsonl").write_text(text)
    with pytest.raises(FaninError, match=r"votes\.jsonl, line 1: it holds no stored votes"):
        asked_of(Scripted(even), save="votes.jsonl")
    assert Path("votes.jsonl").read_text() == text


def test_where_nothing_comes_back_no_further_question_is_begun() -> None:
    def reply(request: Request) -> Any:
        refused = CallError("auth", "no such key", status=401, final=True)
        return refused if "Is 2" in request.messages[-1].content else even(request)

    backend = Scripted(reply)
    asked = asked_of(backend, calls=Calls(runs=2, concurrency=2), save="votes.jsonl")
    assert asked.ended is not None
    assert {failure.kind for failure in asked.ended.failures} == {"auth"}
    assert len(asked.lines) == 2
    assert len(backend.sent) == 6
    assert len(Path("votes.jsonl").read_text().splitlines()) == 2


def test_a_question_that_the_model_refuses_is_no_reason_to_stop() -> None:
    def reply(request: Request) -> Any:
        refused = CallError("bad_request", "the prompt is too long", status=400, final=True)
        return refused if "Is 2" in request.messages[-1].content else even(request)

    asked = asked_of(Scripted(reply))
    assert (asked.ended, asked.new) == (None, 6)
    answers = [[sample["answer"] for sample in json.loads(line)["samples"]] for line in asked.lines]
    assert answers[2] == [None, None]


@pytest.mark.parametrize("loop", LOOPS)
def test_an_interrupt_keeps_what_is_answered_and_nothing_else(loop: str) -> None:
    interrupt = Interrupt()

    def done(kept: int) -> None:
        if kept == 3:
            interrupt.stop()

    backend = Scripted(even, latency_s=lambda request: 1)
    asked = asked_of(
        backend,
        loop=loop,
        save="votes.jsonl",
        calls=Calls(runs=2, concurrency=2),
        interrupt=interrupt,
        done=done,
    )
    assert asked.ended is not None
    assert asked.ended.stopped.by == "interrupt"
    assert len(asked.lines) == 3
    assert asked_of(Scripted(even), save="votes.jsonl").new == 3


def test_the_first_error_of_a_vote_is_raised() -> None:
    def reply(request: Request) -> Any:
        raise FaninError("the tape does not hold it")

    with pytest.raises(FaninError, match="the tape does not hold it"):
        asked_of(Scripted(reply))


def test_each_run_costs_what_its_own_model_costs() -> None:
    reply = Completion("Answer: yes", usage=Usage(1_000_000, 0))
    backend = Scripted(lambda request: reply)
    asked = asked_of(
        backend, QUESTIONS[0], model=("small", "large"), price={"small": Price(1, 0), "large": Price(5, 0)}
    )
    # The double gives the models that it was connected with; here it is asked for its default.
    assert [sample["cost"] for sample in json.loads(asked.lines[0])["samples"]] == [None, None]
    priced = asked_of(backend, QUESTIONS[0], price={"default": Price(5, 0)})
    assert [sample["cost"] for sample in json.loads(priced.lines[0])["samples"]] == [5.0, 5.0]


def test_what_is_wrong_with_the_runs_is_said_before_any_call() -> None:
    backend = Scripted(even)
    with pytest.raises(InputError, match="runs must be"):
        asked_of(backend, calls=Calls(runs=0), save="votes.jsonl")
    assert backend.sent == []
    assert not Path("votes.jsonl").exists()


def test_eval_asks_and_what_it_saved_is_measured_alike_without_asking(fanin_command: Command) -> None:
    words = ("--backend", "fake", "-m", "yes,yes,no", "--runs", "3")
    rest = ("--labels", "2", "--draws", "2", "--stop", "decided", "--json")
    asked = fanin_command("eval", labelled(), *words, *rest, "--save", "votes.jsonl")
    assert asked.code == 0, asked.err
    assert "asked 4 questions, 12 runs, 0 of them without a vote" in asked.err
    again = fanin_command("eval", "votes.jsonl", "--runs", "3", *rest)
    assert again.out == asked.out
    assert json.loads(again.out)["models"] == ["yes,yes,no"]
    held = fanin_command("eval", labelled(), *words, *rest, "--save", "votes.jsonl")
    assert held.out == asked.out
    assert "asked" not in held.err


def test_log_probabilities_that_do_not_come_are_missed_aloud(fanin_command: Command) -> None:
    words = ("--backend", "fake", "--labels", "2", "--draws", "2", "--stop", "decided", "--logprobs")
    ended = fanin_command("eval", labelled(), *words)
    assert ended.code == 0, ended.err
    assert "not every vote came with a log-probability" in ended.err


def test_log_probabilities_are_asked_for_and_kept() -> None:
    backend = Scripted(lambda request: Completion("Answer: yes", logprob=-0.5 if request.logprobs else None))
    backend.capabilities = Capabilities(limited=False, http=False, logprobs=True)
    for wanted, logprob in ((True, -0.5), (False, None)):
        asked = asked_of(backend, QUESTIONS[0], calls=Calls(runs=1, logprobs=wanted))
        assert json.loads(asked.lines[0])["samples"][0].get("logprob") == logprob


def test_calibrate_asks_too(fanin_command: Command) -> None:
    words = ("--backend", "fake", "-m", "yes,no,yes", "--runs", "3", "-o", "cal.json")
    ended = fanin_command("calibrate", labelled(), *words, "--save", "votes.jsonl")
    assert ended.code == 0, ended.err
    assert "cal.json: made from 4 labels for votes of 3 runs" in ended.err
    assert fanin_command("calibrate", "votes.jsonl", "--runs", "3", "-o", "other.json").code == 0
    assert Path("other.json").read_text() == Path("cal.json").read_text()


@pytest.mark.parametrize(
    ("command", "changes", "words", "said"),
    [
        ("eval", {"label": "perhaps"}, (), "labelled.jsonl, line 1: the label 'perhaps' is not of the type"),
        ("eval", {}, ("--labels", "4"), "--labels must be fewer than the 4 questions with a known answer"),
        ("eval", {"label": None}, ("--labels", "1"), "must be some with a known answer"),
        ("eval", {}, ("--labels", "2", "--stop", "often"), "stop must be"),
        ("eval", {}, ("--labels", "2", "--record", "a", "--replay", "b"), "exclude one another"),
        ("eval", {}, ("--labels", "2", "--temperature", "9"), "--temperature must be from 0 to 2"),
        ("eval", {}, ("--labels", "2", "-j", "0"), "--concurrency must be"),
        ("eval", {}, ("--labels", "2", "--retries", "-1"), "--retries must be"),
        ("eval", {}, ("--labels", "2", "--max-tokens", "0"), "--max-tokens must be"),
        ("calibrate", {"label": "yes"}, ("-o", "cal.json"), "of more than one class"),
        ("eval", {"answer": "choice"}, (), "line 1: it has no choices, and --choices names none"),
    ],
)
def test_bad_input_ends_with_2_before_any_call(
    fanin_command: Command, command: str, changes: dict[str, Any], words: tuple[str, ...], said: str
) -> None:
    asking = ("--backend", "fake", "-m", "!auth", "--save", "votes.jsonl")
    ended = fanin_command(command, labelled(**changes), *asking, *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "auth" not in ended.err
    assert not Path("votes.jsonl").exists()


def test_save_goes_with_asking(fanin_command: Command) -> None:
    ended = fanin_command("eval", labelled(), "--save", "votes.jsonl")
    assert ended.code == 2
    assert "name a --backend" in ended.err


def test_a_refused_key_ends_with_5_and_says_what_is_kept(fanin_command: Command) -> None:
    words = ("--backend", "fake", "-m", "!auth", "--labels", "2")
    ended = fanin_command("eval", labelled(), *words, "--save", "votes.jsonl")
    assert (ended.code, ended.out) == (5, "")
    assert "5 runs failed (auth)" in ended.err
    assert "0 of 4 questions are answered, kept in votes.jsonl: run the same again to go on" in ended.err
    assert "with --save they would be kept" in fanin_command("eval", labelled(), *words).err


def test_what_is_configured_holds_for_asking_but_for_the_number_of_runs(fanin_command: Command) -> None:
    Path("fanin.toml").write_text('backend = "fake"\nmodel = "yes,no"\nruns = 9\ntemperature = 0.1\n')
    words = ("--backend", "fake", "--labels", "2", "--draws", "2", "--save", "votes.jsonl")
    ended = fanin_command("eval", labelled(), *words)
    assert ended.code == 0, ended.err
    samples = json.loads(Path("votes.jsonl").read_text().splitlines()[0])["samples"]
    assert len(samples) == 5
    assert (samples[0]["temperature"], samples[0]["model"]) == (0.1, "yes,no")


def test_what_was_asked_under_a_tape_is_measured_alike_in_its_replay(fanin_command: Command) -> None:
    answers = [chat(f"Answer: {answer}") for answer in ("yes", "no", "yes")]
    questions = read_labelled(labelled())
    with StandIn(answers) as server:

        async def ask() -> Asked:
            url = f"{server.url}/v1"
            return await ask_labelled(
                questions, Calls(runs=2, concurrency=1), backend="openai", model=("m",), base_url=url
            )

        with fanin.tape("tape.json", mode="all"):
            asked = anyio.run(ask)
        assert server.paths() == ["/v1/chat/completions"] * 8
    rest = ("--runs", "2", "--labels", "2", "--draws", "2", "--stop", "decided", "--json")
    replayed = fanin_command("eval", labelled(), *rest, "--replay", "tape.json", "--save", "votes.jsonl")
    assert replayed.code == 0, replayed.err
    assert Path("votes.jsonl").read_text().splitlines() == list(asked.lines)
    missing = fanin_command("eval", labelled(5), *rest, "--replay", "tape.json", "--save", "votes.jsonl")
    assert missing.code == 2
    assert "asks what is not on the tape" in missing.err
    assert len(Path("votes.jsonl").read_text().splitlines()) == 4
