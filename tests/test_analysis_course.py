"""The course of an analysis: which action comes next, and what every reply makes of it; nothing waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.analysed import Assessment, Course, Mode, Step
from fanin.answers import YesNo
from fanin.errors import InputError
from fanin.policy.analysing import (
    MODES,
    Action,
    as_mode,
    as_modes,
    fits,
    modes_of,
    most_calls,
    next_action,
    systems_for,
    unaffordable,
    worst_usd,
)
from fanin.policy.pricing import Price
from fanin.policy.variation import seed_of
from fanin.stages.account import analysis_of, outcome_of, with_analyses
from fanin.stages.advance import CHECK, advance, tasks_in
from fanin.stages.combine import split
from fanin.stages.conclude import conclude
from fanin.stages.fan_out import fan_out
from fanin.stages.gather import gather
from fanin.stages.inquire import requests_for
from fanin.stages.isolate import isolate
from fanin.values import (
    Completion,
    Failure,
    Message,
    Outcome,
    Plan,
    Question,
    Request,
    Run,
    Sample,
    Stopped,
    Usage,
    Variation,
)

PROMPTS = Path(__file__).parent / "analysis_prompts.txt"

PLAN = Plan(Question("Is it?", "the text"), YesNo(), Variation(("m",)), runs=1)
[RUN] = fan_out(PLAN)
QUICK = MODES["quick"]


def came(text: str, finish: Any = "stop", usage: Usage | None = None) -> Sample:
    return Sample(0, Completion(text, finish, usage or Usage(3, 1)))


def failed(kind: Any = "server") -> Failure:
    return Failure(0, kind, "it failed")


def after(mode: Mode, *steps: tuple[Action, list[Outcome]]) -> Course:
    """The course after these actions came to these outcomes."""
    course = Course(mode)
    for action, outcomes in steps:
        assert next_action(course) == action
        course = advance(course, action, outcomes)
    return course


# --- the modes


def test_the_modes_are_those_that_are_documented() -> None:
    rounds = {name: (mode.min_iterations, mode.max_iterations) for name, mode in MODES.items()}
    assert rounds == {"quick": (1, 2), "balanced": (2, 3), "thorough": (3, 4), "research": (4, 5)}
    assert [most_calls(mode) for mode in MODES.values()] == [8, 16, 25, 36]


def test_every_setting_can_be_overridden() -> None:
    given: dict[str, Any] = {
        "min_iterations": 3,
        "max_iterations": 7,
        "candidate_plans": 4,
        "max_steps": 6,
        "temperature_offset": -0.5,
        "reasoning_effort": "medium",
        "cost_limit_usd": 0.5,
    }
    assert attrs.asdict(as_mode("quick", **given)) == {"name": "quick", **given}
    assert as_mode("Balanced ", **dict.fromkeys(given)) == MODES["balanced"]


def test_one_bound_of_the_rounds_takes_the_other_along() -> None:
    assert as_mode("quick", min_iterations=5).max_iterations == 5
    assert as_mode("research", max_iterations=2).min_iterations == 2
    assert as_mode("balanced", max_iterations=5).min_iterations == 2
    assert as_mode("balanced", max_iterations=1).min_iterations == 1


@pytest.mark.parametrize(
    ("name", "overrides", "said"),
    [
        ("thorogh", {}, "mode must be one of quick, balanced, thorough, research, not 'thorogh'"),
        ("", {}, "mode must be one of"),
        (3, {}, "mode must be one of"),
        ("quick", {"max_iterations": 0}, "max_iterations must be a whole number from 1 to 20, not 0"),
        ("quick", {"min_iterations": 0}, "min_iterations must be a whole number from 1 to 20, not 0"),
        ("quick", {"min_iterations": 3, "max_iterations": 2}, "max_iterations must be at least"),
        ("quick", {"candidate_plans": 0}, "candidate_plans must be a whole number from 1 to 10"),
        ("quick", {"candidate_plans": True}, "candidate_plans must be a whole number"),
        ("quick", {"max_steps": 21}, "max_steps must be a whole number from 1 to 20"),
        ("quick", {"temperature_offset": float("nan")}, "temperature_offset must be from -2 to 2"),
        ("quick", {"reasoning_effort": "much"}, "reasoning_effort must be one of none, minimal"),
        ("quick", {"cost_limit_usd": 0}, "cost_limit_usd must be a number of US dollars above 0"),
    ],
)
def test_bad_settings(name: Any, overrides: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        as_mode(name, **overrides)


def test_the_nearest_mode_is_named() -> None:
    with pytest.raises(InputError) as raised:
        as_mode("thorogh")
    assert raised.value.mend == "Did you mean thorough?"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ((), r"^mode must be a mode's name, or several, not \(\)$"),
        (5, "^mode must be a mode's name, or several, not 5$"),
        (["quick", "slow"], "^mode must be one of .*, not 'slow'$"),
    ],
)
def test_bad_lists_of_modes(bad: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        as_modes(bad)


def test_lists_of_modes() -> None:
    assert as_modes(None) == ()
    assert as_modes("quick") == (QUICK,)
    assert as_modes(["quick", MODES["research"]]) == (QUICK, MODES["research"])


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
    st.integers(min_value=0, max_value=9),
)
def test_every_model_meets_every_mode_and_system_before_the_temperature_rises(
    models: int, systems: int, modes: int, shuffled: bool, seed: int
) -> None:
    some = [attrs.evolve(QUICK, name=str(number)) for number in range(modes)]
    told = [f"system {number}" for number in range(systems)]
    named = tuple(f"m{number}" for number in range(models))
    variation = Variation(named, systems_for(some, told), 0.1, seed=seed, shuffled=shuffled)
    runs = models * systems * modes
    plan = Plan(Question("Is it?"), YesNo(), variation, runs=2 * runs)
    met = [
        (run.temperature, run.model, run.system, mode.name)
        for run, mode in zip(fan_out(plan), modes_of(plan, some), strict=True)
    ]
    assert len(set(met)) == 2 * runs


# --- what comes next


def simulated(mode: Mode, draw: Any) -> Course:
    """An analysis of which every outcome is drawn."""
    course = Course(mode)
    while (action := next_action(course)) != "end":
        requests = requests_for(course, action, PLAN, RUN)
        course = advance(course, action, [draw() for _ in requests])
    return course


REPLIES = st.one_of(
    st.sampled_from(
        [
            "1. a\n2. b\n3. c",
            "1. new\nAnswer: yes",
            "Answer: no",
            "Answer: 2",
            "",
            "- x\n- y",
            "=== Step 1 ===\nAnswer: yes",
            "<think>1. a",
        ]
    ).map(came),
    st.sampled_from(["1. d\n2. e\nAnswer: yes", "Answer: yes"]).map(lambda text: came(text, "length")),
    st.just(came("No.", "refusal")),
    st.sampled_from(["server", "malformed", "timeout", "auth"]).map(failed),
    st.text(max_size=30).map(came),
)
MODES_DRAWN = st.builds(
    lambda low, more, plans, steps: Mode("m", low, low + more, plans, steps),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(1, 3),
    st.integers(1, 3),
)


@given(MODES_DRAWN, st.data())
def test_an_analysis_ends_and_loses_nothing(mode: Mode, data: st.DataObject) -> None:
    drawn: list[Outcome] = []

    def draw() -> Outcome:
        drawn.append(data.draw(REPLIES))
        return drawn[-1]

    course = simulated(mode, draw)
    assert course.asked == len(drawn) <= most_calls(mode)
    assert len(course.used) == sum(isinstance(outcome, Sample) for outcome in drawn)
    assert course.iteration <= mode.max_iterations
    assert [step.index for step in course.steps] == list(range(len(course.steps)))
    assert len(course.drafts) == mode.candidate_plans
    if course.ended in ("complete", "iterations"):
        assert mode.min_iterations <= course.iteration
    made = analysis_of(course, PLAN, RUN, backend="b", prices={})
    assert made.success == (made.problem is None) == (made.focused_answer is not None)
    assert isinstance(outcome_of(course, RUN), Sample) == (course.focused is not None)
    assert made.to_json().isascii() or made.to_json().isprintable()


def test_the_usual_course() -> None:
    course = after(
        QUICK,
        ("plan", [came("1. Look at a\n2. Look at b")]),
        ("step", [came("It is so.")]),
        ("step", [came("It is.")]),
        ("assess", [came("1. Look at c\nAnswer: yes")]),
        ("step", [came("So is c.")]),
        ("synthesize", [came("All in all it is.")]),
        ("focus", [came("Answer: yes")]),
    )
    assert next_action(course) == "end"
    made = analysis_of(course, PLAN, RUN, backend="b", prices={None: Price(1, 1)})
    assert (made.success, made.final_answer, made.focused_answer) == (True, "All in all it is.", "yes")
    assert made.plan == ("Look at a", "Look at b")
    assert (made.iterations, made.ended, made.calls) == (2, "iterations", 7)
    assert [(step.iteration, step.task, step.text) for step in made.steps] == [
        (1, "Look at a", "It is so."),
        (1, "Look at b", "It is."),
        (2, "Look at c", "So is c."),
    ]
    assert (made.usage, made.cost_usd) == (Usage(21, 7), 0.000028)
    assert (made.question, made.backend, made.model, made.temperature) == ("Is it?", "b", "m", 0.6)
    assert (made.problem, made.chosen, made.chosen_by, made.events) == (None, 0, "only", ())
    by_name = analysis_of(course, PLAN, RUN, backend="b", prices={"m": Price(0, 1), None: Price(9, 9)})
    assert by_name.cost_usd == 0.000007


def test_a_judging_call_only_where_there_is_a_choice() -> None:
    mode = as_mode("quick", candidate_plans=3)
    chosen = after(mode, ("plan", [came("1. a"), failed(), came("1. b")]), ("judge", [came("Answer: 2")]))
    assert (chosen.chosen, chosen.chosen_by, chosen.todo) == (2, "judge", ("b",))
    first = after(mode, ("plan", [came("1. a"), failed(), came("1. b")]), ("judge", [came("Answer: 1")]))
    assert (first.chosen, first.chosen_by, first.todo) == (0, "judge", ("a",))
    same = after(mode, ("plan", [came("1. a"), came("no list"), came("1. a")]))
    assert (same.chosen, same.chosen_by, next_action(same)) == (0, "only", "step")
    assert same.notes == ("Plan 2 cannot be used: the reply holds no list of steps.",)


@pytest.mark.parametrize(
    ("judged", "why"),
    [
        (came("Answer: 3"), "there is no plan 3"),
        (came("Answer: 0"), "there is no plan 0"),
        (came("Answer: 1.5"), "there is no plan 1.5"),
        (came("Either."), 'no answer line: "Either."'),
        (failed(), "the call failed (server)"),
        (came("", "refusal"), "refused"),
    ],
)
def test_a_judging_call_that_chooses_nothing_is_said(judged: Outcome, why: str) -> None:
    mode = as_mode("quick", candidate_plans=2)
    course = after(mode, ("plan", [came("1. a"), came("1. b")]), ("judge", [judged]))
    assert (course.chosen, course.chosen_by) == (0, "first")
    assert course.notes == (f"The judging call chose no plan ({why}); the first usable one was taken.",)


def test_no_assessment_after_the_last_round() -> None:
    mode = as_mode("quick", max_iterations=1)
    course = after(mode, ("plan", [came("1. a")]), ("step", [came("so")]))
    assert (course.ended, next_action(course)) == ("iterations", "synthesize")


def test_the_least_rounds_are_taken_even_where_nothing_is_missing() -> None:
    mode = as_mode("quick", min_iterations=2)
    course = after(mode, ("plan", [came("1. a")]), ("step", [came("so")]), ("assess", [came("Answer: no")]))
    assert (course.iteration, course.todo) == (2, (CHECK,))


@pytest.mark.parametrize(
    ("reply", "assessed", "ended"),
    [
        (came("Answer: no"), Assessment(1, True), "complete"),
        (came("Who knows?"), Assessment(1, None, (), 'no answer line: "Who knows?"'), "unassessed"),
        (failed(), Assessment(1, None, (), "the call failed (server)"), "unassessed"),
        (came("Answer: yes"), Assessment(1, False, (), "it names no step that is new"), "unassessed"),
        (came("1. A\nAnswer: yes"), Assessment(1, False, (), "it names no step that is new"), "unassessed"),
        (came("1. A\n2. b\n3. c\n4. d\nAnswer: yes"), Assessment(1, False, ("b",)), None),
    ],
)
def test_what_an_assessment_comes_to(reply: Outcome, assessed: Assessment, ended: str | None) -> None:
    course = after(QUICK, ("plan", [came("1. a")]), ("step", [came("so")]), ("assess", [reply]))
    assert (course.assessments, course.ended, course.todo) == ((assessed,), ended, assessed.missing)


def test_a_failed_step_is_kept_and_the_others_go_on() -> None:
    course = after(
        as_mode("quick", max_iterations=1, max_steps=4),
        ("plan", [came("1. a\n2. b\n3. c\n4. d")]),
        ("step", [failed()]),
        ("step", [came("", "stop")]),
        ("step", [came("half of", "length")]),
        ("step", [came("I will not.", "refusal")]),
        ("synthesize", [came("It is.")]),
    )
    assert [step.status for step in course.steps] == ["failed", "empty", "cut", "refused"]
    assert course.steps == (
        Step(0, 1, "a", "failed", failure=failed()),
        Step(1, 1, "b", "empty"),
        Step(2, 1, "c", "cut", "half of"),
        Step(3, 1, "d", "refused"),
    )
    assert (next_action(course), course.notes) == ("focus", ())
    cut = advance(attrs.evolve(course, synthesis=None), "synthesize", [came("It is, sin", "length")])
    assert cut.synthesis == "It is, sin"
    assert cut.notes == ("The synthesis was cut off by its limit of tokens.",)


def test_without_any_finding_nothing_is_concluded() -> None:
    mode = as_mode("quick", max_iterations=1)
    course = after(mode, ("plan", [came("1. a")]), ("step", [failed()]))
    assert next_action(course) == "end"
    made = analysis_of(course, PLAN, RUN, backend="b", prices={})
    assert (made.success, made.final_answer) == (False, None)
    assert made.problem == "None of the steps taken (1) found anything to conclude from."
    assert outcome_of(course, RUN) == Failure(0, "malformed", made.problem, 2)


@pytest.mark.parametrize("kind", ["auth", "quota", "deadline", "interrupted"])
def test_a_failure_that_every_call_would_meet_ends_it(kind: str) -> None:
    course = after(QUICK, ("plan", [came("1. a\n2. b")]), ("step", [came("so")]), ("step", [failed(kind)]))
    assert (next_action(course), course.failure) == ("end", failed(kind))
    made = analysis_of(course, PLAN, RUN, backend="b", prices={})
    assert (made.failure, made.problem, len(made.steps)) == (failed(kind), "it failed", 2)
    late = after(QUICK, ("plan", [came("1. a")]), ("step", [came("so")]), ("assess", [came("Answer: no")]))
    for action in ("synthesize", "focus"):
        assert advance(late, action, [failed()]).failure == failed()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcomes", "kind"),
    [([failed()], "server"), ([came("No idea.")], "malformed"), ([came("", "refusal")], "malformed")],
)
def test_without_a_plan_it_ends(outcomes: list[Outcome], kind: str) -> None:
    course = after(QUICK, ("plan", outcomes))
    assert next_action(course) == "end"
    assert course.failure is not None
    assert course.failure.kind == kind


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (failed(), "it failed"),
        (came(""), "The synthesis was empty."),
        (came("No.", "content_filter"), "The synthesis was refused."),
    ],
)
def test_without_a_synthesis_it_ends(reply: Outcome, problem: str) -> None:
    mode = as_mode("quick", max_iterations=1)
    course = after(mode, ("plan", [came("1. a")]), ("step", [came("so")]), ("synthesize", [reply]))
    made = analysis_of(course, PLAN, RUN, backend="b", prices={})
    assert (next_action(course), made.success, made.problem) == ("end", False, problem)
    assert made.failure is not None
    assert (made.failure.index, made.failure.kind) == (0, "server" if reply == failed() else "malformed")
    assert made.steps[0].text == "so"


def test_a_focused_answer_that_cannot_be_read_leaves_the_final_one() -> None:
    mode = as_mode("quick", max_iterations=1)
    course = after(
        mode,
        ("plan", [came("1. a")]),
        ("step", [came("so")]),
        ("synthesize", [came("It is.")]),
        ("focus", [came("Hard to say.")]),
    )
    made = analysis_of(course, PLAN, RUN, backend="b", prices={})
    assert (made.success, made.final_answer, made.focused_answer) == (False, "It is.", None)
    assert made.problem is not None
    assert "could not be read: no answer line" in made.problem


def test_unknown_tokens_stay_unknown() -> None:
    course = after(QUICK, ("plan", [came("1. a", usage=Usage())]), ("step", [came("so")]))
    made = analysis_of(course, PLAN, RUN, backend="b", prices={None: Price(1, 1)})
    assert (made.usage, made.cost_usd) == (Usage(None, None), None)


# --- lists of steps


@pytest.mark.parametrize(
    "reply",
    [
        "1. Look at a\n2. Look at b",
        "Here is the plan:\n\n1) Look at a\n2) Look at b\n\nThat is all.",
        "**1.** Look at a\n**2.** Look at b",
        "### Step 1: Look at a\n### Step 2: Look at b",
        "- Look at a\n- Look at b",
        "* **Look at a**\n* **Look at b**",
        "1. Look\n   at a\n2. Look at b\nAnswer: yes",
        "1. Look at a\n2. Look at b\n3. look at A\n",
        "<think>1. No</think>\n1. Look at a\n2. Look at b",
    ],
)
def test_a_list_in_any_dress(reply: str) -> None:
    assert tasks_in(reply, 5) == ("Look at a", "Look at b")


@pytest.mark.parametrize("reply", ["", "Just do it.", "Answer: 1. yes", "1.5 is a number", "<think>1. a"])
def test_no_list(reply: str) -> None:
    assert tasks_in(reply, 5) == ()


@given(st.text(), st.integers(1, 5))
def test_whatever_is_written_a_task_is_one_line(reply: str, most: int) -> None:
    tasks = tasks_in(reply, most)
    assert len(tasks) <= most
    assert all(len(task.splitlines()) == 1 and 0 < len(task) <= 500 for task in tasks)
    assert len({task.casefold() for task in tasks}) == len(tasks)


# --- what is asked


@given(st.text(min_size=1).filter(str.strip), st.text(), st.text(min_size=1).map(lambda text: f"x{text}"))
def test_the_question_stands_word_for_word_and_no_text_forges_another(
    question: str, context: str, found: str
) -> None:
    plan = attrs.evolve(PLAN, question=Question(question, context))
    mode = as_mode("quick", max_iterations=1)
    course = after(mode, ("plan", [came("1. a\n2. b")]), ("step", [came(found)]))
    [request] = requests_for(course, "step", plan, RUN)
    text = request.messages[-1].content
    assert question in text
    parts = dict(split(text[text.index("What stands under the") :].partition("\n\n")[2]))
    assert ("Text" in parts) == bool(context)
    if context:
        assert parts["Text"] == context
    if course.steps[0].usable:
        assert parts["Step 1"] == f"Task: a\n\n{course.steps[0].text}"


def test_every_call_has_a_seed_and_a_temperature_of_its_own_kind() -> None:
    mode = as_mode("quick", candidate_plans=3, temperature_offset=0.2, max_iterations=1)
    run = attrs.evolve(RUN, system="be brief")
    course = Course(mode)
    seeds, warm = [], []
    for action, reply in [
        ("plan", "1. a"),
        ("judge", "Answer: 1"),
        ("step", "so"),
        ("synthesize", "It is."),
        ("focus", "Answer: yes"),
    ]:
        requests = requests_for(course, action, PLAN, run)  # type: ignore[arg-type]
        seeds += [request.seed for request in requests]
        warm += [request.temperature for request in requests]
        assert {request.messages[0].content for request in requests} == {"be brief"}
        assert {request.reasoning_effort for request in requests} == {"low"}
        texts = [came(f"{reply} {place}" if action == "plan" else reply) for place, _ in enumerate(requests)]
        course = advance(course, action, texts)  # type: ignore[arg-type]
    assert seeds == [seed_of(run.seed, place) for place in range(7)]
    assert warm == [0.8, 0.9, 1.0, 0.0, 0.8, 0.8, 0.0]


def test_the_temperature_stays_in_its_range_and_may_be_the_provider_s() -> None:
    plan = attrs.evolve(PLAN, variation=attrs.evolve(PLAN.variation, max_temperature=1.0))
    for base, offset, wanted in [(0.9, 0.5, 1.0), (0.1, -1.0, 0.0), (None, 0.5, None)]:
        course = Course(as_mode("quick", temperature_offset=offset))
        run = attrs.evolve(RUN, temperature=base)
        assert requests_for(course, "plan", plan, run)[0].temperature == wanted


@pytest.mark.parametrize("plans", [1, 2, 3])
def test_several_planners_are_told_which_they_are(plans: int) -> None:
    requests = requests_for(Course(as_mode("quick", candidate_plans=plans)), "plan", PLAN, RUN)
    told = [
        f"This is plan {number} of {plans};" in str(request) for number, request in enumerate(requests, 1)
    ]
    assert told == [plans > 1] * plans
    assert len({request.messages for request in requests}) == plans


def test_calls_that_decide_are_asked_at_0() -> None:
    course = after(QUICK, ("plan", [came("1. a")]), ("step", [came("so")]))
    assert requests_for(course, "assess", PLAN, RUN)[0].temperature == 0.0
    assert requests_for(course, "synthesize", PLAN, RUN)[0].temperature == 0.6


def test_structured_output_is_for_the_focused_answer_alone() -> None:
    plan = attrs.evolve(PLAN, structured=True)
    mode = as_mode("quick", max_iterations=1)
    begun = after(mode, ("plan", [came("1. a")]), ("step", [came("so")]))
    [synthesis] = requests_for(begun, "synthesize", plan, RUN)
    ended = advance(begun, "synthesize", [came("It is.")])
    [focus] = requests_for(ended, "focus", plan, RUN)
    assert synthesis.schema is None
    assert focus.schema is not None
    made = analysis_of(advance(ended, "focus", [came('{"answer": "no"}')]), plan, RUN, backend="b", prices={})
    assert made.focused_answer == "no"


# --- the cost limit

PRICE = Price(1.0, 1.0)


def limited(usd: float) -> Course:
    return Course(as_mode("quick", cost_limit_usd=usd))


def test_the_limit_leaves_room_for_the_answer() -> None:
    plan = attrs.evolve(PLAN, max_tokens=1000)
    course = limited(1.0)
    plans = requests_for(course, "plan", plan, RUN)
    [synthesis] = requests_for(course, "synthesize", plan, RUN)
    # The plan, one step and the two last calls, each writing 1000 tokens and reading those before.
    least = worst_usd(plans, PRICE) + 3 * worst_usd([synthesis], PRICE) + 3000e-6
    assert fits(limited(least + 1e-9), plans, synthesis, PRICE, 0.0)
    assert not fits(limited(least - 1e-9), plans, synthesis, PRICE, 0.0)
    assert not fits(limited(least + 1e-9), plans, synthesis, PRICE, 1e-6)
    assert fits(Course(QUICK), plans, synthesis, PRICE, 1e9)


def test_what_calls_can_cost_at_most() -> None:
    request = Request(0, "m", (Message("system", "a" * 8), Message("user", "a" * 3)), max_tokens=100)
    assert worst_usd([request, request], Price(2.0, 3.0)) == pytest.approx(2 * (3 * 2 + 100 * 3) / 1e6)
    assert worst_usd([attrs.evolve(request, max_tokens=None)], Price(2.0, 3.0)) == pytest.approx(6e-6)


def test_every_call_leaves_room_for_those_that_must_follow() -> None:
    plan = attrs.evolve(PLAN, max_tokens=1000)
    begun = after(QUICK, ("plan", [came("1. a\n2. b")]), ("step", [came("so")]))
    [step] = requests_for(begun, "step", plan, RUN)
    [synthesis] = requests_for(begun, "synthesize", plan, RUN)
    one, last = worst_usd([step], PRICE), worst_usd([synthesis], PRICE)

    def room(course: Course, request: Request, usd: float) -> bool:
        mode = attrs.evolve(QUICK, cost_limit_usd=usd)
        return fits(attrs.evolve(course, mode=mode), [request], synthesis, PRICE, 0.25)

    # After a step its text is read twice: by the synthesis, and as part of that by the last call.
    assert room(begun, step, 0.25 + one + 2 * last + 2000e-6 + 1e-9)
    assert not room(begun, step, 0.25 + one + 2 * last + 2000e-6 - 1e-9)
    ended = attrs.evolve(begun, ended="complete", todo=())
    assert room(ended, synthesis, 0.25 + 2 * last + 1000e-6 + 1e-9)
    assert not room(ended, synthesis, 0.25 + 2 * last + 1000e-6 - 1e-9)
    [focus] = requests_for(attrs.evolve(ended, synthesis="so"), "focus", plan, RUN)
    least = 0.25 + worst_usd([focus], PRICE)
    assert room(attrs.evolve(ended, synthesis="so"), focus, least + 1e-9)
    assert not room(attrs.evolve(ended, synthesis="so"), focus, least - 1e-9)


def test_without_room_the_steps_end_and_the_synthesis_is_written() -> None:
    course = after(QUICK, ("plan", [came("1. a\n2. b")]), ("step", [came("so")]))
    short = unaffordable(course, "step", 0)
    assert (short.ended, next_action(short)) == ("budget", "synthesize")
    assert unaffordable(course, "assess", 0) == short
    two = attrs.evolve(short, todo=("b", "c"))
    assert (
        "The cost limit left 2 planned steps undone."
        in analysis_of(two, PLAN, RUN, backend="b", prices={}).notes
    )
    assert (
        "The cost limit left 1 planned step undone."
        in analysis_of(short, PLAN, RUN, backend="b", prices={}).notes
    )


def test_without_room_for_the_judging_call_the_first_plan_is_taken() -> None:
    mode = as_mode("quick", candidate_plans=3, cost_limit_usd=1.0)
    course = after(mode, ("plan", [came("-"), came("1. a"), came("1. b")]))
    short = unaffordable(course, "judge", 0)
    assert (short.chosen, short.chosen_by, next_action(short)) == (1, "first", "step")
    assert (short.todo, short.iteration) == (("a",), 1)
    assert short.notes[-1] == (
        "No plan was judged, since the cost limit left no room; the first usable one was taken."
    )


@pytest.mark.parametrize("action", ["plan", "synthesize", "focus"])
def test_without_room_for_the_rest_it_fails(action: Any) -> None:
    short = unaffordable(limited(0.5), action, 4)
    assert short.failure is not None
    assert (short.failure.index, short.failure.kind, next_action(short)) == (4, "budget", "end")
    assert short.failure.message == f"The cost limit of US$ 0.5 left no room for the next call ({action})."


def test_the_synthesis_is_told_what_was_not_done() -> None:
    course = after(QUICK, ("plan", [came("1. a\n2. b")]), ("step", [came("so")]))
    [step] = requests_for(course, "step", PLAN, RUN)
    [synthesis] = requests_for(unaffordable(course, "step", 0), "synthesize", PLAN, RUN)
    assert "not carried out" not in step.messages[-1].content
    assert "=== Steps that were not carried out ===\n1. b" in synthesis.messages[-1].content


def material(course: Course, action: Action) -> dict[str, str]:
    """The parts under headers in the request of that action."""
    text = requests_for(course, action, PLAN, RUN)[0].messages[-1].content
    return dict(split(text[text.index("=== ") :]))


def test_each_call_is_shown_what_it_needs_and_no_more() -> None:
    mode = as_mode("quick", candidate_plans=3)
    plans = advance(Course(mode), "plan", [came("1. a\n2. b"), came("none"), came("1. c")])
    text = {"Text": "the text"}
    assert material(Course(mode), "plan") == text
    assert material(plans, "judge") == {**text, "Plan 1": "1. a\n2. b", "Plan 2": "1. c"}
    begun = advance(plans, "judge", [came("Answer: 1")])
    assert material(begun, "step") == {**text, "Steps that come later": "1. b"}
    one = {**text, "Step 1": "Task: a\n\nfound"}
    first = advance(begun, "step", [came("<think>so</think>found")])
    assert material(first, "step") == one
    second = advance(first, "step", [failed()])
    both = {**one, "Step 2": "Task: b\n\n(This step failed: failed.)"}
    assert material(second, "assess") == material(second, "synthesize") == both


def test_the_prompts_are_these_to_the_byte() -> None:
    """After a wanted change of the prompts: write `shown` into PROMPTS, and look at the difference."""
    plan = attrs.evolve(PLAN, structured=True, logprobs=True, max_tokens=99)
    run = attrs.evolve(RUN, index=3, system="Be brief.")
    mode = as_mode("quick", candidate_plans=3)
    course, shown = Course(mode), ""
    for reply in ("1. a\n2. b", "Answer: 2", "so", "so too", "1. c\nAnswer: yes", "found", "In all yes."):
        action = next_action(course)
        requests = requests_for(course, action, plan, run)
        for request in requests:
            assert (request.index, request.model, request.max_tokens) == (3, "m", 99)
            told = "\n".join(f"[{message.role}]\n{message.content}" for message in request.messages)
            shown += f"--- {action}\n{told}\n\n"
        texts = [reply + "!" * place for place, _ in enumerate(requests)]
        course = advance(course, action, [came(text) for text in texts])
    [focus] = requests_for(course, "focus", plan, run)
    analysis = (
        "Is it?\n\nThat text is an analysis of this question: give the answer that the analysis comes to."
    )
    alone = attrs.evolve(plan, question=Question(analysis, "In all yes."))
    assert focus.messages == isolate(alone, run).messages
    assert focus.logprobs
    assert shown == PROMPTS.read_text("utf-8")


# --- what it is in a vote


def done(run: Run, *, focused: str = "Answer: yes", usage: Usage | None = None) -> Course:
    """The shortest course that comes to an answer."""
    course = Course(as_mode("quick", max_iterations=1))
    for reply in ("1. a", "so", "In all yes.", focused):
        action = next_action(course)
        course = advance(course, action, [attrs.evolve(came(reply, usage=usage), index=run.index)])
    return course


def test_an_analysis_is_a_sample_with_all_its_tokens() -> None:
    run = attrs.evolve(RUN, index=2)
    course = attrs.evolve(done(run), without=("seed",))
    whole = Completion("Answer: yes", usage=Usage(12, 4))
    assert outcome_of(course, run) == Sample(2, whole, 4, ("seed",))


def test_what_analyses_add_to_a_verdict() -> None:
    """The failed one's tokens and cost too, and where the modes differ."""
    plan = attrs.evolve(PLAN, runs=3)
    runs = fan_out(plan)
    courses = [
        done(runs[0]),
        attrs.evolve(done(runs[1], focused="Answer: no"), mode=MODES["research"]),
        attrs.evolve(Course(QUICK), used=(Usage(1, 1),), failure=attrs.evolve(failed(), index=2)),
    ]
    outcomes = [outcome_of(course, run) for course, run in zip(courses, runs, strict=True)]
    prices = {None: Price(1.0, 1.0)}
    verdict = conclude(plan, runs, gather(outcomes, 3), stopped=Stopped(), backend="b", price=prices)
    analyses = [
        analysis_of(course, plan, run, backend="b", prices=prices)
        for course, run in zip(courses, runs, strict=True)
    ]
    made = with_analyses(verdict, analyses)
    assert (made.usage, made.cost_usd, made.analyses) == (Usage(25, 9), 0.000034, tuple(analyses))
    assert made.advice == f"{verdict.advice} The modes differ: quick says yes; research says no."
    alike = with_analyses(verdict, [attrs.evolve(each, mode=QUICK) for each in analyses])
    assert alike.advice == verdict.advice
    assert with_analyses(verdict, []).cost_usd is None


