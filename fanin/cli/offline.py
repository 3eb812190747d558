"""What `fanin export` and `fanin import` share: the same options have to give the same requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.answer_types import answer_type_options
from fanin.cli.batch_inputs import answer_for_all, questions_options
from fanin.cli.options import shared
from fanin.errors import FaninError

if TYPE_CHECKING:
    from fanin.backend import Backend
    from fanin.batching.offline import Desk
    from fanin.batching.voted import Voting


_ASKED = (
    *("runs", "quorum", "model", "system", "temperature", "temperature_step", "seed", "max_tokens"),
    *("structured", "judge", "embed"),
)


def vote_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: the questions, and everything that their requests depend on."""
    for option in reversed(
        (
            questions_options,
            shared("runs", "answer", "choices", "tolerance"),
            answer_type_options,
            shared("cluster", "select", "judge", "embed"),
            click.option(
                "--backend",
                type=click.Choice(["groq", "openai"]),
                default="openai",
                help="Whose batch API it is; openai: of every one that takes its files.",
            ),
            shared("model", "system", "temperature", "temperature_step", "seed", "max_tokens", "structured"),
            shared("quorum"),
        )
    ):
        function = option(function)
    return function


@asynccontextmanager
async def votes_elsewhere(options: dict[str, Any], *, judged: bool) -> AsyncIterator[tuple[Voting, Desk]]:
    """What makes plans of items, and the API that they are for.

    Nothing is sent, and no key is needed, unless the answers that came are to be `judged` by a model. Raises
    FaninError where the options are wrong.
    """
    from fanin.batching.jobs import Asking
    from fanin.batching.offline import Desk
    from fanin.batching.voted import Voting
    from fanin.terms import Terms
    from fanin_backends import groq, openai

    name = options["backend"]
    dialect = {"groq": groq.DIALECT, "openai": openai.DIALECT}[name]
    asked = {of: options[of] for of in _ASKED}
    asking = Asking(answer=answer_for_all(options), **asked)
    async with _opened(options, judged=judged) as backend:
        voting = Voting(asking, backend, Terms(), options.get("price") or {}, None, stop="all", waves="all")
        await voting.check()
        yield voting, Desk(name, dialect.token_limit)


@asynccontextmanager
async def _opened(options: dict[str, Any], *, judged: bool) -> AsyncIterator[Backend]:
    if judged and "judge" in (options["select"], options["cluster"]):
        from fanin.connecting import connect

        async with connect(options["backend"], model=options["model"]) as backend:
            yield backend
        return
    from fanin.connecting import open_backend

    backend = open_backend(options["backend"], environ={}, replaying=True)
    try:
        yield backend
    finally:
        await backend.aclose()


def check_answers(options: dict[str, Any]) -> None:
    """Raises FaninError where the questions come by a pipe: they are needed again for the answers."""
    if options["questions"] == "-":
        raise FaninError(
            "the questions have to be a file, since their answers can be voted on only with them",
            mend="Write them to a file first.",
        )
