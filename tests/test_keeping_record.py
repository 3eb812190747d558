"""The record of a run: nothing is lost in it, a key never stands in it, and old ones stay readable."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies_kept import verdicts, votes
from strategies_votes import Plain

import fanin
from fanin.calibration import Calibration
from fanin.errors import InputError, RecordError
from fanin.judging import judged
from fanin.keeping.answer_types import OWN, ForeignAnswer, answer_of, answer_to_plain
from fanin.keeping.plain import Misfit, from_plain, to_plain
from fanin.keeping.record import KeptVote, Record, read_record, record_of, record_text, scrubbed
from fanin.policy.calibrating import Past, Shape
from fanin.policy.weighing import Record as Voted
from fanin.policy.weighing import Weights
from fanin.recounting import recount
from fanin.taping.scrub import Scrubber
from fanin.values import Completion, Run, Sample
from fanin.verdict import Verdict

GOLDEN = Path(__file__).parent / "golden"
ABOUT: dict[str, Any] = {"id": "0123456789", "kept_at": "2026-11-21T08:00:00Z", "versions": {"fanin": "1"}}


def kept(result: Any) -> Record:
    """Its record, read back from its text."""
    return read_record(record_text(record_of(result, **ABOUT)), "here")


def a_vote(*replies: str, **options: Any) -> Verdict:
    """A small vote of the fake."""
    return fanin.vote_sync(
        "Is it so?", backend=fanin.Fake(list(replies)), runs=len(replies), retries=0, **options
    )


@given(verdicts())
@settings(max_examples=25)
def test_a_vote_that_is_kept_and_read_is_what_it_was(verdict: Verdict) -> None:
    record = record_of(verdict, **ABOUT)
    text = record_text(record)
    assert text.isascii()
    assert "\n" not in text
    assert read_record(text, "here") == record
    again = recount(read_record(text, "here"))
    assert isinstance(again, Verdict)
    assert again.to_json() == verdict.to_json()
    assert again.events == verdict.events


@given(votes(), st.data())
@settings(max_examples=20)
def test_whatever_is_cut_out_of_a_record_it_is_read_or_refused(verdict: Verdict, data: st.DataObject) -> None:
    found = json.loads(record_text(record_of(verdict, **ABOUT)))
    text = json.dumps(without(found, data.draw(st.sampled_from(paths(found)))))
    with suppress(RecordError):
        recount(read_record(text, "here"))


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands that can be cut out: the members of objects, and the first of lists."""
    if isinstance(value, dict):
        return [(*at, key) for key in value] + [p for key in value for p in paths(value[key], (*at, key))]
    return paths(value[0], (*at, 0)) if isinstance(value, list) and value else []


def without(value: Any, path: tuple[Any, ...]) -> Any:
    """The value without what stands in that place."""
    if len(path) == 1:
        return {key: each for key, each in value.items() if key != path[0]} if isinstance(value, dict) else []
    inner = without(value[path[0]], path[1:])
    return {**value, path[0]: inner} if isinstance(value, dict) else [inner, *value[1:]]


def test_analyses_panels_and_votes_over_analyses_are_kept_whole() -> None:
    script = ["1. Look>So it is.>Answer: no>It is so.>Answer: yes", "1. Look>No.>Answer: no>Hm.>Answer: no"]
    voted = a_vote(*script, "1. Look>Yes.>Answer: no>!500", mode="quick")
    assert len(voted.analyses) == 3
    again = recount(kept(voted))
    assert again.to_json() == voted.to_json()
    analysis = fanin.analyze_sync("Is it so?", mode="quick", backend=fanin.Fake(script[:1]))
    assert recount(kept(analysis)).to_json() == analysis.to_json()
    agents = [fanin.Agent(name, "You judge.", answer=fanin.YesNo()) for name in ("Ann", "Bob", "Eve")]
    report = fanin.panel_sync(
        agents, "Is it so?", backend=fanin.Fake(["yes", "Answer: no", "!500", "Mixed."]), retries=0
    )
    assert report.tally is not None
    again = recount(kept(report))
    assert again.to_json() == report.to_json()
    assert isinstance(again, fanin.Report)
    assert again.events == report.events
    assert {event.kind for event in again.events} == {"asked", "answered", "failed"}


