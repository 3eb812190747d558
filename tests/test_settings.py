"""What is configured, where it comes from, and what a stranger's file may not do."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.errors import ConfigError, NoBackendError
from fanin.settings import (
    SETTINGS,
    Settings,
    backend_settings,
    is_loopback,
    read_settings,
    user_file,
)

KEYS = {"GROQ_API_KEY": "gsk-1", "OPENAI_API_KEY": "sk-1", "PATH": "/bin"}


def files(own: str = "", pyproject: str = "", local: str = "") -> Settings:
    """The settings of these files: the user's own, and the two of the working directory."""
    for path, text in (
        (user_file(), own),
        (Path("pyproject.toml"), pyproject),
        (Path("fanin.toml"), local),
    ):
        if text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    return read_settings()


def test_the_user_s_own_file_does_not_lie_in_the_working_directory() -> None:
    assert user_file().name == "fanin.toml"
    assert user_file().parent.name == "fanin"
    assert user_file().parent != Path.cwd()


# --- precedence


def test_the_later_file_wins_setting_by_setting() -> None:
    settings = files(
        own='backend = "ollama"\nruns = 3\nseed = 1\nstructured = true',
        pyproject="[tool.fanin]\nruns = 7\nseed = 2",
        local="seed = 9",
    )
    assert settings.values == {"backend": "ollama", "runs": 7, "seed": 9, "structured": True}
    assert {name: path.name for name, path in settings.sources.items()} == {
        "backend": "fanin.toml",
        "runs": "pyproject.toml",
        "seed": "fanin.toml",
        "structured": "fanin.toml",
    }
    assert settings.sources["backend"] == user_file()
    assert settings.sources["seed"] == Path.cwd() / "fanin.toml"
    assert settings.foreign == {"runs", "seed"}


def test_without_files_nothing_is_set() -> None:
    assert read_settings() == Settings()
    assert files(pyproject="[project]\nname = 'x'\n[tool.ruff]\nruns = 'many'") == Settings()


def test_a_caller_goes_before_the_environment_and_that_before_the_files() -> None:
    settings = files(own='backend = "ollama"', local='backend = "groq"')
    environ = {"FANIN_BACKEND": "openai"}
    assert backend_settings("fake", settings=settings, environ=environ).name == "fake"
    assert backend_settings(None, settings=settings, environ=environ).name == "openai"
    assert backend_settings(None, settings=settings, environ={}).name == "groq"
    assert backend_settings(None, settings=settings, environ={"FANIN_BACKEND": ""}).name == "groq"


def test_the_environment_and_the_working_directory_are_looked_at_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files(local='backend = "groq"\nmodel = "x"')
    assert backend_settings(None).name == "groq"
    monkeypatch.setenv("FANIN_BACKEND", "openai")
    assert backend_settings(None).name == "openai"


def test_an_address_and_a_model_of_a_file_belong_to_its_backend() -> None:
    settings = files(local='backend = "openai"\nbase_url = "http://localhost:1/v1"\nmodel = ["x", "y"]')
    own = backend_settings(None, settings=settings, environ={})
    assert (own.name, own.base_url, own.models) == ("openai", "http://localhost:1/v1", ("x", "y"))
    other = backend_settings("groq", settings=settings, environ={})
    assert (other.name, other.base_url, other.models) == ("groq", None, ())
    by_environment = backend_settings(None, settings=settings, environ={"FANIN_BACKEND": "groq"})
    assert (by_environment.base_url, by_environment.models) == (None, ())


def test_without_a_backend_of_their_own_they_hold_for_the_one_that_is_named() -> None:
    settings = files(local='base_url = "http://localhost:1/v1"\nmodel = "x"')
    chosen = backend_settings("openai", settings=settings, environ={})
    assert (chosen.base_url, chosen.models) == ("http://localhost:1/v1", ("x",))


