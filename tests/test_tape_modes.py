"""The modes that record: `once` where there is no tape, `new` what a tape lacks, and one process a file."""

from __future__ import annotations

import difflib
import json
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standin import Given, StandIn, chat, error

import fanin
from fanin.context import RUN_INDEX, tape_on
from fanin.errors import CassetteError, CassetteMissError, NetworkBlockedError
from fanin.taping import Mode, storage, tape
from fanin.taping.network import loopback_only, refuse_elsewhere

URL = "http://127.0.0.1:1/v1"


class Server:
    """Answers every request with its number, and counts them."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        return httpx2.Response(200, json={"number": self.asked, "to": json.loads(request.content)})

    def ask(self, path: Path, mode: Mode, questions: str) -> list[int]:
        """Asks every letter on that tape; the numbers of the answers."""
        transport = httpx2.MockTransport(self)
        with tape(path, mode), httpx2.Client(transport=transport) as http:
            return [http.post(URL, json={"ask": letter}).json()["number"] for letter in questions]


# once


def test_once_records_where_there_is_no_tape_and_replays_where_there_is_one(tmp_path: Path) -> None:
    path, server = tmp_path / "x.json", Server()
    assert server.ask(path, "once", "ab") == [1, 2]
    before = path.read_bytes()
    assert server.ask(path, "once", "ba") == [2, 1]
    with pytest.raises(CassetteMissError):
        server.ask(path, "once", "c")
    assert server.asked == 2
    assert path.read_bytes() == before


def test_once_does_not_take_a_broken_tape_for_a_missing_one(tmp_path: Path) -> None:
    path, server = tmp_path / "x.json", Server()
    path.write_text("")
    with pytest.raises(CassetteError, match="it is empty"):
        server.ask(path, "once", "a")
    assert (server.asked, path.read_text()) == (0, "")


# new


@given(old=st.text("abc", min_size=1, max_size=6), now=st.text("abcd", max_size=8))
def test_new_asks_only_what_is_missing_and_keeps_the_rest(
    old: str, now: str, empty_folder: Callable[[], Path]
) -> None:
    path, server = empty_folder() / "x.json", Server()
    server.ask(path, "all", old)
    held, before = storage.load(str(path)).interactions, path.read_text()
    server.ask(path, "new", now)
    missing = sum(max(0, now.count(letter) - old.count(letter)) for letter in set(now))
    assert server.asked == len(old) + missing
    kept = storage.load(str(path)).interactions
    assert len(kept) == len(old) + missing
    assert [each for each in kept if each in held] == list(held)
    if not missing:
        assert path.read_text() == before
    # Whatever was asked replays, and nothing is asked again.
    server.ask(path, "none", now)
    assert server.asked == len(old) + missing


def test_new_only_adds_lines_to_the_file(tmp_path: Path) -> None:
    path, server = tmp_path / "x.json", Server()
    server.ask(path, "all", "ac")
    before = path.read_text().replace(",\n", "\n").splitlines()
    assert server.ask(path, "new", "abcc") == [1, 3, 2, 4]
    after = path.read_text().replace(",\n", "\n").splitlines()
    assert not [line for line in difflib.ndiff(before, after) if line.startswith("- ")]


def test_new_makes_a_tape_where_there_is_none(tmp_path: Path) -> None:
    path, server = tmp_path / "new" / "x.json", Server()
    assert server.ask(path, "new", "a") == [1]
    assert server.ask(path, "none", "a") == [1]


@pytest.mark.parametrize("ending", [ValueError, None])
def test_new_leaves_the_file_where_it_is_not_finished(tmp_path: Path, ending: type[Exception] | None) -> None:
    path, server = tmp_path / "x.json", Server()
    server.ask(path, "all", "a")
    before = path.read_bytes()

    def ask() -> None:
        with tape(path, "new"), httpx2.Client(transport=httpx2.MockTransport(server)) as http:
            http.post(URL, json={"ask": "a"})
            if ending is not None:
                http.post(URL, json={"ask": "b"})
                raise ending

    if ending is None:
        ask()
    else:
        with pytest.raises(ending):
            ask()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_new_serves_each_run_its_own_and_tells_what_was_served(tmp_path: Path) -> None:
    path, server = tmp_path / "x.json", Server()
    transport = httpx2.MockTransport(server)

    def ask(mode: Mode, runs: tuple[int, ...]) -> tuple[list[int], set[int]]:
        got = []
        with tape(path, mode) as on, httpx2.Client(transport=transport) as http:
            for run in runs:
                token = RUN_INDEX.set(run)
                got.append(http.post(URL, json={}).json()["number"])
                RUN_INDEX.reset(token)
            return got, set(on.served)

    assert ask("all", (0, 1)) == ([1, 2], set())
    assert ask("new", (2, 1)) == ([3, 2], {1})
    assert ask("none", (2, 0)) == ([3, 1], {0, 2})


def test_new_with_a_client_whose_patch_asks_twice(tmp_path: Path) -> None:
    path = tmp_path / "x.json"

    def ask(url: str) -> bytes:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/v1", b"{}")) as response:
            answer = json.load(response)["choices"][0]["message"]["content"]
            assert isinstance(answer, str)
            return answer.encode()

    with StandIn([chat(str(number)) for number in range(8)]) as server:
        for count in (2, 4):
            with tape(path, "new"):
                assert [ask(server.url) for _ in range(count)] == [b"%d" % number for number in range(count)]
        assert len(server.seen) == 4


def test_new_from_many_threads_at_once(tmp_path: Path) -> None:
    path, server = tmp_path / "x.json", Server()
    server.ask(path, "all", "aaaa")
    got: list[int] = []

    def ask() -> None:
        with httpx2.Client(transport=httpx2.MockTransport(server)) as http:
            got.append(http.post(URL, json={"ask": "a"}).json()["number"])

    with tape(path, "new"):
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {1, 2, 3, 4} <= set(got)
    assert server.asked == 8


def test_a_vote_that_is_added_to_needs_no_backend_named_again(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    refused = error(
        400, "Unsupported parameter: 'temperature'", param="temperature", code="unsupported_parameter"
    )

    class Picky(StandIn):
        def answer(self, seen: Any) -> Given:
            given = super().answer(seen)
            return refused if "temperature" in seen.json else given

    with Picky([chat("Answer: yes")]) as server:
        with tape(path, "all"):
            fanin.vote_sync(
                "Is it?", backend="openai", model="m", base_url=f"{server.url}/v1", runs=3, concurrency=1
            )
        asked = len(server.seen)
        with tape(path, "new"):
            verdict = fanin.vote_sync("Is it?", runs=4, concurrency=8)
        assert (verdict.runs.valid, verdict.models) == (4, ("m",))
        assert len(server.seen) == asked + 1
    with tape(path):
        assert fanin.vote_sync("Is it?", runs=4).runs.valid == 4


def test_an_address_that_only_the_tape_names_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, server = tmp_path / "x.json", Server()
    server.ask(path, "all", "a")
    stored = json.loads(path.read_text())
    stored |= {"backend": "openai", "base_url": "https://elsewhere.example/v1", "models": ["m"]}
    path.write_text(json.dumps(stored))
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-that-nobody-else-may-have")

    async def address() -> str | None:
        async with fanin.connect() as backend:
            return backend.base_url

    with tape(path, "new"):
        assert anyio.run(address) == "https://api.openai.com/v1"


# One process a file


_HOLDING = """
import sys
from fanin.taping import storage
with storage.alone(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["once", "new", "all"])
def test_two_processes_cannot_record_to_one_file(tmp_path: Path, mode: Mode) -> None:
    path, server = tmp_path / "x.json", Server()
    holding = subprocess.Popen(
        [sys.executable, "-c", _HOLDING, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holding:
        assert holding.stdout is not None
        assert holding.stdout.readline() == b"held\n"
        with pytest.raises(CassetteError, match=r"x\.json: another process records to it"):
            server.ask(path, mode, "a")
        assert (server.asked, tape_on()) == (0, None)
        # The lock of a process that is killed holds nobody up, though its file stays.
        holding.kill()
    assert (tmp_path / ".x.json.lock").exists()
    assert server.ask(path, mode, "a") == [1]
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_that_was_removed_meanwhile_is_not_taken_for_ours(tmp_path: Path) -> None:
    path = str(tmp_path / "x.json")
    with storage.alone(path):
        (tmp_path / ".x.json.lock").unlink()
        with storage.alone(path), pytest.raises(CassetteError, match="another process"), storage.alone(path):
            pass


def test_an_error_of_the_block_is_no_lock(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError), storage.alone(str(tmp_path / "x.json")):
        raise BlockingIOError


# A miss


def test_a_miss_tells_the_command_that_records_what_is_missing(tmp_path: Path) -> None:
    path, server = tmp_path / "it is.json", Server()
    server.ask(path, "all", "a")
    with pytest.raises(CassetteMissError) as caught:
        server.ask(path, "none", "b")
    assert f"--record-new '{path}' instead of --replay" in str(caught.value.mend)
    assert 'mode="new"' in str(caught.value.mend)


# The network, shut


@pytest.mark.parametrize(
    "host", [None, "", "localhost", b"localhost", "127.0.0.1", "127.8.8.8", "::1", "0.0.0.0"]
)
def test_this_machine_is_reached(host: object) -> None:
    refuse_elsewhere(host)


@pytest.mark.parametrize(
    "host", ["example.com", b"example.com", "10.0.0.1", "fe80::1%eth0", "localhost.example.com"]
)
def test_no_other_machine_is_reached(host: object) -> None:
    with pytest.raises(NetworkBlockedError, match="the network is blocked"):
        refuse_elsewhere(host)


@pytest.mark.parametrize("method", ["connect", "connect_ex", "sendto", "sendmsg"])
def test_no_socket_leaves_this_machine(method: str) -> None:
    before = getattr(socket.socket, method)
    arguments: dict[str, tuple[Any, ...]] = {"sendto": (b"x",), "sendmsg": ([b"x"], [], 0)}
    with loopback_only(), socket.socket(type=socket.SOCK_DGRAM) as sender:
        with pytest.raises(NetworkBlockedError, match=r"192\.0\.2\.1"):
            getattr(sender, method)(*arguments.get(method, ()), ("192.0.2.1", 9))
        if method == "connect":
            sender.connect(("127.0.0.1", 9))
            assert sender.sendmsg([b"x"]) == 1
    assert getattr(socket.socket, method) is before


def test_a_client_that_leaks_past_the_tape_is_stopped() -> None:
    with loopback_only(), pytest.raises(NetworkBlockedError, match=r"api\.example\.com"):
        httpx2.get("https://api.example.com/v1", trust_env=False)
