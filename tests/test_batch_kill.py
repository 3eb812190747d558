"""kill -9 at random moments: nothing that was answered is lost, and little is paid for twice."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

pytestmark = pytest.mark.slow

JOBS = 16
ITEMS = 2000
KILLS = 30

PROGRAM = f"""
import os, sys
import anyio
from fanin.batching.items import Item
from fanin.batching.runner import batch

async def main(url, journal):
    items = (Item(n, n, f"Is {{n}} odd?") for n in range(1, {ITEMS + 1}))
    async with batch(items, backend="openai", base_url=url, model="m", journal=journal, resume=True,
                     jobs={JOBS}, runs=1, answer="yes/no") as rows:
        async for row in rows:
            print(row.number, row.object["answer"], flush=True)
        standing = rows.standing
        print("end", standing.ended, standing.recalled, standing.calls, standing.maybe_twice, flush=True)

anyio.run(main, *sys.argv[1:])
"""


class Server:
    """An OpenAI-shaped chat server that counts what it was asked and what it sent back whole."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.url = ""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                body = json.loads(await reader.readexactly(length))
                question = body["messages"][-1]["content"].splitlines()[0]
                self.asked[question] += 1
                await asyncio.sleep(0.002)
                writer.write(reply("yes" if int(question.split()[1]) % 2 else "no"))
                await writer.drain()
                self.answered[question] += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def reply(answer: str) -> bytes:
    message = {"role": "assistant", "content": f"Answer: {answer}"}
    body = json.dumps(
        {
            "model": "m",
            "choices": [{"message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
        }
    ).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextmanager
def serving() -> Iterator[Server]:
    server, ready = Server(), threading.Event()
    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()

    async def serve() -> None:
        listening = await asyncio.start_server(server.connected, "127.0.0.1", 0)
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        ready.set()
        await stopped.wait()
        listening.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        loop.close()


def started(server: Server, journal: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, server.url, str(journal)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": "", "OPENAI_API_KEY": "k", "FANIN_SHARED_PACE": "0", "HOME": str(journal.parent)},
    )


def rows_of(out: str) -> dict[int, str]:
    """Item -> answer, of the lines that came out whole."""
    lines = [line.split() for line in out.splitlines(keepends=True) if line.endswith("\n")]
    return {int(words[0]): words[1] for words in lines if words[0].isdigit()}


def test_killed_at_random_moments_nothing_is_lost(tmp_path: Path) -> None:
    random, journal = Random(7), tmp_path / "out.journal"
    kills = 0
    with serving() as server:
        seen: dict[int, str] = {}
        while kills < KILLS:
            with started(server, journal) as running:
                before = sum(server.asked.values())
                until = before + random.randint(1, ITEMS // KILLS + 20)
                while sum(server.asked.values()) < until and running.poll() is None:
                    time.sleep(0.001)
                running.send_signal(signal.SIGKILL)
                out, _ = running.communicate()
            seen.update(rows_of(out))
            kills += running.returncode == -signal.SIGKILL
            if running.returncode == 0:
                break
            with sqlite3.connect(journal) as stored:
                assert stored.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                [kept] = stored.execute("SELECT count(*) FROM calls").fetchone()
            stored.close()
            assert kept >= len(seen), "a row came out before its call was committed"
        with started(server, journal) as running:
            out, _ = running.communicate(timeout=60)
    rows = rows_of(out)
    assert rows == {n: "yes" if n % 2 else "no" for n in range(1, ITEMS + 1)}
    assert seen.items() <= rows.items()
    ended, recalled, calls, maybe_twice = out.splitlines()[-1].split()[1:]
    assert ended == "all"
    assert int(recalled) + int(calls) == ITEMS
    extra = sum(server.asked.values()) - ITEMS
    assert kills >= 20
    assert extra <= int(maybe_twice) <= kills * JOBS