def test_what_a_caller_names_wins_over_the_file() -> None:
    settings = files(local='backend = "openai"\nbase_url = "http://localhost:1/v1"\nmodel = "x"')
    chosen = backend_settings(
        "openai", base_url="http://localhost:2/v1", model=("z",), settings=settings, environ=KEYS
    )
    assert (chosen.base_url, chosen.models, chosen.environ) == ("http://localhost:2/v1", ("z",), KEYS)


def test_a_replay_looks_at_no_file() -> None:
    files(local='backend = "openai"\nmodel = "x"\nnonsense = 1'.replace("\nnonsense = 1", ""))
    chosen = backend_settings("openai", replaying=True, environ={})
    assert (chosen.base_url, chosen.models) == (None, ())
    with pytest.raises(NoBackendError):
        backend_settings(None, replaying=True, environ={})


# --- a stranger's file gets no key


def environ_for(settings: Settings) -> dict[str, str]:
    return dict(backend_settings(None, settings=settings, environ=KEYS).environ)


@pytest.mark.parametrize("where", ["pyproject", "local"])
@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v1",
        "http://localhost.evil.example",
        "http://127.0.0.1@evil.example",
        "http://[::1",
    ],
)
def test_an_address_of_the_working_directory_gets_no_key(where: str, url: str) -> None:
    text = f'backend = "openai"\nbase_url = "{url}"'
    settings = files(**{where: f"[tool.fanin]\n{text}" if where == "pyproject" else text})
    chosen = backend_settings(None, settings=settings, environ=KEYS)
    assert chosen.base_url == url
    assert chosen.environ == {"PATH": "/bin"}


def test_a_key_in_any_case_is_kept_back() -> None:
    settings = files(local='backend = "openai"\nbase_url = "https://evil.example"')
    environ = {"openai_api_key": "sk-1", "Other_Key": "x", "HOME": "/"}
    assert dict(backend_settings(None, settings=settings, environ=environ).environ) == {"HOME": "/"}


@pytest.mark.parametrize("url", ["http://localhost:11434", "http://127.0.0.1:8000/v1", "http://[::1]:80"])
def test_loopback_may_have_the_keys(url: str) -> None:
    assert environ_for(files(local=f'backend = "openai"\nbase_url = "{url}"')) == KEYS


def test_an_address_that_the_user_s_own_file_names_may_have_the_keys() -> None:
    own = 'base_url = "https://mine.example/v1/"'
    assert environ_for(files(own, local='backend = "openai"\nbase_url = "https://mine.example/v1"')) == KEYS
    assert environ_for(files(own, local='backend = "openai"\nbase_url = "https://mine.example/v2"')) != KEYS


def test_the_user_s_own_file_and_the_caller_may_name_any_address() -> None:
    settings = files(own='backend = "openai"\nbase_url = "https://mine.example"')
    assert environ_for(settings) == KEYS
    settings = files(local='backend = "openai"\nbase_url = "https://evil.example"')
    named = backend_settings(None, base_url="https://other.example", settings=settings, environ=KEYS)
    assert named.environ == KEYS


def test_a_stranger_s_backend_without_an_address_has_the_keys() -> None:
    assert environ_for(files(local='backend = "openai"')) == KEYS


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://localhost", True),
        ("http://LOCALHOST:1", True),
        ("http://127.0.0.1", True),
        ("http://127.9.9.9:1", True),
        ("http://[::1]:8080/v1", True),
        ("http://0.0.0.0", False),
        ("http://10.0.0.1", False),
        ("http://localhost.example", False),
        ("http://localhost@example.org", False),
        ("http://example.org/localhost", False),
        ("http://example.org#127.0.0.1", False),
        ("localhost:8000", False),
        ("", False),
        ("http://[::1", False),
        ("http://[v1.x]", False),
    ],
)
def test_what_this_machine_itself_is(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback


@given(st.text())
def test_no_text_is_too_strange_for_an_address(url: str) -> None:
    assert is_loopback(f"http://{url}") in (True, False)


# --- files that cannot be used


def test_an_unknown_setting_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError) as caught:
        files(local="temprature = 1")
    assert caught.value.path == str(Path.cwd() / "fanin.toml")
    assert caught.value.problem == "there is no setting 'temprature'"
    assert caught.value.mend == "Did you mean temperature?"
    assert caught.value.exit_code == 2


