"""Signing up, verifying an address, setting a forgotten password: whatever an account's owner does by themselves."""

import secrets
from typing import Any, NamedTuple

from sqlalchemy import bindparam, case, delete, or_, select, update

from tickets import clock
from tickets.db import Row, Statement, Transaction
from tickets.domain import access, api_keys, jobs, mail, mailboxes, organizations, passwords, users
from tickets.domain.events import SYSTEM
from tickets.domain.one_time_secrets import LIFETIMES, OneTimeSecrets
from tickets.errors import InputError, NotFound
from tickets.models import ApiKey, OneTimeSecret, Session, User
from tickets.settings import Settings

SEND_SECRET = "send_secret"  # noqa: S105 - the name of a kind of job
"""The job that sends a code or a token, if there is an account to send it to."""


_WITHIN = clock.SECOND
_AT_ONCE = clock.SECOND
"""Rows whose times lie less than this apart count as stored by one transaction."""

MOST_TOLD = 300
"""Accounts that lose their access with an event for each, at about a millisecond; the others lose it at once."""
_now: Any = bindparam("now")
_REST = (
    User.organization_id == bindparam("of"),
    or_(User.role == "admin", User.role == "agent"),
    User.is_active.is_(True),
    User.id != bindparam("but"),
)
_their = select(User.id).where(*_REST)
_DEACTIVATE_REST = [
    Statement(delete(OneTimeSecret).where(OneTimeSecret.user_id.in_(_their))),
    Statement(update(Session).where(Session.user_id.in_(_their), Session.ended_at.is_(None)).values(ended_at=_now)),
    *(
        Statement(
            update(model)
            .where(*where)
            .values(
                **ends,
                version=model.version + 1,
                updated_at=case((model.updated_at > _now, model.updated_at), else_=_now),
            )
        )
        for model, where, ends in (
            (ApiKey, (ApiKey.user_id.in_(_their), ApiKey.revoked_at.is_(None)), {"revoked_at": _now}),
            (User, _REST, {"is_active": False}),
        )
    ),
]


class Newcomer(NamedTuple):
    """Who signs up.

    Attributes:
        email: their address.
        name: their name.
        password_hash: of the password they chose.
        organization_name: the organization they found, or None.
        organization_slug: the organization they join, or None.
    """

    email: str
    name: str
    password_hash: str
    organization_name: str | None = None
    organization_slug: str | None = None


def register(tx: Transaction, settings: Settings, newcomer: Newcomer) -> bool:
    """Make an account, or tell the owner of a taken address by mail; nobody else can tell which.

    Returns:
        Whether the address has to be verified before signing in.

    Raises:
        NotFound: there is no organization with the slug that lets people join by themselves.
    """
    organization = None
    if newcomer.organization_slug is not None:
        organization = _open_organization(tx, newcomer.organization_slug)
    must_verify = organization is not None and organization.settings["require_verified_email"]
    taken = users.by_email(tx, newcomer.email)
    if taken is not None:
        if mailboxes.takes(tx, taken.email, "already_registered"):
            mail.enqueue(tx, settings, "already_registered", to=taken.email)
        return must_verify
    role = "user" if organization is not None else "admin"
    if organization is None:
        organization = organizations.create(tx, name=newcomer.organization_name or newcomer.name)
    user = users.create(tx, SYSTEM, organization.id, email=newcomer.email, name=newcomer.name, role=role, vouched=False)
    passwords.store(tx, user.id, newcomer.password_hash)
    ask(tx, user.email, "verify_email")
    return must_verify


def _open_organization(tx: Transaction, slug: str) -> Row:
    found = organizations.by_slug(tx, slug)
    if found is None or not found.settings["allow_self_registration"]:
        detail = f"There is no organization {slug} that lets people join by themselves; ask its admin for an account."
        raise NotFound(detail, errors=[InputError("/organization_slug", detail)])
    return found


def ask(tx: Transaction, email: str, purpose: str, *, page: str = "") -> None:
    """Have a code or token sent to an address, if there is an account with it.

    The job looks up the account, after a random delay. So the request does the same work for any address, and neither
    its duration nor that of the next request tells whether there is an account.

    Args:
        tx: the transaction of the request.
        email: the address.
        purpose: of the code or token.
        page: address of the page for a token, as the process that got the request knows it: the job may run in another.
    """
    run_at = clock.now() + secrets.randbelow(_WITHIN)
    payload = {"email": email.lower(), "purpose": purpose, **({"page": page} if page else {})}
    jobs.enqueue(tx, SEND_SECRET, payload, run_at=run_at)


