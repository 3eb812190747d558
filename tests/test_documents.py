"""Documents from a model to a verdict: the validators, the asking, the stopping, and the bad inputs."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import anyio
import attrs
import pytest
from command import Command
from doubles import Reply, Scripted
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel
from strategies_documents import BY_SKU, INVOICE
from virtual_time import LOOPS, costly, run_virtual

import fanin
from fanin import documents, show
from fanin.answers import Spoiled
from fanin.answers.protocol import Answer
from fanin.backend import Capabilities
from fanin.documents import Json
from fanin.errors import FaninError, InputError, MissingExtraError
from fanin.stages.fan_out import fan_out
from fanin.stages.isolate import isolate
from fanin.values import Plan, Question, Request, Variation
from fanin.verdict import Verdict

TWO: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"enum": ["x", "y"]}, "b": {"type": "number"}, "c": {"type": "string"}},
    "required": ["a", "b"],
}


def block(document: Any) -> str:
    return f"I thought about it.\n```json\n{json.dumps(document)}\n```"


class InWords(Scripted):
    """A backend that has no schema output."""

    def __init__(self, documents: list[Any]) -> None:
        super().__init__(self._given)
        self.capabilities = Capabilities(limited=False, http=False)
        self._documents = documents

    def _given(self, request: Request) -> Reply:
        document = self._documents[request.index % len(self._documents)]
        return document if isinstance(document, str) else block(document)


def voted(documents: list[Any], *, loop: str = "asyncio", **options: Any) -> Verdict:
    async def hold() -> Verdict:
        settings = {"answer": Json(TWO), "runs": len(documents), **options}
        return await fanin.vote("What does it say?", backend=InWords(documents), **settings)

    return run_virtual(loop, hold)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_verdict_has_the_document_and_a_vote_for_each_field(loop: str) -> None:
    verdict = voted([{"a": "x", "b": 1, "c": "n"}, {"a": "x", "b": 1}, {"b": 1, "a": "y"}], loop=loop)
    assert verdict.answer == '{"a": "x", "b": 1}'
    assert (verdict.outcome, verdict.grade, verdict.pattern) == ("decided", "medium", "split")
    assert verdict.confidence == pytest.approx(2 / 3)
    assert verdict.document == {"a": "x", "b": 1}
    assert "That is the weakest field, /a." in verdict.advice
    found = verdict.to_dict()
    assert list(found)[-2:] == ["document", "fields"]
    assert found["fields"]["/a"] == {
        "answer": "x",
        "grade": "medium",
        "confidence": pytest.approx(2 / 3),
        "votes": {"x": 2, "y": 1},
        "what": "value",
        "outcome": "decided",
        "required": True,
        "reason": None,
    }
    assert list(json.loads(verdict.to_json())["fields"]) == ["/a", "/b", "/c"]


def test_a_field_that_is_tied_leaves_no_answer_but_what_there_is() -> None:
    verdict = voted([{"a": "x", "b": 1}, {"a": "x", "b": 2}])
    assert (verdict.outcome, verdict.answer, verdict.grade) == ("tie", None, "none")
    assert verdict.document == {"a": "x", "b": None}
    assert "No answer for /b." in verdict.advice


def test_only_an_answer_by_parts_has_fields() -> None:
    verdict = fanin.vote_sync("Is it?", backend=fanin.Fake("yes"), runs=2)
    assert not {"fields", "document"} & verdict.to_dict().keys()


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("no block at all", "no JSON block"),
        (block({"a": "x"})[:-5], "no JSON block"),
        ("```json\n{'a': 1}\n```", "no JSON (line 1"),
        (block(5), "not valid: 5 is not of type 'object'"),
        (block("x" * 1_000_001), "longer than 1,000,000 characters"),
        (f"```json\n{'[' * 1000}{']' * 1000}\n```", "nested deeper than 64 levels"),
        ("<think>" + block({"a": "x", "b": 1}), "no JSON block"),
    ],
)
def test_a_document_that_cannot_be_used_is_a_spoiled_ballot(reply: str, reason: str) -> None:
    good = {"a": "x", "b": 1}
    verdict = voted([good, reply, good])
    assert verdict.document == good
    assert verdict.runs.spoiled == 1
    assert str(verdict.ballots[1].spoiled).startswith(reason)
    assert verdict.fields["/a"].confidence == pytest.approx(2 / 3)


def test_no_document_at_all_is_a_failed_vote_without_fields() -> None:
    verdict = voted(["none", "none"])
    assert (verdict.outcome, verdict.fields, verdict.document) == ("failed", {}, None)


def test_a_choice_reads_as_itself() -> None:
    answer = Json(TWO)
    for text in ('{"b": 1, "a": "x"}', '{"a": "z", "b": "1"}', '{"a": "x", "a": "y", "b": 1}'):
        choice = answer.read(text, ())
        assert isinstance(choice, str)
        assert answer.read(choice, ()) == choice
        assert answer.same([choice]) == {choice: choice}
        assert answer.show(choice) == choice
    assert isinstance(answer, Answer)
    assert (answer.name, answer.options) == ("json", ())
    assert answer == Json(TWO)
    assert Json(Model) == Json(Model) != Json(Model.model_json_schema())
    assert answer != Json(TWO, abs_tol=1)


def plan_of(answer: Any, *, structured: bool) -> Plan:
    return Plan(Question("What?"), answer, Variation(("m",)), runs=1, structured=structured)


def test_it_is_asked_for_by_schema_or_in_words() -> None:
    plan = plan_of(BY_SKU, structured=True)
    request = isolate(plan, fan_out(plan)[0])
    schema = json.loads(str(request.schema))["properties"]["answer"]
    assert schema["required"] == list(INVOICE["properties"])
    assert schema["properties"]["tags"] == {
        "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]
    }
    assert 'the document itself in "answer"' in request.messages[-1].content
    plan = plan_of(BY_SKU, structured=False)
    prompt = isolate(plan, fan_out(plan)[0]).messages[-1].content
    assert json.dumps(INVOICE, indent=1) in prompt
    assert prompt.endswith("ends with ```.")


def test_the_schema_output_is_used_where_it_takes_the_schema() -> None:
    sent: list[Request] = []

    def reply(request: Request) -> Reply:
        sent.append(request)
        return json.dumps({"reasoning": "", "answer": {"a": "x", "b": 1, "c": None}})

    async def hold(schema: dict[str, Any]) -> Verdict:
        backend = Scripted(reply)
        backend.capabilities = Capabilities(structured=True, limited=False, http=False)
        return await fanin.vote("What?", answer=Json(schema), runs=1, backend=backend)

    closed = {**TWO, "properties": {**TWO["properties"], "a": {"type": "string", "enum": ["x", "y"]}}}
    verdict = anyio.run(hold, closed)
    assert verdict.document == {"a": "x", "b": 1}
    assert sent[-1].schema is not None
    anyio.run(hold, {**TWO, "minProperties": 1})
    assert sent[-1].schema is None


@pytest.mark.parametrize(
    ("reply", "document"),
    [
        ('{"reasoning": "", "answer": {"a": "x"}}', '{"a":"x"}'),
        ('{"a": "x", "b": 2}', '{"a":"x","b":2}'),
        ('{"answer": {"a": "x", "a": "y"}}', '{"a":"x","a":"y"}'),
        ('{"answer": {"a": "x"}, "answer": {"a": "y"}}', "the key comes twice, with two values: "),
        ('{"answer": 5}', "not valid"),
        ("[1", "no JSON"),
    ],
)
def test_what_comes_of_a_reply_by_schema(reply: str, document: str) -> None:
    read = Json(TWO).read_reply(reply, structured=True)
    assert (read.reason if isinstance(read, Spoiled) else read).startswith(document)


class Line(BaseModel):
    """One line."""

    sku: str
    pieces: int


class Model(BaseModel):
    """A document by a pydantic model."""

    kind: Literal["a", "b"]
    day: datetime.date
    price: float
    lines: list[Line]
    note: str | None = None


def test_a_pydantic_model_is_a_schema_and_its_own_validator() -> None:
    good = {"kind": "a", "day": "2025-04-03", "price": 1.5, "lines": [{"sku": "x", "pieces": 1}]}
    wrong = {"kind": "c", "day": "soon", "price": "1.5", "lines": [{"sku": "x", "pieces": "1"}]}
    verdict = voted([good, good, wrong], answer=Json(Model, keys={"lines": "sku"}))
    assert verdict.document == good
    lost = {place for place, field in verdict.fields.items() if field.confidence < 1}
    assert lost == {"/kind", "/day", "/price", "/lines/0/pieces"}
    without = voted([{**good, "price": 2}, {"kind": "a", "lines": []}], answer=Json(Model))
    assert without.fields["/price"].confidence == 0.0
    with pytest.raises(InputError, match="a pydantic model"):
        Json(int)  # type: ignore[arg-type]


class Priced(BaseModel):
    """What has a price of its own exactness."""

    price: Decimal
    off: Decimal | None = None


def test_a_decimal_is_a_number_however_it_is_written() -> None:
    answer = Json(Priced, rel_tol=0.01)
    assert json.loads(answer.schema_text)["properties"]["price"]["type"] == "number"
    said = [{"price": "12.50", "off": None}, {"price": 12.5, "off": "1"}, {"price": "12.5", "off": 1.001}]
    verdict = voted(said, answer=answer)
    assert verdict.fields["/price"].grade == "high"
    assert verdict.fields["/off"].confidence == pytest.approx(2 / 3)
    assert Priced.model_validate_json(verdict.answer or "", strict=True).price == Decimal("12.5")


def test_only_what_is_invalid_is_spoiled_and_named() -> None:
    schema = {
        "type": "object",
        "properties": {
            "p": {
                "anyOf": [
                    {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
                    {"type": "null"},
                ]
            },
            "l": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
        },
        "required": ["p", "l"],
        "additionalProperties": False,
    }
    answer = Json(schema)
    assert [path for path, _ in answer.problems({"p": {"n": "x"}, "l": [1, "2"], "q": 1})] == [
        ("p", "n"),
        ("l", 1),
        ("q",),
    ]
    assert [path for path, _ in answer.problems({"p": {}, "l": []})] == [("p", "n"), ("l",)]
    assert [path for path, _ in answer.problems({"p": "x"})] == [("p",), ("l",)]
    assert answer.problems({"p": None, "l": [1]}) == []


def test_what_is_in_excess_or_missing_beside_another_is_named() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "patternProperties": {"^x-": {"type": "string"}},
        "additionalProperties": False,
        "dependentRequired": {"a": ["x-1", "x-2"]},
    }
    problems = dict(Json(schema).problems({"a": 1, "x-1": "of use", "y": 1, "z": 2}))
    assert problems == {
        ("x-2",): "it is left out",
        ("y",): "there is no such field",
        ("z",): "there is no such field",
    }


def test_what_cannot_be_checked_is_spoiled() -> None:
    answer = Json({"properties": {"a": {"type": "integer", "multipleOf": 0.5}}})
    [(path, reason)] = answer.problems({"a": 10**400})
    assert (path, reason.startswith("it is beyond what can be checked")) == ((), True)


def test_an_object_that_needs_nothing_is_voted_on_itself() -> None:
    loose = {"type": "object", "properties": {"n": {"type": "string"}}}
    schema = {"type": "object", "properties": {"x": loose, "y": {"const": 1}}, "required": ["x", "y"]}
    verdict = voted([{"x": 5, "y": 1}, {"x": 7, "y": 1}, {"x": {"n": "k"}, "y": 1}], answer=Json(schema))
    assert (verdict.answer, verdict.document) == (None, {"x": None, "y": 1})
    field = verdict.fields["/x"]
    assert (field.what, field.outcome, field.votes) == ("presence", "no_quorum", {"present": 1})
    assert field.reason is not None
    assert "5 is not of type 'object'" in field.reason
    verdict = voted([{"x": {}, "y": 1}] * 3, answer=Json(schema))
    assert (verdict.document, verdict.grade) == ({"x": {}, "y": 1}, "high")


@pytest.mark.parametrize("more", [{}, {"additionalProperties": {"type": "number"}}])
def test_an_object_that_holds_nothing_is_a_document(more: dict[str, Any]) -> None:
    verdict = voted([{}, {}, {}], answer=Json({"type": "object", "properties": {}, **more}))
    assert (verdict.answer, verdict.document, verdict.grade) == ("{}", {}, "high")
    assert verdict.fields[""].votes == {"{}": 3}


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (5, "schema must be a JSON Schema, the path of one, or a pydantic model"),
        ({"type": "objekt"}, "a valid JSON Schema"),
        ({"properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}}, "whole in itself"),
        ({"anyOf": [{"$ref": "#"}]}, "without references in a circle"),
        ({"enum": [{1, 2}]}, "made of what JSON has"),
        ({"minimum": float("inf")}, "JSON that can be used"),
    ],
)
def test_schemas_that_cannot_be_used(schema: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        Json(schema)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "the schema is unusable: no JSON"),
        (b"\xff", "the schema is not UTF-8 text (byte 0)"),
        (b'{"type": "object", "type": "array"}', "'type': the key comes twice, with two values"),
        (b'"' + b"x" * 5_000_000 + b'"', "longer than 1,000,000 characters"),
        (b'{"a":' * 1000 + b"1" + b"}" * 1000, "nested deeper than 64 levels"),
        (None, "the schema cannot be read: No such file or directory"),
    ],
)
def test_files_that_are_no_schema(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "schema.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FaninError) as raised:
        Json(path)
    assert str(raised.value).startswith(str(path))
    assert problem in str(raised.value)
    assert raised.value.exit_code == 2


def test_without_its_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    documents._validator.cache_clear()
    with pytest.raises(MissingExtraError, match=r"pip install 'fanin\[schema\]'"):
        Json(TWO)


INNER: dict[str, Any] = {
    "type": "object",
    "properties": {"e": {"type": ["string", "null"]}, "f": {"type": "integer"}},
    "required": ["e"],
}
STRICT: dict[str, Any] = {**INNER, "properties": {**INNER["properties"], "e": {"type": "string"}}}
OPTIONAL: dict[str, Any] = {
    "type": "object",
    "properties": {"x": {"enum": ["q", "r"]}, "c": {"anyOf": [STRICT, {"type": "null"}]}},
    "required": ["x"],
}


def test_what_an_object_that_is_there_cannot_do_without_is_required() -> None:
    verdict = voted([{"c": {"e": "a"}}, {"c": {"e": "b"}}], answer=Json({"properties": {"c": INNER}}))
    assert (verdict.outcome, verdict.document) == ("tie", {"c": {"e": None}})  # nobody said null
    assert verdict.fields["/c/e"].required
    lists = Json({"properties": {"l": {"type": "array", "items": {"type": ["string", "null"]}}}})
    verdict = voted([{"l": ["a"]}, {"l": ["b"]}], answer=lists)
    assert (verdict.outcome, verdict.document) == ("tie", {"l": [None]})


@costly
@example(
    [
        {"x": "q", "c": {"e": "a"}},
        {"x": "q", "c": {"e": "b"}},
        {"x": "q"},
        {"x": "q"},
        {"x": "q", "c": {"e": "z"}},
    ]
)
@given(
    st.lists(
        st.sampled_from(
            [
                {"x": "q"},
                {"x": "q", "c": None},
                *({"x": "q", "c": {"e": text}} for text in ("a", "b", None, 5)),
                {"x": "r", "c": {"e": "a", "f": 1}},
            ]
        ),
        min_size=3,
        max_size=6,
    )
)
def test_a_lossless_rule_changes_neither_outcome_nor_grade(documents: list[Any]) -> None:
    whole = voted(documents, answer=Json(OPTIONAL))
    spared = voted(documents, answer=Json(OPTIONAL), stop="decided")
    assert (spared.outcome, spared.grade) == (whole.outcome, whole.grade)


@pytest.mark.parametrize("waves", ["one", "fit", "all"])
def test_it_is_asked_on_only_while_a_required_field_is_open(waves: Any) -> None:
    settled = {"a": "x", "b": 1, "c": "n"}
    # `c` is not required: that nobody agrees on it keeps no run going.
    same = voted([{**settled, "c": str(run)} for run in range(9)], stop="ahead:3", waves=waves)
    assert (same.answer, same.stopped.by) == ('{"a": "x", "b": 1}', "rule")
    assert same.runs.valid == 3
    open_b = voted(
        [{**settled, "b": 1 if run % 2 else 2} for run in range(4)] + [settled] * 5,
        stop="ahead:3",
        waves=waves,
    )
    assert (open_b.runs.valid, open_b.answer) == (7, '{"a": "x", "b": 1, "c": "n"}')


def test_a_lossless_rule_decides_as_the_full_vote_does() -> None:
    documents = [{"a": "x", "b": 1}] * 6 + [{"a": "y", "b": 2}] * 3
    full, early = voted(documents), voted(documents, stop="decided:winner")
    assert (early.document, early.outcome) == (full.document, full.outcome)
    assert early.runs.valid < 9
    certified = voted(documents * 3, stop="certified:0.05")
    assert "ertified" in certified.advice


@pytest.mark.parametrize(
    ("answer", "stop"),
    [
        (BY_SKU, "decided"),
        (Json(TWO, abs_tol=1), "certified:0.05"),
        (Json(TWO), "window:3"),
    ],
)
def test_rules_that_cannot_tell_when_a_document_is_settled(answer: Any, stop: str) -> None:
    with pytest.raises(InputError, match="stop must be a rule other than"):
        voted([{}] * 9, answer=answer, stop=stop)


def test_weights_are_for_whole_answers() -> None:
    with pytest.raises(InputError, match="weights must be left out with json"):
        voted([{}], weights="logprob")


def test_the_next_tier_is_asked_for_the_whole_document() -> None:
    class Tiers(InWords):
        def _given(self, request: Request) -> Reply:
            return block({"a": "x", "b": 7 if request.model == "large" else request.index})

    async def hold() -> Verdict:
        return await fanin.vote(
            "What?", answer=Json(TWO), runs=3, backend=Tiers([]), model="small", escalate="large"
        )

    verdict = run_virtual("asyncio", hold)
    assert verdict.document == {"a": "x", "b": 7}
    assert [tier.outcome for tier in verdict.tiers] == ["tie", "decided"]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


REPLIES = '{"a": "x", "b": 1},{"a": "x", "b": 1.2},{"a": "x", "b": 3}'


def test_the_command_takes_a_schema(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "two.json"
    path.write_text(json.dumps(TWO))
    words = ("vote", "What?", "--schema", str(path), "--backend", "fake", "-m", REPLIES, "--runs", "3")
    tied = command(*words)
    assert (tied.code, tied.out) == (3, "")
    assert 'fanin: /b: no answer, a tie between "1", "1.2", "3"' in tied.err
    assert "no answer: 2 of 3 fields decided" in tied.err
    ended = command(*words, "--tolerance", "0.5")
    assert (ended.code, ended.out) == (0, '{"a": "x", "b": 1}\n')
    assert "medium agreement on every required field, 67% or more: 3 of 3 fields decided" in ended.err
    whole = json.loads(command(*words, "--json").out)
    assert whole["fields"]["/b"]["reason"] == 'a tie between "1", "1.2", "3"'
    assert whole["document"] == {"a": "x", "b": None}


def test_every_question_of_a_batch_may_have_a_document(command: Command, tmp_path: Path) -> None:
    (tmp_path / "two.json").write_text(json.dumps(TWO))
    questions = tmp_path / "questions.txt"
    questions.write_text("One?\nTwo?\n")
    schema = ("--schema", str(tmp_path / "two.json"), "--tolerance", "0.5")
    ended = command("batch", str(questions), *schema, "--backend", "fake", "-m", REPLIES, "--runs", "3")
    rows = [json.loads(row) for row in ended.out.splitlines()]
    assert ended.code == 0, ended.err
    assert [row["document"] for row in rows] == [{"a": "x", "b": 1}] * 2
    assert rows[0]["fields"]["/b"]["votes"] == {"1": 2, "3": 1}


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (("--labels", "a,b,c", "-m", r"Answer: a\, b,Answer: b,Answer: c\, b"), "b\n"),
        (("--answer", "date", "-m", "Answer: 3 April 2025,2025-04-03"), "2025-04-03\n"),
        (("--answer", "date", "--date-order", "dmy", "-m", "Answer: 03/04/2025"), "2025-04-03\n"),
    ],
)
def test_the_command_takes_labels_and_dates(command: Command, words: tuple[str, ...], out: str) -> None:
    ended = command("vote", "What?", "--backend", "fake", "--runs", "3", *words)
    assert (ended.code, ended.out) == (0, out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--schema", "x.json", "--labels", "a,b"), "--schema and --labels exclude one another"),
        (("--schema", "x.json", "--answer", "text"), "--schema already says what the answers are"),
        (("--schema", "x.json"), "x.json: the schema cannot be read"),
        (("--key", "a=b"), "--key goes with --schema"),
        (("--schema", "x.json", "--key", "a"), "'a' is no PATH=NAME"),
        (("--schema", "x.json", "--key", "a=b", "--key", "a=c"), "two keys for 'a'"),
        (("--unit", "km"), "--unit goes with --answer quantity"),
        (("--date-order", "dmy"), "--date-order goes with --answer date"),
        (("--labels", "a"), "at least two"),
        (("--labels", "a,b", "--tolerance", "1"), "--tolerance goes with"),
    ],
)
def test_options_that_do_not_go_together_are_usage(
    command: Command, words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = command("vote", "What?", "--backend", "fake", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_a_type_of_ones_own_that_lacks_a_method_cannot_be_made() -> None:
    class Reads(fanin.Answer):
        def read(self, text: str, order: Sequence[str]) -> str | fanin.Spoiled:
            return text

    with pytest.raises(TypeError, match=r"abstract methods? '?instruction'?, '?same'?, '?show"):
        Reads()  # type: ignore[abstract]


@attrs.frozen
class Version(fanin.Answer):
    """An answer type of one's own: a version such as `1.2.3`, of which the last number does not count."""

    def instruction(self, order: Sequence[str]) -> str:
        """What the prompt says."""
        return 'End with one last line: "Answer: " and the version.'

    def read(self, text: str, order: Sequence[str]) -> str | fanin.Spoiled:
        """Digits and dots, with or without a `v`."""
        bare = text.strip().lower().removeprefix("v")
        return bare if bare.replace(".", "").isdecimal() else fanin.Spoiled(f"no version: {text!r}")

    def same(self, choices: Sequence[str]) -> Mapping[str, str]:
        """Those of one major and minor number, as the first by text."""
        heads: dict[str, str] = {}
        for choice in sorted(choices):
            heads.setdefault(choice.rpartition(".")[0], choice)
        return {choice: heads[choice.rpartition(".")[0]] for choice in choices}

    def show(self, choice: str) -> str:
        """With its `v`."""
        return f"v{choice}"


