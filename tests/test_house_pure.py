"""Law 1: the pure rooms import no waiting, no clock, no randomness, no I/O and no logging."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from house import Source, sources

PURE = (
    "fanin.stages",
    "fanin.policy",
    "fanin.answers",
    "fanin.values",
    "fanin.verdict",
    "fanin.errors",
    "fanin.agent_run",
    "fanin.analysed",
    "fanin.clusters",
    "fanin.show",
)

# Modules that give the same for the same, and nothing else. A longer list is a decision: `datetime` is
# here for dates that are handed in, and the names below keep it from telling the time.
ALLOWED = frozenset(
    "__future__ abc attrs attrs.validators bisect collections collections.abc datetime decimal difflib"
    " email.utils enum fractions functools hashlib heapq itertools json math operator re statistics string"
    " typing unicodedata".split()
)
# What tells the time, the process or the weather. `hash` of a text differs between processes.
FORBIDDEN_CALLS = frozenset(
    "breakpoint eval exec globals hash id input localtime mktime_tz now open print today utcnow formatdate"
    " make_msgid __import__".split()
)


def is_pure(module: str) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in PURE)


PURE_SOURCES = [source for source in sources() if is_pure(source.name)]


def breaches(source: Source) -> Iterator[str]:
    """What stands in a source that may not stand in a pure room."""
    for module in source.imports():
        if module not in ALLOWED and not is_pure(module):
            yield f"imports {module}"
    for node in source.nodes:
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield f"line {node.lineno} waits"
        if isinstance(node, ast.Global):
            yield f"line {node.lineno} changes its module"
        if isinstance(node, ast.Call):
            called = node.func
            name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", None)
            if name in FORBIDDEN_CALLS:
                yield f"line {node.lineno} calls {name}"


def test_pure_rooms() -> None:
    assert [f"{source.name} {breach}" for source in PURE_SOURCES for breach in breaches(source)] == []


def test_every_pure_room_is_there() -> None:
    rooms = {room for room in PURE for source in PURE_SOURCES if source.name == room}
    assert rooms == set(PURE)


@pytest.mark.parametrize(
    "line",
    [
        "import anyio",
        "import time",
        "from random import Random",
        "import os.path",
        "from fanin.conductor import Conductor",
        "from fanin import settings",
        "def f():\n    import logging",
        "async def f(): pass",
        "datetime.now(UTC)",
        "open('x')",
        "hash('x')",
        "def f():\n    global x",
    ],
)
def test_a_breach_is_seen(line: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("pure") / "x.py"
    path.write_text(line)
    assert list(breaches(Source("fanin.stages.x", path))) != []
