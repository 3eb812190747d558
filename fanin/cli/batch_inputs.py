"""What commands over many questions have in common: the questions, and how all of them are asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.options import settings_for, text_answer
from fanin.cli.parameters import comma_list

if TYPE_CHECKING:
    from fanin.answers import Answer
    from fanin.batching.readers import Reader


def questions_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: the argument QUESTIONS, and how that is read."""
    questions = click.argument("questions", type=click.Path(), callback=settings_for(), is_eager=True)
    return questions(reading_options(function))


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: how the questions are read."""
    for option in reversed(
        (
            click.option(
                "--input-format",
                type=click.Choice(["auto", "jsonl", "lines", "csv"]),
                default="auto",
                help="How QUESTIONS are written; auto: by the file's name, else by its first character. "
                "Batch files (custom_id, body) are jsonl.",
            ),
            click.option(
                "--column",
                metavar="NAME",
                help="The column of a CSV file that holds the questions.  [default: question]",
            ),
            click.option("--allow-duplicates", is_flag=True, help="An id may come again."),
        )
    ):
        function = option(function)
    return function


def reader_of(options: dict[str, Any]) -> Reader:
    """What makes items of the questions."""
    from fanin.batching.readers import Reader, format_of

    written = options["input_format"]
    if written == "auto":
        written = "csv" if options["column"] else format_of(options["questions"])
    return Reader(written, column=options["column"], allow_duplicates=options["allow_duplicates"])


def answer_for_all(options: dict[str, Any]) -> Answer | str | None:
    """The type of answer of every item that names none; None is found out question by question."""
    from fanin import answers
    from fanin.cli.answer_types import typed_answer

    if options["choices"] is not None:
        return answers.Choice(comma_list(options["choices"]))
    if (text := text_answer(options)) is not None:
        return text
    typed = typed_answer(options)
    if typed is not None:
        return typed
    if options["answer"] == "number":
        return answers.Number(abs_tol=options["tolerance"] or 0.0)
    named: str = options["answer"]
    return None if named == "auto" else named
