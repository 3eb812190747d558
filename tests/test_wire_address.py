"""Where calls go: base URLs, OLLAMA_HOST in all its forms, and which key goes along."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.backend import Backend
from fanin.errors import FaninError, InputError, MissingKeyError
from fanin_backends import groq, ollama, openai
from fanin_backends.address import Address, address
from fanin_backends.ollama_host import host_address, host_and_port

KEY = "sk-proj-0123456789abcdefghij"


def address_of(url: str, *, key: str | None = None, environ: Mapping[str, str] = {}) -> Address:
    return address(url, key=key, environ=environ, variable="SOME_KEY")


@pytest.mark.parametrize(
    ("host", "base_url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("  ", "http://127.0.0.1:11434"),
        ("box", "http://box:11434"),
        ("box:80", "http://box:80"),
        ("box:", "http://box:11434"),
        (":8080", "http://127.0.0.1:8080"),
        ("http://box", "http://box"),
        ("https://box", "https://box"),
        ("https://box:1/ollama/", "https://box:1/ollama"),
        ("http://box/a/b/", "http://box/a/b"),
        ("box/a", "http://box:11434/a"),
        ("box/", "http://box:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:99", "http://[::1]:99"),
        ("::1", "http://[::1]:11434"),
        ("http://[::1]/x", "http://[::1]/x"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("http://0.0.0.0:1234/", "http://127.0.0.1:1234"),
        ("[::]", "http://[::1]:11434"),
        ("[::]:5", "http://[::1]:5"),
        ("::", "http://[::1]:11434"),
        (' "127.0.0.1:11434" ', "http://127.0.0.1:11434"),
        ("'box'", "http://box:11434"),
        ("BOX", "http://box:11434"),
        ("http://user:word@box:1", "http://box:1"),
        ("ollama.com", "https://ollama.com"),
    ],
)
def test_every_form_of_ollama_host(host: str, base_url: str) -> None:
    assert host_address(None, key=None, environ={"OLLAMA_HOST": host}).base_url == base_url
    if host.strip():
        assert host_address(host, key=None, environ={"OLLAMA_HOST": "other"}).base_url == base_url


@pytest.mark.parametrize(
    "host",
    [
        "box:port",
        "box:99999",
        "box:0",
        "a:b:c",
        "[::1",
        "ftp://box",
        "two words",
        "box?x=1",
        "bo\nx",
        "box#a",
    ],
)
def test_a_host_that_cannot_be_used_is_named(host: str) -> None:
    with pytest.raises(InputError) as caught:
        host_address(None, key=None, environ={"OLLAMA_HOST": host})
    assert caught.value.field == "OLLAMA_HOST"
    with pytest.raises(InputError) as caught:
        host_address(host, key=None, environ={})
    assert caught.value.field == "base_url"


@given(st.text())
def test_any_host_is_an_address_or_a_clear_error(host: str) -> None:
    try:
        found = host_address(None, key=None, environ={"OLLAMA_HOST": host})
    except InputError as refused:
        field: object = refused.field
    else:
        field = "OLLAMA_HOST" if found.host_and_port[0] and 0 < found.host_and_port[1] <= 65535 else found
    assert field == "OLLAMA_HOST"


def test_where_ollama_would_listen() -> None:
    assert host_and_port({}) == ("127.0.0.1", 11434)
    assert host_and_port({"OLLAMA_HOST": "https://box/x"}) == ("box", 443)
    assert host_and_port({"OLLAMA_HOST": "[::]:7"}) == ("::1", 7)


@pytest.mark.parametrize(
    "url",
    ["", "api.example.com/v1", "ftp://x/v1", "http://", "http://x:0", "http://x:99999", "https://x/v1?a=b",
     "https://x/v1#a", "https://[::1", "http://a b/", "http://x\n/", "http:///v1", "http:\\\\x"],
)  # fmt: skip
def test_a_base_url_that_cannot_be_used_is_named(url: str) -> None:
    with pytest.raises(InputError) as caught:
        address_of(url)
    assert caught.value.field == "base_url"


def test_a_password_in_a_bad_base_url_is_not_shown() -> None:
    for url in ("ftp://user:hunter2hunter2@host/v1", "user:hunter2hunter2@host:port"):
        with pytest.raises(InputError) as caught:
            host_address(url, key=None, environ={})
        assert "hunter2" not in str(caught.value)


def test_a_base_url_loses_its_slash_and_its_login() -> None:
    found = address_of("https://me:hunter2%21hunter@Host.example:8443/v1/")
    assert found.base_url == "https://host.example:8443/v1"
    assert found.host == "host.example:8443"
    token = base64.b64encode(b"me:hunter2!hunter").decode()
    assert found.authorization == f"Basic {token}"
    assert {"hunter2!hunter", "hunter2%21hunter", token} <= set(found.secrets)
    assert "hunter" not in found.account


def test_which_key_is_sent() -> None:
    environ = {"SOME_KEY": f" {KEY}\n"}
    assert address_of("http://x", environ=environ).authorization == f"Bearer {KEY}"
    assert address_of("http://x", key="other-key", environ=environ).authorization == "Bearer other-key"
    assert address_of("http://a:b@x", environ=environ).authorization == "Basic YTpi"
    assert address_of("http://a:b@x", key=KEY).authorization == f"Bearer {KEY}"
    assert address_of("http://x", environ={"SOME_KEY": "  "}).authorization is None
    assert address_of("http://x").authorization is None


@pytest.mark.parametrize("key", ["two words here", "new\nlineinthemiddle", "schlüssel-schlüssel"])
def test_a_key_that_cannot_be_sent_is_an_error_that_does_not_show_it(key: str) -> None:
    with pytest.raises(FaninError, match="SOME_KEY holds a character") as caught:
        address_of("http://x", environ={"SOME_KEY": key})
    assert key not in str(caught.value)


def test_the_account_tells_keys_and_addresses_apart_and_holds_no_key() -> None:
    accounts = [
        address_of(url, key=key).account for url in ("http://x", "http://y") for key in (None, KEY, KEY + "k")
    ]
    assert len(set(accounts)) == 6
    assert not any(KEY[start : start + 8] in account for account in accounts for start in range(12))


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://localhost:1", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:1", True),
        ("http://10.0.0.1", False),
        ("https://localhost.example", False),
    ],
)
def test_loopback(url: str, loopback: bool) -> None:
    assert address_of(url).is_loopback is loopback


@pytest.mark.parametrize(("module", "variable"), [(groq, "GROQ_API_KEY"), (openai, "OPENAI_API_KEY")])
def test_a_key_is_needed_at_the_providers_own_address_alone(module: object, variable: str) -> None:
    opened = module.open_backend  # type: ignore[attr-defined]
    for environ in ({}, {variable: ""}):
        with pytest.raises(MissingKeyError) as caught:
            opened(environ=environ)
        assert caught.value.variable == variable
    with pytest.raises(MissingKeyError):
        opened(environ={}, base_url=module.DIALECT.own_url + "/")  # type: ignore[attr-defined]
    for backend in (
        opened(environ={variable: KEY}),
        opened(environ={}, key=KEY),
        opened(environ={}, replaying=True),
        opened(environ={}, base_url="http://localhost:1/v1"),
    ):
        assert isinstance(backend, Backend)
        assert KEY not in backend.account
        assert backend.capabilities.structured


def test_openai_takes_its_address_from_the_environment() -> None:
    environ = {"OPENAI_BASE_URL": "http://box:1/v1/"}
    assert openai.open_backend(environ=environ).base_url == "http://box:1/v1"
    assert openai.open_backend(environ=environ, base_url="http://other/v1").base_url == "http://other/v1"
    with pytest.raises(InputError, match="OPENAI_BASE_URL"):
        openai.open_backend(environ={"OPENAI_BASE_URL": "box"})
    with pytest.raises(MissingKeyError):
        openai.open_backend(environ={"OPENAI_BASE_URL": ""})


def test_ollama_needs_a_key_in_the_cloud_alone() -> None:
    assert ollama.open_backend(environ={}).base_url == "http://127.0.0.1:11434"
    with pytest.raises(MissingKeyError):
        ollama.open_backend(environ={"OLLAMA_HOST": "ollama.com"})
    assert ollama.open_backend(environ={"OLLAMA_HOST": "ollama.com", "OLLAMA_API_KEY": KEY}).account != (
        "https://ollama.com"
    )
