"""Modules that are looked up in a folder before the installed ones. Their code is run."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


def module_beside(folder: Path, name: str) -> ModuleType:
    """The module of that dotted name in the folder, else the installed one; run once a process.

    While it is run, what lies in the folder can be imported, and in a package what the package has. Raises
    ModuleNotFoundError where there is none, and whatever the module itself raises.
    """
    folder, parts = folder.resolve(), name.split(".")
    if _source(folder.joinpath(*parts)) is None:
        return import_module(name)
    first = len(parts) - 1
    while first and _is_package(folder.joinpath(*parts[:first])):
        first -= 1
    at = folder.joinpath(*parts[:first])
    paths = list(dict.fromkeys([str(at), str(folder)]))
    known = ""
    for part in parts[first:]:
        at = at / part
        # No name that an import could ask for, or that another file has; a dot would make it a package's.
        known = f"{known}.{part}" if known else f"fanin tools {at}".replace(".", ":")
        module = _loaded(known, at, paths)
    return module


def _is_package(folder: Path) -> bool:
    return (folder / "__init__.py").is_file()


def _source(at: Path) -> Path | None:
    """The file of a module, or of a package, at that place."""
    return next((each for each in (at.with_suffix(".py"), at / "__init__.py") if each.is_file()), None)


def _loaded(known: str, at: Path, paths: list[str]) -> ModuleType:
    if known in sys.modules:
        return sys.modules[known]
    source = _source(at)
    assert source is not None
    inside = [str(at)] if source.name == "__init__.py" else None
    spec = spec_from_file_location(known, source, submodule_search_locations=inside)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[known] = module_from_spec(spec)
    sys.path[:0] = paths
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[known]
        raise
    finally:
        for path in paths:
            with suppress(ValueError):
                sys.path.remove(path)
    return module
