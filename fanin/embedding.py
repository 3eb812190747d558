"""Vectors of texts from a model in a folder: the extra `fanin[embed]`. Nothing is ever fetched."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fanin.errors import InputError, MissingExtraError


def encoder(folder: str | os.PathLike[str]) -> Callable[[list[str]], Any]:
    """A function from texts to vectors, by the static embeddings (Model2Vec's format) in `folder`.

    Raises InputError for a folder that holds no such model, MissingExtraError without the extra `embed`.
    """
    path = Path(folder)
    # Seen to here, since model2vec takes what is no folder for the name of a model to fetch.
    if not path.is_dir():
        raise InputError("embed", "a folder that holds a Model2Vec model", str(folder))
    try:
        from model2vec import StaticModel
    except ImportError:
        raise MissingExtraError("an embedding from a folder", "embed") from None
    try:
        model = StaticModel.from_pretrained(path)
    except Exception as error:  # noqa: BLE001 - a damaged file fails in as many ways as there are parsers
        bound = f"a folder that holds a Model2Vec model ({type(error).__name__}: {error})"
        raise InputError("embed", bound, str(folder)) from None
    return model.encode
