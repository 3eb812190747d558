"""What models cost, as litellm's own table says: read as data, without importing litellm.

Source: `model_prices_and_context_window_backup.json` in the installed package; US dollars per token. It
holds list prices: what a provider grants for cached or batched tokens, or asks for very long prompts, is
left out. A model it lists as free is taken to be unknown, since that is how it lists what it has not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fanin.errors import InputError
from fanin.policy.pricing import Price, Prices

TABLE = "model_prices_and_context_window_backup.json"
_FIELDS = ("litellm_provider", "input_cost_per_token", "output_cost_per_token")
_HOSTS = {"groq": "api.groq.com", "openai": "api.openai.com"}
"""The providers' own addresses; what another server of the same wire costs is not known."""


def listed_prices(backend: str, base_url: str | None, models: Iterable[str]) -> Prices:
    """The listed prices of those models at that backend; those that are not listed are left out.

    `base_url` None is the backend's own address. Costs about 30 ms, once a process.
    """
    priced = ((model, _listed(backend, base_url, model)) for model in dict.fromkeys(models))
    return {model: price for model, price in priced if price is not None}


def _listed(backend: str, base_url: str | None, model: str) -> Price | None:
    for name, provider in _entries(backend, base_url, model):
        listed = _table().get(name)
        if listed is not None and listed[0] == provider:
            return _price(*listed[1:])
    return None


def _entries(backend: str, base_url: str | None, model: str) -> Iterator[tuple[str, str]]:
    """The names under which the table may hold the model, each with the provider it must be of."""
    if backend == "litellm" and base_url is None:
        provider, _, name = model.partition("/")
        yield model, provider
        yield name, provider
    elif backend in _HOSTS and (base_url is None or urlsplit(base_url).hostname == _HOSTS[backend]):
        yield f"{backend}/{model}", backend
        yield model, backend


@cache
def _table() -> Mapping[str, tuple[Any, ...]]:
    """Model -> (provider, US$ per token read, and written), unchecked.

    Empty where litellm is not installed, or its table cannot be read.
    """
    found = find_spec("litellm")
    if found is None or found.origin is None:
        return {}
    try:
        table = json.loads(Path(found.origin).with_name(TABLE).read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(table, dict):
        return {}
    return {
        name: tuple(map(stored.get, _FIELDS)) for name, stored in table.items() if isinstance(stored, dict)
    }


def _price(*per_token_usd: Any) -> Price | None:
    if not all(isinstance(usd, (int, float)) for usd in per_token_usd) or not any(per_token_usd):
        return None
    try:
        return Price(*(round(usd * 1e6, 9) for usd in per_token_usd))
    except (InputError, ValueError, OverflowError):
        return None
