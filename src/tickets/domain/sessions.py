"""Sessions: begun, prolonged, ended; an access token is good only as long as the session it names."""

import secrets
from typing import NamedTuple

from sqlalchemy import bindparam, insert, select, update

from tickets import clock, ids
from tickets.db import Row, Statement, Transaction
from tickets.domain import access, passwords, users
from tickets.errors import EmailNotVerified, InvalidCredentials
from tickets.models import Organization, RefreshToken, Session, User

_START = Statement(
    insert(Session).values(
        {name: bindparam(name) for name in ("organization_id", "user_id", "created_at", "expires_at", "ended_at")}
    )
)
_LIVE = (
    Session.ended_at.is_(None),
    Session.expires_at > bindparam("now"),
    User.is_active.is_(True),
    Organization.deleted_at.is_(None),
)
_FIND = Statement(
    select(
        Session.id,
        Session.user_id,
        Session.expires_at,
        User.organization_id,
        User.role,
        User.name,
        User.email_verified_at,
    )
    .join(User, User.id == Session.user_id)
    .join(Organization, Organization.id == User.organization_id)
    .where(Session.id == bindparam("session_id"), *_LIVE)
)
_GIVE = Statement(
    insert(RefreshToken).values(digest=bindparam("digest"), session_id=bindparam("session_id"), used_at=None)
)
_BY_TOKEN = Statement(
    select(RefreshToken.session_id, RefreshToken.used_at).where(RefreshToken.digest == bindparam("digest"))
)
_USE = Statement(update(RefreshToken).where(RefreshToken.digest == bindparam("of")).values(used_at=bindparam("now")))
_END = Statement(
    update(Session).where(Session.id == bindparam("of"), Session.ended_at.is_(None)).values(ended_at=bindparam("now"))
)


class Opened(NamedTuple):
    """A session that was begun or prolonged, and when it ends; its refresh token is stored nowhere."""

    id: int
    user_id: int
    organization_id: int
    expires_at: int
    refresh_token: str


def start(tx: Transaction, user_id: int, password_hash: str, *, lifetime: int) -> Opened:
    """Begin a session for who knows the password.

    Args:
        tx: where to write.
        user_id: who signs in.
        password_hash: that the password was found to fit.
        lifetime: milliseconds it can be prolonged for.

    Raises:
        EmailNotVerified: the organization lets nobody in whose address is not verified.
        InvalidCredentials: the account was deactivated or deleted, or has another password by now.
    """
    user = users.by_id(tx, user_id)
    if user is None or not user.is_active or passwords.of_user(tx, user_id) != password_hash:
        raise InvalidCredentials("The e-mail address or the password is wrong.")
    organization = access.organization(tx, user.organization_id)
    if organization.settings["require_verified_email"] and user.email_verified_at is None:
        raise EmailNotVerified("Verify your address first, with the code that POST /auth/email-otp sends you.")
    moment = clock.now()
    session_id = tx.insert(
        _START,
        organization_id=user.organization_id,
        user_id=user.id,
        created_at=moment,
        expires_at=moment + lifetime,
        ended_at=None,
    )
    return Opened(session_id, user.id, user.organization_id, moment + lifetime, _give(tx, session_id))


def prolong(tx: Transaction, refresh_token: str) -> Opened | None:
    """Take a refresh token for the next one.

    A token that comes twice was copied: whoever holds the copy is cut off together with the owner (RFC 9700,
    4.14.2). The end of the session has to be committed, so a refusal is told as a value, not raised.

    Returns:
        The session with its next refresh token; None when there is no such token, it was used before, or its
        session is over.
    """
    digest = ids.digest(refresh_token)
    found = tx.first(_BY_TOKEN, digest=digest)
    session = None if found is None else find(tx, found.session_id)
    if found is None or session is None:
        return None
    if found.used_at is not None:
        end(tx, session.id)
        return None
    tx.run(_USE, of=digest, now=clock.now())
    return Opened(session.id, session.user_id, session.organization_id, session.expires_at, _give(tx, session.id))


def find(tx: Transaction, session_id: int) -> Row | None:
    """Find a session that can be worked in, with its user's organization, role and verification."""
    return tx.first(_FIND, session_id=session_id, now=clock.now())


def end(tx: Transaction, session_id: int) -> None:
    """End a session at once, in every process: each request looks its session up."""
    tx.run(_END, of=session_id, now=clock.now())


def _give(tx: Transaction, session_id: int) -> str:
    token = f"tr_{secrets.token_urlsafe(32)}"
    tx.run(_GIVE, digest=ids.digest(token), session_id=session_id)
    return token
