"""Answers that were given earlier, with the right ones: what votes are measured and calibrated on.

One JSON object a line, plain or gzipped:

    {"id", "kind", "question", "gold", "samples": [{"answer", "model", "prompt", "cost"}, ...]}

`kind` is `yesno`, `number`, `choice` or `text`. `gold` is the right answer, null where it is unknown. The
`answer` of a sample is null where the run gave none; `prompt`, `cost` (US dollars) and `logprob` (the mean
log-probability of its tokens) may be left out. An object `fanin.vote/1` that was given the keys `kind` and
`gold` is taken too.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import attrs

from fanin.answers import Answer, Number, Spoiled, Text, YesNo
from fanin.answers.normal import normalise
from fanin.errors import FaninError
from fanin.policy.weighing import Cast, Voter

KINDS = {"yesno": "yes/no", "yes/no": "yes/no", "number": "number", "choice": "choice", "text": "text"}
"""Kind as it may be written -> the name of the answer type."""

_READERS: dict[str, Answer] = {"yes/no": YesNo(), "number": Number(), "choice": Text(), "text": Text()}


@attrs.frozen
class StoredVote:
    """One run's answer."""

    answer: str | None
    """In a spelling that is the same for equal answers; None where the run gave none."""
    model: str
    """The model that was asked."""
    prompt: str = ""
    """The prompt it was asked with; empty where there is but one."""
    cost_usd: float | None = None
    """US dollars; None is unknown."""
    logprob: float | None = None
    """The mean log-probability of the answer's tokens, 0 or less; None is unknown."""

    @property
    def voter(self) -> Voter:
        """Who cast it."""
        return self.model, self.prompt


@attrs.frozen
class StoredQuestion:
    """A question with its stored answers."""

    id: str
    """Tells it from the others of its file."""
    kind: str
    """The name of the answer type."""
    gold: str | None
    """The right answer, spelled as equal answers are; None where it is unknown."""
    votes: tuple[StoredVote, ...]
    """As they are stored."""

    @property
    def cast(self) -> tuple[Cast, ...]:
        """The valid votes."""
        return tuple((vote.voter, vote.answer) for vote in self.votes if vote.answer is not None)

    def drawn(self, draw: int, runs: int | None = None) -> tuple[StoredVote, ...]:
        """The first `runs` of the votes (None: all) in the order that the whole number `draw` shuffles."""
        votes = list(self.votes)
        Random(f"{draw}:{self.id}").shuffle(votes)
        return tuple(votes[:runs])


class _Unusable(Exception):
    """What is wrong with a line."""


def read_stored(path: str, answer: str | None = None) -> tuple[StoredQuestion, ...]:
    """The questions of a file, in its order; all of one kind. `answer` stands in where no kind is written.

    An answer that is none of its kind counts as a run that gave none; a right answer that is none raises.
    Raises FaninError, with the line: no such file, no JSON, a field that is missing or of the wrong type,
    an unknown kind, kinds that differ, an id that came before; also for a file without a question.
    """
    return stored_from(lines_of(path), path, answer)


def stored_from(
    lines: Iterable[tuple[int, str]], path: str, answer: str | None = None
) -> tuple[StoredQuestion, ...]:
    """Like `read_stored`, from lines (number from 1, text) that are at hand; `path` names them in errors."""
    questions: dict[str, StoredQuestion] = {}
    kind = None
    for number, line in lines:
        try:
            question = _question(line, answer, number)
            if question.id in questions:
                raise _Unusable(f"the id {question.id!r} came before")
            kind = kind or question.kind
            if question.kind != kind:
                raise _Unusable(f"its kind is {question.kind}, while the lines before it have {kind}")
        except _Unusable as problem:
            raise FaninError(f"{path}, line {number}: {problem}") from None
        questions[question.id] = question
    if not questions:
        raise FaninError(f"{path}: there is no question in it")
    return tuple(questions.values())


def lines_of(path: str) -> Iterator[tuple[int, str]]:
    """(number from 1, line) of a file, plain or gzipped, blank ones left out, read as they are asked for.

    Raises FaninError, where it is damaged after the lines before that.
    """
    before, encoding = 0, "utf-8-sig"
    try:
        with Path(path).open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            lines: Iterable[bytes] = gzip.GzipFile(fileobj=file) if packed else file
            for number, raw in enumerate(lines, 1):
                line = raw.removesuffix(b"\n").decode(encoding)
                before, encoding = before + len(raw), "utf-8"
                if line.strip():
                    yield number, line
    except UnicodeDecodeError as error:
        raise FaninError(f"{path}: it is not UTF-8 text (byte {before + error.start})") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise FaninError(f"{path}: it cannot be read: {why}") from None


def _question(line: str, answer: str | None, number: int) -> StoredQuestion:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise _Unusable("it is not JSON") from None
    if not isinstance(found, dict):
        raise _Unusable("it is not a JSON object")
    samples = found.get("samples", found.get("ballots"))
    if not isinstance(samples, list):
        raise _Unusable("it has no samples: the question has to be asked first (--backend NAME)")
    kind = _kind(found.get("kind", answer))
    gold = found.get("gold", found.get("label"))
    right = None if gold is None else _read(gold, kind)
    if gold is not None and right is None:
        raise _Unusable(f"the gold {gold!r} is not of the kind {kind}")
    if gold is None and not {"gold", "label"} & found.keys():
        raise _Unusable("it has no gold (null where the right answer is unknown)")
    return StoredQuestion(
        id=str(found.get("id", number)),
        kind=kind,
        gold=right,
        votes=tuple(_vote(sample, kind) for sample in samples),
    )


def _kind(kind: Any) -> str:
    if kind is None:
        raise _Unusable("it has no kind, and --answer names none")
    if not isinstance(kind, str) or kind not in KINDS:
        raise _Unusable(f"there is no kind {kind!r} (there are: yesno, number, choice, text)")
    return KINDS[kind]


def _vote(sample: Any, kind: str) -> StoredVote:
    if not isinstance(sample, dict):
        raise _Unusable("a sample is not an object")
    answer = sample.get("answer", sample.get("choice"))
    model, prompt, cost = sample.get("model"), sample.get("prompt") or "", sample.get("cost")
    if model is None:
        raise _Unusable("a sample has no model: who gave the answer has to be known")
    if not isinstance(model, str) or not isinstance(prompt, str):
        raise _Unusable("a sample's model and prompt have to be texts")
    if cost is not None and (not isinstance(cost, int | float) or isinstance(cost, bool) or not cost >= 0):
        raise _Unusable(f"a sample's cost is {cost!r}, not US dollars")
    read = None if answer is None else _read(answer, kind)
    return StoredVote(read, model, prompt, cost, _logprob(sample.get("logprob")))


def _logprob(found: Any) -> float | None:
    if found is None:
        return None
    if not isinstance(found, int | float) or isinstance(found, bool) or not found <= 0:
        raise _Unusable(f"a sample's logprob is {found!r}, not a number of 0 or less")
    return float(found)


def _read(answer: Any, kind: str) -> str | None:
    """The answer in the spelling of its equals; None where it is none of its kind."""
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        return None
    return _read_text(str(answer), kind)


@lru_cache(maxsize=4096)
def _read_text(answer: str, kind: str) -> str | None:
    read = _READERS[kind].read(answer, ())
    if isinstance(read, Spoiled):
        return None
    return normalise(read) if kind in ("choice", "text") else read


def models_of(questions: Sequence[StoredQuestion]) -> tuple[str, ...]:
    """The models of all votes, sorted."""
    return tuple(sorted({vote.model for question in questions for vote in question.votes}))
