"""Secrets: no key that is known or looks like one gets into a file, and what is no key stays."""

from __future__ import annotations

import base64
import json
import string
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies_tape import any_text

from fanin.context import RUN_INDEX, TapeOn
from fanin.errors import CallError, CassetteError
from fanin.taping import Mode, tape
from fanin.taping.calls import RawRequest, RawResponse, taped_request
from fanin.taping.format import text_of
from fanin.taping.recorder import Recorder
from fanin.taping.scrub import MARK, Scrubber, clean_url, known_secrets, remember

MODES: tuple[Mode, ...] = ("all", "none")
LETTERS = string.ascii_letters + string.digits
HYPHENED = LETTERS + "_-"


def tokens(opening: str, alphabet: str, length: int) -> st.SearchStrategy[str]:
    """Keys of that form; the 7 sees to the digit that all real ones have."""
    return st.text(alphabet, min_size=length, max_size=length + 8).map(lambda rest: f"{opening}7{rest}")


def patterned_keys() -> st.SearchStrategy[str]:
    """Keys that can be told by their form."""
    return st.one_of(
        tokens("sk-", HYPHENED, 16),
        tokens("sk-proj-", HYPHENED, 24),
        tokens("gsk_", LETTERS, 48),
        tokens("hf_", LETTERS, 34),
        tokens("AIza", HYPHENED, 34),
        tokens("AKIA", string.ascii_uppercase + string.digits, 15),
        tokens("ghp_", LETTERS, 36),
        tokens("xai-", LETTERS, 40),
        tokens("nvapi-", HYPHENED, 40),
        tokens("xoxb-", HYPHENED, 40),
        tokens("Bearer ", LETTERS, 20),
        st.tuples(*[st.text(HYPHENED, min_size=10, max_size=20)] * 3).map(
            lambda p: f"eyJ{p[0]}.eyJ{p[1]}.{p[2]}"
        ),
        st.text(LETTERS, min_size=20, max_size=30).map(
            lambda rest: f"-----BEGIN RSA PRIVATE KEY-----\n{rest}\n-----END RSA PRIVATE KEY-----"
        ),
    )


def odd_keys() -> st.SearchStrategy[str]:
    """Keys of no known form: only their value tells them."""
    return (
        st.text(string.printable + "üß", min_size=8, max_size=20)
        .map(str.strip)
        .filter(lambda key: len(key) >= 8)
    )


def saved(recorder: Recorder, secrets: frozenset[str]) -> str:
    return text_of(recorder.recording(TapeOn("record", "x.json"), secrets))


def planted(key: str) -> Recorder:
    """A recorder that met the key in every place there is."""
    recorder = Recorder("x.json")
    in_json = json.dumps({"model": "m", "text": f"my key is\n{key}", key: [{"deep": [key]}]})
    for body in (
        in_json.encode(),
        json.dumps({"a": key}, ensure_ascii=False).encode(),
        in_json.replace("/", "\\/").encode(),
        f"data: {in_json}\n\ndata: [DONE]\n\n".encode(),
        f"plain {key}".encode(),
        b"\xff\xfe " + key.encode() + b" \x00",
    ):
        quoted = quote(key, safe="")
        url = f"https://{quoted}@h/v1/{quoted}?q={quoted}&key={quoted}#{quoted}"
        raw = RawRequest("POST", url, f"text/plain; {key}", body)
        headers = (
            ("authorization", key),
            ("content-type", f"x/{key}"),
            ("location", url),
            ("x-request-id", key),
        )
        recorder.answered(raw, RawResponse(200, headers, body))
        RUN_INDEX.set(0)
        recorder.asked(raw)
        recorder.note_error(CallError("connection", f"refused: {key}", mend=f"not with {key}"))
        RUN_INDEX.set(None)
    return recorder


def holds(text: str, key: str) -> bool:
    """Whether the file holds the key in any spelling, in base64 too."""
    stored = json.loads(text)
    strings = list(_strings(stored))
    for value in list(strings):
        try:
            strings.append(base64.b64decode(value, validate=True).decode("latin-1"))
        except ValueError:
            continue
    spellings = {key, quote(key, safe=""), json.dumps(key)[1:-1], key.encode().decode("latin-1")}
    return any(spelling in value for value in [text, *strings] for spelling in spellings)


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for item in items for text in _strings(item)]


