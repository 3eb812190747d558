"""The file that the processes of one machine share: whatever is wrong with it, the runs go on."""

from __future__ import annotations

import fcntl
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from limited_provider import Count, LimitedBackend, Limits, Offer, Provider
from limited_server import serving
from virtual_time import run_virtual

from fanin.clock import LoopClock
from fanin.conductor import Conductor
from fanin.errors import SharedPaceWarning
from fanin.limiters import Limiters
from fanin.policy.pacing import Load
from fanin.sharing.file import FileStore
from fanin.sharing.joint import Joint, Member, Visit, exchanged
from fanin.sharing.store import Found, Key, StoreError
from fanin.terms import Terms
from fanin.values import Message, Request, Sample

KEY = Key("https://api.example/v1#fingerprint", "m")
FRESH = Joint(KEY.account, KEY.model)


@pytest.fixture
def folder(empty_folder: Callable[[], Path]) -> Path:
    return empty_folder() / "fanin"


def looked(store: FileStore, loads: int = 0, name: str = "a") -> Found[Any]:
    async def look() -> Found[Any]:
        visit = Visit(Member(name), (), (Load(),) * loads)
        return await store.exchange(
            KEY, FRESH, lambda joint, now_s: exchanged(joint, visit, now_s), LoopClock()
        )

    return run_virtual("asyncio", look)


def pace_file(folder: Path) -> Path:
    (path,) = folder.glob("*.pace")
    return path


# --- what it holds


def test_what_one_leaves_the_next_one_finds(folder: Path) -> None:
    first = looked(FileStore(folder), loads=3)
    second = looked(FileStore(folder), name="b")
    assert second.joint.booked.pace == first.joint.booked.pace
    assert [member.name for member in second.joint.members] == ["a", "b"]
    assert FileStore(folder).entries() == [second.joint]


def test_nobody_else_may_read_it_and_its_name_tells_nothing(folder: Path) -> None:
    looked(FileStore(folder))
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert "example" not in path.name


