"""CPU of loading a tape and of a replayed request, by the size of the tape, beside plain vcrpy.

vcrpy compares bodies (`match_on` method, scheme, host, port, path, query and body), as it must to tell
one prompt from another. Beside them: httpx2 over a MockTransport, which answers from memory. Every
figure is the median of the rounds; loading is that of a process that has all modules already.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import vcr

from fanin.taping import storage, tape
from fanin.taping.calls import RawRequest, RawResponse, taped_request, taped_response
from fanin.taping.player import Player
from fanin.taping.recording import Interaction, Recording, in_stable_order
from fanin.taping.scrub import Scrubber

URL = "https://api.example.com/v1/chat/completions"
ASKED = 50
"""Requests of one measurement, spread over the whole tape."""
MATCH_ON = ("method", "scheme", "host", "port", "path", "query", "body")
PROMPT = "Does this contract renew by itself? Answer yes or no, and think step by step first. " * 8
ANSWER = "The contract says that it ends after one year unless both sides agree. Answer: no. " * 8


def asked(number: int) -> dict[str, Any]:
    """The body of the request of that number."""
    return {"model": "m", "seed": number, "messages": [{"role": "user", "content": PROMPT}]}


def answered(number: int) -> dict[str, Any]:
    """The body of its answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
    return {"id": str(number), "object": "chat.completion", "choices": [choice], "usage": {"total_tokens": 9}}


def write_ours(path: Path, size: int) -> None:
    """A tape with so many interactions."""
    scrub = Scrubber()
    made = []
    for number in range(size):
        request = RawRequest("POST", URL, "application/json", json.dumps(asked(number)).encode())
        headers = (("content-type", "application/json"),)
        response = RawResponse(200, headers, json.dumps(answered(number)).encode())
        made.append(Interaction(None, taped_request(request, scrub), taped_response(response, scrub)))
    storage.save(Recording(None, None, (), {}, tuple(in_stable_order(made))), str(path))


def write_theirs(path: Path, size: int) -> None:
    """The same as a cassette of vcrpy, in JSON, which it loads faster than YAML."""
    kinds = {"content-type": ["application/json"]}
    interactions = [
        {
            "request": {"method": "POST", "uri": URL, "headers": kinds, "body": json.dumps(asked(number))},
            "response": {
                "status": {"code": 200, "message": "OK"},
                "headers": kinds,
                "body": {"string": json.dumps(answered(number))},
            },
        }
        for number in range(size)
    ]
    path.write_text(json.dumps({"version": 1, "interactions": interactions}))


def cpu_s(work: Callable[[], object]) -> float:
    """CPU that some work takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


def per_request_s(size: int, http: httpx2.Client) -> float:
    """CPU of one request, of `ASKED` that are spread over a tape of that size."""
    bodies = [asked(number * size // ASKED) for number in range(ASKED)]

    def ask() -> None:
        for body in bodies:
            http.post(URL, json=body).raise_for_status()

    return cpu_s(ask) / ASKED


def replay_s(size: int, switched_on: AbstractContextManager[object]) -> float:
    """CPU of one replayed request."""
    with switched_on, httpx2.Client() as http:
        http.post(URL, json=asked(size - 1))  # the first one makes what lasts
        return per_request_s(size - 1, http)


def mock_s() -> float:
    """CPU of one request over a MockTransport."""
    body = json.dumps(answered(0)).encode()
    headers = {"content-type": "application/json"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=body))
    with httpx2.Client(transport=transport) as http:
        http.post(URL, json=asked(0))
        return per_request_s(1, http)


@contextmanager
def plain_vcrpy(path: Path) -> Iterator[None]:
    """vcrpy as its users have it."""
    with vcr.use_cassette(str(path), serializer="json", match_on=MATCH_ON, record_mode="none"):
        yield


def load_theirs(path: Path) -> None:
    """Loads a cassette and does nothing with it."""
    with plain_vcrpy(path):
        pass


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(prog="scripts/bench tape", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", default="100,1000,10000")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    figures: dict[tuple[str, int], list[float]] = {}

    def note(name: str, size: int, seconds: float) -> None:
        figures.setdefault((name, size), []).append(seconds)

    with TemporaryDirectory() as folder:
        for size in sizes:
            write_ours(Path(folder, f"{size}.tape.json"), size)
            write_theirs(Path(folder, f"{size}.vcr.json"), size)
        for turn in range(options.rounds):
            note("mock", 0, mock_s())
            for size in sizes:
                ours, theirs = Path(folder, f"{size}.tape.json"), Path(folder, f"{size}.vcr.json")
                note("load", size, cpu_s(lambda at=ours: Player(str(at), storage.load(str(at)), frozenset())))
                note("replay", size, replay_s(size, tape(ours)))
                if turn == 0 or size < 10_000:  # one round of vcrpy at 10,000 is half a minute
                    note("load vcrpy", size, cpu_s(lambda at=theirs: load_theirs(at)))
                    note("replay vcrpy", size, replay_s(size, plain_vcrpy(theirs)))
    report({key: statistics.median(values) for key, values in figures.items()}, sizes)


def report(median: dict[tuple[str, int], float], sizes: list[int]) -> None:
    """Prints the figures and the promises."""
    print(f"{'interactions':>14}{'load':>12}{'load vcrpy':>12}{'a request':>12}{'of vcrpy':>12}")
    for size in sizes:
        print(
            f"{size:14,}{median['load', size]:10.3f} s{median['load vcrpy', size]:10.3f} s"
            f"{1e3 * median['replay', size]:9.3f} ms{1e3 * median['replay vcrpy', size]:9.3f} ms"
        )
    print(f"httpx2 over a MockTransport: {1e3 * median['mock', 0]:.3f} ms a request")
    largest = median["replay", sizes[-1]]
    promises = [
        (f"a request at {sizes[-1]:,} / at {sizes[0]:,}", largest / median["replay", sizes[0]], 1.3, "x"),
        (f"a request at {sizes[-1]:,} / over a MockTransport", largest / median["mock", 0], 3.0, "x"),
    ]
    if sizes[-1] == 10_000:
        promises.append(("load at 10,000, on an idle core", median["load", 10_000], 0.6, "s"))
    for what, figure, most, unit in promises:
        print(f"{what}: {figure:.2f} {unit}  {'kept' if figure <= most else 'MISSED'}: at most {most}")


if __name__ == "__main__":
    main()
