"""Sealing what is stored but must not be read from a copy of the database."""

import base64
import hashlib

from cryptography.fernet import Fernet, MultiFernet


def seal(secrets: list[bytes], purpose: str) -> MultiFernet:
    """Make what seals and opens for a purpose.

    Args:
        secrets: of the service; the first seals, all open.
        purpose: what is sealed for one opens for no other.
    """
    digests = [hashlib.sha256(f"{purpose}:".encode() + secret).digest() for secret in secrets]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
