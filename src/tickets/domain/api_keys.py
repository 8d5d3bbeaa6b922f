"""API keys: made, shown once, looked up by their hash, revoked."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, case, select, update
from sqlalchemy.sql.functions import count

from tickets import clock, ids
from tickets.db import Row, Statement, Transaction
from tickets.domain import records
from tickets.domain.access import Principal
from tickets.errors import (
    AlreadyReplaced,
    Conflict,
    Forbidden,
    InputError,
    InsufficientScope,
    InvalidRequest,
    TooManyKeys,
)
from tickets.models import ApiKey, Organization, User

TOUCH_EVERY = clock.MINUTE
"""How exact `last_used_at` is: a write for each use would cost more than the use."""
MOST_LIVE = 100
"""Keys of a user that are good at the same time."""

_LIVE = (ApiKey.revoked_at.is_(None), User.is_active.is_(True), Organization.deleted_at.is_(None))
_BY_DIGEST = Statement(
    select(
        ApiKey.id,
        ApiKey.user_id,
        ApiKey.organization_id,
        ApiKey.scopes,
        ApiKey.rate_limit,
        ApiKey.expires_at,
        ApiKey.last_used_at,
        ApiKey.replaced_by_id,
        User.role,
        User.name,
        User.email_verified_at,
    )
    .join(User, User.id == ApiKey.user_id)
    .join(Organization, Organization.id == ApiKey.organization_id)
    .where(ApiKey.digest == bindparam("digest"), *_LIVE)
)
_ROLE = Statement(
    select(User.role)
    .join(ApiKey, ApiKey.user_id == User.id)
    .join(Organization, Organization.id == ApiKey.organization_id)
    .where(ApiKey.id == bindparam("key_id"), *_LIVE)
)
_now: Any = bindparam("now")
_REVOKE_ALL = Statement(
    update(ApiKey)
    .where(ApiKey.user_id == bindparam("of_user"), ApiKey.revoked_at.is_(None))
    .values(
        revoked_at=_now,
        version=ApiKey.version + 1,
        updated_at=case((ApiKey.updated_at > _now, ApiKey.updated_at), else_=_now),
    )
)
_of_user = (ApiKey.user_id == bindparam("user_id"), ApiKey.revoked_at.is_(None))
_COUNT_LIVE = Statement(
    select(
        # Two counts, so that each reads the entries of the index that it counts, and none of keys that have ended.
        select(count()).where(*_of_user, ApiKey.expires_at.is_(None)).scalar_subquery().label("lasting"),
        select(count()).where(*_of_user, ApiKey.expires_at > _now).scalar_subquery().label("ending"),
    )
)
_REPLACED = Statement(
    select(*ApiKey.__table__.c).where(
        *_of_user, ApiKey.expires_at > _now, ApiKey.replaced_by_id == bindparam("successor_id")
    )
)
_TOUCH = Statement(update(ApiKey).where(ApiKey.id == bindparam("key_id")).values(last_used_at=bindparam("moment")))


def create(
    tx: Transaction,
    user: Row,
    *,
    name: str,
    scopes: list[str] | None = None,
    rate_limit: str | None = None,
    expires_at: int | None = None,
    replaces: bool = False,
) -> tuple[Row, str]:
    """Make a key for a user.

    Args:
        tx: where to write.
        user: whom it speaks for.
        name: what it is for.
        scopes: what it may do; all by default.
        rate_limit: a limit of its own.
        expires_at: when it ends.
        replaces: whether another key of the user ends with it, so that there is none more than before.

    Returns:
        The stored record, and the key itself, which is stored nowhere.

    Raises:
        TooManyKeys: the user has as many keys as anybody may have.
    """
    if not replaces:
        _expect_room(tx, user)
    new = ids.api_key()
    record = records.add(
        tx,
        ApiKey,
        organization_id=user.organization_id,
        user_id=user.id,
        name=name,
        prefix=new.prefix,
        digest=new.digest,
        scopes=["*"] if scopes is None else scopes,
        rate_limit=rate_limit,
        expires_at=expires_at,
        last_used_at=None,
        revoked_at=None,
        replaced_by_id=None,
    )
    return record, new.key


def _expect_room(tx: Transaction, user: Row) -> None:
    found = tx.one(_COUNT_LIVE, user_id=user.id, now=clock.now())
    if found.lasting + found.ending >= MOST_LIVE:
        raise TooManyKeys(
            f"The user {user.id} has {MOST_LIVE} valid API keys, the most there can be: revoke one that nobody uses "
            "(`last_used_at` of GET /api-keys tells), or replace one without an overlap."
        )


def grant(
    tx: Transaction, caller: Principal, user: Row, *, name: str, scopes: Sequence[str], expires_at: int | None
) -> tuple[Row, str]:
    """Make a key for a user at the request of a caller, who can give only what they have.

    Raises:
        Forbidden: the caller's own key ends sooner.
        InsufficientScope: the caller's own key lacks one of the scopes.
        InvalidRequest: the key would have expired already.
        TooManyKeys: the user has as many keys as anybody may have.
    """
    if expires_at is not None and expires_at <= clock.now():
        detail = "lies in the past; choose a later time, or leave it out for a key without end"
        raise InvalidRequest(f"expires_at: {detail}", errors=[InputError("/expires_at", detail)])
    _may_give(caller, scopes, InputError("/scopes", _LACKS))
    _may_outlive(caller, expires_at, InputError("/expires_at", _TOO_LATE))
    return create(tx, user, name=name, scopes=list(scopes), expires_at=expires_at)


def rotate(tx: Transaction, caller: Principal, api_key: Row, user: Row, *, overlap: int) -> tuple[Row, str]:
    """Make a new key like another one, which lives on for a while; what that one had replaced ends now.

    So no more than two of a chain live, which count as one against their limit: who replaces a key again and again
    gets no more requests by it.

    Args:
        tx: where to write.
        caller: who asks for it.
        api_key: the old key.
        user: whose it is.
        overlap: milliseconds the old key is still good, unless it expires before; 0 ends it at once.

    Raises:
        AlreadyReplaced: the key has a successor, which is the one to replace.
        Conflict: the key has expired, and the new one would have with it.
        Forbidden: the caller's own key ends before the key does.
        InsufficientScope: the caller's own key lacks one of the scopes.
        TooManyKeys: both would live, and the user has as many keys as anybody may have.
    """
    if api_key.replaced_by_id is not None:
        raise AlreadyReplaced(f"This key was replaced by the key {api_key.replaced_by_id}; replace that one.")
    if api_key.expires_at is not None and api_key.expires_at <= clock.now():
        raise Conflict("This key has expired, and one like it would have too; make a new key with POST /api-keys.")
    _may_give(caller, api_key.scopes)
    _may_outlive(caller, api_key.expires_at)
    for replaced in tx.all(_REPLACED, user_id=user.id, successor_id=api_key.id, now=clock.now()):
        revoke(tx, replaced)
    made = create(
        tx,
        user,
        name=api_key.name,
        scopes=api_key.scopes,
        rate_limit=api_key.rate_limit,
        expires_at=api_key.expires_at,
        replaces=overlap == 0,
    )
    end = clock.now() + overlap
    changes = {"replaced_by_id": made[0].id}
    if overlap == 0:
        changes["revoked_at"] = end
    elif api_key.expires_at is None or api_key.expires_at > end:
        changes["expires_at"] = end
    records.change(tx, ApiKey, api_key, changes)
    return made


_LACKS = "has what your own key lacks; a key cannot give what it has not"


def _may_give(caller: Principal, scopes: Sequence[str], *faults: InputError) -> None:
    beyond = [] if "*" in caller.scopes else sorted(set(scopes) - caller.scopes)
    if beyond:
        detail = f"Your own key lacks {', '.join(beyond)}; a key cannot give what it has not."
        raise InsufficientScope(detail, errors=faults)


_TOO_LATE = "lies after the end of your own key; choose a time before, or use a key that lasts"


def _may_outlive(caller: Principal, expires_at: int | None, *faults: InputError) -> None:
    if caller.expires_at is not None and (expires_at is None or expires_at > caller.expires_at):
        detail = "Your own key ends sooner than that one, and a key gives no more time than it has. Use one that lasts."
        raise Forbidden(detail, errors=faults)


def authenticate(tx: Transaction, key: str) -> tuple[Principal, bool] | None:
    """Find out who a key speaks for.

    Returns:
        The caller, and whether `last_used_at` is due; None for a key that is unknown, revoked, expired
        or of a deactivated user or a deleted organization.
    """
    found = tx.first(_BY_DIGEST, digest=ids.digest(key))
    moment = clock.now()
    if found is None or (found.expires_at is not None and found.expires_at <= moment):
        return None
    caller = Principal(
        user_id=found.user_id,
        organization_id=found.organization_id,
        role=found.role,
        name=found.name,
        scopes=frozenset(found.scopes),
        api_key_id=found.id,
        counts_as=found.replaced_by_id or found.id,
        rate_limit=found.rate_limit,
        expires_at=found.expires_at,
        is_verified=found.email_verified_at is not None,
    )
    return caller, found.last_used_at is None or found.last_used_at + TOUCH_EVERY <= moment


def role_of(tx: Transaction, api_key_id: int | None) -> str | None:
    """Find the role a key acts with; None when it was revoked, or its user or organization is none any more."""
    found = tx.first(_ROLE, key_id=api_key_id)
    return None if found is None else found.role


def touch(tx: Transaction, api_key_id: int) -> None:
    """Note that a key was used now."""
    tx.run(_TOUCH, key_id=api_key_id, moment=clock.now())


def revoke(tx: Transaction, api_key: Row) -> None:
    """End a key at once, in every process: each request looks its key up."""
    records.change(tx, ApiKey, api_key, {"revoked_at": clock.now()})


def revoke_all(tx: Transaction, user_id: int) -> None:
    """End all keys of a user at once."""
    tx.run(_REVOKE_ALL, of_user=user_id, now=clock.now())
