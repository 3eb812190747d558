"""A batch on a Ray cluster of two nodes: workers, the limiter and the batch itself are killed."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from limited_provider import Count, Limits, Offer
from limited_server import LimitedServer, serving

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'fanin[ray]'"),
]

TESTS = Path(__file__).parent
RATE, BURST = 400.0, 100.0
OFFER = Offer(Limits(RATE, BURST), profile="full", latency_s=0.1)
WORKERS = 4
JOBS = 256


def environment(home: Path) -> dict[str, str]:
    of_this = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {**of_this, "HOME": str(home), "OPENAI_API_KEY": "k", "FANIN_SHARED_PACE": "0"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """The cluster's process and address; it ends with the last test, and all its processes with it."""
    home = tmp_path_factory.mktemp("cluster")
    with subprocess.Popen(
        [sys.executable, str(TESTS / "ray_cluster.py"), str(WORKERS // 2)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(home),
    ) as running:
        assert running.stdout is not None
        yield running.pid, running.stdout.readline().strip()
        running.communicate()


class Job:
    """A batch that a process of its own asks on the cluster."""

    def __init__(
        self,
        folder: Path,
        address: str,
        server: LimitedServer,
        items: int,
        backend: str = "openai",
        **more: str,
    ) -> None:
        self.items = items
        self.out = folder / "out.jsonl"
        self.server = server
        self._env = environment(folder)
        questions = folder / "questions.jsonl"
        lines = [json.dumps({"id": n, "question": f"Is {n} odd?"}) for n in range(items)]
        questions.write_text("\n".join(lines))
        words = ["batch", str(questions), "-o", str(self.out), "--runs", "1", "--answer", "yes/no", "-q"]
        words += ["--backend", "openai", "--base-url", f"{server.url}/v1", "-m", "m", "-j", str(JOBS)]
        words += ["--max-tokens", "16", "--engine", "ray", "--address", address, "--workers", str(WORKERS)]
        self._command = [sys.executable, "-m", "fanin", *words]

    def start(self, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._env
        )

    @property
    def count(self) -> Count:
        """The server's own count."""
        return self.server.account("k").counts.get("m", Count())

    def wait_for(self, admitted: int, running: subprocess.Popen[str]) -> None:
        while len(self.count.admitted_s) < admitted:
            assert running.poll() is None, running.communicate()
            time.sleep(0.01)

    def check_rows(self) -> None:
        ids = [json.loads(line)["id"] for line in self.out.read_text().splitlines()]
        assert len(ids) == len(set(ids)), "a row stands twice"
        assert sorted(ids) == list(range(self.items))

    def check_pace(self) -> None:
        """Never above rate and burst in any second; and hardly any of it was refused."""
        arrived_s = sorted([*self.count.admitted_s, *self.count.refused_s])
        most = max(bisect_left(arrived_s, at_s + 1.0) - place for place, at_s in enumerate(arrived_s))
        assert most <= RATE + BURST
        assert len(self.count.refused_s) <= 0.05 * len(self.count.admitted_s)

    @property
    def makespan_s(self) -> float:
        return self.count.admitted_s[-1] - self.count.admitted_s[0]


def actors(cluster: int, name: str) -> list[int]:
    """The processes below the cluster's that Ray has titled with that class."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    return [process for process in parents if titled(process, name) and is_below(cluster, process, parents)]


def titled(process: int, name: str) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().startswith(f"ray::{name}".encode())
    return False


def is_below(above: int, process: int, parents: dict[int, int]) -> bool:
    while process not in (0, above):
        process = parents.get(process, 0)
    return process == above


def left_of(home: Path) -> list[str]:
    """What still runs of the processes that were started with that home."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and f"HOME={home}\0".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found


def wait_until(come: Callable[[], bool]) -> None:
    while not come():
        time.sleep(0.05)


def test_a_worker_is_killed_and_every_call_is_made(
    cluster: tuple[int, str], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    process, address = cluster
    with serving(OFFER) as server:
        job = Job(tmp_path, address, server, 2000)
        with job.start() as running:
            job.wait_for(800, running)
            os.kill(actors(process, "DeskActor")[0], signal.SIGKILL)
            _, err = running.communicate()
    assert running.returncode == 0, err
    job.check_rows()
    job.check_pace()
    ideal_s = (2000 - BURST) / RATE
    extra = len(job.count.admitted_s) - 2000
    told = (round(job.makespan_s / ideal_s, 3), extra, len(job.count.refused_s))
    record_property("makespan by ideal, calls made again, refused", told)
    assert 0 <= extra <= JOBS


def test_the_limiter_is_killed_and_the_workers_keep_to_their_parts(
    cluster: tuple[int, str], tmp_path: Path
) -> None:
    process, address = cluster
    with serving(OFFER) as server:
        job = Job(tmp_path, address, server, 1000)
        with job.start() as running:
            job.wait_for(300, running)
            [limiter] = actors(process, "SharedPaces")
            os.kill(limiter, signal.SIGKILL)
            _, err = running.communicate()
    assert running.returncode == 0, err
    assert re.search(rf"each of [2-{WORKERS}] keeps to its part of the pace", err)
    assert "the pace is shared again" in err
    job.check_rows()
    job.check_pace()
    assert len(job.count.admitted_s) == 1000


def test_the_batch_is_killed_and_goes_on_from_its_journal(cluster: tuple[int, str], tmp_path: Path) -> None:
    process, address = cluster
    with serving(OFFER) as server:
        job = Job(tmp_path, address, server, 1000)
        with job.start() as running:
            job.wait_for(500, running)
            running.kill()
        wait_until(lambda: not actors(process, "DeskActor") and not actors(process, "SharedPaces"))
        with closing(sqlite3.connect(tmp_path / "out.jsonl.journal")) as stored:
            assert stored.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        with job.start("--resume") as running:
            _, err = running.communicate()
    assert running.returncode == 0, err
    job.check_rows()
    assert len(job.count.admitted_s) <= 1000 + JOBS


def test_a_ray_of_its_own_ends_with_the_batch(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("Is it so?\nIs it not?\n")
    words = ["batch", str(tmp_path / "q.txt"), "--backend", "fake", "-m", "yes"]
    ended = subprocess.run(
        [sys.executable, "-m", "fanin", *words, "--engine", "ray", "--workers", "1"],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        check=True,
    )
    assert len(ended.stdout.splitlines()) == 2
    wait_until(lambda: not left_of(tmp_path))


def test_a_key_that_workers_do_not_have_is_told(cluster: tuple[int, str], tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("Is it so?\n")
    words = ["batch", str(tmp_path / "q.txt"), "--backend", "groq", "-m", "m", "--engine", "ray"]
    ended = subprocess.run(
        [sys.executable, "-m", "fanin", *words, "--address", cluster[1], "--workers", "1"],
        capture_output=True,
        text=True,
        env=environment(tmp_path) | {"GROQ_API_KEY": "gsk_of_the_batch_alone"},
        check=False,
    )
    assert ended.returncode == 5
    assert "GROQ_API_KEY is not set" in ended.stderr
    assert "gsk_of" not in ended.stdout + ended.stderr
