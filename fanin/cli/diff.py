"""`fanin diff`: what sets two kept runs apart."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.runs import leaving

if TYPE_CHECKING:
    from fanin.keeping.record import Kept, Record


@click.command(name="diff")
@click.argument("run")
@click.argument("other")
@click.option("--json", "as_json", is_flag=True, help="Print one object: section, name, [of RUN, of OTHER].")
@leaving
def command(run: str, other: str, as_json: bool) -> int:
    """Tell what differs between two kept runs: what was asked, what came back, what was decided.

    Exit codes: 0 they are alike; 1 they differ; 2 one of them cannot be read.

    \b
      fanin diff last monday.jsonl
    """
    from fanin.keeping.comparing import differences
    from fanin.show import clean
    from fanin.verdict import escape_unprintable

    found = differences(_one(run), _one(other))
    differ = any(found.values())
    if as_json:
        click.echo(escape_unprintable(json.dumps(found, ensure_ascii=sys.stdout.encoding != "utf-8")))
        return int(differ)
    for section, names in found.items():
        for name, (first, second) in names.items():
            click.echo(clean(f"{section}: {name}: {_shown(first, second)}"))
    if not differ:
        click.echo("alike: what was asked, what came back and what was decided")
    return int(differ)


def _one(source: str) -> tuple[Record, Kept]:
    from fanin.errors import RecordError
    from fanin.keeping.sources import records_of
    from fanin.recounting import recount

    records = records_of(source)
    if len(records) > 1:
        raise RecordError(f"{source}: it holds {len(records)} runs", mend="Name one of them: FILE#ID")
    return records[0], recount(records[0])


def _shown(first: Any, second: Any) -> str:
    """Both, of objects only the parts that differ."""
    from fanin.show import one_line

    if isinstance(first, dict) and isinstance(second, dict):
        names = [name for name in first | second if first.get(name) != second.get(name)]
        return "; ".join(f"{name} {_shown(first.get(name), second.get(name))}" for name in names)
    shown = [json.dumps(value, ensure_ascii=False) for value in (first, second)]
    return " -> ".join(one_line(text, 200) for text in shown)
