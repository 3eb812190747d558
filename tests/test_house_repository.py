"""What is in the repository: scripts that run, and nothing of the machine it was written on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
from house import PACKAGES, ROOT, sources

SCRIPTS = ("demo", "test", "check", "record", "bench", "mutate", "lock")
FOLDERS = (*(folder.name for folder in PACKAGES.values()), "cassettes", "tests", "scripts", ".ci", ".github")
NOT_TRACKED = ("__pycache__", ".hypothesis", ".pytest_cache")

# Written so that the patterns do not find themselves.
OF_A_MACHINE = re.compile(r"/wor[k]/|/roo[t]/|/far[m]/|/hom[e]/\w|/User[s]/\w|[.]librar[y]/|shared/rea[l]")
OF_A_REGISTRY = re.compile(
    r"pythonhoste[d][.]org|pypi[.]or[g]/|registry[.]npm|artifactor[y]|/wheel[s]\b", re.IGNORECASE
)
OF_A_KEY = re.compile(r"(?<!\w)(sk-|gsk_|hf_|AIza|ghp_|xox[bp]-)[A-Za-z0-9_-]{20,}|BEGIN [A-Z ]*PRIVATE KEY")


def files() -> Iterator[Path]:
    """Every file that belongs to the repository."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.name != ".git")
    for folder in (*PACKAGES.values(), *(ROOT / name for name in FOLDERS[2:])):
        for path in folder.rglob("*"):
            if path.is_file() and not set(NOT_TRACKED) & set(path.parts):
                yield path


def test_nothing_tells_of_a_machine_a_registry_or_a_key() -> None:
    found = []
    for path in files():
        text = path.read_bytes().decode("utf-8", "replace")
        name = path.relative_to(ROOT).as_posix()
        patterns = [OF_A_REGISTRY]
        if name != ".ci/run":  # the one place that may look beside the repository
            patterns.append(OF_A_MACHINE)
        if not name.startswith("tests/"):  # tests plant false keys
            patterns.append(OF_A_KEY)
        found += [f"{name}: {match.group()}" for pattern in patterns for match in pattern.finditer(text)]
    assert found == []


@pytest.mark.parametrize("name", [*SCRIPTS, "../.ci/run"])
def test_a_script_can_be_run(name: str) -> None:
    path = ROOT / "scripts" / name
    assert os.access(path, os.X_OK)
    first, comment, *_ = path.read_text("utf-8").splitlines()
    assert first in ("#!/bin/sh", "#!/usr/bin/env bash")
    assert re.match(r"# [A-Z]", comment), "the second line says what it does"


def test_every_python_block_of_the_scripts_parses() -> None:
    for path in (ROOT / "scripts").rglob("*.py"):
        compile(path.read_text("utf-8"), path, "exec")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*(f"scripts/{script}" for script in SCRIPTS), "scripts/environment.sh"])
def test_a_script_is_plain_sh(name: str) -> None:
    subprocess.run(["sh", "-n", ROOT / name], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", [script for script in SCRIPTS if script != "lock"])
def test_a_python_that_is_too_old_is_said_in_one_line(name: str, tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\ncase "$2" in *exit*) exit 1 ;; *) echo 3.9.2 ;; esac\n')
    old.chmod(0o755)
    done = subprocess.run(
        [ROOT / "scripts" / name],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == f"{name}: fanin needs Python 3.11 or newer, and python3 is 3.9.2: set PYTHON to a newer one\n"
    )


@pytest.mark.slow
def test_the_wheel_and_the_sdist_hold_both_packages(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for path in (
        path for path in ROOT.iterdir() if path.suffix in (".toml", ".md") or path.name == "LICENSE"
    ):
        (tree / path.name).write_bytes(path.read_bytes())
    for folder in PACKAGES.values():
        copytree(folder, tree / folder.relative_to(ROOT), ignore=ignore_patterns("__pycache__"))
    build = "from setuptools.build_meta import *; build_sdist('out'); build_wheel('out')"
    subprocess.run([sys.executable, "-c", build], cwd=tree, check=True, capture_output=True)
    [wheel] = (tree / "out").glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {"fanin/py.typed", "fanin_backends/py.typed"}
    for source in sources():
        package = source.name.split(".")[0]
        wanted.add(f"{package}/{source.path.relative_to(PACKAGES[package]).as_posix()}")
    assert held == wanted
    [sdist] = (tree / "out").glob("*.tar.gz")
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "-xzf", sdist, "-C", unpacked, "--strip-components=1"], check=True)
    in_sdist = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert {name.replace("fanin_backends/", "backends/fanin_backends/") for name in wanted} <= in_sdist
    assert {"LICENSE", "README.md", "pyproject.toml"} <= in_sdist


def test_the_version_is_said_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert "version" not in project
    assert "version" in project["dynamic"]
