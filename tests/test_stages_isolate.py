"""A run becomes a request of its own: nothing of another run, and every word of the question."""

from __future__ import annotations

import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import answer_types, odd_texts

from fanin.answers import Answer, Choice, Number, Text, YesNo
from fanin.stages.fan_out import fan_out
from fanin.stages.isolate import isolate
from fanin.values import Message, Plan, Question, Run, Variation

YES_NO = YesNo()
QUESTION = Question("Is 1009 a prime number?")
RUN = Run(index=3, model="m", temperature=0.8, seed=11, system=None, order=("no", "yes"))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Plans of every type of answer; each model and each system prompt has a mark of its own."""
    return Plan(
        Question(draw(odd_texts().filter(str.strip)), draw(st.none() | odd_texts())),
        draw(answer_types()),
        Variation(
            models=[f"<model {number}>" for number in range(draw(st.integers(1, 3)))],
            systems=[f"<system {number}>" for number in range(draw(st.integers(0, 3)))],
            seed=draw(st.integers(0, 2**63 - 1)),
        ),
        runs=draw(st.integers(1, 9)),
        max_tokens=draw(st.integers(1, 9999)),
        structured=draw(st.booleans()),
    )


def plan(answer: Answer = YES_NO, *, context: str | None = None, structured: bool = False) -> Plan:
    return Plan(Question(QUESTION.text, context), answer, Variation(("m",)), structured=structured)


def prompt(given_plan: Plan, run: Run = RUN) -> str:
    return isolate(given_plan, run).messages[-1].content


@given(plans())
def test_a_request_holds_its_own_run_and_nothing_of_another(plan: Plan) -> None:
    runs = fan_out(plan)
    for run in runs:
        request = isolate(plan, run)
        assert (request.index, request.model, request.seed) == (run.index, run.model, run.seed)
        assert (request.temperature, request.max_tokens) == (run.temperature, plan.max_tokens)
        said = [message.content for message in request.messages if message.role == "system"]
        assert said == ([] if run.system is None else [run.system])
        marks = {mark for other in runs for mark in (other.model, other.system) if mark is not None}
        assert not any(mark in repr(request) for mark in marks - {run.model, run.system})
        # What the others are changes nothing: alone, the run asks the very same.
        assert isolate(attrs.evolve(plan, runs=40, variation=Variation(("other",))), run) == request


@given(plans())
def test_question_and_context_stand_in_the_prompt_word_for_word(plan: Plan) -> None:
    for run in fan_out(plan):
        request = isolate(plan, run)
        assert [message.role for message in request.messages][-1] == "user"
        content = request.messages[-1].content
        assert plan.question.text in content
        assert (plan.question.context or "") in content
        assert plan.answer.instruction(run.order) in content


@given(plans())
def test_a_request_cannot_be_changed_and_shares_nothing_that_can(plan: Plan) -> None:
    request = isolate(plan, fan_out(plan)[0])
    hash(request)  # every part is immutable, or this raises
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        request.model = "another"  # type: ignore[misc]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        request.messages[0].content = "another"  # type: ignore[misc]


@given(odd_texts(), st.lists(st.sampled_from(["", "-2", "-3", "-02", "-7", "-12345678901"]), max_size=6))
def test_no_context_closes_its_own_tag(text: str, closed: list[str]) -> None:
    context = f"x{text}" + " ".join(f"</CONTEXT{number}>" for number in closed)
    opening, _, rest = prompt(plan(context=context)).partition("\n")
    closing = opening.replace("<", "</")
    body, found, after = rest.partition(closing)
    assert found
    assert body == f"{context}\n"
    assert closing.casefold() not in context.casefold()
    assert QUESTION.text in after


@pytest.mark.parametrize(
    ("context", "tag"),
    [
        ("a", "<context>"),
        ("<context>", "<context>"),
        ("</context>", "<context-2>"),
        ("</Context >", "<context-2>"),
        ("</context-2>", "<context-3>"),
        ("</context> </context-2> </context-4>", "<context-3>"),
    ],
)
def test_the_tag_around_a_context(context: str, tag: str) -> None:
    content = prompt(plan(context=context))
    assert content.startswith(f"{tag}\n{context}\n{tag.replace('<', '</')}\n")


@pytest.mark.parametrize("context", [None, ""])
def test_without_a_context_the_question_comes_first(context: str | None) -> None:
    content = prompt(plan(context=context))
    assert content.startswith(f"{QUESTION.text}\n\n")
    assert "context" not in content


def test_the_system_prompt_comes_before_the_question() -> None:
    request = isolate(plan(), attrs.evolve(RUN, system="Be brief."))
    assert request.messages[0] == Message("system", "Be brief.")
    assert [message.role for message in request.messages] == ["system", "user"]
    assert isolate(plan(), attrs.evolve(RUN, system="")).messages[0] == Message("system", "")


@pytest.mark.parametrize(
    ("answer", "order", "shown"),
    [
        (YesNo(), ("no", "yes"), 'says only "Answer: no" or "Answer: yes"'),
        (Choice(["whale", "tuna"]), ("tuna", "whale"), "\nA. tuna\nB. whale\n"),
        (Choice(["A", "B"]), ("B", "A"), "\n- B\n- A\n"),
        (Number(), (), "and one number in digits, without a unit."),
        (Text(), (), "and the answer alone, in as few words as possible."),
    ],
)
def test_the_options_are_shown_in_the_order_of_the_run(
    answer: Answer, order: tuple[str, ...], shown: str
) -> None:
    content = prompt(plan(answer), attrs.evolve(RUN, order=order))
    assert shown in content
    assert content.index("think step by step") < content.index("last line")


@given(plans())
def test_the_schema_is_asked_for_where_the_plan_is_structured(plan: Plan) -> None:
    for run in fan_out(plan):
        request = isolate(plan, run)
        assert (request.schema is not None) == plan.structured
        if request.schema is not None:
            schema = json.loads(request.schema)
            assert list(schema["properties"]) == schema["required"] == ["reasoning", "answer"]
            assert schema["properties"]["answer"] == plan.answer.schema(run.order)
            assert '"answer"' in request.messages[-1].content


def test_the_schema_to_the_byte() -> None:
    assert isolate(plan(structured=True), RUN).schema == (
        '{"type":"object","properties":{"reasoning":{"type":"string"},'
        '"answer":{"type":"string","enum":["no","yes"]}},'
        '"required":["reasoning","answer"],"additionalProperties":false}'
    )
    assert isolate(plan(), RUN).schema is None
    assert "JSON" not in prompt(plan())
    assert "one JSON object" in prompt(plan(structured=True))