def test_a_mode_with_a_tie_of_its_own_says_both() -> None:
    plan = attrs.evolve(PLAN, runs=3)
    runs = fan_out(plan)
    courses = [
        done(run, focused=f"Answer: {said}") for run, said in zip(runs, ["yes", "no", "no"], strict=True)
    ]
    courses[2] = attrs.evolve(courses[2], mode=MODES["balanced"])
    outcomes = [outcome_of(course, run) for course, run in zip(courses, runs, strict=True)]
    verdict = conclude(plan, runs, gather(outcomes, 3), stopped=Stopped(), backend="b")
    analyses = [
        analysis_of(course, plan, run, backend="b", prices={})
        for course, run in zip(courses, runs, strict=True)
    ]
    assert with_analyses(verdict, analyses).advice.endswith(
        "The modes differ: quick says no and yes; balanced says no."
    )


def test_parameters_that_were_refused_are_said() -> None:
    course = attrs.evolve(done(RUN), without=("max_tokens", "temperature"))
    made = analysis_of(course, PLAN, RUN, backend="b", prices={})
    assert made.temperature is None
    assert made.notes == (
        "Asked with max_completion_tokens instead of max_tokens, which is refused by m.",
        "Asked without temperature, which is refused by m.",
    )


def test_one_that_was_cut_from_outside_bears_that_failure_unless_it_was_done() -> None:
    cut = failed("deadline")
    begun = after(QUICK, ("plan", [came("1. a")]))
    made = analysis_of(begun, PLAN, RUN, backend="b", prices={}, cut=cut)
    assert (made.failure, made.problem, made.ended, made.plan) == (cut, "it failed", None, ("a",))
    assert analysis_of(done(RUN), PLAN, RUN, backend="b", prices={}, cut=cut).failure is None
    nothing = analysis_of(begun, PLAN, RUN, backend="b", prices={})
    assert nothing.problem == "No step was carried out, so there is nothing to conclude from."
