"""Names the service makes up: request ids, API keys, slugs."""

import hashlib
import re
import secrets
import unicodedata
from typing import NamedTuple

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


class NewApiKey(NamedTuple):
    """A key as it is handed out once, and what is stored of it."""

    key: str
    prefix: str
    digest: bytes


def request_id() -> str:
    """Make a request id: 32 hexadecimal digits, 128 random bits."""
    return secrets.token_hex(16)


def api_key() -> NewApiKey:
    """Make an API key ``tk_<8 characters>_<secret of 192 random bits>``."""
    prefix = "tk_" + "".join(secrets.choice(_ALPHABET) for _ in range(8))
    key = f"{prefix}_{secrets.token_urlsafe(24)}"
    return NewApiKey(key, prefix, digest(key))


def digest(secret: str) -> bytes:
    """Hash a secret of high entropy for storage and lookup (SHA-256, 32 bytes)."""
    return hashlib.sha256(secret.encode()).digest()


def slug(name: str) -> str:
    """Make a URL-safe name of up to 63 characters.

    >>> slug("Ärger & Söhne GmbH")
    'arger-sohne-gmbh'
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:63].strip("-") or "org"
