"""Idempotency-Key: a repeated POST is answered again, never done again.

The record commits in the transaction of the effect it tells of, so neither is ever there without the other
(draft-ietf-httpapi-idempotency-key-header).
"""

import hashlib
import zlib
from typing import Any, NamedTuple

import msgspec
from cryptography.fernet import InvalidToken
from sqlalchemy import bindparam, case, delete, func, insert, select, update
from sqlalchemy.orm import aliased

from tickets import clock
from tickets.db import Row, Statement, Transaction
from tickets.domain.access import Principal
from tickets.errors import IdempotencyAnswerGone, IdempotencyInProgress, IdempotencyKeyReused, InputError
from tickets.http.exchange import Response
from tickets.models import IdempotencyRecord as Record
from tickets.sealing import seal

KEPT_FOR = clock.DAY

MOST_KEPT = 64 << 20
"""Bytes of answers that are kept for an organization, give or take one; beyond, the oldest bodies go, and their records
stay."""
MAX_KEPT = 256 << 10
"""Bytes of the largest body that is kept, packed if it is long."""
_LONG = 4 << 10
"""Bytes from which on a body is packed: a bulk answer of 500 tickets becomes a quarter."""
_VERY_LONG = 8 << 20
"""Bytes from which on a body is not even packed: it would take too long."""

_others = aliased(Record)
_LAST = (
    select(_others.running_size)
    .where(_others.organization_id == bindparam("organization_id"), _others.running_size.is_not(None))
    .order_by(_others.running_size.desc())
    .limit(1)
    .scalar_subquery()
)
_FIND = Statement(
    select(*Record.__table__.c).where(
        Record.organization_id == bindparam("organization_id"),
        Record.scope == bindparam("scope"),
        Record.expires_at > bindparam("now"),
    )
)
_STORE = Statement(
    insert(Record)
    .values(
        {
            **{column.name: bindparam(column.name) for column in Record.__table__.c},
            "running_size": case((bindparam("size") == 0, 0), else_=func.coalesce(_LAST, 0) + bindparam("size")),
        }
    )
    .returning(Record.running_size)
)
_DROP_BODIES = Statement(
    update(Record)
    .where(
        Record.organization_id == bindparam("organization_id"),
        Record.running_size > 0,
        Record.running_size <= bindparam("last"),
    )
    .values(body=b"", running_size=None)
)
_FORGET = Statement(
    delete(Record).where(Record.organization_id == bindparam("organization_id"), Record.scope == bindparam("scope"))
)


class Attempt(NamedTuple):
    """A POST that came with a key.

    Attributes:
        organization_id: of the caller.
        scope: hash of caller, method, path and key: what must be equal for a repeat.
        fingerprint: hash of the body: what must not differ.
    """

    organization_id: int
    scope: bytes
    fingerprint: bytes


def attempt(caller: Principal, method: str, path: str, key: str, body: Any) -> Attempt:
    """Describe a POST with an Idempotency-Key; white space and order in the body do not count.

    A key of the API is a caller of its own: what one may see, another of the same user may not.
    """
    who = f"user {caller.user_id}" if caller.api_key_id is None else f"key {caller.api_key_id}"
    scope = f"{who}\0{method}\0{path}\0{key}".encode()
    fingerprint = msgspec.json.encode(body, order="sorted")
    return Attempt(caller.organization_id, hashlib.sha256(scope).digest(), hashlib.sha256(fingerprint).digest())


