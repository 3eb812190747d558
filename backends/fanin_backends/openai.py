"""OpenAI and every compatible server. Key: `OPENAI_API_KEY`. Default model: `gpt-4o-mini`.

`OPENAI_BASE_URL` or a base URL given leads to another server; without a model that server is asked
for its list, and its only one is taken.
"""

from __future__ import annotations

from collections.abc import Mapping

from fanin.backend import Backend
from fanin.errors import CallError, FaninError
from fanin_backends.address import Address
from fanin_backends.chat import ChatBackend, Dialect
from fanin_backends.choosing import only_model, unnamed_model

URL_VARIABLE = "OPENAI_BASE_URL"

DIALECT = Dialect(
    name="openai",
    own_url="https://api.openai.com/v1",
    key_variable="OPENAI_API_KEY",
    default_model="gpt-4o-mini",
)


def open_backend(
    *,
    base_url: str | None = None,
    key: str | None = None,
    environ: Mapping[str, str],
    replaying: bool = False,
) -> Backend:
    """OpenAI, or the compatible server at `base_url` or `OPENAI_BASE_URL`.

    `key` wins over the environment. Raises MissingKeyError where the provider's own address is asked
    without a key, InputError for an address that cannot be used. When `replaying` no key is needed and
    no list of models is asked for.
    """
    found, field = (base_url, "base_url") if base_url else (environ.get(URL_VARIABLE), URL_VARIABLE)
    address = DIALECT.address(found, key=key, environ=environ, replaying=replaying, field=field)
    if address.base_url == DIALECT.own_url:
        return ChatBackend(DIALECT, address)
    return _Compatible(DIALECT, address, replaying=replaying)


class _Compatible(ChatBackend):
    """A server of the same wire whose models nobody knows beforehand."""

    def __init__(self, dialect: Dialect, address: Address, *, replaying: bool) -> None:
        super().__init__(dialect, address)
        self._server = address.base_url
        self._replaying = replaying

    async def resolve(self, models: tuple[str, ...]) -> tuple[str, ...]:
        """The models given, else the only one the server lists.

        Raises FaninError with the list where there are several, CallError where none can be had.
        """
        self._connections.make_ready()
        if models:
            return models
        if self._replaying:
            raise unnamed_model()
        name_one = "Name one with -m NAME."
        try:
            listed = await self.listed_models()
        except CallError as error:
            if error.status not in (404, 405, 501):
                raise
            raise FaninError(f"{self._server} does not list its models", mend=name_one) from None
        return (only_model(listed, self._server, name_one),)
