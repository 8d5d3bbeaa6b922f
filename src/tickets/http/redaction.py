"""What may be written down of a request: all but its secrets.

A secret is known by its name (``password``, ``refresh_token``, …), wherever it is, or by its looks (a key, a
token, …), whatever it is called.
"""

import json
import re
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

REDACTED = "[redacted]"
CUT = "… [cut]"
MAX_BODY = 8_192
"""Most bytes of a body's JSON text that are kept."""
MAX_TEXT = 2_000
"""Most characters of a path or a query that are kept."""
MAX_AGENT = 500
"""Most characters of a user agent that are kept."""

MAX_NAME = 256
"""Characters of a name that is looked at; a longer one is taken for that of a secret."""

_MAX_DEPTH = 32
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_STEMS = (
    *("passw", "pwd", "passphrase", "passcode", "token", "secret", "jwt", "credential", "cookie", "signature"),
    *("authorization", "authorisation", "bearer", "apikey", "passkey"),
)
"""What is in the names of secrets, and in no other word."""
_WORDS = frozenset(
    ("pass", "pin", "otp", "totp", "tan", "cvv", "cvc", "pincode", "authcode", "accesskey", "privatekey")
)
"""Words of a name that make it that of a secret; in longer words they mean nothing (compass, shopping)."""
_OPENERS = frozenset(("key", "code"))
"""Words of a name that do so too, unless another says what for."""
_HARMLESS = frozenset(
    (
        *("error", "status", "exit", "response", "reason", "fault", "product", "item", "order", "article", "color"),
        *(
            "colour",
            "country",
            "region",
            "state",
            "area",
            "dial",
            "post",
            "postal",
            "zip",
            "language",
            "lang",
            "locale",
        ),
        *("currency", "source", "sort", "foreign", "primary", "public", "project", "issue", "cost", "department"),
    )
)
_NAMES = (*_STEMS, *_WORDS, *_OPENERS)
"""Without one of these a text has no name of a secret, which is most often so."""
_NO_SECRETS = frozenset({"api_key_id"})
"""Names that only sound like one."""
_PARTS = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+s?(?![^\W\d_A-Z])")

# Of each text anybody sends, so each pattern takes a time that grows as the text does: what repeats is either
# possessive or bounded, and what may be long begins where nothing of its kind stands before.
_LOOKS = (
    re.compile(
        r"tk_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{16,}+"
        r"|tr_[A-Za-z0-9_-]{32,}+"
        r"|whsec_[A-Za-z0-9+/=_-]{16,}+"
    ),
    # The first eyJ of a word, and all that follows: to look for a dot from each would read the word once for each.
    re.compile(
        r"(?<![A-Za-z0-9_-])(?P<kept>(?:(?!eyJ)[A-Za-z0-9_-])*+)"
        r"eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_.-]*+"
    ),
    # The first part of one that was cut off has no letter or digit before it, so that words are left alone; fewer
    # than eight characters of a secret tell nothing.
    re.compile(
        r"(?<![A-Za-z0-9])(?:tk_|tr_|whsec_|eyJ)[A-Za-z0-9_-]{8,}+"
        r"|(?P<kept>(?i:bearer)\s)\s*+[^\s\"',;]{8,}+"
        r"|(?<=://)[^\s/@]++(?=@)"
    ),
)
"""What has the looks of a secret: whole keys, whole tokens, and the rest; the rest would leave half of a token."""

_STRINGS = re.compile(r'"([^"]*)"(:?)')
"""The strings of a JSON text without escapes, each whole; a colon after it makes it a name."""
_HINTS = ("tk_", "tr_", "whsec_", "eyj", "bearer", "://")
"""Without one of these a text has nothing with the looks of a secret, which is most often so."""


def is_secret(name: str) -> bool:
    """Tell whether what has this name is a secret: by one of its words, as ``_``, ``-`` or a capital divide them."""
    return len(name) > MAX_NAME or _sounds_secret(name)


@lru_cache(maxsize=1024)
def _sounds_secret(name: str) -> bool:
    folded = name.casefold()
    if name in _NO_SECRETS:
        return False
    if any(stem in folded for stem in _STEMS):
        return True
    whole = [word.casefold() for word in (*_PARTS.findall(name), name)]
    words = {*whole, *(word.removesuffix("s") for word in whole)}
    return not words.isdisjoint(_WORDS) or (not words.isdisjoint(_OPENERS) and words.isdisjoint(_HARMLESS))


def text(value: str) -> str:
    """Take what looks like a secret out of a text."""
    folded = value.casefold()
    if any(hint in folded for hint in _HINTS):
        for look in _LOOKS:
            value = look.sub(_redacted, value)
    return value