def test_a_setting_like_none_there_is_gets_the_list() -> None:
    with pytest.raises(ConfigError) as caught:
        files(pyproject="[tool.fanin]\nxyz = 1")
    assert caught.value.path == str(Path.cwd() / "pyproject.toml")
    assert caught.value.mend is not None
    assert all(name in caught.value.mend for name in SETTINGS)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('runs = "5"', "runs must be int, not '5'"),
        ("runs = true", "runs must be int, not True"),
        ("runs = 5.0", "runs must be int, not 5.0"),
        ("backend = 3", "backend must be str, not 3"),
        ("structured = 1", "structured must be bool, not 1"),
        ("temperature = 'warm'", "temperature must be int or float, not 'warm'"),
        ("timeout = [1]", "timeout must be int or float or str, not [1]"),
        ("model = []", "model must be str or list of strings, not []"),
        ("model = [1]", "model must be str or list of strings, not [1]"),
        ("[backend]\nname = 'x'", "backend must be str, not {'name': 'x'}"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        files(local=text)
    assert caught.value.problem == problem


@pytest.mark.parametrize(
    "text",
    [
        'backend = "groq"',
        'model = "x"',
        'model = ["x", "y"]',
        "temperature = 1",
        "temperature = 0.5",
        'timeout = "2m"',
        "timeout = 90",
        "structured = false",
        'system = ["be brief"]',
    ],
)
def test_values_of_every_right_type_are_taken(text: str) -> None:
    assert len(files(local=text).values) == 1


@pytest.mark.parametrize("text", ["runs = ", "runs = 1\nruns = 2", "[" * 5000, "x = " + "[" * 5000])
def test_a_file_that_is_no_toml_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="not valid TOML") as caught:
        files(local=text)
    assert caught.value.path == str(Path.cwd() / "fanin.toml")


@pytest.mark.parametrize("text", ["tool = 5", "[tool]\nfanin = 3", "[[tool.fanin]]\nruns = 1"])
def test_a_table_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="must be a table"):
        files(pyproject=text)


def test_a_file_that_cannot_be_read_is_named() -> None:
    Path("fanin.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_settings()
    Path("fanin.toml").unlink()
    Path("fanin.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        read_settings()


# --- no backend at all


def test_without_a_backend_the_line_to_type_is_told() -> None:
    with pytest.raises(NoBackendError) as caught:
        backend_settings(None, settings=Settings(), environ={})
    assert caught.value.exit_code == 2
    assert "--backend ollama" in str(caught.value)
    assert "FANIN_BACKEND=ollama" in str(caught.value)


def test_what_was_found_on_this_machine_is_told_but_no_key() -> None:
    with pytest.raises(NoBackendError) as caught:
        backend_settings(None, settings=Settings(), environ=KEYS)
    told = str(caught.value)
    assert "groq (GROQ_API_KEY is set)" in told
    assert "openai (OPENAI_API_KEY is set)" in told
    assert "--backend groq" in told
    assert "gsk-1" not in told
    assert "sk-1" not in told


def test_an_ollama_that_answers_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        environ = {"OLLAMA_HOST": f"127.0.0.1:{server.getsockname()[1]}"}
        with pytest.raises(NoBackendError, match="ollama \\(it answers\\)"):
            backend_settings(None, settings=Settings(), environ=environ)


def test_never_silently_the_fake() -> None:
    with pytest.raises(NoBackendError):
        backend_settings(None, settings=files(own="runs = 3"), environ={})


def _kinds(name: str) -> Any:
    return SETTINGS[name]


def test_durations_may_be_texts_with_a_unit() -> None:
    assert all(str in _kinds(name) for name in ("timeout", "deadline", "max_wait"))
