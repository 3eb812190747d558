"""The floors, the packages and the dependencies as pyproject.toml lists them: nothing is forgotten."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from house import ROOT, sources

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
FLOORS: list[str] = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]


def placed() -> list[str]:
    """The modules and packages that have a floor, from the top down."""
    return [room for floor in FLOORS for room in re.split(r"\s*[|:]\s*", floor)]


def test_every_room_has_one_floor() -> None:
    rooms = {".".join(source.name.split(".")[:2]) for source in sources() if source.name.startswith("fanin.")}
    assert sorted(placed()) == sorted({*rooms, "fanin_backends"})


def test_every_package_is_shipped() -> None:
    packages = [source.name for source in sources() if source.is_package]
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == packages


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {source.path.parent for source in sources()}
    assert folders == {source.path.parent for source in sources() if source.is_package}


def test_the_group_dev_is_the_extra_dev() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    written_out = [*extras["litellm"], *(line for line in extras["dev"] if line != "fanin[litellm]")]
    assert len(written_out) == len(extras["litellm"]) + len(extras["dev"]) - 1
    assert PROJECT["dependency-groups"]["dev"] == written_out


def test_every_dependency_has_both_bounds() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    for line in [*PROJECT["project"]["dependencies"], *extras["litellm"], *extras["dev"]]:
        if line != "fanin[litellm]":
            assert re.fullmatch(r"[a-z0-9-]+>=[\d.]+(,!=[\d.]+)*,<[\d.]+", line), line


def test_the_malicious_releases_are_excluded() -> None:
    [line] = PROJECT["project"]["optional-dependencies"]["litellm"]
    assert {"!=1.82.7", "!=1.82.8"} <= set(line.split(","))


def locked(name: str) -> dict[str, str]:
    """Package -> version, as that lock file has them."""
    text = (ROOT / name).read_text("utf-8")
    entries = re.findall(r"(?m)^([a-z0-9][a-z0-9._-]*)==([^ ]+)(?: ; .+)? \\\n((?:    --hash=.+\n?)+)", text)
    listed = re.findall(r"(?m)^[^#\s].*", text)
    assert len(entries) == len(listed), "a line of the lock has no version or no hash"
    return {package: version for package, version, _ in entries}


def test_the_locks_agree_and_hold_no_address() -> None:
    run, dev = locked("requirements.lock"), locked("requirements-dev.lock")
    assert run.items() <= dev.items()
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text("utf-8")
        assert not re.search(r"(?m)://|^ *--(?!hash=)|^-| @ |file:", text)


def test_the_locks_hold_what_is_depended_on() -> None:
    project = PROJECT["project"]
    run = [*project["dependencies"], *PROJECT["build-system"]["requires"]]
    dev = [*run, *PROJECT["dependency-groups"]["dev"]]
    for name, lines in (("requirements.lock", run), ("requirements-dev.lock", dev)):
        names = {re.split(r"[^a-z0-9-]", line)[0] for line in lines}
        assert names <= locked(name).keys()
