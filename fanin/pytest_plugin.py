"""The pytest plugin: tests that ask a model, replayed from tapes.

- `@pytest.mark.fanin_cassette`, or the fixture `fanin_cassette`, puts all HTTP of a test on a tape:
  `cassettes/<test file>/<test>.json` beside the file of the test, or `cassettes/<name>.json` with
  `@pytest.mark.fanin_cassette("name")`.
- `--fanin-record=none|once|new|all` are the modes of `fanin.tape`; where the environment variable CI
  is set nothing is ever recorded.
- `--fanin-block-network` refuses all connections but to this machine while tapes are replayed.
- `--fanin-used=FILE` lists what was served, for `fanin cassette check --unused FILE`.

Loaded by every pytest run of an environment that holds fanin, so it imports nothing of it before a
test needs a tape.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fanin.context import TapeOn
    from fanin.taping import Mode

_MARK = "fanin_cassette"
_MODES = ("none", "once", "new", "all")
_NOT_PASSED = pytest.StashKey[bool]()
_BLOCKED = pytest.StashKey[ExitStack]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options."""
    group = parser.getgroup("fanin", "fanin: replay the answers of models from tapes")
    group.addoption(
        "--fanin-record",
        choices=_MODES,
        default="none",
        help="none: replay only (the default, and always where CI is set); once: record tapes that are "
        "missing; new: also what a tape lacks; all: everything anew.",
    )
    group.addoption(
        "--fanin-block-network",
        action="store_true",
        help="While tapes are replayed, refuse all connections but to this machine.",
    )
    group.addoption(
        "--fanin-used",
        metavar="FILE",
        help="List what the tests were served, for: fanin cassette check DIR --unused FILE",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Names the marker, begins the list of what is used, and shuts the network where that was asked for."""
    config.addinivalue_line(
        "markers", "fanin_cassette(name): put all HTTP of the test on the tape cassettes/<name>.json"
    )
    used = config.getoption("--fanin-used")
    if used and not hasattr(config, "workerinput"):
        Path(config.invocation_params.dir, used).write_text("", "utf-8")
    if config.getoption("--fanin-block-network") and _mode(config) == "none":
        held = config.stash[_BLOCKED] = ExitStack()
        held.enter_context(_shut())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Opens the network again."""
    if _BLOCKED in config.stash:
        config.stash[_BLOCKED].close()


def pytest_report_header(config: pytest.Config) -> str | None:
    """Says so where recording was asked for and CI forbids it."""
    if config.getoption("--fanin-record") != _mode(config):
        return "fanin: CI is set, so tapes are replayed and nothing is recorded"
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remembers which tests did not pass: their recordings are not kept."""
    report = yield
    if not report.passed:
        item.stash[_NOT_PASSED] = True
    return report


@pytest.fixture(autouse=True)
def _fanin_cassette_of_the_marker(request: pytest.FixtureRequest) -> None:
    # A fixture, and not a hook, so that it comes after the fixtures of a wider scope.
    if request.node.get_closest_marker(_MARK) is not None:
        request.getfixturevalue(_MARK)


@pytest.fixture
def fanin_cassette(request: pytest.FixtureRequest) -> Iterator[TapeOn]:
    """The tape of this test, switched on. Its `path` and `mode` tell which it is, and what it does."""
    from fanin.taping import tape

    config, path = request.config, _path(request.node)
    mode = _mode(config)
    with suppress(_NotPassed), tape(path, mode, mend=_mend(request.node)) as on:
        shut = on.mode == "replay" and config.getoption("--fanin-block-network")
        network: AbstractContextManager[None] = _shut() if shut else nullcontext()
        with network:
            yield on
        _note_used(config, path, on)
        if _NOT_PASSED in request.node.stash:
            # The test has told what is wrong: a miss is not told twice, and no recording is kept.
            on.missed = None
            raise _NotPassed


class _NotPassed(Exception):
    """Leaves a tape without saving it."""


def _shut() -> AbstractContextManager[None]:
    from fanin.taping.network import loopback_only

    return loopback_only()


def _mode(config: pytest.Config) -> Mode:
    in_ci = os.environ.get("CI", "").lower() not in ("", "0", "false")
    chosen: Mode = "none" if in_ci else config.getoption("--fanin-record")
    return chosen


def _path(node: pytest.Item) -> Path:
    marker = node.get_closest_marker(_MARK)
    folder = node.path.parent / "cassettes"
    if marker is not None and marker.args:
        return folder / f"{str(marker.args[0]).removesuffix('.json')}.json"
    # Parameters may hold whatever no file system takes.
    return folder / node.path.stem / f"{re.sub(r'[^A-Za-z0-9_.=,+-]+', '-', _within(node))[:150]}.json"


def _within(node: pytest.Item) -> str:
    """The test's name in its file, with its class."""
    return ".".join(node.nodeid.split("::")[1:]) or node.name


def _mend(node: pytest.Item) -> str:
    return (
        "Nothing was sent. If the change is meant, record what is missing and keep the rest:"
        f" pytest {shlex.quote(node.nodeid)} --fanin-record=new"
    )


def _note_used(config: pytest.Config, path: Path, on: TapeOn) -> None:
    used = config.getoption("--fanin-used")
    if used:
        # One line at a time, appended, so that several workers can write one list.
        served = sorted(place + 1 for place in on.served)
        with Path(config.invocation_params.dir, used).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"tape": str(path.resolve()), "served": served}) + "\n")
