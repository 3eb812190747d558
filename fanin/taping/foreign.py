"""Cassettes of vcrpy made into tapes. Loading one runs no code."""

from __future__ import annotations

import os
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from fanin.errors import CassetteError
from fanin.taping.calls import RawRequest, RawResponse, header, taped_request, taped_response
from fanin.taping.recorder import refuse_secrets
from fanin.taping.recording import Interaction, Recording, in_stable_order
from fanin.taping.scrub import Scrubber, known_secrets


def recording_of_vcrpy(path: str, secrets: Iterable[str] = ()) -> Recording:
    """What a cassette of vcrpy (version 1, YAML or JSON) holds, scrubbed and in a tape's order.

    It is read with vcrpy's safe loader, which makes plain values alone and refuses every other tag.
    Raises CassetteError for all that is no such cassette, and where a secret is left.
    """
    listed = _interactions(_loaded(path), path)
    scrub = Scrubber(known_secrets(os.environ, secrets))
    made = []
    for number, each in enumerate(listed, 1):
        try:
            made.append(_interaction(each["request"], each["response"], scrub))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise _no_cassette(path, f"interaction {number} is none of vcrpy's") from None
    recording = Recording(None, None, (), {}, tuple(in_stable_order(made)))
    refuse_secrets(recording, scrub, path)
    return recording


def _loaded(path: str) -> object:
    from vcr.serializers import yamlserializer  # type: ignore[import-untyped]

    try:
        text = Path(path).read_text("utf-8-sig")
    except FileNotFoundError:
        raise CassetteError(path, "there is no such file", mend="Check the name.") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CassetteError(path, f"it cannot be read: {why}") from error
    try:
        loaded: object = yamlserializer.deserialize(text)
    except RecursionError:
        raise _no_cassette(path, "it is nested too deep") from None
    except Exception as error:  # noqa: BLE001  # whatever a YAML parser raises: it is no cassette
        told = str(error).partition("\n")[0][:120]
        raise _no_cassette(path, f"it is not YAML that is safe to load ({told})") from None
    return loaded


def _interactions(loaded: object, path: str) -> list[dict[str, Any]]:
    listed = loaded.get("interactions") if isinstance(loaded, dict) else None
    if not isinstance(listed, list) or "format" in (loaded if isinstance(loaded, dict) else {}):
        raise _no_cassette(path, "it is no cassette of vcrpy: it has no list of interactions")
    if not listed:
        raise _no_cassette(path, "it holds no interaction")
    return listed


def _interaction(request: dict[str, Any], response: dict[str, Any], scrub: Scrubber) -> Interaction:
    asked = RawRequest(
        str(request["method"]),
        str(request["uri"]),
        header({name: _each(value)[0] for name, value in request["headers"].items()}, "content-type"),
        _bytes(request["body"]),
    )
    headers = tuple((str(name), each) for name, value in response["headers"].items() for each in _each(value))
    status = response["status"]["code"]
    if type(status) is not int or not 100 <= status <= 999:
        raise ValueError(status)
    body = response["body"]
    answered = RawResponse(status, headers, _bytes(body["string"] if body else None))
    return Interaction(None, taped_request(asked, scrub), taped_response(answered, scrub))


def _each(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]


def _bytes(value: object) -> bytes:
    if isinstance(value, BytesIO):
        return value.getvalue()
    if isinstance(value, str):
        return value.encode("utf-8")
    if value is None or isinstance(value, bytes):
        return value or b""
    raise TypeError(type(value).__name__)


def _no_cassette(path: str, problem: str) -> CassetteError:
    return CassetteError(path, problem, mend="`import` takes cassettes of vcrpy, version 1.")
