"""Whether what is to be written at the end can be, before anything is paid for."""

from __future__ import annotations

import os
from pathlib import Path

from fanin.errors import InputError


def check_file(field: str, name: str) -> None:
    """Raises InputError where the file of that name could not be written."""
    path = Path(name)
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise InputError(field, "a file that can be written", name)


def check_folder(field: str, name: str) -> None:
    """Raises InputError where files could not be written into the folder of that name, were it made."""
    path = Path(name)
    there = next((each for each in (path, *path.parents) if each.exists()), path)
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(field, "a folder that can be written to", name)
