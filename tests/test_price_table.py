"""Listed prices: read as data, of the provider's own address alone, and unknown is never zero."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from doubles import Scripted, always
from virtual_time import run_virtual

import fanin
from fanin import price_table
from fanin.context import TapeOn, set_tape
from fanin.policy.pricing import Price
from fanin.price_table import TABLE, listed_prices

LISTED = {
    "sample_spec": "text",
    "gpt-4o-mini": {
        "litellm_provider": "openai",
        "input_cost_per_token": 1.5e-07,
        "output_cost_per_token": 6e-07,
    },
    "groq/openai/gpt-oss-20b": {
        "litellm_provider": "groq",
        "input_cost_per_token": 7.5e-08,
        "output_cost_per_token": 3e-07,
    },
    "mistral/small": {
        "litellm_provider": "mistral",
        "input_cost_per_token": 1e-07,
        "output_cost_per_token": 0,
    },
    "free": {"litellm_provider": "openai", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
    "half": {"litellm_provider": "openai", "input_cost_per_token": 1e-07},
    "text": {"litellm_provider": "openai", "input_cost_per_token": "1e-07", "output_cost_per_token": 1},
    "less": {"litellm_provider": "openai", "input_cost_per_token": -1e-07, "output_cost_per_token": 1e-07},
    "endless": {"litellm_provider": "openai", "input_cost_per_token": 1e400, "output_cost_per_token": 1e-07},
    "nobody": {"input_cost_per_token": 1e-07, "output_cost_per_token": 1e-07},
}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The table of a litellm that is installed, as far as it is looked for."""
    spec = ModuleSpec("litellm", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(price_table, "find_spec", lambda name: spec)
    table = tmp_path / TABLE
    table.write_text(json.dumps(LISTED), "utf-8")
    price_table._table.cache_clear()
    yield table
    price_table._table.cache_clear()


@pytest.mark.parametrize(
    ("backend", "base_url", "model", "price"),
    [
        ("openai", "https://api.openai.com/v1", "gpt-4o-mini", Price(0.15, 0.6)),
        ("openai", None, "gpt-4o-mini", Price(0.15, 0.6)),
        ("groq", "https://api.groq.com/openai/v1", "openai/gpt-oss-20b", Price(0.075, 0.3)),
        ("litellm", None, "openai/gpt-4o-mini", Price(0.15, 0.6)),
        ("litellm", None, "groq/openai/gpt-oss-20b", Price(0.075, 0.3)),
        ("litellm", None, "mistral/small", Price(0.1, 0)),
        ("litellm", None, "azure/gpt-4o-mini", None),
        ("litellm", "http://127.0.0.1:1/v1", "openai/gpt-4o-mini", None),
        ("openai", "http://127.0.0.1:8000/v1", "gpt-4o-mini", None),
        ("openai", "https://api.openai.com.example.com/v1", "gpt-4o-mini", None),
        ("openai", None, "groq/openai/gpt-oss-20b", None),
        ("groq", None, "gpt-4o-mini", None),
        ("ollama", None, "gpt-4o-mini", None),
        ("another", None, "gpt-4o-mini", None),
        *(("openai", None, name, None) for name in ("free", "half", "text", "less", "endless", "nobody")),
        ("openai", None, "sample_spec", None),
    ],
)
def test_a_price_is_that_of_the_provider_or_unknown(
    installed: Path, backend: str, base_url: str | None, model: str, price: Price | None
) -> None:
    assert listed_prices(backend, base_url, [model]) == ({} if price is None else {model: price})


@pytest.mark.parametrize("held", ["", "[]", "{", '{"gpt-4o-mini": 3}', "\xff"])
def test_a_table_that_cannot_be_read_knows_nothing(installed: Path, held: str) -> None:
    installed.write_text(held, "latin-1")
    assert listed_prices("openai", None, ["gpt-4o-mini"]) == {}


def test_without_litellm_nothing_is_known(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_table, "find_spec", lambda name: None)
    assert listed_prices("openai", None, ["gpt-4o-mini"]) == {}
    installed.unlink()


def test_the_real_table_has_the_default_models_without_an_import_of_litellm() -> None:
    before = "litellm" in sys.modules
    assert listed_prices("openai", None, ["gpt-4o-mini"]) != {}
    assert listed_prices("groq", None, ["openai/gpt-oss-20b"]) != {}
    assert ("litellm" in sys.modules) == before


def cost(**options: Any) -> float | None:
    async def ask() -> fanin.Verdict:
        backend = Scripted(always("yes"), http=True)
        backend.name, backend.base_url = "openai", "https://api.openai.com/v1"
        return await fanin.vote("Is it?", backend=backend, model="gpt-4o-mini", runs=2, **options)

    return run_virtual("asyncio", ask).cost_usd


def test_a_vote_takes_the_listed_price_where_none_is_given(installed: Path) -> None:
    assert cost() == pytest.approx(2 * (3 * 0.15 + 0.6) / 1e6)
    assert cost(price=Price(1, 1)) == pytest.approx(2 * 4 / 1e6)
    assert cost(price={"another": Price(1, 1)}) is None


@pytest.mark.parametrize("mode", ["record", "replay"])
def test_under_a_tape_the_table_is_not_asked(installed: Path, mode: Any) -> None:
    set_tape(TapeOn(mode, "x.json"))
    try:
        assert cost() is None
        assert cost(price=Price(1, 1)) == pytest.approx(2 * 4 / 1e6)
    finally:
        set_tape(None)
