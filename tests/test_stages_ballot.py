"""What came back becomes a ballot: a choice, or spoiled with its reason, and never an exception."""

from __future__ import annotations

import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import answer_types, odd_texts, orders_of

from fanin.answers import Answer, Choice, Text, YesNo
from fanin.stages.ballot import ballot
from fanin.values import Ballot, Completion, Finish, Plan, Question, Run, Sample, Variation

SEA = Choice(["whale", "shark", "tuna"])
RUN = Run(index=2, model="m", temperature=0.8, seed=11, system=None, order=SEA.options)


def plan(answer: Answer, *, structured: bool = False) -> Plan:
    return Plan(Question("Which one?"), answer, Variation(("m",)), structured=structured)


def cast(
    text: str, answer: Answer = SEA, *, finish: Finish = "stop", run: Run = RUN, structured: bool = False
) -> Ballot:
    return ballot(Sample(run.index, Completion(text, finish)), run, plan(answer, structured=structured))


@given(
    st.data(),
    answer_types(),
    odd_texts(),
    st.sampled_from(["stop", "length", "refusal", "content_filter", "tool_calls", "other"]),
    st.booleans(),
)
def test_a_ballot_is_a_choice_or_spoiled_and_keeps_the_whole_text(
    data: st.DataObject, answer: Answer, text: str, finish: Finish, structured: bool
) -> None:
    run = attrs.evolve(RUN, order=tuple(data.draw(orders_of(answer))))
    read = cast(text, answer, finish=finish, run=run, structured=structured)
    assert read.text == text
    assert (read.choice is None) == bool(read.spoiled)
    assert read.choice is None or not answer.options or read.choice in answer.options


@given(st.data(), answer_types().filter(lambda answer: bool(answer.options)))
def test_the_order_of_the_options_never_changes_what_a_text_means(
    data: st.DataObject, answer: Answer
) -> None:
    option = data.draw(st.sampled_from(answer.options))
    run = attrs.evolve(RUN, order=tuple(data.draw(orders_of(answer))))
    assert cast(f"Answer: {option}", answer, run=run).choice == option
    # A labelled line is what the run was shown, and means what stood beside the letter there.
    for line in answer.instruction(run.order).splitlines():
        if isinstance(answer, Choice) and answer.labels and line.partition(". ")[2] == option:
            assert cast(f"Answer: {line}", answer, run=run).choice == option
            assert cast(f"Answer: {line[0]}", answer, run=run).choice == option


def test_a_ballot_says_whose_it_is() -> None:
    assert cast("A fish? No.\nAnswer: A. whale") == Ballot(
        index=2, choice="whale", model="m", temperature=0.8, text="A fish? No.\nAnswer: A. whale"
    )
    assert cast("Answer: dolphin") == Ballot(
        index=2,
        choice=None,
        spoiled='none of the options: "dolphin"',
        model="m",
        temperature=0.8,
        text="Answer: dolphin",
    )


def test_a_letter_is_read_by_the_order_that_the_run_saw() -> None:
    turned = attrs.evolve(RUN, order=("tuna", "whale", "shark"))
    assert cast("Answer: A", run=turned).choice == "tuna"
    assert cast("Answer: A. tuna", run=turned).choice == "tuna"
    assert cast("Answer: A. whale", run=turned).choice is None
    assert cast("Answer: A").choice == "whale"


@pytest.mark.parametrize(
    ("without", "temperature"),
    [((), 0.8), (("seed",), 0.8), (("temperature",), None), (("seed", "temperature"), None)],
)
def test_the_temperature_is_the_one_that_was_sent(
    without: tuple[str, ...], temperature: float | None
) -> None:
    sample = Sample(2, Completion("Answer: whale"), without=without)
    assert ballot(sample, RUN, plan(SEA)).temperature == temperature


def test_the_model_is_the_one_that_was_asked() -> None:
    sample = Sample(2, Completion("Answer: whale", model="m-2024-07-18"))
    assert ballot(sample, RUN, plan(SEA)).model == "m"


@pytest.mark.parametrize(
    ("text", "finish", "spoiled"),
    [
        ("Answer: whale", "length", "cut off by length"),
        ("I think", "length", "cut off by length"),
        ("", "stop", "empty"),
        ("I'm sorry, but I can't help with that.", "stop", "refused"),
        ("", "refusal", "refused"),
        ("", "content_filter", "stopped by a content filter"),
        ("<think>whale", "stop", "thoughts and no answer"),
        ("Answer: whale. Answer: tuna", "stop", 'more than one answer: "whale. tuna"'),
    ],
)
def test_what_spoils_a_ballot(text: str, finish: Finish, spoiled: str) -> None:
    read = cast(text, finish=finish)
    assert (read.choice, read.spoiled, read.text) == (None, spoiled, text)


def test_a_structured_reply_is_read_by_its_answer() -> None:
    reply = json.dumps({"reasoning": "Answer: shark", "answer": "tuna"})
    assert cast(reply, structured=True).choice == "tuna"
    assert cast(reply[:-3], structured=True).choice is None
    assert cast("Answer: tuna", structured=True).choice is None
    assert cast(reply).choice is None


def test_the_same_reply_means_what_the_type_of_the_answer_makes_of_it() -> None:
    reply = "Answer: **No.**"
    assert cast(reply, YesNo(), run=attrs.evolve(RUN, order=("no", "yes"))).choice == "no"
    assert cast(reply, Text(), run=attrs.evolve(RUN, order=())).choice == "No"
    assert cast(reply).choice is None
