"""Options for answers that are not one word: documents, labels, dates, quantities."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.parameters import comma_list

if TYPE_CHECKING:
    from fanin.answers import Answer

OPTIONS = ("schema", "key", "labels", "unit", "date_order")
"""Their names, as they stand in a command's options."""


def _keys(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Path of a list -> the property that aligns it."""
    keys: dict[str, str] = {}
    for pair in given:
        path, equals, key = pair.rpartition("=")
        if not equals or not key:
            raise click.BadParameter(f"{pair!r} is no PATH=NAME, such as items=sku", ctx, param)
        if path in keys:
            raise click.BadParameter(f"two keys for {path!r}", ctx, param)
        keys[path] = key
    return keys


_ADDED = (
    click.option(
        "--schema",
        type=click.Path(),
        metavar="FILE",
        help="A JSON Schema: the answer is a document, and each of its fields is voted on by itself.",
    ),
    click.option(
        "--key",
        multiple=True,
        metavar="PATH=NAME",
        callback=_keys,
        help="With --schema: the items of the list PATH are told apart by their NAME, as items=sku.",
    ),
    click.option(
        "--labels", metavar="A,B,C", help="The answer is those of the labels that fit: a vote for each."
    ),
    click.option(
        "--unit", metavar="UNIT", help="The unit or currency of the answer (with --answer quantity)."
    ),
    click.option(
        "--date-order",
        type=click.Choice(["dmy", "mdy"]),
        help="How 03/04/2025 is to be read; without it, it is not (with --answer date).",
    ),
)


def answer_type_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that gives a command these options."""
    for option in reversed(_ADDED):
        function = option(function)
    return function


def check_answer_types(options: dict[str, Any]) -> None:
    """Raises click.UsageError where these options do not agree with one another, or with --answer."""
    kinds = [name for name in ("schema", "labels", "choices") if options.get(name) is not None]
    if len(kinds) > 1:
        raise click.UsageError(" and ".join(f"--{kind}" for kind in kinds) + " exclude one another")
    if kinds and options["answer"] != "auto":
        raise click.UsageError(f"--{kinds[0]} already says what the answers are: leave --answer out")
    if options.get("key") and "schema" not in kinds:
        raise click.UsageError("--key goes with --schema")
    for option, kind in (("unit", "quantity"), ("date_order", "date")):
        if options.get(option) is not None and options["answer"] != kind:
            raise click.UsageError(f"--{option.replace('_', '-')} goes with --answer {kind}")


def typed_answer(options: dict[str, Any]) -> Answer | None:
    """The type of answer that these options ask for; None where they ask for none. Raises FaninError."""
    tolerance = options["tolerance"] or 0.0
    if options.get("schema") is not None:
        from fanin.documents import Json

        return Json(options["schema"], keys=options["key"], abs_tol=tolerance)
    if options.get("labels") is not None:
        from fanin.answers import Labels

        return Labels(comma_list(options["labels"]))
    if options["answer"] == "quantity":
        from fanin.units import Quantity

        return Quantity(options.get("unit"), abs_tol=tolerance)
    if options["answer"] == "date":
        from fanin.answers import Date

        return Date(options.get("date_order"))
    return None
