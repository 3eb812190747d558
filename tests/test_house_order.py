"""How the house is kept: sizes, names and docstrings."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from house import PACKAGES, Function, is_docstring, sources

import fanin

MODULE_LINES = 300
FUNCTION_LINES = 40
LONGER: dict[str, str] = {}
"""Modules and functions that may be longer, with the reason."""
NAMES_THAT_SAY_NOTHING = frozenset(
    {"utils", "util", "helpers", "helper", "manager", "handler", "common", "misc"}
)


def test_a_module_is_one_room() -> None:
    long = [source.name for source in sources() if len(source.code_lines) > MODULE_LINES]
    assert [name for name in long if name not in LONGER] == []


def test_a_function_can_be_seen_at_once() -> None:
    """Counted without the signature: a door with many options is long by its documentation."""
    long = []
    for source in sources():
        for function in source.functions:
            lines = range(function.body[0].lineno, (function.end_lineno or 0) + 1)
            if len(source.code_lines.intersection(lines)) > FUNCTION_LINES:
                long.append(f"{source.name}.{function.name}")
    assert [name for name in long if name not in LONGER] == []


def test_no_name_says_nothing() -> None:
    for source in sources():
        assert not NAMES_THAT_SAY_NOTHING & set(source.name.split(".")[-1].split("_")), source.name


def test_what_is_public_has_a_docstring() -> None:
    bare = [
        f"{source.name}.{node.name}"
        for source in sources()
        for node in source.tree.body
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_")
        if ast.get_docstring(node) is None
    ]
    assert bare == []


def test_a_module_with_code_says_what_it_is() -> None:
    with_code = [source for source in sources() if source.code_lines]
    assert [source.name for source in with_code if not ast.get_docstring(source.tree)] == []


def bare_fields(tree: ast.Module) -> Iterator[str]:
    """The public fields of public classes that no docstring follows."""
    for cls in ast.walk(tree):
        if not isinstance(cls, ast.ClassDef) or cls.name.startswith("_"):
            continue
        for field, after in zip(cls.body, [*cls.body[1:], ast.Pass()], strict=True):
            match field:
                case ast.AnnAssign(target=ast.Name(id=name)) if not name.startswith("_"):
                    if not is_docstring(after):
                        yield f"{cls.name}.{name}"


def values_of_the_face() -> list[type]:
    public: list[Any] = [getattr(fanin, name) for name in fanin.__all__]
    return [thing for thing in public if isinstance(thing, type) and attrs.has(thing)]


def test_every_field_of_a_value_has_a_docstring() -> None:
    homes = {cls.__module__ for cls in values_of_the_face()} | {"fanin.values", "fanin.verdict"}
    assert [field for source in sources() if source.name in homes for field in bare_fields(source.tree)] == []


@pytest.mark.parametrize("module", ["fanin.values", "fanin.verdict", *sorted(PACKAGES)])
def test_every_value_is_frozen(module: str) -> None:
    home = importlib.import_module(module)
    for cls in [*vars(home).values(), *(values_of_the_face() if module == "fanin" else ())]:
        if isinstance(cls, type) and attrs.has(cls):
            assert cls.__setattr__ is not object.__setattr__, f"{cls.__name__} can be changed"
