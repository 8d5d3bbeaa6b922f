"""Codes and tokens that are sent by mail: six digits to verify an address, a long token to set a password."""

import hashlib
import hmac
import secrets as dice

from sqlalchemy import bindparam, delete, insert, select

from tickets import clock
from tickets.db import Row, Statement, Transaction
from tickets.domain import mailboxes
from tickets.models import OneTimeSecret

LIFETIMES = {"verify_email": 10 * clock.MINUTE, "reset_password": clock.HOUR}

_OF_USER = (OneTimeSecret.user_id == bindparam("of_user"), OneTimeSecret.purpose == bindparam("for_purpose"))
_FORGET = Statement(delete(OneTimeSecret).where(*_OF_USER))
_FORGET_ALL = Statement(delete(OneTimeSecret).where(OneTimeSecret.user_id == bindparam("of_user")))
_KEEP = Statement(
    insert(OneTimeSecret).values({name: bindparam(name) for name in ("user_id", "purpose", "digest", "expires_at")})
)
_FIND = Statement(select(*OneTimeSecret.__table__.c).where(*_OF_USER))
_BY_DIGEST = Statement(
    select(*OneTimeSecret.__table__.c).where(
        OneTimeSecret.digest == bindparam("digest"), OneTimeSecret.purpose == bindparam("for_purpose")
    )
)


def forget(tx: Transaction, user_id: int) -> None:
    """Make what a user was sent good no more."""
    tx.run(_FORGET_ALL, of_user=user_id)


class OneTimeSecrets:
    """Gives secrets out and takes them back.

    Args:
        secrets: of the service; the first is used, and what was sent with another has to be asked for anew. Six
            digits hashed without a key could be found by trying all.
    """

    def __init__(self, secrets: list[bytes]) -> None:
        self._key = hashlib.sha256(b"one-time secret:" + secrets[0]).digest()

    def give(self, tx: Transaction, user: Row, purpose: str) -> str:
        """Make a new secret for a user; the last one for the purpose is good no more."""
        secret = f"{dice.randbelow(10**6):06d}" if purpose == "verify_email" else dice.token_urlsafe(32)
        tx.run(_FORGET, of_user=user.id, for_purpose=purpose)
        tx.run(
            _KEEP,
            user_id=user.id,
            purpose=purpose,
            digest=self._digest(purpose, secret, user.id if purpose == "verify_email" else 0),
            expires_at=clock.now() + LIFETIMES[purpose],
        )
        return secret

    def take_code(self, tx: Transaction, user: Row, code: str) -> bool:
        """Tell whether a code verifies the address of a user; it works once, and only so many wrong ones are heard."""
        purpose = "verify_email"
        found = tx.first(_FIND, of_user=user.id, for_purpose=purpose)
        if found is None or found.expires_at <= clock.now() or not mailboxes.hears(tx, user.email, purpose):
            return False
        if not hmac.compare_digest(found.digest, self._digest(purpose, code, user.id)):
            mailboxes.miss(tx, user.email, purpose)
            return False
        tx.run(_FORGET, of_user=user.id, for_purpose=purpose)
        return True

    def of_token(self, tx: Transaction, token: str) -> int | None:
        """Return whose password a token may set."""
        purpose = "reset_password"
        found = tx.first(_BY_DIGEST, digest=self._digest(purpose, token, 0), for_purpose=purpose)
        return None if found is None or found.expires_at <= clock.now() else found.user_id

    def take_token(self, tx: Transaction, token: str) -> int | None:
        """Return whose password a token may set; it works once."""
        user_id = self.of_token(tx, token)
        if user_id is not None:
            tx.run(_FORGET, of_user=user_id, for_purpose="reset_password")
        return user_id

    def _digest(self, purpose: str, secret: str, user_id: int) -> bytes:
        return hmac.digest(self._key, f"{purpose}\0{user_id}\0{secret}".encode(), "sha256")