TOLD: list[tuple[fanin.Answer, list[str], dict[str, Any]]] = [
    (fanin.Text(cluster="lexical"), ["The Hague in Holland", "The Hagues in Holland", "Paris"], {}),
    (fanin.Text(cluster="judge"), ["The Hague", "Den Haag", "Paris"], {"escalate": ["Rome"]}),
    (fanin.Text(select="judge"), ["It is The Hague.", "Den Haag it is.", "I think Paris."], {}),
    (fanin.Labels(["red", "blue"]), ["red", "red; blue", "none"], {"stop": "ahead:2"}),
    (fanin.Date(order="dmy"), ["03/04/2025", "2025-04-03", "1 May 2025"], {"escalate": ["1 May 2025"]}),
]


@pytest.mark.parametrize(("answer", "replies", "options"), TOLD)
def test_answers_that_are_not_one_word_recount_to_the_same(
    answer: fanin.Answer, replies: list[str], options: dict[str, Any]
) -> None:
    model = ",".join(replies)
    verdict = fanin.vote_sync("Which?", answer=answer, backend="fake", model=model, runs=3, **options)
    assert recount(kept(verdict)).to_json() == verdict.to_json()


@pytest.mark.slow
def test_documents_and_quantities_recount_to_the_same() -> None:
    pytest.importorskip("jsonschema")
    pytest.importorskip("pint")
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    documents = [f"```json\n{json.dumps({'n': number})}\n```" for number in (1, 2, 1)]
    verdict = a_vote(*documents, answer=fanin.Json(schema))
    assert verdict.document == {"n": 1}
    assert recount(kept(verdict)).to_json() == verdict.to_json()
    verdict = a_vote("Answer: 3 km", "Answer: 3000 m", "Answer: 4 km", answer=fanin.Quantity("km"))
    assert verdict.answer == "3 km"
    assert recount(kept(verdict)).to_json() == verdict.to_json()


def test_what_was_sent_and_what_came_stands_in_it() -> None:
    verdict = a_vote("!429:0.001>Answer: yes", "no", "!500", context="The text.")
    assert verdict.basis is not None
    record = kept(verdict)
    assert record.vote is not None
    [tier] = record.vote.tiers
    assert tier.plan.question.context == "The text."
    assert "Is it so?" in tier.prompt[0].content
    assert "The text." not in tier.prompt[0].content  # once is enough
    assert [sample.completion.text for sample in tier.samples] == ["Answer: yes", "no"]
    assert [failure.kind for failure in tier.failures] == ["server"]
    assert [event.kind for event in tier.events if event.wait_s] == ["retry"]
    assert {run.seed for run in tier.runs} == {run.seed for run in verdict.basis.runs}
    assert record.decided.outcome == verdict.outcome


def test_the_cost_and_the_models_are_those_that_were_told() -> None:
    verdict = a_vote("yes", "no", "yes", price={"yes": fanin.Price(9, 9), None: fanin.Price(0.15, 0.6)})
    assert verdict.cost_usd
    assert recount(kept(verdict)).to_json() == verdict.to_json()
    unnamed = attrs.evolve(verdict, models=())  # as where the list of models could not be had
    assert recount(kept(unnamed)).to_json() == unnamed.to_json()