def test_an_answer_type_of_ones_own_is_four_methods() -> None:
    backend = fanin.Fake(["Answer: v1.2.3", "Answer: 1.2.9", "Answer: 1.4.0", "Answer: new"])
    verdict = fanin.vote_sync("Which version?", answer=Version(), backend=backend, runs=4)
    assert verdict.votes == {"v1.2.3": 2, "v1.4.0": 1}
    assert verdict.answer == "v1.2.3"
    assert [ballot.choice for ballot in verdict.ballots] == ["v1.2.3", "v1.2.3", "v1.4.0", None]
    assert (Version().name, Version().options, Version().schema(())) == ("version", (), {"type": "string"})


def test_what_is_unanimous_has_no_weakest_field() -> None:
    verdict = voted([{"a": "x", "b": 1}] * 3)
    assert (verdict.pattern, verdict.advice) == ("unanimous", "Every run says the same: proceed.")
    assert show.headline(verdict) == "high agreement on every required field, 100%: 3 of 3 fields decided"


@pytest.mark.parametrize(
    ("reply", "spoiled"),
    [
        ('{"a": "x", "a": "y", "b": 3}', {"/a"}),
        ('{"answer": {"a": "x", "b": 3, "b": 4}}', {"/b"}),
        ('{"answer": {"a": "x", "b": 3, "b": 3}}', set()),
    ],
)
def test_a_key_that_comes_twice_spoils_that_field_alone(reply: str, spoiled: set[str]) -> None:
    schema = {**TWO, "additionalProperties": False}
    backend = fanin.Fake([reply, json.dumps({"a": "x", "b": 3}), json.dumps({"a": "x", "b": 3})])
    verdict = fanin.vote_sync("What does it say?", answer=Json(schema), runs=3, backend=backend)
    assert verdict.runs.valid == 3
    assert {place for place, field in verdict.fields.items() if sum(field.votes.values()) < 3} == spoiled
