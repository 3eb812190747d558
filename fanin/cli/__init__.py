"""The command `fanin`: one file a command, loaded when it is called.

stdout carries the answer, stderr everything else.
"""

from __future__ import annotations

import atexit
import gc
import io
import sys
from importlib import import_module
from typing import Any

import click

_COMMANDS = {
    "analyze": ("fanin.cli.analyze", "Work on a question in several steps, and answer it."),
    "batch": ("fanin.cli.batch", "Vote on many questions, with a journal, within a budget."),
    "calibrate": ("fanin.cli.calibrate", "Learn from known answers how far to trust an ensemble's votes."),
    "cassette": ("fanin.cli.cassette", "Look at tapes, check them, import and verify them."),
    "diff": ("fanin.cli.diff", "Tell what sets two kept runs apart."),
    "eval": ("fanin.cli.eval", "Measure votes, stop rules and weights on known answers."),
    "limits": ("fanin.cli.limits", "Show what is known of rate limits, or forget it."),
    "panel": ("fanin.cli.panel", "Ask specialists with tools in parallel, and make one report of it."),
    "export": ("fanin.cli.export", "Write the requests of many votes for a provider's batch API."),
    "import": ("fanin.cli.import_", "Vote on the answers that a batch API gave."),
    "plan": ("fanin.cli.plan", "Tell what a vote would take, before anything is spent."),
    "recount": ("fanin.cli.recount", "Decide again, in the same or another way, and ask nothing."),
    "runs": ("fanin.cli.runs", "List, show, remove and hand over the runs that are kept."),
    "show": ("fanin.cli.show_run", "Show a kept run, or what speaks against its answer."),
    "vote": ("fanin.cli.vote", "Ask a question many times and give one answer with its grade."),
}


class _Commands(click.Group):
    """Knows its commands by name and one line; loads the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command = import_module(_COMMANDS[name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            ctx.fail(_no_command(args[0]))
        return super().resolve_command(ctx, args)


def _no_command(name: str) -> str:
    from difflib import get_close_matches

    if " " in name:
        return f"there is no command {name!r}. To ask a question: fanin vote {name!r}"
    near = get_close_matches(name, _COMMANDS, n=1)
    meant = f" Did you mean {near[0]}?" if near else f" There are: {', '.join(sorted(_COMMANDS))}."
    return f"there is no command {name!r}.{meant}"


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from fanin._version import __version__

        click.echo(f"fanin {__version__}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show it."
)
def fanin() -> None:
    """Ask a language model many times at once; get one answer, an honest grade and the evidence.

    \b
      fanin vote "Is 1009 a prime number?" --runs 5 --backend ollama
      cat contract.txt | fanin vote "Does this contract renew by itself?" --backend groq --json
    """


def _say_plainly() -> None:
    """A warning that a pace is not shared is a line like every other, without a place in the source."""
    import warnings

    from fanin.errors import SharedPaceWarning

    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
        if issubclass(category, SharedPaceWarning):
            click.echo(f"fanin: {message}", err=True)
        else:
            shown(message, category, *rest, **named)

    warnings.showwarning = show


def _write_everything() -> None:
    """A character that stdout's encoding lacks is written as an escape: what was paid for is not lost."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def main() -> None:
    """Runs the command and leaves with its exit code; 130 after Ctrl-C."""
    # Looking for garbage while modules load finds none, and at the exit nobody needs it found: together
    # they would take a fifth of a short command.
    gc.set_threshold(50_000, 20, 20)
    atexit.register(gc.freeze)
    _say_plainly()
    _write_everything()
    try:
        # Outside its standalone mode click returns the code of an Exit, and raises the rest.
        code = fanin.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except (KeyboardInterrupt, click.Abort):
        click.echo("fanin: interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read stdout has gone; nothing is left to say, and Python must not try at exit.
        sys.stdout = None
        sys.exit(1)