class Idempotency:
    """Remembers answers.

    Args:
        secrets: of the service; the first seals answers that show a secret, all open them.
    """

    def __init__(self, secrets: list[bytes]) -> None:
        self._sealed = seal(secrets, "idempotency")
        self._running: set[bytes] = set()

    def enter(self, this: Attempt) -> None:
        """Note that an attempt has begun; `leave` must follow.

        Raises:
            IdempotencyInProgress: the same attempt is still running.
        """
        if this.scope in self._running:
            detail = "The first request with this Idempotency-Key is still running; repeat it in a second."
            raise IdempotencyInProgress(detail, errors=[_at_key(detail)], headers={"retry-after": "1"})
        self._running.add(this.scope)

    def leave(self, this: Attempt) -> None:
        """Note that an attempt has ended."""
        self._running.discard(this.scope)

    def replay(self, tx: Transaction, this: Attempt) -> Response | None:
        """Return the answer to an earlier request with the same key, if there was one.

        Raises:
            IdempotencyKeyReused: the earlier request had another body.
            IdempotencyAnswerGone: it was answered, and the body of that is not kept any more.
        """
        found = tx.first(_FIND, organization_id=this.organization_id, scope=this.scope, now=clock.now())
        if found is None:
            return None
        if found.fingerprint != this.fingerprint:
            detail = "This Idempotency-Key came with another body before; use a new key for a new request."
            raise IdempotencyKeyReused(detail, errors=[_at_key(detail)])
        if found.running_size is None:
            raise _gone(found)
        kept = ((b"content-type", found.content_type), (b"location", found.location), (b"etag", found.etag))
        headers = [(b"idempotency-replayed", b"true"), *((name, value.encode()) for name, value in kept if value)]
        body = found.body
        if body.startswith(_SEAL):
            body = self._unsealed(body.removeprefix(_SEAL))
        elif body.startswith(_PACKED):
            body = zlib.decompress(body.removeprefix(_PACKED))
        return Response(found.status, headers, body)

    def _unsealed(self, body: bytes) -> bytes:
        try:
            return self._sealed.decrypt(body)
        except InvalidToken:
            detail = (
                "The first answer can no longer be shown: the service's secret key was changed since. Look whether "
                "what you asked for is there, and use a new Idempotency-Key."
            )
            raise IdempotencyKeyReused(detail, errors=[_at_key(detail)]) from None

    def store(self, tx: Transaction, this: Attempt, response: Response, *, secret: bool) -> None:
        """Keep an answer for 24 hours, in the transaction of its effect.

        Args:
            tx: the transaction of the effect.
            this: the attempt.
            response: its answer.
            secret: whether the answer shows a secret and has to be sealed.
        """
        moment = clock.now()
        tx.run(_FORGET, organization_id=this.organization_id, scope=this.scope)  # one that is too old to count
        headers = dict(response.headers)
        body = _SEAL + self._sealed.encrypt(response.body) if secret else _packed(response.body)
        is_kept = len(body) <= MAX_KEPT
        stored = tx.one(
            _STORE,
            organization_id=this.organization_id,
            scope=this.scope,
            fingerprint=this.fingerprint,
            status=response.status,
            content_type=headers.get(b"content-type", b"").decode(),  # a 204 has none
            location=_text(headers.get(b"location")),
            etag=_text(headers.get(b"etag")),
            body=body if is_kept else b"",
            size=len(body) if is_kept else None,
            expires_at=moment + KEPT_FOR,
        )
        if is_kept and stored.running_size > MOST_KEPT:
            tx.run(_DROP_BODIES, organization_id=this.organization_id, last=stored.running_size - MOST_KEPT)


_SEAL = b"\0sealed\0"
_PACKED = b"\0packed\0"


def _packed(body: bytes) -> bytes:
    return _PACKED + zlib.compress(body, 1) if _LONG <= len(body) < _VERY_LONG else body


def _gone(found: Row) -> IdempotencyAnswerGone:
    """Make the 409 for a repeat whose first answer is gone: it says what can still be told."""
    where = f"Read {found.location}" if found.location else "Read what you asked to change"
    detail = (
        f"The first request with this Idempotency-Key was done and answered with {found.status}, but that answer is "
        f"not kept. {where} to see what there is now; do not send the request again under another key."
    )
    headers = {"location": found.location} if found.location else {}
    return IdempotencyAnswerGone(detail, errors=[_at_key(detail)], headers=headers)


def _at_key(detail: str) -> InputError:
    return InputError("/Idempotency-Key", detail, "header")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()
