"""Passwords: which are good enough, how they are kept, whether one is right.

Hashing takes tens of milliseconds of a core on purpose: callers do it in a thread, outside any transaction.
"""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import bindparam, delete, insert, select

from tickets.db import Statement, Transaction
from tickets.errors import InputError, InvalidRequest
from tickets.models import Organization, Password, User

# OWASP's Password Storage Cheat Sheet: argon2id with 19 MiB, two passes, one lane.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_NOBODYS = "$argon2id$v=19$m=19456,t=2,p=1$wRsV+DSrnITcmZDX6fCBkw$H5Hyemp/k0HZLs5iRd21233wI7vF31s0T99jdfY+CsY"

_FIND = Statement(select(Password.hash).where(Password.user_id == bindparam("user_id")))
_BY_EMAIL = Statement(
    select(Password.user_id, Password.hash)
    .join(User, User.id == Password.user_id)
    .join(Organization, Organization.id == User.organization_id)
    .where(User.email == bindparam("email"), User.is_active.is_(True), Organization.deleted_at.is_(None))
)
_FORGET = Statement(delete(Password).where(Password.user_id == bindparam("of_user")))
_KEEP = Statement(insert(Password).values(user_id=bindparam("user_id"), hash=bindparam("hash")))


def chosen(password: str, email: str) -> str:
    """Hash a password that somebody chose; one that an attacker would try among the first is refused.

    Args:
        password: what was chosen.
        email: of who chose it, which is no password either.

    Returns:
        The hash to store (argon2id, RFC 9106).

    Raises:
        InvalidRequest: it is among the common ones, or the address itself (NIST SP 800-63B, 5.1.1.2).
    """
    plain = password.casefold()
    address = email.casefold()
    if plain in _common() or plain in {address, address.partition("@")[0]}:
        detail = "is among the passwords that are tried first; choose one that nobody else has"
        raise InvalidRequest(f"password: {detail}", errors=[InputError("/password", detail)])
    return hashed(password)


@cache
def _common() -> frozenset[str]:
    # A large module: only who sets a password pays for it.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # type: ignore[import-untyped]  # noqa: PLC0415 - ships no types

    return frozenset(FREQUENCY_LISTS["passwords"])


def hashed(password: str) -> str:
    """Hash a password for storage."""
    return _HASHER.hash(password)


def is_right(stored: str | None, password: str) -> bool:
    """Tell whether a password is the stored one; without one it takes just as long to say no."""
    try:
        _HASHER.verify(stored or _NOBODYS, password)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def is_outdated(stored: str) -> bool:
    """Tell whether a hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(stored)


def of_user(tx: Transaction, user_id: int) -> str | None:
    """Find the hash of a user's password, if they have one."""
    found = tx.first(_FIND, user_id=user_id)
    return None if found is None else found.hash


def of_email(tx: Transaction, email: str) -> tuple[int, str] | None:
    """Find the account with an address, and the hash of its password, if it has one."""
    found = tx.first(_BY_EMAIL, email=email.lower())
    return None if found is None else (found.user_id, found.hash)


def store(tx: Transaction, user_id: int, password_hash: str) -> None:
    """Keep the hash of a new password in the place of the last."""
    tx.run(_FORGET, of_user=user_id)
    tx.run(_KEEP, user_id=user_id, hash=password_hash)


def renew(tx: Transaction, user_id: int, old_hash: str, new_hash: str) -> None:
    """Replace a hash by one of today's parameters, unless the password was changed in the meantime."""
    if of_user(tx, user_id) == old_hash:
        store(tx, user_id, new_hash)
