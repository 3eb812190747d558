"""The face: what `import fanin` offers, and that offering it costs nothing."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys

import pytest
from house import Source, sources

import fanin

[FACE] = [source for source in sources() if source.name == "fanin"]


def homes_for_type_checkers() -> dict[str, str]:
    """Name -> module, as the TYPE_CHECKING block says."""
    [block] = [node for node in FACE.tree.body if isinstance(node, ast.If)]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    homes = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name, f"{alias.name} is not re-exported"
            homes[alias.name] = str(node.module)
    return homes


def test_the_names_are_few_and_sorted() -> None:
    assert fanin.__all__ == sorted(set(fanin.__all__))
    assert dir(fanin) == fanin.__all__
    assert len(fanin.__all__) <= 48


def test_type_checkers_see_the_same_face() -> None:
    assert homes_for_type_checkers() == fanin._HOMES


@pytest.mark.parametrize("name", fanin.__all__)
def test_a_name_leads_to_what_bears_it(name: str) -> None:
    thing = getattr(fanin, name)
    assert thing is getattr(importlib.import_module(fanin._HOMES[name]), name)
    assert getattr(thing, "__name__", name) == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'fanin' has no attribute 'votes'"):
        fanin.votes  # noqa: B018


def names_of(package: Source) -> set[str]:
    """The functions and classes that a package defines or imports, its own modules left out."""
    found = set()
    for node in ast.walk(package.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.ImportFrom) and node.module != package.name:
            found |= {alias.asname or alias.name for alias in node.names}
    return {name for name in found if not name.startswith("_")}


def test_no_module_takes_the_place_of_a_function() -> None:
    """`import fanin.x` binds `fanin.x`: a function of that name in the package would be gone."""
    for package in (source for source in sources() if source.is_package):
        names = names_of(package) | (set(fanin.__all__) if package.name == "fanin" else set())
        beside = {
            source.name.rpartition(".")[2]
            for source in sources()
            if source.name.rpartition(".")[0] == package.name
        }
        assert names & beside == set(), package.name


def loaded_by(code: str) -> set[str]:
    """The top-level packages, standard library apart, that a fresh interpreter loads for some code."""
    program = (
        f"import json, sys\nbefore = set(sys.modules)\n{code}\nafter = sorted(set(sys.modules) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nprint(json.dumps(after), file=sys.stderr)"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=True,
    )
    modules: list[str] = json.loads(done.stderr.splitlines()[-1])
    loaded = {name.split(".")[0] for name in modules if name.split(".")[0] not in sys.stdlib_module_names}
    return loaded | ({"importlib.metadata"} & set(modules))


def command(*arguments: str) -> str:
    """Code that runs the command `fanin` and comes back."""
    return (
        "from fanin.cli import main\n"
        f"sys.argv = {['fanin', *arguments]!r}\n"
        "try:\n    main()\n"
        "except SystemExit as leaving:\n    assert not leaving.code, leaving.code"
    )


@pytest.mark.slow
def test_import_loads_nothing_else() -> None:
    assert loaded_by("import fanin") == {"fanin"}


@pytest.mark.slow
def test_help_loads_click_alone_and_looks_for_no_backend() -> None:
    assert loaded_by(command("--help")) == {"fanin", "click"}


@pytest.mark.slow
def test_a_vote_loads_only_what_it_uses() -> None:
    allowed = {"anyio", "attr", "attrs", "click", "fanin", "fanin_backends", "idna", "importlib.metadata"}
    allowed |= {"platformdirs", "sniffio", "typing_extensions"}
    assert loaded_by(command("vote", "Is it?", "--backend", "fake")) <= allowed
