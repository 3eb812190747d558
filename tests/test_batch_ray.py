"""A batch on a Ray cluster of two nodes: workers, the limiter and the batch itself are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
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


def environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "OPENAI_API_KEY": "k", "FANIN_SHARED_PACE": "0"}


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

    def __init__(self, folder: Path, address: str, server: LimitedServer, items: int) -> None:
        self.items = items
        self.out = folder / "out.jsonl"
        self.server = server
        self._env = environment(folder)
        questions = folder / "questions.jsonl"
        lines = [json.dumps({"id": n, "question": f"Is {n} odd?"}) for n in range(items)]
        questions.write_text("\n".join(lines))
        words = ["batch", str(questions), "-o", str(self.out), "--runs", "1", "--answer", "yes/no", "-q"]
        words += ["--backend", "openai", "--base-url", f"{server.url}/v1", "-m", "m", "-j", "256"]
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
        """The server saw no more in any second than it lets in, and none that it had to refuse much."""
        seen = sorted([*self.count.admitted_s, *self.count.refused_s])
        most = max(bisect_left(seen, at_s + 1.0) - place for place, at_s in enumerate(seen))
        assert most <= RATE + BURST

    @property
    def makespan_s(self) -> float:
        return self.count.admitted_s[-1] - self.count.admitted_s[0]


def actors(cluster: int, name: str) -> list[int]:
    """The processes of the cluster's actors of that class, as Ray titles them."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = []
    for process in parents:
        above = process
        while above not in (0, cluster):
            above = parents.get(above, 0)
        try:
            title = (Path("/proc") / str(process) / "cmdline").read_bytes()
        except OSError:
            continue
        if above == cluster and title.startswith(f"ray::{name}".encode()):
            found.append(process)
    return found


def test_a_worker_is_killed_and_every_call_is_made(
    cluster: tuple[int, str], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    process, address = cluster
    with serving(OFFER) as server:
        job = Job(tmp_path, address, server, 2000)
        with job.start() as running:
            job.wait_for(800, running)
            victim, *_ = actors(process, "DeskActor")
            os.kill(victim, signal.SIGKILL)
            _, err = running.communicate()
        assert running.returncode == 0, err
        job.check_rows()
        job.check_pace()
        ideal_s = (2000 - BURST) / RATE
        extra = len(job.count.admitted_s) - 2000
        told = (round(job.makespan_s / ideal_s, 3), extra, len(job.count.refused_s))
        record_property("makespan by ideal, calls made again, refused", told)
        assert 0 <= extra <= 256
        assert job.makespan_s <= 1.25 * ideal_s
