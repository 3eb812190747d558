"""Votes whose calls are made elsewhere: their requests out, the answers in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import attrs

from fanin.batching.fingerprints import Fingerprints
from fanin.batching.items import Item
from fanin.batching.openai_batch import (
    MAX_FILE_BYTES,
    MAX_REQUESTS,
    Answered,
    answered,
    custom_id,
    outcome_of,
    request_line,
)
from fanin.batching.sinks import FileSink
from fanin.batching.voted import Voting
from fanin.errors import FaninError
from fanin.policy.pricing import Prices
from fanin.stages.conclude import conclude
from fanin.stages.fan_out import fan_out
from fanin.stages.gather import gather
from fanin.stages.isolate import isolate
from fanin.values import Stopped
from fanin.verdict import Verdict

_OFFSET_BITS = 48


@attrs.frozen
class Desk:
    """A provider's batch API, as far as its files have to be told apart from another's."""

    backend: str
    """The backend's name."""
    token_limit: str
    """What the limit of the answer's tokens is called."""


async def requests_of(item: Item, voting: Voting, desk: Desk) -> list[tuple[str, bytes]]:
    """(model, line of a batch file) of every run of an item. Raises FaninError where it cannot be asked."""
    plan = await voting.plan(item)
    requests = [isolate(plan, run) for run in fan_out(plan)]
    return [(request.model, request_line(request, item.number, desk.token_limit)) for request in requests]


class RequestFiles:
    """The files of requests: one model a file, and no more in one than a batch API takes.

    The first bears the name that was given, the others a number too: `requests.jsonl`, `requests-2.jsonl`.
    """

    def __init__(self, path: str, *, overwrite: bool, most_requests: int = MAX_REQUESTS) -> None:
        self.made: list[tuple[str, str, int]] = []
        """(file, model, requests) of every file that is whole."""
        self._path = Path(path)
        self._overwrite = overwrite
        self._most_requests = most_requests
        self._open: dict[str, _Part] = {}
        self._begun = 0

    def write(self, model: str, line: bytes) -> None:
        """Puts a request into the file of its model. Raises FaninError where that cannot be written."""
        part = self._open.get(model)
        if part is not None and not part.has_room(len(line), self._most_requests):
            self._close(model)
            part = None
        if part is None:
            part = self._open[model] = _Part(FileSink(self._next_name(), anew=self._overwrite))
        part.write(line)

    def close(self) -> None:
        """Makes the files that are open whole."""
        for model in tuple(self._open):
            self._close(model)

    def discard(self) -> None:
        """Removes what is not whole."""
        for part in self._open.values():
            part.sink.discard()

    def _close(self, model: str) -> None:
        part = self._open.pop(model)
        part.sink.close(complete=True)
        self.made.append((str(part.sink.path), model, part.requests))

    def _next_name(self) -> str:
        self._begun += 1
        if self._begun == 1:
            return str(self._path)
        return str(self._path.with_name(f"{self._path.stem}-{self._begun}{self._path.suffix}"))


@attrs.define
class _Part:
    """One file of requests."""

    sink: FileSink
    requests: int = 0
    size: int = 0

    def has_room(self, more: int, most_requests: int) -> bool:
        return self.requests < most_requests and self.size + more <= MAX_FILE_BYTES

    def write(self, line: bytes) -> None:
        self.sink.write(line)
        self.requests += 1
        self.size += len(line)


class Answers:
    """The answers of a batch API, in any order and number of files: found by name, read when asked for.

    Of two answers to one request the first counts.
    """

    def __init__(self, files: list[BinaryIO]) -> None:
        self.unreadable = 0
        """Lines that are no answers."""
        self.used = 0
        """Answers that belonged to a run."""
        self._files = files
        self._places = Fingerprints()
        for number, file in enumerate(files):
            self._find(number, file)

    def __len__(self) -> int:
        return len(self._places)

    def of(self, name: str) -> Answered | None:
        """The answer to the request of that name; None where there is none."""
        place = self._places.get(name)
        if place is None:
            return None
        file = self._files[place >> _OFFSET_BITS]
        file.seek(place & ((1 << _OFFSET_BITS) - 1))
        found = _answer_in(file.readline())
        if found is None or found.custom_id != name:
            return None
        self.used += 1
        return found

    def _find(self, number: int, file: BinaryIO) -> None:
        offset = 0
        for line in file:
            found = _answer_in(line)
            if found is not None:
                self._places.put(found.custom_id, number << _OFFSET_BITS | offset)
            elif line.strip():
                self.unreadable += 1
            offset += len(line)


def _answer_in(line: bytes) -> Answered | None:
    return answered(line.decode("utf-8-sig", "replace"))


@contextmanager
def open_answers(paths: Iterable[str]) -> Iterator[Answers]:
    """The answers in these files. Raises FaninError where one cannot be read, or none holds an answer."""
    files: list[BinaryIO] = []
    try:
        for path in paths:
            try:
                files.append(Path(path).open("rb"))  # noqa: SIM115 - closed below
                if not files[-1].seekable():
                    raise FaninError(f"{path}: it is no regular file")
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                raise FaninError(f"{path}: it cannot be read: {why}") from None
        answers = Answers(files)
        if not len(answers):
            raise FaninError(
                "there is no answer of a batch API in the files of answers",
                mend="Give the output file (and the error file) of the batch as it was downloaded, unpacked.",
            )
        yield answers
    finally:
        for file in files:
            file.close()


async def verdict_on(item: Item, voting: Voting, desk: Desk, answers: Answers, prices: Prices) -> Verdict:
    """The verdict on one item by the answers to its requests; runs without one have failed.

    Texts are settled: a judge is asked here and now, at the backend of `voting`. Raises FaninError for an
    item that cannot be asked.
    """
    from fanin_backends.chat import request_body

    plan = await voting.plan(item)
    runs = fan_out(plan)
    outcomes = []
    for run in runs:
        request = isolate(plan, run)
        name = custom_id(item.number, run.index, request_body(request, desk.token_limit))
        outcomes.append(outcome_of(request, answers.of(name), desk.backend))
    verdict = conclude(
        plan,
        runs,
        gather(outcomes, plan.runs),
        stopped=Stopped(),
        backend=desk.backend,
        price=prices,
    )
    settler = voting.settler(plan, voting.conductor())
    return verdict if settler is None else await settler.settle(verdict)