def send(
    tx: Transaction, settings: Settings, one_time: OneTimeSecrets, *, email: str, purpose: str, page: str = ""
) -> None:
    """Do what `ask` asked for, unless it is a code for an address that is verified already, or one mail too many.

    Whoever asked need not be the address's owner, and hears nothing of it.
    """
    user = users.by_email(tx, email)
    if user is None or not user.is_active:
        return
    if purpose == "verify_email" and user.email_verified_at is not None:
        return
    if not mailboxes.takes(tx, user.email, purpose):
        return
    secret = one_time.give(tx, user, purpose)
    minutes = LIFETIMES[purpose] // clock.MINUTE
    to = {"to": user.email, "organization_id": user.organization_id, "minutes": minutes}
    if purpose == "verify_email":
        mail.enqueue(tx, settings, "verify_email", code=secret, **to)
    else:
        mail.enqueue(tx, settings, "password_reset", link=settings.reset_link(secret, page), **to)


def verify(tx: Transaction, one_time: OneTimeSecrets, *, email: str, code: str) -> Row | None:
    """Verify an address with a code; what was opened before somebody proved that it is theirs ends.

    Returns:
        The account; None when the code is not the one that was sent there last, or cannot be used any more.
    """
    user = users.by_email(tx, email)
    if user is None or not user.is_active or not one_time.take_code(tx, user, code):
        return None
    return _verified(tx, user)


def address_of(tx: Transaction, one_time: OneTimeSecrets, token: str) -> str | None:
    """Find the address of the account whose password a token may set; None when it may set none."""
    user_id = one_time.of_token(tx, token)
    user = None if user_id is None else users.by_id(tx, user_id)
    return None if user is None or not user.is_active else user.email


def reset(tx: Transaction, one_time: OneTimeSecrets, *, token: str, password_hash: str) -> bool:
    """Set a password with a token that was sent by mail; all sessions end.

    Returns:
        Whether the token could be used.
    """
    user_id = one_time.take_token(tx, token)
    user = None if user_id is None else users.by_id(tx, user_id)
    if user is None or not user.is_active:
        return False
    passwords.store(tx, user.id, password_hash)
    users.sign_out(tx, user.id)
    _verified(tx, user)
    return True


def _verified(tx: Transaction, user: Row) -> Row:
    """Note that whoever has the account reads the mail sent to its address.

    Until now it was whoever signed up with the address: they may be a stranger, and lose all that they opened, and
    all that they gave to others.
    """
    if user.email_verified_at is not None:
        return user
    users.sign_out(tx, user.id)
    api_keys.revoke_all(tx, user.id)
    verified = users.verify(tx, user)
    organization = access.organization(tx, user.organization_id)
    if user.role == "admin" and _founded(tx, user, organization):
        _take_back(tx, verified, organization)
    return verified


def _founded(tx: Transaction, user: Row, organization: Row) -> bool:
    """Tell whether an account founded its organization: it is the first, and one transaction stored both."""
    is_first = users.first(tx, organization.id).id == user.id
    return is_first and bool(user.created_at - organization.created_at < _AT_ONCE)


def _take_back(tx: Transaction, founder: Row, organization: Row) -> None:
    """Take back what was given in an organization before its founder's address was verified.

    Nobody knows who gave it: a stranger may have founded the organization with this address and let their own accounts
    in. So no other admin or agent keeps access, verified or not: the founder lets those in again who belong there.
    Whoever only raises tickets has no power over others, and stays. The first `MOST_TOLD` have an event each; if there
    are more, some statements for all of them together do the same without events: others wait to write meanwhile.
    """
    others = users.staff(tx, organization.id, but=founder.id, most=MOST_TOLD + 1)
    for other in others[:MOST_TOLD]:
        api_keys.revoke_all(tx, other.id)
        users.change(tx, SYSTEM, other, {"is_active": False})
    if len(others) > MOST_TOLD:
        for statement in _DEACTIVATE_REST:
            tx.run(statement, of=organization.id, but=founder.id, now=clock.now())
    organizations.change(tx, organization, {"settings": {"allow_self_registration": False}})