def test_calibrations_are_kept_with_the_run_that_they_judged() -> None:
    verdict = a_vote("yes", "no", "yes")
    assert verdict.basis is not None
    weights = Weights("labels", 2.0, (Voted((verdict.models[0], ""), 90.0, 100.0),))
    shapes = {Shape((2, 1), 0): Past(50.0, 41.0)}
    file = Calibration("yes/no", verdict.models, 3, 300, shapes, weights)
    weighed = judged(verdict, [verdict.basis.plan], weights=(file,))
    assert "Weighted, the answer is the same." in weighed.advice
    assert recount(kept(weighed)).to_json() == weighed.to_json()
    calibrated = judged(verdict, [verdict.basis.plan], calibrations=(file,))
    assert (calibrated.confidence_kind, calibrated.confidence) == (
        "calibrated",
        pytest.approx(0.82, abs=0.02),
    )
    assert recount(kept(calibrated)).to_json() == calibrated.to_json()
    damaged = attrs.evolve(kept(calibrated).vote or KeptVote(()), calibrations=("{}",))
    with pytest.raises(RecordError, match="run 0123456789: it is no calibration file"):
        recount(attrs.evolve(kept(calibrated), vote=damaged))


def test_a_key_never_stands_in_it() -> None:
    key = "very-secret-value-0123"
    verdict = fanin.vote_sync(f"Is {key} a key?", backend=fanin.Fake([f"It is {key}.\nAnswer: yes"]), runs=1)
    record = scrubbed(record_of(verdict, **ABOUT), Scrubber([key]))
    assert key not in record_text(record)
    assert "[scrubbed]" in record_text(record)
    again = recount(record)
    assert isinstance(again, Verdict)
    assert (again.answer, again.votes) == (verdict.answer, verdict.votes)


def test_a_type_of_ones_own_is_kept_by_name_and_needs_another_to_be_read() -> None:
    verdict = a_vote("yes", "no", "yes", answer=Plain())
    record = kept(verdict)
    with pytest.raises(RecordError, match="of the type 'plain', which is none of fanin's own"):
        recount(record)
    assert recount(record, answer=Plain()).to_json() == verdict.to_json()
    assert isinstance(answer_of(answer_to_plain(Plain())), ForeignAnswer)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in ("quantity", "json") else name for name in OWN],
)
def test_types_of_fanins_own_come_back_with_their_settings(name: str) -> None:
    made: dict[str, fanin.Answer] = {
        "choice": fanin.Choice(["a", "b"]),
        "number": fanin.Number(rel_tol=0.25, abs_tol=2.0),
        "text": fanin.Text(cluster="lexical", threshold=0.5),
        "date": fanin.Date(order="dmy"),
        "labels": fanin.Labels(["red", "blue"]),
        "yes/no": fanin.YesNo(),
    }
    if name == "quantity":
        pytest.importorskip("pint")
        made[name] = fanin.Quantity("km", abs_tol=0.5)
    if name == "json":
        pytest.importorskip("jsonschema")
        made[name] = fanin.Json({"type": "object", "properties": {"n": {"type": "number"}}}, abs_tol=0.5)
    plain = answer_to_plain(made[name])
    again = answer_of(json.loads(json.dumps(plain)))
    assert again.name == name
    assert answer_to_plain(again) == plain


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is not JSON"),
        ("[]", "it is no kept run"),
        ('{"schema": "fanin.vote/1"}', "it is no kept run"),
        ('{"schema": "fanin.run/2"}', r"it is fanin.run/2, and this fanin reads up to fanin.run/1"),
        ('{"schema": "fanin.run/1"}', "lacks id, kind, kept_at"),
        ('{"schema": "fanin.run/1", "id": 5}', "id is 5, not a text"),
        ("[" * 100_000, "it is not JSON"),
    ],
)
def test_what_is_no_record_is_refused(text: str, problem: str) -> None:
    with pytest.raises(RecordError, match=problem):
        read_record(text, "run.jsonl, line 3")


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("kind",), "poll", "kind is 'poll', not one of"),
        (("kind",), "panel", "kind must be the one kind"),
        (("vote", "tiers"), [], "tiers must be at least one"),
        (("vote", "tiers", 0, "plan", "answer", "type"), "colour", "there is no type of answer 'colour'"),
        (("vote", "tiers", 0, "plan", "answer", "hue"), 1, "has no hue"),
        (("vote", "tiers", 0, "plan", "runs"), "many", r"plan.runs is 'many', not a whole number"),
        (("vote", "tiers", 0, "plan", "runs"), 0, "runs must be a whole number from 1 to 1000"),
        (("vote", "tiers", 0, "samples", 0, "completion", "finish"), "soon", "finish is 'soon', not one of"),
        (("vote", "tiers", 0, "stopped", "by"), None, "stopped.by is None"),
        (("vote", "prices"), [["m"]], "has 1 parts, not 2"),
    ],
)
def test_a_damaged_record_says_where(path: tuple[Any, ...], value: Any, problem: str) -> None:
    found = json.loads(record_text(record_of(a_vote("yes", "no", "yes"), **ABOUT)))
    place = found
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(RecordError, match=problem):
        read_record(json.dumps(found), "here")