def test_a_folder_that_others_may_enter_is_closed(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    looked(FileStore(folder))
    assert folder.stat().st_mode & 0o777 == 0o700


def test_models_and_accounts_have_files_of_their_own() -> None:
    digests = {Key(account, model).digest for account in ("a", "b") for model in ("m", "n")}
    assert len(digests) == 4


def test_no_step_is_lost_between_threads(folder: Path) -> None:
    def look(name: str) -> None:
        for _ in range(20):
            while True:
                try:
                    looked(FileStore(folder), loads=1, name=name)
                    break
                except StoreError:  # no time passes here while the other has the lock
                    time.sleep(0)

    workers = [threading.Thread(target=look, args=(name,)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    (joint,) = FileStore(folder).entries()
    assert [member.name for member in joint.members] == ["a", "b"]
    assert joint.booked.whole.count >= 4


def test_it_tells_at_once_that_nothing_may_go(folder: Path) -> None:
    store = FileStore(folder)
    assert store.closed_until_s(KEY) == -math.inf
    found = looked(store, loads=1)
    assert store.closed_until_s(KEY) == found.joint.booked.pace.gate.until_s


def test_a_state_from_before_the_machine_was_started_is_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked(FileStore(folder), loads=3)
    monkeypatch.setattr("fanin.sharing.file.boot", lambda: "another")
    assert FileStore(folder).entries() == []
    assert FileStore(folder).closed_until_s(KEY) == -math.inf
    assert looked(FileStore(folder), loads=1).joint.booked.pace.count == 1


def test_forgetting(folder: Path) -> None:
    store = FileStore(folder)
    assert store.forget(None) == 0
    looked(store, loads=3)
    assert store.forget(Key("another", "m")) == 0
    assert store.forget(KEY) == 1
    assert looked(store).joint.booked.pace.count == 0
    pace_file(folder).write_bytes(b"rubbish")
    assert store.forget(None) == 1
    assert list(folder.glob("*.pace")) == []


# --- what is wrong with it


def write(text: bytes) -> Callable[[Path, pytest.MonkeyPatch], None]:
    return lambda folder, patch: _write(pace_file(folder), text) and None


def _write(path: Path, text: bytes) -> int:
    return path.write_bytes(text)


def cut(folder: Path, patch: pytest.MonkeyPatch) -> None:
    path = pace_file(folder)
    path.write_bytes(path.read_bytes()[:-40])


def of_another_version(folder: Path, patch: pytest.MonkeyPatch) -> None:
    path = pace_file(folder)
    magic, _, rest = path.read_bytes().split(b" ", 2)
    path.write_bytes(b" ".join([magic, b"00000000", rest]))


def of_another_user(folder: Path, patch: pytest.MonkeyPatch) -> None:
    mine = os.getuid()
    patch.setattr(os, "getuid", lambda: mine + 1)


def a_link(folder: Path, patch: pytest.MonkeyPatch) -> None:
    path = pace_file(folder)
    path.rename(folder / "elsewhere")
    path.symlink_to(folder / "elsewhere")


def a_linked_lock(folder: Path, patch: pytest.MonkeyPatch) -> None:
    path = pace_file(folder).with_suffix(".lock")
    path.unlink()
    path.symlink_to(folder / "elsewhere")


def a_folder(folder: Path, patch: pytest.MonkeyPatch) -> None:
    path = pace_file(folder)
    path.unlink()
    path.mkdir()


def a_full_disk(folder: Path, patch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    patch.setattr("fanin.sharing.file._write_all", full)


def a_read_only_disk(folder: Path, patch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def read_only(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(30, "Read-only file system")
        return opened(path, flags, *rest, **named)

    patch.setattr(os, "open", read_only)


WRONG = [
    (write(b""), "is no pace file"),
    (write(b"\xff\x00 rubbish\n\xff"), "is no pace file"),
    (cut, "is damaged"),
    (of_another_version, "is of another version of fanin"),
    (of_another_user, "belongs to another user"),
    (a_link, "cannot be read"),
    (a_linked_lock, "cannot be locked"),
    (a_folder, "cannot be read"),
    (a_full_disk, "cannot be written: No space left on device"),
    (a_read_only_disk, "cannot be locked: Read-only file system"),
]


@pytest.mark.parametrize(("spoil", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_file_that_cannot_be_used_is_one_warning_and_the_runs_go_on(
    spoil: Callable[[Path, pytest.MonkeyPatch], None],
    said: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = FileStore(folder)
    provider = Provider(Offer(Limits(10, 10), latency_s=0.3))
    outcomes: list[object] = []

    async def main() -> None:
        conductor = Conductor(LimitedBackend(provider), Terms(), limiters=Limiters(lambda pace: store))

        async def one(index: int, model: str) -> None:
            outcomes.append(await conductor.ask(Request(index, model, (Message("user", "?"),), max_tokens=8)))

        conductor._begin()
        async with anyio.create_task_group() as group:
            for index in range(20):
                group.start_soon(one, index, "mn"[index % 2])

    looked_at = Key("limited", "m")

    async def begin() -> None:
        await store.exchange(
            looked_at, Joint("limited", "m"), lambda joint, now_s: (joint, None), LoopClock()
        )

    run_virtual("asyncio", begin)
    with monkeypatch.context() as patch:
        spoil(folder, patch)
        with pytest.warns(SharedPaceWarning) as warned:
            run_virtual("asyncio", main)
    assert len(outcomes) == 20
    assert all(isinstance(outcome, Sample) for outcome in outcomes)
    (warning,) = warned
    assert said in str(warning.message)
    assert str(warning.message).endswith("; the pace is not shared")
    assert "No space left" in said or not [
        path for path in folder.glob("*") if path.suffix == f".{os.getpid()}"
    ]


def test_what_nobody_can_read_and_nobody_touched_for_long_is_replaced(folder: Path) -> None:
    looked(FileStore(folder))
    path = pace_file(folder)
    path.write_bytes(b"of old\n")
    os.utime(path, (0, 0))
    assert looked(FileStore(folder), loads=1).joint.booked.pace.count == 1


def test_one_who_stands_still_with_the_lock_stops_nobody(folder: Path) -> None:
    store = FileStore(folder)
    looked(store)
    with pace_file(folder).with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="its user does not move") as busy:
            looked(store)
        assert not busy.value.for_good
    assert looked(store).joint.members


# --- processes


SHARER = """
import json, sys, time
import anyio
from fanin.conductor import Conductor
from fanin.terms import Terms
from fanin.values import Message, Request, Sample
from fanin_backends.openai import open_backend

async def main():
    backend = open_backend(base_url=sys.argv[1] + "/v1", key="k", environ={})
    conductor = Conductor(backend, Terms(concurrency=500, pace=sys.argv[2]))
    outcomes = []
    async def one(index):
        outcomes.append(await conductor.ask(Request(index, "m", (Message("user", "?"),), max_tokens=8)))
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    conductor._begin()
    async with anyio.create_task_group() as group:
        for index in range(int(sys.argv[3])):
            group.start_soon(one, index)
    await backend.aclose()
    print(sum(isinstance(o, Sample) for o in outcomes), time.monotonic() - began, flush=True)

anyio.run(main)
"""


def shared_by_processes(url: str, pace: str, each: int, **environ: str) -> list[tuple[int, float]]:
    """Two processes that ask `each` times: how many answers they got, and in what time."""
    command = [sys.executable, "-c", SHARER, url, pace, str(each)]
    known = {name: value for name, value in os.environ.items() if name != "FANIN_SHARED_PACE"}
    processes = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**known, **environ}
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    told = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, _ = process.communicate(timeout=120)
        answered, took_s = out.split()
        told.append((int(answered), float(took_s)))
    return told


@pytest.mark.slow
def test_two_processes_share_one_pace(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    with serving(Offer(Limits(10, 10), latency_s=0.2)) as server:
        told = shared_by_processes(server.url, "file", 40, XDG_RUNTIME_DIR=str(folder))
        count = server.account("k").counts["m"]
    assert [answered for answered, _ in told] == [40, 40]
    assert len(count.admitted_s) == 80
    assert len(count.refused_s) <= 0.3 * 80


@pytest.mark.slow
def test_a_process_that_is_killed_stops_nobody(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    with serving(Offer(Limits(20, 10), latency_s=0.2)) as server:
        command = [sys.executable, "-c", SHARER, server.url, "file", "200"]
        known = {name: value for name, value in os.environ.items() if name != "FANIN_SHARED_PACE"}
        known["XDG_RUNTIME_DIR"] = str(folder)
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=known
        ) as killed:
            assert killed.stdout is not None
            assert killed.stdin is not None
            killed.stdout.readline()
            killed.stdin.write("go\n")
            killed.stdin.flush()
            while len(server.account("k").counts.get("m", Count()).admitted_s) < 20:
                time.sleep(0.05)
            killed.kill()
        told = shared_by_processes(server.url, "file", 20, XDG_RUNTIME_DIR=str(folder))
    assert [answered for answered, _ in told] == [20, 20]
