"""`fanin cassette`: look at tapes, check a folder of them, import old ones, and ask again."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.options import leave
from fanin.errors import CassetteError, FaninError

if TYPE_CHECKING:
    from fanin.taping.recording import Interaction, Recording


@click.group(name="cassette")
def command() -> None:
    """Look at tapes, check a folder of them, import those of vcrpy, and ask the provider again.

    \b
      fanin cassette check tests/cassettes
      fanin cassette show tests/cassettes/renewal.json
    """


def _leaving(function: Callable[..., int]) -> Callable[..., None]:
    """Ends the command with the code that `function` gives, or with that of the error it raises."""

    @wraps(function)
    def left(**options: Any) -> None:
        try:
            sys.exit(function(**options))
        except FaninError as error:
            raise leave(error, click.get_current_context().command) from None

    return left


def _say(text: str) -> None:
    from fanin.show import clean

    click.echo(clean(text))


# check


@command.command("check")
@click.argument("folder", metavar="DIR")
@click.option(
    "--unused",
    metavar="FILE",
    help="Also tell what no test was served, by the list that pytest --fanin-used=FILE wrote.",
)
@_leaving
def check(folder: str, unused: str | None) -> int:
    """Check every tape (*.json) under DIR: that it can be read, and that no key stands in it.

    Exit codes: 0 all is well; 1 something is not; 2 there is nothing to check.
    """
    tapes = [Path(folder)] if Path(folder).is_file() else sorted(Path(folder).rglob("*.json"))
    if not tapes:
        raise CassetteError(folder, "there is no tape in it", mend="Check the name of the folder.")
    served = None if unused is None else _served(unused)
    found = [problem for path in tapes for problem in _problems(path, served)]
    for problem in found:
        _say(problem)
    _say(f"{len(tapes)} tapes checked, {len(found)} problems")
    return 1 if found else 0


def _problems(path: Path, served: dict[str, set[int]] | None) -> Iterator[str]:
    from fanin.taping.recorder import places_of_secrets
    from fanin.taping.scrub import Scrubber, known_secrets
    from fanin.taping.storage import load

    scrub = Scrubber(known_secrets(os.environ))
    try:
        recording = load(str(path))
    except CassetteError as error:
        yield error.message
        if path.is_file() and scrub.finds(path.read_text("utf-8", "replace")):
            yield f"{path}: it holds what looks like a key"
        return
    for place in places_of_secrets(recording, scrub):
        yield f"{path}: {place} holds what looks like a key"
    if served is not None:
        used = served.get(str(path.resolve()), set())
        for number in range(1, len(recording.interactions) + 1):
            if number not in used:
                yield f"{path}: interaction {number} was served to no test"


def _served(name: str) -> dict[str, set[int]]:
    served: dict[str, set[int]] = {}
    try:
        for line in Path(name).read_text("utf-8").splitlines():
            entry = json.loads(line)
            served.setdefault(entry["tape"], set()).update(entry["served"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CassetteError(
            name,
            f"it is no list of what tests were served ({error})",
            mend="pytest --fanin-used=FILE writes it.",
        ) from None
    return served


# show


@command.command("show")
@click.argument("file", metavar="FILE")
@_leaving
def show(file: str) -> int:
    """Print a tape as a table: who asked what, and what was answered."""
    from fanin.taping.storage import load

    recording = load(file)
    _say(_title(file, recording))
    rows: list[tuple[str, ...]] = [("#", "run", "request", "model", "asks", "", "answer")]
    rows += [_row(number, each) for number, each in enumerate(recording.interactions, 1)]
    for line in _table(rows, shutil.get_terminal_size((160, 24)).columns):
        click.echo(line)
    return 0


def _title(file: str, recording: Recording) -> str:
    from fanin.show import one_line

    made = [f"backend {recording.backend}" if recording.backend else "", recording.base_url or ""]
    made.append(f"models {', '.join(recording.models)}" if recording.models else "")
    made.append(f"{len(recording.interactions)} interactions")
    return one_line(f"{file}: {'; '.join(part for part in made if part)}", 400)


def _row(number: int, each: Interaction) -> tuple[str, ...]:
    from urllib.parse import urlsplit

    from fanin.show import one_line
    from fanin.taping.drift import said
    from fanin.taping.recording import TapedError

    outcome, body = each.outcome, each.request.body
    asked = body.value if body is not None and isinstance(body.value, dict) else {}
    if isinstance(outcome, TapedError):
        status, answer = str(outcome.kind), outcome.message
    else:
        plain = "" if outcome.body is None else outcome.body.to_bytes().decode("utf-8", "replace")
        status, answer = str(outcome.status), said(outcome) or plain
    return (
        str(number),
        "-" if each.run is None else str(each.run),
        one_line(f"{each.request.method} {urlsplit(each.request.url).path}", 60),
        one_line(str(asked.get("model", "")), 40),
        one_line(_last_words(asked)),
        one_line(status),
        one_line(answer),
    )


def _last_words(asked: dict[str, Any]) -> str:
    """What the user asked, in one of the usual chat APIs; else the whole body."""
    match asked:
        case {"messages": [*_, {"content": str(text)}]} | {"prompt": str(text)} | {"input": str(text)}:
            return text
    return json.dumps(asked, ensure_ascii=False) if asked else ""


def _table(rows: list[tuple[str, ...]], width: int) -> Iterator[str]:
    """Columns side by side; the two widest, what is asked and answered, share what is left."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    left = width - sum(widths[at] for at in (0, 1, 2, 3, 5)) - 2 * (len(widths) - 1)
    for at in (4, 6):
        widths[at] = min(widths[at], max(20, left // 2))
    for row in rows:
        cells = (_cut(cell, size).ljust(size) for cell, size in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 3] + "..."


# import


@command.command("import")
@click.argument("file", metavar="FILE")
@click.option("--to", metavar="TAPE", help="Where the tape goes.  [default: FILE, ending in .json]")
@_leaving
def import_(file: str, to: str | None) -> int:
    """Make a tape of a cassette of vcrpy (YAML or JSON), without its keys and volatile headers.

    FILE stays as it is. No code in it is run: YAML is read with a safe loader.
    """
    from fanin.taping.foreign import recording_of_vcrpy
    from fanin.taping.storage import alone, is_there, save

    made = to or str(Path(file).with_suffix(".json"))
    with alone(made):
        if is_there(made):
            raise CassetteError(made, "it is there already", mend="Name another file with --to.")
        recording = recording_of_vcrpy(file)
        save(recording, made)
    _say(f"{made}: {len(recording.interactions)} interactions of {file}")
    return 0


# verify


@command.command("verify")
@click.argument("file", metavar="FILE")
@click.option("--backend", metavar="NAME", required=True, help="groq, openai or ollama: whose key is sent.")
@click.option("--base-url", metavar="URL", help="Ask here, and not at the backend's own address.")
@_leaving
def verify(file: str, backend: str, base_url: str | None) -> int:
    """Ask everything on a tape again, live, and tell what changed shape. It costs what recording costs.

    The tape stays as it is. Exit codes: 0 nothing changed but words; 1 something did; 5 a key is missing.
    """
    from fanin.cli.verifying import verified

    changed = 0
    for number, sentences, words in verified(file, backend, base_url):
        for sentence in sentences:
            _say(f"{file}: interaction {number}: {sentence}")
        if words is not None:
            _say(f"{file}: interaction {number} (in words only): {words}")
        changed += bool(sentences)
    _say(f"{changed} answers changed shape")
    return 1 if changed else 0
