"""The file: what is written is read back, a person can read it, and what is no tape is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies_tape import HIDDEN, ODD_BODIES, any_text, json_bodies, raw_bodies, recordings, unchanged

from fanin.errors import CassetteError
from fanin.taping import storage
from fanin.taping.bodies import Body, body_of, from_stored, to_stored
from fanin.taping.format import FORMAT, recording_of, text_of
from fanin.taping.recording import Interaction, Recording, TapedError, TapedRequest, TapedResponse

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Ist 1009 prim? Größer!"}]}
ONE = Recording(
    "groq",
    "https://api.groq.com/openai/v1",
    ("m",),
    {"m": ("temperature",)},
    (
        Interaction(
            0,
            TapedRequest(
                "POST", "https://api.groq.com/x", {"content-type": "application/json"}, Body("json", CHAT)
            ),
            TapedResponse(429, {"retry-after": "2"}, Body("text", "wait\na bit\n")),
        ),
        Interaction(
            0,
            TapedRequest("POST", "https://api.groq.com/x", {}, Body("base64", b"\xff\x00")),
            TapedError("timeout", "No answer within 120 s.", "Ask for less.", True),
        ),
    ),
)


@settings(max_examples=30)
@given(recordings())
def test_a_tape_that_is_written_and_read_holds_the_same(recording: Recording) -> None:
    text = text_of(recording)
    again = recording_of(text.encode("utf-8").decode("utf-8"), "x.json")
    assert again == recording
    assert text_of(again) == text
    assert [each.key for each in again.interactions] == [each.key for each in recording.interactions]


@settings(max_examples=30)
@given(recordings())
def test_nothing_hides_in_the_file(recording: Recording) -> None:
    text = text_of(recording)
    assert not {character for character in text if ord(character) < 0x20} - {"\n"}
    assert not {character for character in text if 0xD800 <= ord(character) < 0xE000}
    assert not set(text) & set(HIDDEN)


@given(raw_bodies())
def test_a_body_comes_back_to_the_byte_or_as_equal_json(raw: bytes) -> None:
    body = body_of(raw, unchanged)
    if body is None:
        assert raw == b""
    elif body.kind == "json":
        assert _exactly(json.loads(body.to_bytes())) == _exactly(json.loads(raw))
    else:
        assert body.to_bytes() == raw
    if body is not None:
        assert from_stored(json.loads(json.dumps(to_stored(body)))) == body


@given(json_bodies())
def test_json_is_kept_as_json(raw: bytes) -> None:
    body = body_of(raw, unchanged)
    assert body is not None
    assert body.kind == "json"


def _exactly(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize(("raw", "kind"), list(ODD_BODIES.items()), ids=lambda each: repr(each[:24]))
def test_a_body_that_json_would_change_is_kept_as_text(raw: bytes, kind: str) -> None:
    body = body_of(raw, unchanged)
    assert body is not None
    assert body.kind == kind


def test_a_person_can_read_it() -> None:
    text = text_of(ONE)
    assert text.startswith(f'{{\n "format": "{FORMAT}",\n "backend": "groq",\n')
    assert '"content": "Ist 1009 prim? Größer!"' in text
    assert '"text": [\n      "wait\\n",\n      "a bit\\n"\n     ]' in text
    assert text.endswith("}\n")


@given(st.data())
def test_a_tape_cut_short_anywhere_is_refused(data: st.DataObject) -> None:
    text = text_of(ONE).rstrip()
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    with pytest.raises(CassetteError, match=r"^x\.json: "):
        recording_of(cut, "x.json")


@given(st.data())
def test_a_value_of_another_type_anywhere_is_refused_or_harmless(data: st.DataObject) -> None:
    stored = json.loads(text_of(ONE))
    holder, name = data.draw(st.sampled_from(list(_members(stored))))
    holder[name] = data.draw(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=True)
        | any_text()
        | st.just([])
        | st.just({})
    )
    text = json.dumps(stored)
    try:
        recording = recording_of(text, "x.json")
    except CassetteError:
        return
    assert recording_of(text_of(recording), "x.json") == recording


@given(st.data())
def test_a_member_too_many_or_too_few_is_refused(data: st.DataObject) -> None:
    stored = json.loads(text_of(ONE))
    request = stored["interactions"][0]
    fixed = [stored, request, request["request"], request["response"]]
    holder = data.draw(st.sampled_from(fixed))
    if data.draw(st.booleans()):
        holder["respnose"] = 1
    else:
        del holder[data.draw(st.sampled_from([name for name in holder if name != "body"]))]
    with pytest.raises(CassetteError):
        recording_of(json.dumps(stored), "x.json")


def _members(value: Any) -> Any:
    if isinstance(value, dict):
        for name, item in value.items():
            yield value, name
            yield from _members(item)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield value, at
            yield from _members(item)


def _with(**changes: Any) -> str:
    return json.dumps(json.loads(text_of(ONE)) | changes)


def _changed(part: str, **changes: Any) -> str:
    stored = json.loads(text_of(ONE))
    stored["interactions"][0][part] |= changes
    return json.dumps(stored)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("interactions:\n- request: {}\nversion: 1\n", "YAML cassette of vcrpy"),
        ("---\ninteractions: []\n", "YAML cassette of vcrpy"),
        ('{"version": 1, "interactions": []}', "JSON cassette of vcrpy"),
        ('{"log": {"entries": []}}', "no tape of fanin"),
        ("[]", "no tape of fanin"),
        ("null", "no tape of fanin"),
        ("hello", "not JSON.*line 1, column 1"),
        ('{"format": "fanin.tape/1",\n "backend": "gr', "cut short.*line 2"),
        ('{"format": "fanin.tape/1"}', "has no 'backend'"),
        ('{"format": "fanin.tape/2"}', "fanin.tape/2.*newer fanin"),
        ('{"format": "fanin.tape/x"}', "no tape of fanin"),
        ("[" * 200_000, "nested too deep"),
        ('{"format": NaN}', "a number"),
        ('{"format": 1e999}', "a number"),
        ('{"format": ' + "1" * 5000 + "}", "a number"),
        (_with(interactions=[]), "no interaction"),
        (_with(interactions={}), "interactions must be an array"),
        (_with(backend=1), "backend must be a string"),
        (_with(models=[1]), "models must be an array of strings"),
        (_with(refused={"m": "temperature"}), "m must be an array"),
        (_changed("response", status=True), "interaction 1, response: status must be a whole number"),
        (_changed("response", status=7), "from 100 to 999"),
        (_changed("response", headers={"set-cookie": "a=b"}), "'set-cookie' is no header"),
        (_changed("response", headers={"retry-after": "1\r\nx: y"}), "printable ASCII"),
        (_changed("response", headers={"retry-after": 2}), "printable ASCII"),
        (_changed("request", headers={"authorization": "x"}), "content-type alone"),
        (_changed("request", body="text"), "interaction 1, request: body must be an object"),
        (_changed("request", body={"text": "a", "json": {}}), "with one member"),
        (_changed("request", body={"yaml": "a"}), "'yaml'"),
        (_changed("request", body={"json": "a"}), "an object or an array"),
        (_changed("request", body={"text": [1]}), "a string or an array"),
        (_changed("request", body={"text": "\ud800"}), "lone surrogate"),
        (_changed("request", body={"base64": "a"}), "must be base64"),
        (_changed("request", body={"base64": "ü"}), "must be base64"),
        (_changed("request", body={"base64": None}), "must be base64"),
    ],
)
def test_what_is_no_tape_is_refused_with_its_reason(text: str, says: str) -> None:
    with pytest.raises(CassetteError, match=rf"(?s)^x\.json: .*{says}") as caught:
        recording_of(text, "x.json")
    assert caught.value.mend


def test_an_unknown_kind_of_error_is_refused() -> None:
    text = text_of(ONE).replace('"timeout"', '"bored"')
    with pytest.raises(CassetteError, match="interaction 2, error: kind must be one of timeout"):
        recording_of(text, "x.json")


def test_a_run_is_a_whole_number_from_0() -> None:
    for run in (-1, True, 0.0, "0"):
        stored = json.loads(text_of(ONE))
        stored["interactions"][0]["run"] = run
        with pytest.raises(CassetteError, match="run must be"):
            recording_of(json.dumps(stored), "x.json")


def test_a_file_that_cannot_be_a_tape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CassetteError, match=r"there is no such tape\n.*--record"):
        storage.load(str(tmp_path / "x.json"))
    with pytest.raises(CassetteError, match="it is a directory"):
        storage.load(str(tmp_path))
    with pytest.raises(CassetteError, match="cannot be read"):
        storage.load("a\0b")
    with pytest.raises(CassetteError, match="cannot be read"):
        storage.load(str(tmp_path / ("x" * 300)))
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(CassetteError, match="cannot be read"):
        storage.load(str(tmp_path / "loop"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CassetteError, match="no regular file"):
        storage.load(str(tmp_path / "pipe"))
    (tmp_path / "latin").write_bytes(b'{"format": "\xff"}')
    with pytest.raises(CassetteError, match=r"not UTF-8 text \(byte 12\)"):
        storage.load(str(tmp_path / "latin"))
    with (tmp_path / "large").open("wb") as file:
        file.truncate(storage.MAX_BYTES + 1)
    with pytest.raises(CassetteError, match="larger than"):
        storage.load(str(tmp_path / "large"))


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The owner of the tests may be root, whom no mode stops.
    def forbidden(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "x.json").write_text("{}")
    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with pytest.raises(CassetteError, match="cannot be read: Permission denied"):
        storage.load(str(tmp_path / "x.json"))


def test_saving_makes_the_folders_and_keeps_a_link(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x.json"
    storage.make_room(str(path))
    storage.save(ONE, str(path))
    assert storage.load(str(path)) == ONE
    link = tmp_path / "link.json"
    link.symlink_to(path)
    path.write_text("old")
    storage.save(ONE, str(link))
    assert link.is_symlink()
    assert path.read_text(encoding="utf-8") == text_of(ONE)
    assert [each.name for each in path.parent.iterdir()] == ["x.json"]


def test_a_full_disk_leaves_the_old_tape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CassetteError, match="could not be saved: No space left"):
        storage.save(ONE, str(path))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_to_is_refused_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CassetteError, match="it is a directory"):
        storage.make_room(str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(CassetteError, match="no tape can be saved there"):
        storage.make_room(str(tmp_path / "file" / "x.json"))
    with pytest.raises(CassetteError, match="no tape can be saved there"):
        storage.make_room("a\0b")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(CassetteError, match="cannot be written to"):
        storage.make_room(str(tmp_path / "x.json"))
