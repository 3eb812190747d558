"""Tapes that were written once and have to be read, and written, the same for ever.

A file in `golden/` belongs to one version of the format and is never changed: a change that fails here
needs a new version.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fanin.taping.bodies import Body
from fanin.taping.format import recording_of, text_of
from fanin.taping.recording import Interaction, Recording, TapedError, TapedRequest, TapedResponse

HERE = Path(__file__).parent
GOLDEN = HERE / "golden" / "fanin.tape-1.json"
TAPES = [GOLDEN, *sorted((HERE.parent / "cassettes").glob("*.json"))]

URL = "http://127.0.0.1:1/v1/chat/completions"
TYPED = {"content-type": "application/json"}
ASKED = Body(
    "json", {"model": "m", "messages": [{"role": "user", "content": "Is it so?\nReally?"}], "seed": 7}
)
EVERYTHING = Recording(
    backend="openai",
    base_url="http://127.0.0.1:1/v1",
    models=("m", "n"),
    refused={"m": ("seed", "temperature")},
    interactions=(
        Interaction(
            None,
            TapedRequest("GET", "http://127.0.0.1:1/v1/models", {}, None),
            TapedResponse(200, TYPED, Body("json", {"data": [{"id": "m"}]})),
        ),
        Interaction(
            0,
            TapedRequest("POST", URL, TYPED, ASKED),
            TapedResponse(429, {**TYPED, "retry-after": "1"}, Body("json", {"error": {"message": "slower"}})),
        ),
        Interaction(
            0,
            TapedRequest("POST", URL, TYPED, ASKED),
            TapedResponse(
                200, {"content-type": "text/event-stream"}, Body("text", "data: {}\n\ndata: [DONE]\n\n")
            ),
        ),
        Interaction(
            1, TapedRequest("POST", URL, TYPED, ASKED), TapedError("timeout", "No answer within 1 s.")
        ),
        Interaction(
            2,
            TapedRequest("POST", URL, TYPED, Body("base64", b"\xff\x00")),
            TapedResponse(204, {}, None),
        ),
    ),
)


@pytest.mark.parametrize("path", TAPES, ids=lambda path: path.name)
def test_a_tape_is_written_again_as_it_was_read(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text_of(recording_of(text, str(path))) == text


def test_the_golden_tape_says_what_it_said() -> None:
    assert recording_of(GOLDEN.read_text("utf-8"), str(GOLDEN)) == EVERYTHING