def _redacted(match: re.Match[str]) -> str:
    return f"{match.groupdict().get('kept') or ''}{REDACTED}"


def cut(value: str, most: int) -> str:
    """Keep the beginning of what would be too long, and say so."""
    return value if len(value) <= most else value[:most] + CUT


def _one_line(value: str) -> str:
    return value if value.isprintable() else _CONTROL.sub("\N{REPLACEMENT CHARACTER}", value)


def path(value: str) -> str:
    """Make the path of a request fit to be kept."""
    return _one_line(text(value[: 2 * MAX_TEXT]))[:MAX_TEXT]


def agent(value: bytes) -> str:
    """Make the header user-agent fit to be kept."""
    return _agent(value[: 2 * MAX_AGENT])


@lru_cache(maxsize=1024)
def _agent(value: bytes) -> str:
    return _one_line(text(value.decode("latin-1")))[:MAX_AGENT]


def query(raw: bytes) -> str:
    """Make the query of a request fit to be kept: as it was sent, but for secrets."""
    return _query(raw) if len(raw) <= MAX_AGENT else _query.__wrapped__(raw[: 4 * MAX_TEXT])


@lru_cache(maxsize=256)
def _query(raw: bytes) -> str:
    shown: list[str] = []
    size = 0
    for part in raw.split(b"&"):
        if size > MAX_TEXT:
            break
        shown.append(_parameter(part) if part else "")
        size += len(shown[-1]) + 1
    return _one_line("&".join(shown))[:MAX_TEXT]


def _parameter(part: bytes) -> str:
    name, equals, value = part.partition(b"=")
    read_name, read_value = _decoded(name), _decoded(value)
    shown = name.decode("latin-1") if text(read_name) == read_name else REDACTED
    if not equals:
        return shown
    if is_secret(read_name) or text(read_value) != read_value:
        return f"{shown}={REDACTED}"
    return f"{shown}={value.decode('latin-1')}"


def _decoded(raw: bytes) -> str:
    return unquote_to_bytes(raw.replace(b"+", b" ")).decode(errors="replace")


def body(value: Any, size: int = 0) -> str:
    """Make the JSON text of a body, fit to be kept.

    Args:
        value: as it was parsed; little more of it is looked at than is kept.
        size: the bytes it came in, where they are known: of a long one the whole text is not made.
    """
    plain = _plain(value) if size <= 2 * MAX_BODY else None
    if plain is not None:
        return plain
    copy = _Copy()
    made = json.dumps(copy.value(value, 0), ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    if len(made) > MAX_BODY or copy.is_cut:
        return made[:MAX_BODY].decode(errors="ignore") + CUT
    return made.decode()


def _plain(value: Any) -> str | None:
    """Make the JSON text of a body in which nothing sounds or looks like a secret; None of any other."""
    try:
        made = msgspec.json.encode(value)
    except (OverflowError, UnicodeEncodeError, RecursionError):
        return None
    if len(made) > MAX_BODY or b"\\" in made:  # an escape could hide something
        return None
    shown = made.decode()
    folded = shown.casefold()
    if any(hint in folded for hint in _HINTS):
        return None
    if not any(word in folded for word in _NAMES):
        return shown
    return None if any(colon and is_secret(name) for name, colon in _STRINGS.findall(shown)) else shown


class _Copy:
    """Copies a body without its secrets, up to a little more than is kept."""

    def __init__(self) -> None:
        self.is_cut = False
        self._left = MAX_BODY + 1

    def value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if not isinstance(value, dict | list):
            self._left -= 1
            return value
        if depth >= _MAX_DEPTH:
            self.is_cut = True
            return CUT
        return self._object(value, depth) if isinstance(value, dict) else self._array(value, depth)

    def _object(self, value: dict[str, Any], depth: int) -> dict[str, Any]:
        made = {}
        for name, item in value.items():
            if self._is_full():
                break
            made[self._text(name)] = REDACTED if is_secret(name) else self.value(item, depth + 1)
        return made

    def _array(self, value: list[Any], depth: int) -> list[Any]:
        made = []
        for item in value:
            if self._is_full():
                break
            self._left -= 1
            made.append(self.value(item, depth + 1))
        return made

    def _text(self, value: str) -> str:
        # Cut before it is looked at: what is left of a secret begins as the whole does.
        kept = value[: max(self._left, 0)]
        self.is_cut = self.is_cut or len(kept) < len(value)
        self._left -= len(kept) + 3
        return text(kept)

    def _is_full(self) -> bool:
        self.is_cut = self.is_cut or self._left <= 0
        return self._left <= 0
