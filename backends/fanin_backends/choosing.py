"""Which model is asked where nobody names one and a server lists what it has. Pure."""

from __future__ import annotations

from fanin.errors import FaninError
from fanin.show import one_line

MOST_LISTED = 20
"""So many models are named in a message."""


def only_model(models: tuple[str, ...], server: str, nothing: str) -> str:
    """The one model of a list. Raises FaninError with the list, or with the mend `nothing`."""
    if len(models) == 1:
        return models[0]
    if not models:
        raise FaninError(f"{server} lists no model", mend=nothing)
    shown = [one_line(model, 80) for model in models[:MOST_LISTED]]
    more = f" and {len(models) - MOST_LISTED} more" if len(models) > MOST_LISTED else ""
    raise FaninError(f"{server} has several models: {', '.join(shown)}{more}", mend="Name one with -m NAME.")


def unnamed_model() -> FaninError:
    """The error for a tape that is replayed without a model: no server can be asked for its list."""
    return FaninError(
        "no model is named, and a tape that replays cannot ask for the list", mend="Name one with -m NAME."
    )
