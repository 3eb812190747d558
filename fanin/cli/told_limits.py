"""What earlier calls were told of the rate limits of models, for who plans the next ones."""

from __future__ import annotations

from collections.abc import Sequence

from fanin.errors import FaninError
from fanin.policy.planning import Told


def told_limits(backend: str | None, base_url: str | None, models: Sequence[str]) -> tuple[Told, ...]:
    """The limits of these models at the backend's address, whatever key was used; nothing is asked.

    Those that the shared pace has from headers and refusals, and own ones that are in force: no guesses.
    """
    from fanin.connecting import open_backend
    from fanin.settings import read_settings
    from fanin.sharing.opening import store_for
    from fanin.sharing.store import StoreError
    from fanin.sharing.telling import facts

    store = None if backend is None else store_for(read_settings().values.get("pace", "file"))
    if backend is None or store is None:
        return ()
    try:
        now_s, entries = store.now_s(), [each for each in store.entries() if each.model in models]
    except StoreError:
        return ()
    if not entries:
        return ()
    try:
        address = open_backend(backend, base_url=base_url, replaying=True).base_url
    except FaninError:  # one that is not installed can be planned for
        return ()
    return tuple(
        Told(limit["counts"], limit["burst"], limit["per_s"])
        for each in entries
        if each.account.partition("#")[0] == address
        for limit in facts(each, now_s)["limits"]
        if limit["from"] != "probing" and limit["per_s"] > 0
    )
