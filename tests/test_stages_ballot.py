"""What came back becomes a ballot: a choice, or spoiled with the reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.answers import Choice, YesNo
from fanin.stages.ballot import ballot
from fanin.stages.fan_out import fan_out
from fanin.values import Ballot, Completion, Finish, Plan, Question, Sample, Variation

PLAN = Plan(Question("Is it so?"), YesNo(), Variation(("a", "b")), runs=4)
RUN = fan_out(PLAN)[3]


def read(text: str, finish: Finish = "stop", without: tuple[str, ...] = ()) -> Ballot:
    return ballot(Sample(3, Completion(text, finish), without=without), RUN, PLAN)


def test_a_ballot_tells_the_run_it_comes_from() -> None:
    assert read("I think so.\nAnswer: yes") == Ballot(3, "yes", None, "b", 0.7, "I think so.\nAnswer: yes")


def test_a_temperature_that_was_not_sent_is_none() -> None:
    assert read("yes", without=("temperature",)).temperature is None
    assert read("yes", without=("seed",)).temperature == 0.7


@given(text=st.text(), finish=st.sampled_from(["length", "refusal", "content_filter"]))
def test_what_did_not_end_well_is_never_a_vote(text: str, finish: Finish) -> None:
    cast = read(f"{text}\nAnswer: yes", finish)
    assert cast.choice is None
    assert cast.spoiled
    assert cast.text.endswith("Answer: yes")


@given(st.text())
def test_every_text_is_a_choice_or_spoiled_with_a_reason(text: str) -> None:
    cast = read(text)
    assert cast.choice in ("yes", "no", None)
    assert (cast.spoiled is None) == (cast.choice is not None)
    assert cast.text == text


@given(st.integers(0, 5), st.sampled_from(["whale", "shark", "tuna"]))
def test_a_letter_is_mapped_back_through_the_order_of_its_run(index: int, option: str) -> None:
    plan = Plan(Question("Which?"), Choice(["whale", "shark", "tuna"]), Variation(("m",)), runs=6)
    run = fan_out(plan)[index]
    letter = "ABC"[run.order.index(option)]
    assert ballot(Sample(index, Completion(f"Answer: {letter}")), run, plan).choice == option


@pytest.mark.parametrize(
    ("text", "choice"),
    [('{"reasoning": "no", "answer": "yes"}', "yes"), ('{"answer": 7}', None), ("Answer: yes", None)],
)
def test_a_structured_reply_is_read_as_json_alone(text: str, choice: str | None) -> None:
    plan = Plan(Question("Is it so?"), YesNo(), Variation(("m",)), structured=True)
    assert ballot(Sample(0, Completion(text)), fan_out(plan)[0], plan).choice == choice
