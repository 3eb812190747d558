"""From a refusal to a CallError: what kind it is, whether to try again, and what people are told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.errors import CallError
from fanin_backends.chat import completion
from fanin_backends.refusals import Asked, refusal
from fanin_backends.wire import Reply

SENT = {"temperature": "temperature", "seed": "seed", "max_tokens": "max_tokens"}
NOW_S = 784_111_700.0


def asked(sent: Mapping[str, str] = SENT) -> Asked:
    return Asked("groq", "https://x/v1", "GROQ_API_KEY", "m-1", sent, no_model="Install it.")


def refused(
    status: int, body: object, headers: Mapping[str, str] = {}, sent: Mapping[str, str] = SENT
) -> CallError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return refusal(Reply(status, tuple(headers.items()), raw), asked(sent), NOW_S)


def said(message: str, **facts: object) -> dict[str, Any]:
    return {"error": {"message": message, **facts}}


A_MINUTE = "Rate limit reached for model `m-1` on tokens per minute (TPM): "
A_DAY = "Rate limit reached for model `m-1` on tokens per day (TPD): "
SLOW = said("Slow down", code="rate_limit_exceeded")
NOT_YET = "Sun, 06 Nov 1994 08:49:37 GMT"  # 77 s after NOW_S
LONG_AGO = "Sun, 06 Nov 1990 08:49:37 GMT"
LLAMA = {"error": {"code": 400, "message": "request (8889 tokens) exceeds the available context size"}}

AGAIN: list[tuple[int, object, Mapping[str, str], str, float | None]] = [
    (408, b"", {}, "server", None),
    (409, b"", {}, "server", None),
    (500, b"<html>oops</html>", {}, "server", None),
    (502, b"", {"retry-after": "soon"}, "server", None),
    (503, {"error": "server busy, please try again"}, {"retry-after": "3"}, "server", 3.0),
    (529, said("Overloaded", type="overloaded_error"), {}, "server", None),
    (599, b"", {}, "server", None),
    (429, said(f"{A_MINUTE}Limit 8000, Used 6670, Requested 5883. Please try again in 34.1475s.",
               type="tokens", code="rate_limit_exceeded"), {"retry-after": "35"}, "rate_limit", 34.1475),
    (429, said("Rate limit reached. Please try again in 644ms."), {}, "rate_limit", 0.644),
    (429, SLOW, {"retry-after": "2"}, "rate_limit", 2.0),
    (429, SLOW, {"retry-after-ms": "350", "retry-after": "1"}, "rate_limit", 0.35),
    (429, SLOW, {"retry-after": NOT_YET}, "rate_limit", 77.0),
    (429, SLOW, {"retry-after": LONG_AGO}, "rate_limit", None),
    (429, SLOW, {"retry-after": "1e9"}, "rate_limit", 1e9),
    (429, b"", {}, "rate_limit", None),
    (429, said("You exceeded your current quota. Please retry in 23.5s."), {}, "rate_limit", 23.5),
    (429, said("Provider returned error", code=429, metadata={"raw": "temporarily rate-limited"}),
     {}, "rate_limit", None),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "headers", "kind", "retry_after_s"), AGAIN)
def test_what_may_be_tried_again_and_after_what_wait(
    status: int, body: object, headers: Mapping[str, str], kind: str, retry_after_s: float | None
) -> None:
    error = refused(status, body, headers)
    assert (error.kind, error.final, error.exhausted, error.refused) == (kind, False, False, None)
    assert error.retry_after_s == (None if retry_after_s is None else pytest.approx(retry_after_s))
    assert error.status == status
    assert error.headers == tuple(headers.items())
    assert f"(HTTP {status})" in error.message


NEVER: list[tuple[int, object, str]] = [
    (401, said("Invalid API Key", code="invalid_api_key"), "auth"),
    (403, said("Access denied."), "auth"),
    (404, said("The model `m-1` does not exist", code="model_not_found"), "bad_request"),
    (404, b"404 page not found", "bad_request"),
    (400, said("bad"), "bad_request"),
    (400, said("Failed", code="json_validate_failed", failed_generation="{"), "bad_request"),
    (418, b"", "bad_request"),
    (422, {"detail": "no"}, "bad_request"),
    (301, b"", "bad_request"),
    (304, b"", "bad_request"),
    # larger than the whole limit: no wait helps, whatever is told
    (429, said(f"{A_MINUTE}Limit 8000, Used 0, Requested 9000. Please try again in 7.5s."), "bad_request"),
    (429, said(f"{A_DAY}Limit 8000, Used ~10, Requested ~9000."), "bad_request"),
    (429, said("Request too large for m-1", code="rate_limit_exceeded"), "bad_request"),
    (413, said(f"Request too large for model `m-1` {A_MINUTE}Limit 8000, Requested 9000",
               type="tokens", code="rate_limit_exceeded"), "bad_request"),
    (413, said(f"{A_DAY}Please try again in 5s"), "bad_request"),
    (413, b"", "bad_request"),
    # a prompt that is too long
    (400, said("maximum context length is 4096 tokens", code="context_length_exceeded"), "bad_request"),
    (400, {"error": json.dumps(LLAMA)}, "bad_request"),
    (500, {"error": "the prompt is longer than the context length currently available"}, "bad_request"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind"), NEVER)
def test_what_is_never_tried_again(status: int, body: object, kind: str) -> None:
    error = refused(status, body, {"retry-after": "8"})
    assert (error.kind, error.final, error.exhausted, error.refused) == (kind, True, False, None)
    assert error.retry_after_s is None
    assert f"(HTTP {status})" in error.message


SPENT: list[tuple[int, object, float | None]] = [
    (402, said("Insufficient Balance"), None),
    (429, said("You exceeded your current quota, please check your plan and billing details.",
               type="insufficient_quota", code="insufficient_quota"), None),
    (429, said("You exceeded your current quota, please check your plan."), None),
    (429, said(f"{A_DAY}Limit 500000, Used 499000, Requested 3000. Please try again in 23m58.56s."), 1438.56),
    (429, said("on requests per day (RPD): Limit 1000, Used 1000, Requested 1."), None),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "retry_after_s"), SPENT)
def test_what_is_spent_ends_the_asking(status: int, body: object, retry_after_s: float | None) -> None:
    error = refused(status, body)
    assert (error.kind, error.final, error.exhausted) == ("quota", True, True)
    assert error.retry_after_s == (None if retry_after_s is None else pytest.approx(retry_after_s))


def test_a_daily_limit_says_when_to_come_back() -> None:
    for text, when in (("24m", "24 min"), ("23m58.56s", "24 min"), ("5h3m", "5 h 3 min"), ("7.2s", "8 s")):
        message = refused(429, said(f"{A_DAY}Please try again in {text}.")).message
        assert message.startswith(
            f"The daily limit of m-1 is spent; come back in {when} (HTTP 429): Rate limit"
        )
    assert refused(429, said(A_DAY)).message.startswith("The daily limit of m-1 is spent (HTTP 429): ")


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, said("Invalid API Key"), "groq does not accept the key (HTTP 401): Invalid API Key"),
        (429, said("Slow down"), "The rate limit of m-1 is reached (HTTP 429): Slow down"),
        (404, said("The model `m-1` does not exist"),
         "groq has no model 'm-1' (HTTP 404): The model `m-1` does not exist"),
        (404, b"404 page not found",
         "Nothing is at https://x/v1 that answers such calls (HTTP 404): 404 page not found"),
        (502, b"<html>bad gateway</html>", "groq failed with Bad Gateway (HTTP 502)."),
        (529, b"", "groq failed (HTTP 529)."),
        (400, said("a\n\n  b\tc"), "groq does not accept the request (HTTP 400): a b c"),
    ],
)  # fmt: skip
def test_messages(status: int, body: object, message: str) -> None:
    assert refused(status, body).message == message


def test_mends_say_what_to_do() -> None:
    assert refused(401, b"").mend == "Check GROQ_API_KEY."
    assert refused(404, said("model 'm-1' not found")).mend == "Install it."
    assert "--structured" in str(refused(400, said("response_format json_schema is not supported")).mend)
    assert "larger window" in str(refused(400, said("", code="context_length_exceeded")).mend)


def test_a_redirect_says_where_it_leads_without_the_query() -> None:
    error = refused(308, b"", {"location": "https://other/login?session=1"})
    assert error.message == "https://x/v1 redirects to https://other/login (HTTP 308), which is not followed."


def test_the_servers_words_are_cut_and_kept_on_one_line() -> None:
    message = refused(400, said("word " * 1000 + "\x1b]0;title\x07")).message
    assert len(message) < 400
    assert message.isprintable()


PARAMETERS: list[tuple[object, str | None]] = [
    (said("Unsupported value: 'temperature' does not support 0.6 with this model.",
          param="temperature", code="unsupported_value"), "temperature"),
    (said("temperature: Only the default (1) value is supported."), "temperature"),
    (said("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'"
          " instead.", param="max_tokens", code="unsupported_parameter"), "max_tokens"),
    (said("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'"
          " instead."), "max_tokens"),
    (said("property 'seed' is unsupported"), "seed"),
    (said("Unrecognized request argument supplied: seed"), "seed"),
    (said("this model does not support the temperature setting"), "temperature"),
    (said("invalid temperature: only 1 is allowed for this model"), "temperature"),
    (said("temperature, top_p and n are fixed at 1"), "temperature"),
    ({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}, "seed"),
    ({"object": "error", "message": "seed is not supported", "code": 400}, "seed"),
    # not a parameter that was sent, or not a parameter's fault
    (said("Unsupported parameter: 'top_p'", param="top_p", code="unsupported_parameter"), None),
    (said("Unsupported value: 'messages[0].role' does not", param="messages[0].role"), None),
    (said("unsupported: messages must not speak of temperature", param="messages"), None),
    (said("2.5 is greater than the maximum of 2 - 'temperature'", param="temperature"), None),
    (said("temperature"), None),
    (said("the seeds are not supported"), None),
]  # fmt: skip


@pytest.mark.parametrize(("body", "name"), PARAMETERS)
@pytest.mark.parametrize("status", [400, 422])
def test_a_parameter_that_the_model_refuses(status: int, body: object, name: str | None) -> None:
    error = refused(status, body)
    assert error.refused == name
    assert (error.kind, error.final) == ("bad_request", True)
    assert refused(status, body, sent={}).refused is None


def test_the_limit_is_named_as_the_request_names_it() -> None:
    body = said("Unsupported parameter: 'max_completion_tokens'", param="max_completion_tokens")
    assert refused(400, body, sent={"max_completion_tokens": "max_tokens"}).refused == "max_tokens"


INSIDE: list[tuple[object, str, bool]] = [
    ({"error": {"code": 429, "message": "Rate limited"}}, "rate_limit", False),
    ({"error": {"message": "Rate limit", "code": "rate_limit_exceeded"}}, "rate_limit", False),
    ({"error": {"message": "x", "type": "insufficient_quota"}}, "quota", True),
    ({"error": {"message": "x", "code": "invalid_api_key"}}, "auth", True),
    ({"error": {"message": "x", "type": "invalid_request_error"}}, "bad_request", True),
    ({"error": {"message": "model not found"}}, "bad_request", True),
    ({"error": "the runner has stopped"}, "server", False),
    ({"error": {"message": "Overloaded", "code": 503}}, "server", False),
    (
        {"choices": [{"error": {"code": 502, "message": "upstream"}, "message": {"content": ""}}]},
        "server",
        False,
    ),
    ({"error": True}, "server", False),
]


@pytest.mark.parametrize(("value", "kind", "final"), INSIDE)
def test_an_error_inside_a_200_is_judged_by_what_it_says(value: object, kind: str, final: bool) -> None:
    with pytest.raises(CallError) as caught:
        completion(Reply(200, (), json.dumps(value).encode()), asked(), NOW_S)
    assert (caught.value.kind, caught.value.final, caught.value.status) == (kind, final, 200)
    assert "an error inside an HTTP 200" in caught.value.message


def test_an_empty_error_beside_an_answer_is_none() -> None:
    value = {"error": None, "choices": [{"message": {"content": "yes"}}]}
    assert completion(Reply(200, (), json.dumps(value).encode()), asked(), NOW_S).text == "yes"


@given(st.text(), st.sampled_from([400, 404, 413, 429, 500]), st.dictionaries(st.text(), st.text()))
def test_any_words_are_read(text: str, status: int, facts: dict[str, str]) -> None:
    for body in (said(text, code=text, param=text), {"error": text}, {"detail": text}, facts):
        error = refused(status, body, {"retry-after": text, "location": text})
        assert "\n" not in error.message
        assert error.retry_after_s is None or error.retry_after_s >= 0


@given(st.integers(0, 30))
def test_errors_within_errors_come_to_an_end(depth: int) -> None:
    text = "the end"
    for _ in range(depth % 8):
        text = json.dumps({"error": text})
    assert refused(500, {"error": text}).kind == "server"