@given(patterned_keys())
def test_a_key_that_looks_like_one_is_in_no_saved_tape(key: str) -> None:
    text = saved(planted(key), frozenset())
    assert not holds(text, key)
    assert MARK in text


@given(odd_keys())
def test_a_key_that_is_known_is_in_no_saved_tape(key: str) -> None:
    # The words of the format itself are in every tape, and are no keys.
    assume(not holds(saved(planted("odd-key-17"), frozenset({"odd-key-17"})), key))
    try:
        text = saved(planted(key), frozenset({key}))
    except CassetteError as error:
        # It could not be taken out, as where a number reads like it.
        text = json.dumps(str(error))
    assert not holds(text, key)


@given(st.lists(patterned_keys() | odd_keys() | any_text(), max_size=6), st.lists(odd_keys(), max_size=2))
def test_scrubbing_twice_changes_nothing_more(parts: list[str], secrets: list[str]) -> None:
    scrub = Scrubber(secrets)
    once = scrub(" ".join(parts))
    assert scrub(once) == once
    url = clean_url(f"https://h/{once}?a={once}", scrub)
    assert clean_url(url, scrub) == url


@given(any_text())
def test_text_without_a_key_is_left_alone(text: str) -> None:
    assert Scrubber()(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "task-1234567890123456789012 and risk-assessment-2024-final-version",
        "sk-learn-compatible-estimators-and-more",
        "the bearer internationalization of it",
        "gsk_short",
        "eyJ is how a token begins",
        "-----BEGIN CERTIFICATE-----",
        "MALAKIA7ABCDEFGHIJKLMNOPQ",
    ],
)
def test_words_are_no_keys(text: str) -> None:
    assert Scrubber()(text) == text


def test_a_longer_key_is_not_left_behind_by_a_shorter_one_that_begins_it() -> None:
    assert Scrubber(["key-name", "key-name-and-more"])("a key-name-and-more b") == f"a {MARK} b"


@pytest.mark.parametrize(
    "spelling",
    ['a/b"c-é-12', 'a/b\\"c-é-12', 'a/b\\"c-\\u00e9-12', 'a\\/b\\"c-\\u00e9-12', "a%2Fb%22c-%C3%A9-12"],
)
def test_a_key_is_found_in_every_spelling_that_is_usual(spelling: str) -> None:
    assert Scrubber(['a/b"c-é-12'])(f"data: <{spelling}>") == f"data: <{MARK}>"


def test_a_private_key_that_is_cut_short_is_scrubbed_to_the_end() -> None:
    assert Scrubber()("a -----BEGIN PRIVATE KEY-----\nMIIabc") == f"a {MARK}"


def test_the_keys_that_the_process_knows() -> None:
    environ = {
        "GROQ_API_KEY": " gsk-value-1 ",
        "MY_TOKEN": "token-value",
        "the_secret": "secret-value",
        "SIGNING_KEY": "key-value",
        "OLLAMA_API_KEY": "ollama",
        "MARK_KEY": "scrubbed",
        "KEYBOARD": "qwertz-layout",
    }
    assert known_secrets(environ, ["told-value", "short"]) == {
        "gsk-value-1",
        "token-value",
        "secret-value",
        "key-value",
        "told-value",
    }


def test_a_key_that_was_told_of_is_known_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanin.taping.scrub._remembered", set())
    remember("from-a-file-1")
    assert "from-a-file-1" in known_secrets({})


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://me:pw@API.example.com:443/v1?a=1&key=x&b=2#f", "https://api.example.com/v1?a=1&b=2"),
        ("http://127.0.0.1:80/v1?API_KEY=x", "http://127.0.0.1/v1"),
        ("http://[::1]:11434/api", "http://[::1]:11434/api"),
        ("https://h/v1?api%2Dkey=x&sort_key=y", "https://h/v1?sort_key=y"),
        ("/next?token=x&page=2", "/next?page=2"),
        ("http://[broken/v1", "http://[broken/v1"),
        ("http://h:99999/v1", "http://h:99999/v1"),
    ],
)
def test_a_url_loses_what_gives_keys_away_and_nothing_else(url: str, clean: str) -> None:
    assert clean_url(url, Scrubber()) == clean


