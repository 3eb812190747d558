"""Record and replay: every run gets its own recorded answers again, and nothing else is ever served."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies_tape import json_values, unchanged

from fanin.context import RUN_INDEX, TapeOn, tape_on
from fanin.errors import CallError, CassetteError, CassetteMissError, InputError
from fanin.taping import tape
from fanin.taping.bodies import body_of
from fanin.taping.calls import MAX_DECODED_BYTES, RawRequest, RawResponse, taped_request, taped_response
from fanin.taping.player import Player
from fanin.taping.recorder import Recorder
from fanin.taping.recording import Recording, TapedError, TapedResponse
from fanin.taping.scrub import Scrubber

URL = "https://api.example.com/v1/chat/completions"
PROMPT = "Does this contract renew by itself, yes or no? Think first."


def chat(**changes: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "temperature": 0.6,
        "seed": 7,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}],
    } | changes


def raw(body: object, *, method: str = "POST", url: str = URL) -> RawRequest:
    return RawRequest(method, url, "application/json", json.dumps(body).encode())


def recorded(calls: Sequence[tuple[int | None, RawRequest, str]]) -> Recording:
    """A tape of these calls, in this order of arrival."""
    recorder = Recorder("x.json")
    for run, request, answer in calls:
        token = RUN_INDEX.set(run)
        recorder.answered(request, RawResponse(200, (), answer.encode()))
        RUN_INDEX.reset(token)
    return recorder.recording(TapeOn("record", "x.json"), frozenset())


def text(outcome: TapedResponse | TapedError) -> str:
    assert isinstance(outcome, TapedResponse)
    assert outcome.body is not None
    return outcome.body.to_bytes().decode()


def miss(recording: Recording, request: RawRequest, run: int | None = 0) -> str:
    with pytest.raises(CassetteMissError) as caught:
        Player("x.json", recording, frozenset()).play(request, run)
    return str(caught.value)


# The key


def digest(body: object, *, method: str = "POST", url: str = URL) -> bytes:
    return taped_request(raw(body, method=method, url=url), Scrubber()).digest


@settings(max_examples=30)
@given(json_values(), json_values())
def test_two_bodies_have_one_key_only_if_they_are_the_same_json(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(one) == digest(other)) == same


@settings(max_examples=30)
@given(st.dictionaries(st.text(), json_values()), st.randoms(use_true_random=False))
def test_the_order_of_names_and_the_spelling_of_json_make_no_difference(body: Any, random: Any) -> None:
    items = list(body.items())
    random.shuffle(items)
    spelled = json.dumps(dict(items), indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace")
    assert taped_request(RawRequest("POST", URL, None, spelled), Scrubber()).digest == digest(body)


@pytest.mark.parametrize(
    "other",
    [
        raw(chat(temperature=0.7)),
        raw(chat(seed=8)),
        raw(chat(model="n")),
        raw(chat(messages=chat()["messages"][::-1])),
        raw(chat(stream=True)),
        raw(chat(temperature=1)),
        raw(chat(temperature=1.0)),
        raw(chat(temperature=True)),
        raw(chat(), method="PUT"),
        raw(chat(), url=URL + "?a=1"),
        raw(chat(), url="http://api.example.com/v1/chat/completions"),
        RawRequest("POST", URL, None, b""),
    ],
)
def test_what_matters_changes_the_key(other: RawRequest) -> None:
    all_keys = {digest(chat()), digest(chat(temperature=1)), digest(chat(temperature=1.0))}
    assert len(all_keys) == 3
    assert taped_request(other, Scrubber()).digest != digest(chat())


def test_headers_and_secrets_do_not_change_the_key() -> None:
    body = json.dumps(chat()).encode()
    other = RawRequest("post", "https://me:pw@API.example.com:443/v1/chat/completions?key=x#f", "a/b", body)
    assert taped_request(other, Scrubber()).digest == digest(chat())


# Which answer goes to whom


@given(st.data())
def test_any_order_of_arrival_gives_each_run_its_own_answers(data: st.DataObject) -> None:
    # Requests that are equal between the runs and within each of them, as retries are.
    plan = data.draw(
        st.lists(st.tuples(st.none() | st.integers(0, 3), st.sampled_from("ab")), min_size=1, max_size=12)
    )
    numbered = [(run, body, str(number)) for number, (run, body) in enumerate(plan)]
    expected: dict[tuple[int | None, str], list[str]] = {}
    for run, body, answer in numbered:
        expected.setdefault((run, body), []).append(answer)
    tape_ = recorded([(run, raw([body]), answer) for run, body, answer in numbered])
    player = Player("x.json", tape_, frozenset())
    got: dict[tuple[int | None, str], list[str]] = {}
    for run, body in data.draw(st.permutations(plan)):
        got.setdefault((run, body), []).append(text(player.play(raw([body]), run)))
    assert got == expected
    run, body = plan[0]
    with pytest.raises(CassetteMissError):
        player.play(raw([body]), run)


@given(st.data())
def test_the_order_of_arrival_does_not_show_in_the_file(data: st.DataObject) -> None:
    calls = [(run, raw(chat(seed=seed)), f"{run} {seed}") for run in (None, 0, 1, 2) for seed in (7, 8, 9)]
    assert recorded(data.draw(st.permutations(calls))) == recorded(calls)


def test_the_file_is_in_the_order_of_the_runs_and_a_growing_chat_stays_in_its_order() -> None:
    first, second = chat(), chat(messages=[*chat()["messages"], {"role": "user", "content": "And now?"}])
    tape_ = recorded([(10, raw(first), ""), (2, raw(second), ""), (None, raw([]), ""), (2, raw(first), "")])
    assert [each.run for each in tape_.interactions] == [None, 2, 2, 10]
    assert tape_.interactions[1].request.body == body_of(json.dumps(first).encode(), unchanged)


# The errors of fanin's own calls


def test_a_call_without_an_answer_is_kept_with_its_error_and_one_with_an_answer_is_not() -> None:
    recorder = Recorder("x.json")
    RUN_INDEX.set(3)
    recorder.note_error(CallError("bad_request", "before anything was sent"))
    recorder.asked(raw(chat()))
    recorder.note_error(CallError("timeout", "No answer within 120 s.", mend="Wait longer.", final=True))
    recorder.note_error(CallError("timeout", "told twice"))
    recorder.asked(raw(chat()))
    recorder.answered(raw(chat()), RawResponse(500, (), b"oops"))
    recorder.note_error(CallError("server", "oops"))
    RUN_INDEX.set(None)
    recorder.asked(raw(chat()))
    recorder.note_error(CallError("connection", "a call that belongs to no run"))
    first, second = recorder.recording(TapeOn("record", "x.json"), frozenset()).interactions
    assert first.outcome == TapedError("timeout", "No answer within 120 s.", "Wait longer.", True)
    assert isinstance(second.outcome, TapedResponse)
    assert second.outcome.status == 500
    assert first.run == second.run == 3


def test_an_error_is_told_to_the_recorder_whose_request_it_ended() -> None:
    one, other = Recorder("x.json"), Recorder("y.json")
    RUN_INDEX.set(0)
    one.asked(raw(chat()))
    other.note_error(CallError("timeout", "not its own"))
    with pytest.raises(CassetteError, match="nothing was recorded"):
        other.recording(TapeOn("record", "y.json"), frozenset())
    RUN_INDEX.set(None)


@pytest.mark.anyio
async def test_a_taped_error_is_raised_again_from_inside_the_client(tmp_path: Path) -> None:
    path = tmp_path / "x.json"

    def refuse(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    RUN_INDEX.set(0)
    with tape(path, mode="all") as on:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(refuse)) as http:
            with pytest.raises(httpx2.ConnectError):
                await http.post(URL, json=chat())
            on.note_error(CallError("connection", "No server answers.", mend="Start it."))
    with tape(path) as on:
        async with httpx2.AsyncClient() as http:
            with pytest.raises(CallError, match="No server answers") as caught:
                await http.post(URL, json=chat())
            on.note_error(caught.value)
    assert (caught.value.kind, caught.value.mend, caught.value.final) == ("connection", "Start it.", False)


# What comes back


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, deflate"])
def test_bodies_are_kept_decoded(coding: str) -> None:
    body = plain = b'{"a": "hello"}'
    for each in coding.split(", "):
        if each == "br":
            body = pytest.importorskip("brotli").compress(body)
        else:
            body = gzip.compress(body) if each == "gzip" else zlib.compress(body)
    taped = taped_response(RawResponse(200, (("Content-Encoding", coding),), body), Scrubber())
    assert taped == TapedResponse(200, {}, body_of(plain, unchanged))


@pytest.mark.parametrize("body", [b"{}", b""])
def test_a_body_that_was_handed_over_decoded_is_kept_as_it_is(body: bytes) -> None:
    taped = taped_response(RawResponse(200, (("content-encoding", "gzip"),), body), Scrubber())
    assert taped == TapedResponse(200, {}, body_of(body, unchanged))


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b"\x1f\x8b\xff no gzip"),
        ("gzip", gzip.compress(bytes(MAX_DECODED_BYTES + 1), mtime=0)),
        ("of-its-own", b"\xff"),
        ("of-its-own", b"{}"),
    ],
    ids=["broken", "a bomb", "unknown", "unknown text"],
)
def test_a_body_that_cannot_be_decoded_stays_as_it_came(coding: str, body: bytes) -> None:
    taped = taped_response(RawResponse(200, (("content-encoding", coding),), body), Scrubber())
    assert taped.headers == {"content-encoding": coding}
    assert taped.body is not None
    assert taped.body.to_bytes() == body


def test_only_headers_that_are_needed_are_kept() -> None:
    headers = (
        ("Content-Type", "application/json"),
        ("Retry-After", "2"),
        ("retry-after-ms", "1500"),
        ("x-ratelimit-reset-tokens", "1m26.4s"),
        ("X-RateLimit-Reset-Tokens", "7"),
        ("Location", "/v1/next?key=x&a=1"),
        ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("set-cookie", "a=b"),
        ("x-request-id", "1"),
        ("retry-after", "ü"),
    )
    assert taped_response(RawResponse(200, headers, b""), Scrubber()).headers == {
        "content-type": "application/json",
        "retry-after": "2",
        "retry-after-ms": "1500",
        "x-ratelimit-reset-tokens": "1m26.4s, 7",
        "location": "/v1/next?a=1",
    }


# The life of a tape


def numbered() -> httpx2.MockTransport:
    """A server that gives every request another answer."""
    number = count()
    return httpx2.MockTransport(lambda _: httpx2.Response(200, json={"answer": next(number)}))


def no_server() -> httpx2.MockTransport:
    def refuse(_: httpx2.Request) -> httpx2.Response:
        raise AssertionError("a replay reached the transport")

    return httpx2.MockTransport(refuse)


async def vote(transport: httpx2.MockTransport, runs: Sequence[int], concurrency: int) -> dict[int, Any]:
    """The same question twice for each of the runs, as many at once."""
    answers: dict[int, Any] = {}
    slots = anyio.Semaphore(concurrency)
    async with httpx2.AsyncClient(transport=transport) as http, anyio.create_task_group() as group:

        async def one(run: int) -> None:
            async with slots:
                RUN_INDEX.set(run)
                for _ in range(run % 3):
                    await anyio.lowlevel.checkpoint()
                both = [(await http.post(URL, json=chat())).json() for _ in range(2)]
                answers[run] = both

        for run in runs:
            group.start_soon(one, run)
    return answers


@pytest.mark.anyio
async def test_a_tape_made_at_one_concurrency_replays_at_any_other(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with tape(path, mode="all"):
        answers = await vote(numbered(), range(9), 8)
    for runs, concurrency in ((range(9), 1), (range(8, -1, -1), 64), ((4, 0, 8, 1, 7, 2, 6, 3, 5), 3)):
        with tape(path):
            assert await vote(no_server(), runs, concurrency) == answers


@pytest.mark.anyio
async def test_recording_an_unchanged_server_again_gives_the_same_file(tmp_path: Path) -> None:
    def echo(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=request.content, headers={"date": "today", "x-request-id": "1"})

    for name, concurrency in (("x.json", 8), ("y.json", 1)):
        with tape(tmp_path / name, mode="all"):
            await vote(httpx2.MockTransport(echo), range(5), concurrency)
    assert (tmp_path / "x.json").read_bytes() == (tmp_path / "y.json").read_bytes()


def test_what_others_told_the_tape_is_known_when_it_replays(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.json"
    with tape(path, mode="all") as on, httpx2.Client(transport=numbered()) as http:
        assert on is tape_on()
        assert (on.mode, on.path, on.backend) == ("record", str(path), None)
        on.backend, on.base_url, on.models = "groq", "https://me:pw@api.groq.com/openai/v1", ("a", "b")
        on.refused["b"] = ("temperature", "seed")
        http.post(URL, json=chat())
    with tape(path) as on:
        assert on is tape_on()
        assert (on.mode, on.path, on.backend) == ("replay", str(path), "groq")
        assert (on.base_url, on.models) == ("https://api.groq.com/openai/v1", ("a", "b"))
        assert on.refused == {"b": ("temperature", "seed")}
        on.refused["c"] = ()
    assert tape_on() is None
    with tape(path) as on:
        assert "c" not in on.refused


class Interrupted(BaseException):
    """As KeyboardInterrupt, which pytest would take for its own."""


@pytest.mark.parametrize("error", [ValueError, Interrupted])
def test_a_recording_that_is_interrupted_leaves_the_old_tape(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "x.json"
    path.write_text("old")

    def interrupted() -> None:
        with tape(path, mode="all"), httpx2.Client(transport=numbered()) as http:
            http.post(URL, json=chat())
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    assert tape_on() is None


def test_a_recording_in_which_nothing_was_sent_leaves_the_old_tape(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("old")
    with pytest.raises(CassetteError, match="nothing was recorded"), tape(path, mode="all"):
        pass
    assert path.read_text() == "old"


def test_a_second_tape_is_refused_and_the_first_stays_on(tmp_path: Path) -> None:
    first, second = tmp_path / "x.json", tmp_path / "y.json"
    with tape(first, mode="all") as on, httpx2.Client(transport=numbered()) as http:
        with (
            pytest.raises(CassetteError, match=r"y\.json: another tape is on: .*x\.json"),
            tape(second, mode="all"),
        ):
            pass
        assert tape_on() is on
        http.post(URL, json=chat())
    assert first.exists()
    with tape(second, mode="all"), httpx2.Client(transport=numbered()) as http:
        http.post(URL, json=chat())


def test_a_tape_that_cannot_be_read_is_refused_and_none_is_on(tmp_path: Path) -> None:
    with pytest.raises(CassetteError, match="there is no such tape"), tape(tmp_path / "x.json"):
        pass
    assert tape_on() is None
    wrong: Any = "every"
    with pytest.raises(InputError, match="mode must be one of"), tape("x.json", mode=wrong):
        pass


def test_afterwards_the_clients_are_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    before = httpx2.AsyncHTTPTransport.handle_async_request
    with tape(path, mode="all"), httpx2.Client(transport=numbered()) as http:
        assert httpx2.AsyncHTTPTransport.handle_async_request is not before
        http.post(URL, json=chat())
    assert httpx2.AsyncHTTPTransport.handle_async_request is before


# A miss


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "x.json"
    with tape(path, mode="all"), httpx2.Client(transport=numbered()) as http:
        http.post(URL, json=chat())
    return path


@pytest.mark.anyio
async def test_a_miss_travels_out_of_the_client_as_itself(made: Path) -> None:
    async def ask() -> None:
        with tape(made) as on:
            async with httpx2.AsyncClient(transport=no_server()) as http:
                try:
                    await http.post(URL, json=chat(temperature=0.7))
                finally:
                    seen.append(on.missed)

    seen: list[Exception | None] = []
    with pytest.raises(CassetteMissError, match=r"temperature is 0\.7, on the tape 0\.6") as caught:
        await ask()
    assert seen == [caught.value]
    assert caught.value.path == str(made)
    assert "--record" in str(caught.value.mend)


@pytest.mark.parametrize("then", [lambda error: None, lambda error: _raise(RuntimeError("lost"), error)])
def test_a_client_that_hides_a_miss_does_not_hide_it_from_us(
    made: Path, then: Callable[[Exception], None]
) -> None:
    def ask() -> None:
        with tape(made), httpx2.Client(transport=no_server()) as http:
            try:
                http.post(URL, json=chat(seed=1))
            except CassetteMissError as error:
                then(error)

    with pytest.raises(CassetteMissError, match="seed is 1"):
        ask()


def _raise(error: Exception, cause: Exception) -> None:
    raise error from cause


def test_other_errors_of_a_replay_are_left_alone(made: Path) -> None:
    with pytest.raises(ZeroDivisionError), tape(made):
        _ = 1 / 0


def test_a_miss_tells_one_changed_word_of_the_prompt() -> None:
    tape_ = recorded([(0, raw(chat()), ""), (0, raw({"model": "m", "input": PROMPT}), "")])
    changed = chat(
        messages=[chat()["messages"][0], {"role": "user", "content": PROMPT.replace("renew", "end")}]
    )
    said = miss(tape_, raw(changed))
    assert "The nearest is interaction 2, of run 0" in said
    assert 'messages[1].content reads "Does this contract [-renew-]{+end+} by itself, yes..."' in said
    assert "temperature" not in said


def test_the_nearest_is_of_the_same_run_where_there_is_one() -> None:
    tape_ = recorded([(0, raw(chat()), ""), (1, raw(chat(seed=8, temperature=0.7)), "")])
    assert "interaction 2, of run 1. What differs: temperature is 0.6" in miss(tape_, raw(chat()), run=1)


def test_the_nearest_has_the_same_address_before_all_and_then_the_same_model() -> None:
    model, address = chat(seed=8, temperature=0.7), chat(seed=8, temperature=0.7, model="n")
    tape_ = recorded(
        [(0, raw(chat(model="n")), ""), (0, raw(model), ""), (0, raw(chat(), url=URL + "2"), "")]
    )
    assert "What differs: temperature is 0.6, on the tape 0.7; seed is 7, on the tape 8." in miss(
        tape_, raw(chat())
    )
    tape_ = recorded([(0, raw(address), ""), (0, raw(chat(), url=URL + "2"), "")])
    assert "What differs: model is m, on the tape n; temperature" in miss(tape_, raw(chat()))


def test_the_nearest_of_equals_has_the_likest_prompt() -> None:
    prompts = ("Short?", PROMPT, "Which one of these is a mammal: a whale, a shark or a tuna? Think first.")
    tape_ = recorded([(0, raw({"model": "m", "prompt": prompt}), "") for prompt in prompts])
    said = miss(tape_, raw({"model": "m", "prompt": PROMPT.replace("renew", "end")}))
    assert "[-renew-]{+end+}" in said


def test_a_miss_tells_that_it_was_asked_too_often() -> None:
    tape_ = recorded([(0, raw(chat()), "")] * 2)
    player = Player("x.json", tape_, frozenset())
    player.play(raw(chat()), 0)
    player.play(raw(chat()), 0)
    with pytest.raises(CassetteMissError, match=r"run 0 asks POST .* 3 times, and it was recorded 2 times"):
        player.play(raw(chat()), 0)


@pytest.mark.parametrize(
    ("request_", "run", "says"),
    [
        (raw(chat()), 5, "of run 0: the same request, and the tape holds none of run 5"),
        (raw(chat()), None, "of run 0: the same request, and the tape holds none of a call"),
        (raw(chat(), url=URL + "/2"), 0, f"the URL is {URL}/2, on the tape {URL}"),
        (raw(chat(), method="PUT"), 0, "the method is PUT, on the tape POST"),
        (raw(chat(stream=True)), 0, "stream is true, not on the tape"),
        (raw({"model": "m"}), 0, "temperature is missing, on the tape 0.6"),
        (raw(chat(temperature=True)), 0, "temperature is true, on the tape 0.6"),
        (raw(chat(a=1, b=2, c=3, d=4, e=5)), 0, "d is 4, not on the tape; and 1 more."),
        (raw(chat(**{"odd.name": 1})), 0, '["odd.name"] is 1, not on the tape'),
        (raw(chat(messages=[])), 0, "messages is [], not on the tape"),
        (RawRequest("POST", URL, None, b"some words"), 0, "the body reads"),
        (RawRequest("POST", URL, None, b"\xff"), 0, "the body reads"),
        (RawRequest("POST", URL, None, b""), 0, "the body reads"),
    ],
)
def test_a_miss_tells_what_differs(request_: RawRequest, run: int | None, says: str) -> None:
    assert says in miss(recorded([(0, raw(chat()), "")]), request_, run)


@settings(max_examples=30)
@given(json_values(), json_values(), st.text(st.characters()))
def test_a_miss_is_one_short_readable_paragraph(one: Any, other: Any, url: str) -> None:
    if json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True):
        return
    tape_ = recorded([(0, raw({"x": one}, url=URL), "")])
    problem, mend = miss(tape_, raw({"x": other}, url=f"{URL}/{url}")).split("\n")
    assert problem.isprintable()
    assert "What differs: " in problem
    assert len(problem) < 1500 + 12 * len(url)
    assert mend.isprintable()


def test_a_miss_holds_no_key() -> None:
    tape_ = recorded([(0, raw(chat()), "")])
    said = miss(tape_, raw(chat(user="sk-abcdefghijklmnop1234"), url="https://me:pw@h/v1?key=x"))
    for secret in ("sk-abc", "pw", "key=x"):
        assert secret not in said


@pytest.mark.slow
def test_importing_the_tape_loads_no_vcrpy() -> None:
    program = (
        "import sys, fanin.taping; print(sorted({'vcr', 'httpx2', 'litellm', 'json'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
