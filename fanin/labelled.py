"""Questions with known answers that are yet to be asked, and the stored votes that asking them gives.

One JSON object a line, plain or gzipped:

    {"id", "question", "label", "answer", "choices", "context"}

`label` (or `gold`) is the right answer, null where it is unknown. `answer` (or `kind`) is the type of the
answer: `yes/no`, `number`, `choice` or `text`; `choices` are the answers to choose from. `id`, `context` and
what all lines share (named by the caller) may be left out. So a file of stored votes can be asked again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from fanin.answers import Answer, Choice, Number, Spoiled, Text, YesNo
from fanin.errors import FaninError, InputError
from fanin.policy.pricing import Prices, cost_usd, price_of
from fanin.stored_votes import KINDS, lines_of
from fanin.values import Question
from fanin.verdict import Verdict

_TYPES: dict[str, Answer] = {"yes/no": YesNo(), "number": Number(), "text": Text()}

Member = tuple[str, str, float | None]
"""What sets one run of every question apart: (model, prompt, temperature)."""


@attrs.frozen
class Labelled:
    """A question, and what its answer has to be."""

    id: str
    """Tells it from the others of its file."""
    question: Question
    """What is asked."""
    answer: Answer
    """The type of the answer."""
    gold: str | None
    """The right answer in its canonical spelling; None where it is unknown."""


class _Unusable(Exception):
    """What is wrong with a line."""


def read_labelled(
    path: str, answer: str | None = None, choices: Sequence[str] | None = None
) -> tuple[Labelled, ...]:
    """The questions of a file, in its order; all of one type. `answer` and `choices` stand in where a line
    names none.

    Raises FaninError, with the line: no such file, no JSON, no question, no label, a label that is none of
    the type, an unknown type, types that differ, choices that cannot be told apart, an id that came before;
    also for a file without a question.
    """
    questions: dict[str, Labelled] = {}
    for number, line in lines_of(path):
        try:
            one = _labelled(line, answer, choices, number)
            if one.id in questions:
                raise _Unusable(f"the id {one.id!r} came before")
            first = next(iter(questions.values()), one)
            if one.answer.name != first.answer.name:
                told = f"its type is {one.answer.name}, while the lines before it have {first.answer.name}"
                raise _Unusable(told)
        except (_Unusable, InputError) as problem:
            raise FaninError(f"{path}, line {number}: {problem}") from None
        questions[one.id] = one
    if not questions:
        raise FaninError(f"{path}: there is no question in it")
    return tuple(questions.values())


def _labelled(line: str, answer: str | None, choices: Sequence[str] | None, number: int) -> Labelled:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise _Unusable("it is not JSON") from None
    if not isinstance(found, dict):
        raise _Unusable("it is not a JSON object")
    text, context = found.get("question"), found.get("context")
    if not isinstance(text, str) or not text.strip():
        raise _Unusable("it has no question")
    if context is not None and not isinstance(context, str):
        raise _Unusable("its context is no text")
    if "gold" not in found and "label" not in found:
        raise _Unusable("it has no label (null where the right answer is unknown)")
    kind = _answer(found, answer, choices)
    return Labelled(
        id=str(found.get("id", number)),
        question=Question(text, context),
        answer=kind,
        gold=_gold(found["gold"] if "gold" in found else found["label"], kind),
    )


def _answer(found: Mapping[str, Any], answer: str | None, choices: Sequence[str] | None) -> Answer:
    given = found.get("choices", choices)
    name = found.get("answer", found.get("kind", answer if given is None else "choice"))
    if name is None:
        raise _Unusable("it has no answer type, and --answer names none")
    if not isinstance(name, str) or name not in KINDS:
        there_are = "there are: yes/no, number, choice, text; the right answer is called label"
        raise _Unusable(f"there is no answer type {name!r} ({there_are})")
    if KINDS[name] != "choice":
        return _TYPES[KINDS[name]]
    if given is None:
        raise _Unusable("it has no choices, and --choices names none")
    return Choice(given)


def _gold(label: Any, answer: Answer) -> str | None:
    if label is None:
        return None
    legal = isinstance(label, str | int | float) and not isinstance(label, bool)
    read = answer.read(str(label), answer.options) if legal else Spoiled("")
    if isinstance(read, Spoiled):
        raise _Unusable(f"the label {label!r} is not of the type {answer.name}")
    return read


def question_fields(one: Labelled) -> dict[str, Any]:
    """What a line of stored votes says of its question."""
    fields: dict[str, Any] = {"id": one.id, "kind": one.answer.name, "question": one.question.text}
    if one.question.context is not None:
        fields["context"] = one.question.context
    if one.answer.name == "choice":
        fields["choices"] = list(one.answer.options)
    return {**fields, "gold": one.gold}


def stored_line(one: Labelled, verdict: Verdict, members: Iterable[Member], prices: Prices) -> str:
    """The question with the answers that it got, as one line of a file of stored votes.

    Every run of the plan is a sample, in planned order; one that failed or spoiled its ballot has the answer
    null. Costs are those of the answer, null where they are unknown.
    """
    ballots = {ballot.index: ballot for ballot in verdict.ballots}
    samples = []
    for index, (model, prompt, temperature) in enumerate(members):
        ballot = ballots.get(index)
        sample = {
            "answer": None if ballot is None else ballot.choice,
            "model": model,
            "prompt": prompt,
            "temperature": temperature,
            "cost": None if ballot is None else cost_usd(ballot.usage, price_of(model, prices)),
        }
        if ballot is not None and ballot.logprob is not None:
            sample["logprob"] = ballot.logprob
        samples.append(sample)
    return json.dumps({**question_fields(one), "samples": samples})


def members_of(line: Mapping[str, Any]) -> list[Member]:
    """The members whose answers a line of stored votes holds, in its order."""
    return [(one.get("model"), one.get("prompt"), one.get("temperature")) for one in line["samples"]]