def test_names_that_scrubbing_makes_the_same_are_kept_as_text() -> None:
    body = json.dumps({"first-key": 1, "other-key": 2}).encode()
    taped = taped_request(RawRequest("POST", "http://h", None, body), Scrubber(["first-key", "other-key"]))
    assert taped.body is not None
    assert (taped.body.kind, taped.body.value) == ("text", f'{{"{MARK}": 1, "{MARK}": 2}}')


def test_a_key_that_cannot_be_taken_out_refuses_the_save(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("old")

    def record() -> None:
        with tape(path, mode="all", secrets=["1730000000"]), client({"created": 17300000001}) as http:
            http.post("http://h/v1", json={"a": 1})

    with pytest.raises(CassetteError, match="interaction 1, response body holds") as caught:
        record()
    assert "1730000000" not in str(caught.value)
    assert path.read_text() == "old"


@pytest.mark.parametrize("field", ["backend", "models", "refused"])
def test_the_header_of_a_tape_holds_no_key_either(tmp_path: Path, field: str) -> None:
    key = "sk-abcdefghijklmnop1234"
    values = {"backend": key, "models": (key,), "refused": {"m": (key,)}}

    def record() -> None:
        with tape(tmp_path / "x.json", mode="all") as on, client({}) as http:
            http.post("http://h/v1", json={"a": 1})
            setattr(on, field, values[field])

    with pytest.raises(CassetteError, match="was not saved"):
        record()
    assert not (tmp_path / "x.json").exists()


def test_keys_of_the_environment_and_headers_stay_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "plain-words-key")
    path = tmp_path / "x.json"
    with tape(path, mode="all") as on, client({"you sent": "plain-words-key", "and": "later-key-1"}) as http:
        on.base_url = "https://user:plain-words-key@h/v1"
        # Set only while the tape was on.
        monkeypatch.setenv("LATER_API_KEY", "later-key-1")
        http.post(
            "http://h/v1",
            json={"a": "plain-words-key"},
            headers={"authorization": "Bearer ollama", "cookie": "c"},
        )
    text = path.read_text()
    assert json.loads(text)["base_url"] == "https://h/v1"
    for secret in ("plain-words-key", "later-key-1", "ollama", "cookie", "set-cookie"):
        assert secret not in text


def test_a_tape_replays_without_the_keys_it_was_made_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    monkeypatch.setenv("SOME_API_KEY", "plain-words-key")
    with tape(path, mode="all"), client({"n": 1}) as http:
        http.post(
            "http://h/v1?key=plain-words-key", json={"a": "hello"}, headers={"authorization": "Bearer x"}
        )
    monkeypatch.delenv("SOME_API_KEY")
    with tape(path), client({}) as http:
        assert http.post("http://h/v1", json={"a": "hello"}).json() == {"n": 1}


def test_a_key_in_what_is_asked_is_scrubbed_when_replaying_too(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for mode in MODES:
        with tape(path, mode=mode, secrets=["plain-words-key"]), client({"n": 1}) as http:
            assert http.post("http://h/v1", json={"a": "my plain-words-key"}).json() == {"n": 1}


def test_a_key_that_is_known_only_when_replaying_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    with tape(path, mode="all"), client({"n": 1}) as http:
        http.post("http://h/v1", json={"a": "question"})
    monkeypatch.setenv("SORT_KEY", "question")
    with tape(path), client({}) as http:
        assert http.post("http://h/v1", json={"a": "question"}).json() == {"n": 1}


def client(answer: object) -> httpx2.Client:
    """A client whose server gives one answer; vcrpy tapes this transport like every other."""
    headers = {"set-cookie": "a=b", "date": "today", "cf-ray": "1"}
    return httpx2.Client(
        transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json=answer, headers=headers))
    )