@pytest.mark.parametrize("change", [{"index": 7}, {"index": 0}])
def test_runs_that_do_not_belong_together_are_damage(change: dict[str, Any]) -> None:
    record = kept(a_vote("yes", "no", "yes"))
    assert record.vote is not None
    [tier] = record.vote.tiers
    samples = (tier.samples[0], attrs.evolve(tier.samples[1], **change))
    wrong = attrs.evolve(record, vote=attrs.evolve(record.vote, tiers=(attrs.evolve(tier, samples=samples),)))
    with pytest.raises(RecordError, match="run 0123456789: it is damaged"):
        recount(wrong)
    wrong = attrs.evolve(
        record, vote=attrs.evolve(record.vote, tiers=(attrs.evolve(tier, runs=tier.runs[1:]),))
    )
    with pytest.raises(RecordError, match="its runs are not those of its plan"):
        recount(wrong)


def test_only_results_with_their_basis_can_be_kept() -> None:
    verdict = a_vote("yes")
    with pytest.raises(InputError, match="a verdict with its basis"):
        record_of(attrs.evolve(verdict, basis=None), **ABOUT)
    with pytest.raises(InputError, match="a Verdict, an Analysis or a Report"):
        record_of("yes", **ABOUT)  # type: ignore[arg-type]


def test_fields_that_are_not_known_are_passed_by_and_missing_ones_have_their_default() -> None:
    sample = Sample(1, Completion("yes"))
    plain = to_plain(sample)
    assert from_plain(Sample, {**plain, "mood": "good"}) == sample
    del plain["attempts"]
    assert from_plain(Sample, plain) == sample
    with pytest.raises(Misfit, match=r"it lacks model, temperature, seed, system"):
        from_plain(Run, {"index": 1})


DECIDED = (
    *(
        "outcome",
        "answer",
        "grade",
        "confidence",
        "votes",
        "runs",
        "ballots",
        "failures",
        "usage",
        "cost_usd",
    ),
    *("success", "final_answer", "focused_answer", "steps", "report", "missing", "tally"),
)


@pytest.mark.parametrize("kind", ["vote", "cascade", "analysis", "panel"])
def test_records_of_the_first_version_stay_readable(kind: str) -> None:
    """These files are never made again: they are what the first version wrote, and what was decided."""
    text = (GOLDEN / f"fanin.run-1-{kind}.json").read_text("ascii")
    record = read_record(text, kind)
    assert holds(json.loads(record_text(record)), json.loads(text))
    expected = json.loads((GOLDEN / f"fanin.run-1-{kind}.object.json").read_text("utf-8"))
    found = json.loads(recount(record).to_json())
    assert {name: found.get(name) for name in DECIDED} == {name: expected.get(name) for name in DECIDED}


def holds(whole: Any, part: Any) -> bool:
    """Whether all that stands in `part` stands in `whole`: members may have been added."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(holds(whole.get(key), part[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(holds, whole, part))
    return bool(whole == part)
