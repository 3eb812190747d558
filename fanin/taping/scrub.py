"""What is taken out of a tape: keys by their value and by their pattern, and what a URL gives away.

Headers are not scrubbed but allow-listed (`format.KEPT_HEADERS`), so none holds a key. Patterns are
those the issuers document, as gitleaks and GitHub's secret scanning list them; each asks for a digit
where its alphabet alone would also fit words joined by hyphens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from urllib.parse import quote, unquote_plus, urlsplit, urlunsplit

MARK = "[scrubbed]"
"""What stands where a secret stood."""
SHORTEST = 8
"""Keys shorter than this many characters (`test`, `ollama`) are no secrets and part of many words."""

_SUFFIXES = ("_API_KEY", "_TOKEN", "_SECRET", "_KEY")
_SECRET_PARAMETERS = frozenset(
    "key api_key api-key apikey x-api-key subscription-key token access_token auth auth_token secret"
    " client_secret password sig signature x-amz-signature x-amz-credential x-amz-security-token"
    " x-goog-signature x-goog-credential".split()
)

_remembered: set[str] = set()


def remember(key: str) -> None:
    """Tells of a key that stands in no environment variable, so that no tape of this process keeps it."""
    _remembered.add(key)


def known_secrets(environ: Mapping[str, str], more: Iterable[str] = ()) -> frozenset[str]:
    """The keys that the process knows, each of at least `SHORTEST` characters.

    They are the values of the variables whose name ends in `_API_KEY`, `_TOKEN`, `_SECRET` or
    `_KEY`, those told with `remember`, and `more`.
    """
    named = (value for name, value in environ.items() if name.upper().endswith(_SUFFIXES))
    found = {key.strip() for key in (*named, *_remembered, *more)}
    return frozenset(key for key in found if len(key) >= SHORTEST and key not in MARK)


class Scrubber:
    """Takes secrets out of texts: `scrubber(text)`. Doing it twice changes nothing more."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings = {spelling for key in secrets for spelling in _spellings(key)}
        # The longest first, so that no key is left behind by a shorter one that begins it.
        ordered = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
        self._values = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        if self._values is not None:
            text = self._values.sub(MARK, text)
        for opening, pattern in _PATTERNS:
            if opening in text:
                text = _compiled(pattern).sub(MARK, text)
        return text

    def finds(self, text: str) -> bool:
        """Whether there is anything in `text` that has to come out."""
        return self(text) != text


def clean_url(url: str, scrub: Scrubber) -> str:
    """The URL without user, password, fragment and the parameters that carry keys."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return scrub(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    default = {"https": 443, "http": 80}.get(parts.scheme)
    place = host if port in (None, default) else f"{host}:{port}"
    path = "/".join(_clean_part(part, scrub) for part in parts.path.split("/"))
    kept = (_clean_part(pair, scrub) for pair in parts.query.split("&") if not _carries_key(pair))
    return scrub(urlunsplit((parts.scheme, place, path, "&".join(kept), "")))


def _clean_part(part: str, scrub: Scrubber) -> str:
    # A key is looked for in what the part means: percent-encoding may hide its form.
    plain = unquote_plus(part)
    clean = scrub(plain)
    return part if clean == plain else quote(clean, safe="=[]")


def _carries_key(pair: str) -> bool:
    return unquote_plus(pair.partition("=")[0]).lower() in _SECRET_PARAMETERS


def _spellings(key: str) -> set[str]:
    """A key as it may stand in a text, a URL, JSON inside a text, or in bytes read as Latin-1."""
    escaped = json.dumps(key)[1:-1]
    quoted = quote(key, safe="", errors="surrogatepass")
    spellings = {key, quoted, escaped, escaped.replace("/", "\\/")}
    spellings.add(json.dumps(key, ensure_ascii=False)[1:-1])
    spellings.add(key.encode("utf-8", "surrogatepass").decode("latin-1"))
    return spellings


# Not inside a word; but the end of an escape (`\\n`, `\\u000a`, `%20`) is no part of a word.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt])|(?<=\\u[0-9A-Fa-f]{4})|(?<=%[0-9A-Fa-f]{2}))"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compiled where a text has its beginning: all of them together take longer than a whole vote."""
    return re.compile(pattern, re.DOTALL)


def _token(opening: str, alphabet: str, length: int) -> tuple[str, str]:
    """`opening` and then at least `length` characters, one of them a digit; not inside a word."""
    return opening, rf"{_START}{re.escape(opening)}(?=[{alphabet}]*[0-9])[{alphabet}]{{{length},}}"


_WORD = "A-Za-z0-9"
_HYPHENED = "A-Za-z0-9_-"
_BEARER = "A-Za-z0-9._~+/=-"

# (what it begins with, the pattern): looking for the beginning first is many times faster.
_PATTERNS: tuple[tuple[str, str], ...] = (
    _token("sk-", _HYPHENED, 16),  # OpenAI, Anthropic, OpenRouter, DeepSeek and more
    _token("csk-", _WORD, 20),  # Cerebras
    _token("gsk_", _WORD, 20),  # Groq
    _token("hf_", _WORD, 20),  # Hugging Face
    _token("xai-", _WORD, 20),
    _token("pplx-", _WORD, 20),  # Perplexity
    _token("nvapi-", _HYPHENED, 20),  # NVIDIA
    _token("r8_", _WORD, 20),  # Replicate
    _token("fw_", _WORD, 20),  # Fireworks
    _token("tgp_v1_", _HYPHENED, 20),  # Together
    _token("AIza", _HYPHENED, 30),  # Google
    _token("ya29.", _HYPHENED, 20),  # Google, OAuth
    _token("AKIA", "A-Z0-9", 16),  # AWS
    _token("ASIA", "A-Z0-9", 16),  # AWS, temporary
    *(_token(f"gh{kind}_", _WORD, 30) for kind in "pousr"),  # GitHub
    _token("github_pat_", "A-Za-z0-9_", 30),
    _token("glpat-", _HYPHENED, 16),  # GitLab
    *(_token(f"xox{kind}-", _HYPHENED, 16) for kind in "abeoprs"),  # Slack
    *(_token(f"{bearer}earer{gap}", _BEARER, 16) for bearer in "Bb" for gap in (" ", "%20", "+")),
    # A JSON Web Token (RFC 7519): two JSON objects in base64url, which begin with `{"`, and a signature.
    ("eyJ", r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"),
    # A private key (RFC 7468); one that is cut short goes to the end of the text.
    (
        "-----BEGIN",
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)",
    ),
)
