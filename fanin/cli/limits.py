"""`fanin limits`: what is known of the rate limits, and how to forget it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.options import leave
from fanin.errors import FaninError

if TYPE_CHECKING:
    from fanin.sharing.store import Store

_FROM = {
    "user": "your own limit",
    "header": "told in headers",
    "refusal": "told by a refusal",
    "probing": "found by probing",
}


@click.group(name="limits", invoke_without_command=True)
@click.option(
    "--pace", metavar="WHERE", help="Where it is shared: file, or redis://HOST/0.  [default: as configured]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one object, fanin.limits/1.")
@click.pass_context
def command(ctx: click.Context, pace: str | None, as_json: bool) -> None:
    """Show, for each account and model: the limits and where they were learnt, the pace, who waits.

    \b
      fanin limits
      fanin limits reset
    """
    ctx.obj = pace
    if ctx.invoked_subcommand is not None:
        return
    from fanin.sharing.telling import facts

    store = _store(pace)
    now_s, entries = _tried(store.now_s), _tried(store.entries)
    told = [facts(joint, now_s) for joint in entries if joint.booked.pace.count or joint.booked.ahead]
    if as_json:
        click.echo(json.dumps({"schema": "fanin.limits/1", "paces": told}, ensure_ascii=False))
        return
    if not told:
        click.echo("fanin: nothing is known yet", err=True)
    for one in told:
        _print(one)


@command.command(name="reset")
@click.argument("account", required=False)
@click.argument("model", required=False)
@click.pass_obj
def reset(pace: str | None, account: str | None, model: str | None) -> None:
    """Forget what was learnt: of everything, of one ACCOUNT, or of one MODEL of it.

    ACCOUNT is as `fanin limits` shows it. Processes that run go on from nothing.
    """
    from fanin.sharing.store import Key

    store = _store(pace)
    if account is None:
        forgotten = _tried(lambda: store.forget(None))
    else:
        keys = [
            Key(joint.account, joint.model)
            for joint in _tried(store.entries)
            if joint.account == account and model in (None, joint.model)
        ]
        if not keys:
            raise click.UsageError(f"nothing is known of {' '.join(filter(None, (account, model)))}")
        forgotten = sum(_tried(lambda key=key: store.forget(key)) for key in keys)
    click.echo(f"fanin: forgot {forgotten}", err=True)


def _store(pace: str | None) -> Store:
    """The store that is meant, whatever FANIN_SHARED_PACE says: it is looked at, not used."""
    from fanin.settings import read_settings
    from fanin.sharing.opening import named
    from fanin.terms import Terms

    try:
        store = named(Terms(pace=pace or read_settings().values.get("pace", "file")).pace)
    except FaninError as error:
        raise leave(error, command) from None
    if store is None:
        raise click.UsageError("the pace is shared with nobody, so nothing is kept of it")
    return store


def _tried(look: Any) -> Any:
    from fanin.sharing.store import StoreError

    try:
        return look()
    except StoreError as error:
        raise leave(FaninError(str(error)), command) from None


def _print(one: dict[str, Any]) -> None:
    from fanin.show import clean

    click.echo(clean(f"{one['account']}  {one['model']}"))
    for limit in one["limits"]:
        left = "" if limit["left"] is None else f", {max(0, limit['left']):g} left"
        click.echo(
            clean(
                f"  {limit['name']}: {limit['burst']:g} at once, {limit['per_s'] * 60:g} a minute{left}"
                f" ({_FROM[limit['from']]})"
            )
        )
    if one["stagger_s"]:
        click.echo(f"  starts {one['stagger_s']:g} s apart (your own limit)")
    if one["closed_s"]:
        click.echo(f"  nothing may go for {one['closed_s']:g} s: the provider asked to wait")
    if one["delay_s"]:
        click.echo(f"  delay after refusals: {one['delay_s']:g} s")
    for refused in one["refusals"]:
        told = "" if refused["told_s"] is None else f", told to wait {refused['told_s']:g} s"
        click.echo(f"  refused {refused['ago_s']:g} s ago{told}")
    processes = "1 process" if one["processes"] == 1 else f"{one['processes']} processes"
    click.echo(f"  {one['sent']} sent; {one['waiting']} waiting, in {processes}")
