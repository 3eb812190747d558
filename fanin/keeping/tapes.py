"""A tape of one plain vote made into a record, by the requests that stand on it and what was answered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby, permutations
from typing import Any
from urllib.parse import urlsplit

import attrs

from fanin.answers import Answer, Choice, Number, Text, YesNo
from fanin.errors import CallError, FaninError, RecordError
from fanin.keeping.record import Decided, KeptTier, KeptVote, Record
from fanin.stages.isolate import AS_JSON
from fanin.taping.recording import Interaction, Recording, TapedError
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
    Variation,
)

_CONTEXT = re.compile(
    r"<(context(?:-\d+)?)>\n(?P<context>.*)\n</\1>\n\n"
    r"Answer this question about the text between the \1 tags:\n\n(?P<question>.*)",
    re.DOTALL,
)
_OPTIONS = re.compile(r"Options:\n(?P<lines>(?:(?:[A-Z]\. |- ).+\n){2,})\nFirst think step by step")
_OPTION = re.compile(r"(?:[A-Z]\. |- )(.+)")


@attrs.frozen
class _Prompt:
    """A prompt taken apart."""

    context: str | None
    question: str
    answer: Answer | None
    order: tuple[str, ...]
    structured: bool


def taped_vote(recording: Recording, path: str, answer: Answer | None) -> Record:
    """The record of the vote on a tape. `answer` is the type where the prompt does not tell it whole: for a
    type of one's own, a tolerance, or the order in which choices were declared.

    Raises RecordError where the tape holds no run, or something else than one plain vote.
    """
    runs = [each for each in recording.interactions if each.run is not None]
    if not runs:
        raise RecordError(f"{path}: it holds no run of fanin's, so there is nothing to count")
    calls = [list(each) for _, each in groupby(runs, lambda one: one.run)]
    try:
        return _record(recording, path, calls, answer)
    except (LookupError, TypeError, AttributeError) as problem:
        raise RecordError(
            f"{path}: its requests are none that can be recounted ({type(problem).__name__}: {problem})"
        ) from None
    except FaninError as error:
        told = error.message if error.message.startswith(path) else f"{path}: {error.message}"
        raise RecordError(told, mend=error.mend) from None


def _record(
    recording: Recording, path: str, calls: Sequence[list[Interaction]], answer: Answer | None
) -> Record:
    backend = recording.backend or "tape"
    asked = {each[0].run or 0: _asked(each[-1]) for each in calls}
    first = _taken_apart(asked[min(asked)].messages[-1].content)
    kind = answer or first.answer
    if kind is None:
        raise RecordError(
            f"{path}: what the answers are cannot be told from the prompt",
            mend="Name it: --answer or --choices.",
        )
    planned = max(asked) + 1
    found = [
        _run(asked[index], kind) if index in asked else Run(index, "?", None, 0, None)
        for index in range(planned)
    ]
    outcomes = [_outcome(each, asked[each[0].run or 0], recording, path) for each in calls]
    systems = tuple(dict.fromkeys(run.system for run in found if run.index in asked))
    models = recording.models or tuple(dict.fromkeys(request.model for request in asked.values()))
    tokens = asked[min(asked)].max_tokens
    plan = Plan(
        Question(first.question, first.context),
        kind,
        Variation(models, systems, asked[min(asked)].temperature),
        planned,
        max_tokens=2048 if tokens is None else tokens,
        structured=first.structured,
    )
    tier = KeptTier(
        plan=plan,
        runs=tuple(found),
        prompt=asked[min(asked)].messages,
        samples=tuple(each for each in outcomes if isinstance(each, Sample)),
        failures=tuple(each for each in outcomes if isinstance(each, Failure)),
        cancelled=0,
        unasked=planned - len(outcomes),
        stopped=Stopped(),
        remarks=(),
        backend=backend,
        models=models,
    )
    return Record(path, "vote", "", {}, Decided(""), vote=KeptVote((tier,)))


def _asked(call: Interaction) -> Request:
    """The request as far as it matters, whichever wire it went over."""
    body = call.request.body
    found: dict[str, Any] = body.value if body is not None and body.kind == "json" else {}
    options = found.get("options") or found
    limits = (options.get(name) for name in ("max_tokens", "max_completion_tokens", "num_predict"))
    return Request(
        call.run or 0,
        found["model"],
        tuple(Message(each["role"], each["content"]) for each in found["messages"]),
        options.get("temperature"),
        options.get("seed"),
        next((limit for limit in limits if limit is not None), None),
    )


def _run(request: Request, answer: Answer) -> Run:
    system = request.messages[0].content if request.messages[0].role == "system" else None
    order = _taken_apart(request.messages[-1].content).order
    fits = sorted(order) == sorted(answer.options)
    return Run(
        request.index,
        request.model,
        request.temperature,
        request.seed or 0,
        system,
        order if fits else answer.options,
    )


def _outcome(calls: Sequence[Interaction], asked: Request, recording: Recording, path: str) -> Outcome:
    """What the calls of one run came to: the one that was answered, else the error of the last."""
    came = [_completion(each, asked, recording) for each in calls]
    answered = [each for each in came if isinstance(each, Completion)]
    if len(answered) > 1:
        raise RecordError(
            f"{path}: run {asked.index} was answered {len(answered)} times, so it is not one plain vote",
            mend="Of analyses, panels and cascades recount the kept run: fanin runs list.",
        )
    if answered:
        left_out = tuple(sorted(recording.refused.get(asked.model, ())))
        return Sample(asked.index, attrs.evolve(answered[0], headers=()), len(came), left_out)
    last = came[-1]
    assert isinstance(last, CallError), "what is no completion is an error"
    return Failure(asked.index, last.kind, last.message, len(came), last.exhausted)


def _completion(call: Interaction, asked: Request, recording: Recording) -> Completion | CallError:
    from fanin_backends import chat, ollama
    from fanin_backends.refusals import Asked
    from fanin_backends.wire import Reply

    if isinstance(call.outcome, TapedError):
        return CallError(call.outcome.kind, call.outcome.message)
    body = call.outcome.body
    reply = Reply(
        call.outcome.status, tuple(call.outcome.headers.items()), b"" if body is None else body.to_bytes()
    )
    about = Asked(recording.backend or "tape", recording.base_url or "", "", asked.model)
    try:
        if urlsplit(call.request.url).path.endswith("/api/chat"):
            return ollama.completion(reply, asked, about, 0.0)
        return chat.completion(reply, about, 0.0)
    except CallError as error:
        return error


def _taken_apart(prompt: str) -> _Prompt:
    """The prompt that `isolate` put together; of any other, all of it is the question."""
    structured = prompt.endswith(f"\n\n{AS_JSON}")
    text = prompt.removesuffix(f"\n\n{AS_JSON}")
    answer, order, text = _told(text)
    within = _CONTEXT.fullmatch(text)
    if within is None:
        return _Prompt(None, text, answer, order, structured)
    return _Prompt(within["context"], within["question"], answer, order, structured)


def _told(text: str) -> tuple[Answer | None, tuple[str, ...], str]:
    """The type of answer that the end of a prompt asks for, the order of its options, and what is left."""
    if listed := list(_OPTIONS.finditer(text)):
        order = tuple(_OPTION.findall(listed[-1]["lines"]))
        choice = Choice(tuple(sorted(order)))
        if text.endswith(told := f"\n\n{choice.instruction(order)}"):
            return choice, order, text.removesuffix(told)
    for answer in (YesNo(), Number(), Text()):
        for order in permutations(answer.options):
            if text.endswith(told := f"\n\n{answer.instruction(order)}"):
                return answer, order, text.removesuffix(told)
    return None, (), text
