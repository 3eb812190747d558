"""Votes as files hold them, made into records: stored votes, and objects `fanin.vote/1`, one a line."""

from __future__ import annotations

import json
from typing import Any

from fanin.answers import Answer, Spoiled, Text, YesNo
from fanin.answers.auto import parse_answer
from fanin.answers.normal import quote
from fanin.answers.reply import UNFINISHED, read_completion
from fanin.errors import FaninError, InputError, RecordError
from fanin.keeping.record import Decided, KeptTier, KeptVote, Record
from fanin.values import (
    MAX_RUNS,
    Completion,
    Failure,
    Finish,
    Plan,
    Question,
    Run,
    Sample,
    Stopped,
    Usage,
    Variation,
)

_BAD_ROW = frozenset({"id", "line", "error"})
_FINISH: dict[str, Finish] = {reason: finish for finish, reason in UNFINISHED.items()}


class _Unusable(Exception):
    """What is wrong with a line."""


def stored_vote(line: str, where: str, number: int, answer: Answer | None) -> Record | None:
    """The record of one line of stored votes (`fanin.stored_votes` has the format) or of one object; None for
    a batch's row on a question that could not be asked, `{"id", "line", "error"}`.

    `answer` is the type where the line names none. An object `fanin.vote/1` says neither its type nor which
    letters its runs were shown, so what was read of a reply counts; with an `answer` that has no options the
    replies are read again. Tokens and prices of single runs stand in neither.

    Raises RecordError, with `where`.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise RecordError(f"{where}: it is not JSON") from None
    try:
        if not isinstance(found, dict):
            raise _Unusable("it is not a JSON object")
        if found.keys() <= _BAD_ROW and "error" in found:
            return None
        return _record(found, str(found.get("id", number)), answer)
    except _Unusable as problem:
        raise RecordError(f"{where}: {problem}") from None
    except FaninError as error:
        raise RecordError(f"{where}: {error.message}") from None


def _record(found: dict[str, Any], name: str, answer: Answer | None) -> Record:
    samples = found.get("samples", found.get("ballots"))
    question = _text(found.get("question") or name, "its question")
    if not isinstance(samples, list):
        kind = found.get("schema")
        named = (
            "it holds no samples and no ballots" if kind is None else f"it is no vote but {quote(str(kind))}"
        )
        raise _Unusable(f"{named}, so there is nothing to count")
    if not all(isinstance(sample, dict) for sample in samples):
        raise _Unusable("a sample is not an object")
    again = answer is not None and not answer.options
    answer = answer or _kind(found, samples)
    lost = [_failure(one) for one in _list(found, "failures")]
    came = [_sample(place, one, answer, again=again) for place, one in enumerate(samples)]
    indexes = [*(sample.index for sample in came), *(failure.index for failure in lost)]
    told, cancelled = (_whole(found.get("runs"), name) for name in ("planned", "cancelled"))
    planned = max(told, len(indexes), *(index + 1 for index in indexes)) if indexes else told
    if not planned:
        raise _Unusable("it holds no run")
    voters = [_voter(one) for one in samples]
    models = tuple(dict.fromkeys(model for model, _ in voters)) or ("?",)
    systems = tuple(dict.fromkeys(prompt for _, prompt in voters))
    plan = Plan(Question(question), answer, Variation(models, systems), planned)
    of_index = {each.index: (one, *voter) for each, one, voter in zip(came, samples, voters, strict=True)}
    runs = [_run(index, *of_index.get(index, ({}, "?", None))) for index in range(planned)]
    tier = KeptTier(
        plan=plan,
        runs=tuple(runs),
        prompt=(),
        samples=tuple(sorted(came, key=lambda sample: sample.index)),
        failures=tuple(lost),
        cancelled=cancelled,
        unasked=planned - len(indexes) - cancelled,
        stopped=_stopped(found),
        remarks=(),
        backend=str(found.get("backend", "stored")),
        models=models,
    )
    decided = Decided(str(found.get("outcome", "")), found.get("answer"), found.get("grade"))
    return Record(name, "vote", "", {}, decided, vote=KeptVote((tier,)))


def _kind(found: dict[str, Any], samples: list[dict[str, Any]]) -> Answer:
    kind = found.get("kind")
    if kind is None:
        read = {sample.get("answer", sample.get("choice")) for sample in samples}
        return YesNo() if read <= {"yes", "no", None} else Text()
    try:
        return Text() if kind == "choice" else parse_answer(_text(kind, "its kind"))
    except InputError as error:
        raise _Unusable(error.message) from None


def _sample(place: int, one: dict[str, Any], answer: Answer, *, again: bool) -> Sample:
    index = one.get("index", place)
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < MAX_RUNS:
        raise _Unusable(f"a ballot has the index {index!r}")
    logprob = one.get("logprob")
    if logprob is not None and (not isinstance(logprob, int | float) or not logprob <= 0):
        raise _Unusable(f"a sample's logprob is {logprob!r}, not a number of 0 or less")
    finish = _FINISH.get(str(one.get("spoiled")), "stop")
    said, text = one.get("answer", one.get("choice")), str(one.get("text", ""))
    if said is not None and not (again and text):
        text = " ".join(str(said).split())
    completion = Completion(text, finish, Usage(), logprob=logprob)
    if said is None and not again and not isinstance(read_completion(completion, answer, ()), Spoiled):
        completion = Completion("", finish)  # it was spoiled for what is not told here
    return Sample(index, completion)


def _voter(one: dict[str, Any]) -> tuple[str, str | None]:
    prompt = _text(one.get("prompt") or "", "a sample's prompt")
    return _text(one.get("model") or "?", "a sample's model"), prompt or None


def _run(index: int, one: dict[str, Any], model: str, prompt: str | None) -> Run:
    temperature = one.get("temperature")
    number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
    return Run(index, model, temperature if number else None, 0, prompt)


def _failure(one: Any) -> Failure:
    if not isinstance(one, dict) or not isinstance(one.get("index"), int):
        raise _Unusable("a failure has no index")
    kind, message = one.get("kind", "malformed"), str(one.get("message", ""))
    return Failure(one["index"], kind, message, one.get("attempts", 1))


def _whole(runs: Any, name: str) -> int:
    """A number of an object's `runs`; 0 where there is none."""
    value = runs.get(name, 0) if isinstance(runs, dict) else 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_RUNS:
        raise _Unusable(f"its {name} runs are {value!r}")
    return value


def _stopped(found: dict[str, Any]) -> Stopped:
    stopped = found.get("stopped")
    if isinstance(stopped, dict) and stopped.keys() == {"by", "rule"}:
        return Stopped(stopped["by"], stopped["rule"])
    return Stopped()


def _list(found: dict[str, Any], name: str) -> list[Any]:
    value = found.get(name, [])
    if not isinstance(value, list):
        raise _Unusable(f"its {name} are no list")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise _Unusable(f"{what} is {value!r}, not a text")
    return value
