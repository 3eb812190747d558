"""`fanin diff`: what sets two kept runs apart, or the votes of two batches."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.runs import leaving

if TYPE_CHECKING:
    from fanin.keeping.comparing import Differences
    from fanin.keeping.pairing import Reading
    from fanin.keeping.record import Record


@click.command(name="diff")
@click.argument("run")
@click.argument("other")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one object: section, name, [of RUN, of OTHER]; of several votes one a line, with the id.",
)
@leaving
def command(run: str, other: str, as_json: bool) -> int:
    """Tell what differs between two kept runs: what was asked, what came back, what was decided.

    RUN and OTHER are what fanin recount takes. Of files and journals of several votes those on the same
    question are compared: of one id and content, else of one content, else of one id.

    Exit codes: 0 they are alike; 1 they differ; 2 one of them cannot be read.

    \b
      fanin diff last monday.jsonl
      fanin diff monday.jsonl.journal tuesday.jsonl.journal
      fanin diff monday.jsonl.journal#17 tuesday.jsonl.journal#17
    """
    from fanin.evidence import readings_of

    with readings_of(run) as first, readings_of(other) as second:
        only = _only(first), _only(second)
        if only[0] is not None and only[1] is not None:
            return _one(only[0], only[1], as_json=as_json)
        return _several(first, second, run, other, as_json=as_json)


def _one(first: Record, second: Record, *, as_json: bool) -> int:
    found = _differences(first, second)
    differ = any(found.values())
    if as_json:
        _print_json(found)
        return int(differ)
    for line in _lines(found):
        click.echo(line)
    if not differ:
        click.echo("alike: what was asked, what came back and what was decided")
    return int(differ)


def _only(read: Reading) -> Record | None:
    """The run where there is but one."""
    begun = tuple(islice(read(), 2))
    return begun[0] if len(begun) == 1 else None


def _several(first: Reading, second: Reading, run: str, other: str, *, as_json: bool) -> int:
    from fanin.cli.progress import say
    from fanin.keeping.pairing import paired
    from fanin.show import clean, count, one_line

    pairs = differ = 0
    for one, another in paired(first, second):
        pairs += 1
        known = one or another
        assert known is not None, "a pair has one of the two"
        name = one_line(known.id, 80)
        if one is None or another is None:
            only = run if another is None else other
            if as_json:
                _print_json({"id": known.id, "only_in": only})
            else:
                click.echo(f"{name}: only in {clean(only)}: {one_line(known.question, 80)}")
        elif any((found := _differences(one, another)).values()):
            if as_json:
                _print_json({"id": known.id, **found})
            else:
                click.echo("\n".join(f"{name}: {line}" for line in _lines(found)))
        else:
            continue
        differ += 1
    say(f"{differ:,} of {count(pairs, 'vote')} differ" if differ else "all votes are alike")
    return int(differ > 0)


def _differences(first: Record, second: Record) -> Differences:
    from fanin.keeping.comparing import differences
    from fanin.recounting import recount

    return differences((first, recount(first)), (second, recount(second)))


def _print_json(found: Any) -> None:
    from fanin.verdict import escape_unprintable

    click.echo(escape_unprintable(json.dumps(found, ensure_ascii=sys.stdout.encoding != "utf-8")))


def _lines(found: Differences) -> Iterator[str]:
    from fanin.show import clean

    for section, names in found.items():
        for name, (first, second) in names.items():
            yield clean(f"{section}: {name}: {_shown(first, second)}")


def _shown(first: Any, second: Any) -> str:
    """Both, of objects only the parts that differ."""
    from fanin.show import one_line

    if isinstance(first, dict) and isinstance(second, dict):
        names = [name for name in first | second if first.get(name) != second.get(name)]
        return "; ".join(f"{name} {_shown(first.get(name), second.get(name))}" for name in names)
    shown = [json.dumps(value, ensure_ascii=False) for value in (first, second)]
    return " -> ".join(one_line(text, 200) for text in shown)
